"""Which rows are from a plausible time: no row from the future closes windows.

Where the broker stamps records itself, a row may not run ahead of its stamp by more than `skew`. Elsewhere a row
further ahead than `skew` of the largest accepted time waits, with all rows behind it, for the next 32 rows (or the
end): it is accepted if most of them are as far ahead as it is, give or take `skew`, else rejected. The median of the
first 32 rows is where the partition starts. A heartbeat decides before that, as far as it can: it accepts what is no
later than it says, and what most of the rows so far speak against is rejected. A row that few rows agree with waits on:
two broken clocks in a row are no jury, and after them all that is true would be late.
So the answer depends on the partition's log alone, never on how it was polled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.events import Int64s

JURY = 32
"""Rows that decide on one that is ahead; rows whose median is the starting time."""


@dataclass(frozen=True, slots=True)
class Admission:
    """`accepted`, `reach_before`: of the rows decided, shape (decided,); the others wait. `reach`: after them.

    A row's reach is the largest plausible time before it; None as long as the start is not decided.
    """

    accepted: NDArray[np.bool_]
    reach_before: Int64s
    reach: int | None


@dataclass(frozen=True, slots=True)
class Flush:
    """Rows must be decided now. `plausible`: the latest time a row may have by a heartbeat; None at the end."""

    plausible: int | None


def by_stamp(time: Int64s, stamp: Int64s, skew: int) -> NDArray[np.bool_]:
    """Accepted rows under LogAppendTime; nothing waits."""
    return time <= stamp + skew


def admit(time: Int64s, reach: int | None, skew: int, flush: Flush | None = None) -> Admission:
    """Decide the rows (times in offset order) as far as they can be decided."""
    if reach is None:
        if len(time) == 0 or (len(time) < JURY and flush is None):
            return _nothing(None)
        median = int(np.sort(time[:JURY])[(min(len(time), JURY) - 1) // 2])
        if len(time) < JURY and flush is not None and flush.plausible is not None and median > flush.plausible:
            return _nothing(None)
        reach = median
    accepted: list[NDArray[np.bool_]] = []
    before: list[Int64s] = []
    at = 0
    while at < len(time):  # one turn a row that is too far ahead; traffic without such rows is one turn
        rest = time[at:]
        reached = np.maximum.accumulate(np.concatenate([[reach], rest]))
        ahead = rest > reached[:-1] + skew
        good = int(np.argmax(ahead)) if ahead.any() else len(rest)
        accepted.append(np.ones(good, dtype=np.bool_))
        before.append(reached[:good])
        reach = int(reached[good])
        at += good
        if at == len(time):
            break
        verdict = _jury(int(time[at]), time[at + 1 : at + 1 + JURY], skew, flush)
        if verdict is None:
            break
        accepted.append(np.array([verdict]))
        before.append(np.array([reach], dtype=np.int64))
        reach = max(reach, int(time[at])) if verdict else reach
        at += 1
    if not before:
        return _nothing(reach)
    return Admission(np.concatenate(accepted), np.concatenate(before), reach)


def _nothing(reach: int | None) -> Admission:
    return Admission(np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.int64), reach)


def _jury(time: int, jury: Int64s, skew: int, flush: Flush | None) -> bool | None:
    """Whether a row ahead is accepted, or None when it has to wait for more rows."""
    if len(jury) < JURY:
        if flush is None:
            return None
        if flush.plausible is not None and time <= flush.plausible:
            return True
        if flush.plausible is not None and (len(jury) == 0 or _agrees(time, jury, skew)):
            return None
        if len(jury) == 0:
            return True  # the last row of a file has nobody to contradict it
    return _agrees(time, jury, skew)


def _agrees(time: int, jury: Int64s, skew: int) -> bool:
    """Whether most of the jury is as far ahead."""
    return 2 * int((jury >= time - skew).sum()) > len(jury)
