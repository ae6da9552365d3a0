"""False alarms: how often an alert begins to fire, were its threshold at a level, as `evaluate/lifecycle.py` has it.

It begins at the first judgement that finds it violated for as long as `for` or `for_windows` asks, and ends at a
judgement that finds it clear, once it has not been violated for `keep_firing_for`; until then what is beyond the
recovery threshold counts as violated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.events import Bools, Float64s, Int64s


class Judged(NamedTuple):
    """One series of one stream at its judgements, where it had a value: `time` ms, ascending, and `value`.

    `recovery`: what a value has to come back to before an alert ends, at each of them; None if that is the level.
    """

    time: Int64s
    value: Float64s
    recovery: Float64s | None = None


class Waits(NamedTuple):
    """A rule's `for` and `keep_firing_for`, ms, and its `for_windows`: each judgement is one of a window."""

    for_ms: int
    keep_firing_for_ms: int
    for_windows: int = 1


def peaks(judged: Judged, level: float, waits: Waits) -> list[float]:
    """The largest value of each alert that fires if what is above the level violates its rule."""
    time, value, recovery = judged
    violated = value > level
    lasting = violated if recovery is None else violated | (value > recovery)
    found = list[float]()
    ends: int | None = None  # the last judgement that found a firing alert violated, by its place
    # an alert at a time, by stretches of judgements that it lasts in: whether one begins depends on the one before
    for start, stop in _stretches(lasting):
        goes_on = ends is not None and int(time[start - 1] - time[ends]) < waits.keep_firing_for_ms
        begins = start if goes_on else _begin(time[start:stop], violated[start:stop], waits, start)
        if begins is None:
            continue
        largest = float(value[begins:stop].max())
        if goes_on:
            found[-1] = max(found[-1], largest)
        else:
            found.append(largest)
        ends = stop - 1
    return found


def _begin(time: Int64s, violated: Bools, waits: Waits, first: int) -> int | None:
    """The place, counted from `first`, of the first violated judgement of an alert that fires in a stretch."""
    for start, stop in _stretches(violated):
        if int(time[stop - 1] - time[start]) >= waits.for_ms and stop - start >= waits.for_windows:
            return first + start
    return None


def _stretches(where: Bools) -> list[list[int]]:
    """Begin and end of each stretch of places that are true."""
    edges = np.concatenate([[False], where, [False]]).astype(np.int8)
    return np.flatnonzero(np.diff(edges)).reshape(-1, 2).tolist()
