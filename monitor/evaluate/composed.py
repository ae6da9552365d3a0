"""A reference of two: some columns as a stretch of event time has them, the others as the reference before has them.

- All columns are of as many rows: of two numbers the smaller one, so that nothing seems to be known better than it is.
  Counts are scaled in the order of values; if the stretch has more rows, the others keep theirs to the digit.
- What two columns have in common is that of the stretch if one of them is accepted, else that of the reference before.
  Together that may be no covariance, so what the two kinds of columns have in common is halved until it factors.
- Stretches of the rows are put beside each other in their order; sums of the accepted columns are scaled to as many
  rows, as sums of independent rows vary.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from monitor.codec.counts import pack_counts
from monitor.drift.linear import cholesky
from monitor.drift.moments import GroupMoments, Moments, group_slices
from monitor.evaluate.growth import CountedSlice
from monitor.evaluate.reference import Reference, ReferenceSlice
from monitor.events import Bools, Int64s
from monitor.panes.grid import Grid
from monitor.stats.limbs import SQUARE_BITS, SQUARE_LIMBS, SUM_BITS, SUM_LIMBS, split

_DIAGONAL = 0.025
"""What is added to the diagonal of correlations that are to factor: half of what the core adds."""
_HALVINGS = 6


def accepted_series(grid: Grid, columns: Collection[str]) -> Bools:
    """The series that are accepted, in the grid's order: all, if none is named."""
    return np.array([not columns or name in columns for name in grid.series], dtype=bool)


# ---------------------------------------------------------------------- counts


def composed_slices(
    grid: Grid, before: Reference, stretch: Sequence[CountedSlice], is_accepted: Bools
) -> tuple[ReferenceSlice, ...]:
    """The slices of the reference before, with the counts of accepted series from those of the stretch."""
    rows = min(before.events, sum(part.events for part in stretch))
    events = scaled(np.array([part.events for part in before.slices], dtype=np.int64), rows)
    found = []
    for k, (part, counts, n) in enumerate(zip(before.slices, before.by_slice, events.tolist(), strict=True)):
        other = stretch[k * len(stretch) // len(before.slices)].normalised(grid)
        mixed = mixed_counts(grid, _scaled_to(grid, counts, n), _scaled_to(grid, other, n), is_accepted)
        if n:
            found.append(ReferenceSlice(n, part.first_time, part.last_time, pack_counts(mixed)))
    return tuple(found)


def scaled(counts: Int64s, n: int) -> Int64s:
    """The counts as of n in all, so that what lies up to each place is rounded: no place is favoured.

    >>> scaled(np.array([3, 0, 1]), 2).tolist(), scaled(np.array([1, 1, 1, 1]), 2).tolist()
    ([2, 0, 0], [1, 0, 1, 0])
    """
    upto = np.cumsum(counts)
    whole = int(upto[-1]) if len(upto) else 0
    return counts if whole in (0, n) else np.diff((2 * upto * n + whole) // (2 * whole), prepend=0)


def _scaled_to(grid: Grid, counts: Int64s, n: int) -> Int64s:
    """Flat counts as those of n rows, sums included."""
    layout, after = grid.layout, np.zeros_like(counts)
    rows = 0
    for bins, invalid in zip(layout.bins, layout.invalid, strict=True):
        own = slice(bins.start, invalid.stop)
        rows = int(counts[own].sum())
        after[own] = scaled(counts[own], n)
    sums, squares = layout.whole_sums(counts)
    parts = ((layout.sums, sums, SUM_LIMBS, SUM_BITS), (layout.squares, squares, SQUARE_LIMBS, SQUARE_BITS))
    for part, numbers, limbs, bits in parts:
        after[part] = split([_rounded(number * n, rows) for number in numbers.tolist()], limbs, bits).ravel()
    layout.normalise(after)
    return after


def _rounded(number: int, by: int) -> int:
    return (2 * number + by) // (2 * by) if by else 0


def mixed_counts(grid: Grid, counts: Int64s, other: Int64s, is_accepted: Bools) -> Int64s:
    """Flat counts, with those of accepted series from others."""
    layout, mixed = grid.layout, counts.copy()
    for place in np.flatnonzero(is_accepted).tolist():
        own = slice(layout.bins[place].start, layout.invalid[place].stop)
        mixed[own] = other[own]
    numeric = is_accepted[: layout.numeric]
    for part, limbs in ((layout.sums, SUM_LIMBS), (layout.squares, SQUARE_LIMBS)):
        chosen = np.tile(numeric, limbs)
        mixed[part] = np.where(chosen, other[part], mixed[part])
    return mixed


# ---------------------------------------------------------------------- moments


def composed_moments(before: Moments, other: Moments, is_accepted: Bools) -> Moments:
    """The moments of a reference whose accepted series are those of `other`."""
    rows = min(before.rows, other.rows)
    groups = tuple(
        _composed_group(_of_rows(one, rows, before.rows), _of_rows(new, rows, other.rows), is_accepted[part])
        for one, new, part in zip(before.groups, other.groups, group_slices(len(is_accepted)), strict=True)
    )
    return Moments(rows, groups, *_composed_blocks(before, other, np.tile(is_accepted, 2)))


def _of_rows(group: GroupMoments, rows: int, of: int) -> GroupMoments:
    """The sums as those of another number of rows."""
    if rows == of:
        return group
    parts = (group.second, group.squares, group.fourth)
    return GroupMoments(*(((2 * part.astype(object) * rows + of) // (2 * of)).astype(np.int64) for part in parts))


def _composed_group(before: GroupMoments, other: GroupMoments, is_accepted: Bools) -> GroupMoments:
    scores = np.tile(is_accepted, 2)
    second = np.where(_either(scores), other.second, before.second)
    squares = np.where(_either(is_accepted), other.squares, before.squares)
    fourth = np.where(scores, other.fourth, before.fourth)
    is_across = scores[:, np.newaxis] != scores
    for halvings in range(_HALVINGS + 1):
        if _factors(second):
            break
        shrunk = second >> 1 if halvings < _HALVINGS else np.zeros_like(second)
        second = np.where(is_across, shrunk, second)
    return GroupMoments(second, squares, fourth)


def _either(is_accepted: Bools) -> Bools:
    return np.asarray(is_accepted[:, np.newaxis] | is_accepted)


def _factors(second: Int64s) -> bool:
    """Return true if these are products of scores of some rows, or nearly so."""
    own = np.flatnonzero(np.diag(second) > 0)
    deviation = np.sqrt(np.diag(second)[own].astype(np.float64))
    correlation = second[np.ix_(own, own)] / (deviation[:, np.newaxis] * deviation)
    with np.errstate(invalid="ignore", divide="ignore"):  # that is what is looked for
        return bool(np.isfinite(cholesky(correlation + _DIAGONAL * np.eye(len(own)))).all())


def _composed_blocks(before: Moments, other: Moments, is_accepted: Bools) -> tuple[Int64s, Int64s]:
    length = max(-(-int(one.block_rows.sum()) // max(len(one.block_rows), 1)) for one in (before, other))
    rows, sums = _joined(before, max(length, 1))
    others, other_sums = _joined(other, max(length, 1))
    blocks = min(len(rows), len(others))
    scale = np.sqrt(rows[:blocks] / others[:blocks])[:, np.newaxis]
    scaled_sums = np.rint(other_sums[:blocks] * scale).astype(np.int64)
    return rows[:blocks], np.where(is_accepted, scaled_sums, sums[:blocks])


def _joined(moments: Moments, length: int) -> tuple[Int64s, Int64s]:
    """Blocks of about that many rows; what is behind the last one is left out."""
    ends = np.cumsum(moments.block_rows)
    whole = int(ends[-1]) if len(ends) else 0
    stops = np.unique(np.searchsorted(ends, np.arange(length, whole + 1, length)) + 1)
    edges = np.concatenate([np.zeros(1, dtype=np.int64), stops])
    rows = np.concatenate([np.zeros(1, dtype=np.int64), ends])[edges]
    sums = np.concatenate(
        [np.zeros((1, moments.block_sums.shape[1]), dtype=np.int64), np.cumsum(moments.block_sums, 0)]
    )
    return np.diff(rows), np.diff(sums[edges], axis=0)
