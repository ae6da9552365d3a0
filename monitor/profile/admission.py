"""Which rows are from a plausible time: no row from the future closes windows.

A row that the broker stamped itself may not run ahead of its stamp by more than `skew`: else it is out at once, and
nobody's neighbour; the others are *vouched* for, and never ahead. So is a label no more than `skew` ahead of what the
data has passed that labels are of. Any other row further ahead than `skew` of the largest accepted time waits, with all
rows behind it, for the next 32 rows (or the end): it is accepted if most of them are as far ahead as it is, give or
take `skew`, else rejected. The median of the first 32 rows is where the partition starts, or the first row if that is
vouched for. A log may hold rows of all kinds in any order.

A heartbeat decides before that, as far as it can: it accepts rows up to its own time, and rejects a row that most later
rows contradict. Otherwise the row keeps waiting: if two wrong clocks in a row could confirm each other, every correct
row after them would be late. So the answer depends on the partition's log alone, whatever the polls.
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

    A row's reach is the largest plausible time before it; None as long as the start is not decided. `decided_by`: the
    place of the row whose arrival decided each, shape (decided,): its own if it did not have to wait, and n, the number
    of all rows, if a heartbeat or the end decided it. So it does not depend on how the rows were polled.
    """

    accepted: NDArray[np.bool_]
    reach_before: Int64s
    reach: int | None
    decided_by: Int64s


@dataclass(frozen=True, slots=True)
class Flush:
    """Rows must be decided now. `plausible`: the latest time a row may have by a heartbeat; None at the end."""

    plausible: int | None


def by_stamp(time: Int64s, stamp: Int64s, skew: int) -> NDArray[np.bool_]:
    """Which rows the broker's stamps vouch for (LogAppendTime)."""
    return time <= stamp + skew


def admit(
    time: Int64s, vouched: NDArray[np.bool_], reach: int | None, skew: int, flush: Flush | None = None
) -> Admission:
    """Decide the rows (times in offset order) as far as they can be decided. `vouched`: those that can't be ahead."""
    if reach is None and len(time) and vouched[0]:
        reach = int(time[0])
    started = 0
    if reach is None:
        if len(time) == 0 or (len(time) < JURY and flush is None):
            return _nothing(None)
        median = int(np.sort(time[:JURY])[(min(len(time), JURY) - 1) // 2])
        if len(time) < JURY and flush is not None and flush.plausible is not None and median > flush.plausible:
            return _nothing(None)
        reach, started = median, JURY - 1 if len(time) >= JURY else len(time)
    decided_by = np.maximum(np.arange(len(time)), started)
    reached = np.maximum.accumulate(np.concatenate([[reach], time]))
    ahead = (time > reached[:-1] + skew) & ~vouched
    if not ahead.any():
        return Admission(np.ones(len(time), dtype=np.bool_), reached[:-1], int(reached[-1]), decided_by)
    first = int(np.argmax(ahead))
    accepted, before, reach, behind = _one_by_one(time[first:], vouched[first:], int(reached[first]), skew, flush)
    decided = first + len(accepted)
    decided_by[first:decided] = np.maximum(decided_by[first:decided], first + behind)
    return Admission(
        np.concatenate([np.ones(first, dtype=np.bool_), accepted]),
        np.concatenate([reached[:first], before]),
        reach,
        decided_by[:decided],
    )


def _one_by_one(
    time: Int64s, vouched: NDArray[np.bool_], reach: int, skew: int, flush: Flush | None
) -> tuple[NDArray[np.bool_], Int64s, int, Int64s]:
    """Decide rows of which the first is ahead: accepted, reach before each, reach after them, and decided by which."""
    whole = max(0, len(time) - JURY)
    juries = np.lib.stride_tricks.sliding_window_view(time[1:], JURY) if whole else np.zeros((0, JURY), np.int64)
    agrees = (2 * (juries >= time[:whole, None] - skew).sum(axis=1) > JURY).tolist()
    accepted: list[bool] = []
    before: list[int] = []
    decided_by: list[int] = []
    waited = 0
    # row by row, because what is ahead depends on which of the rows before it were accepted; a turn costs the same
    # however many of them are ahead
    for i, (at, is_vouched) in enumerate(zip(time.tolist(), vouched.tolist(), strict=True)):
        verdict: bool | None = True
        if at > reach + skew and not is_vouched:
            verdict = agrees[i] if i < whole else _short_jury(at, time[i + 1 :], skew, flush)
            waited = max(waited, min(i + JURY, len(time)))
        if verdict is None:
            break
        accepted.append(verdict)
        before.append(reach)
        decided_by.append(max(i, waited))
        reach = max(reach, at) if verdict else reach
    return (
        np.array(accepted, dtype=np.bool_),
        np.array(before, dtype=np.int64),
        reach,
        np.array(decided_by, dtype=np.int64),
    )


def _nothing(reach: int | None) -> Admission:
    none = np.zeros(0, dtype=np.int64)
    return Admission(np.zeros(0, dtype=np.bool_), none, reach, none)


def _short_jury(time: int, jury: Int64s, skew: int, flush: Flush | None) -> bool | None:
    """Return true if a row ahead is accepted by an incomplete jury, or None if it has to wait for more rows."""
    if flush is None:
        return None
    if flush.plausible is not None and time <= flush.plausible:
        return True
    agrees = 2 * int((jury >= time - skew).sum()) > len(jury)
    if flush.plausible is not None and (len(jury) == 0 or agrees):
        return None
    return agrees or len(jury) == 0  # the last row of a file has nobody to contradict it
