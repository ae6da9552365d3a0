"""False alarms: how often an alert begins to fire, were its threshold at a level, as `evaluate/lifecycle.py` has it.

It begins at the first judgement that finds it violated for as long as `for` or `for_windows` asks, and ends at a
judgement that finds it clear, once it has not been violated for `keep_firing_for`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.events import Float64s, Int64s


class Judged(NamedTuple):
    """One series of one stream at its judgements, where it had a value: `time` ms, ascending, and `value`."""

    time: Int64s
    value: Float64s


class Waits(NamedTuple):
    """A rule's `for` and `keep_firing_for`, ms, and its `for_windows`: each judgement is one of a window."""

    for_ms: int
    keep_firing_for_ms: int
    for_windows: int = 1


def peaks(judged: Judged, level: float, waits: Waits) -> list[float]:
    """The largest value of each alert that fires if what is above the level violates its rule."""
    time, value = judged
    violated = value > level
    changes = np.flatnonzero(np.diff(np.concatenate([[False], violated, [False]]).astype(np.int8)))
    found = list[float]()
    ends: int | None = None  # the last judgement that found a firing alert violated, by its place
    # an alert at a time, by stretches of violated judgements: whether one begins depends on the one before
    for start, stop in changes.reshape(-1, 2).tolist():
        goes_on = ends is not None and int(time[start - 1] - time[ends]) < waits.keep_firing_for_ms
        is_short = int(time[stop - 1] - time[start]) < waits.for_ms or stop - start < waits.for_windows
        if not goes_on and is_short:
            continue
        largest = float(value[start:stop].max())
        if goes_on:
            found[-1] = max(found[-1], largest)
        else:
            found.append(largest)
        ends = stop - 1
    return found
