"""Moments: what a reference holds for the sequential core beside its counts, all of it integers.

Second moments of the scores (`scores.py`) of its rows, by groups of 50 series, since whitening costs the square of the
number of scores; and the sums of scores of short stretches of its rows in their order, which show how rows depend on
those before them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import numpy as np

from monitor.codec.varints import pack, unpack, unzigzag, zigzag
from monitor.drift.scores import Scores, ScoreTables
from monitor.errors import FormatError
from monitor.events import Codes, Float64s, Int64s

GROUP = 50
"""Series that are whitened together."""
BLOCK_ROWS = 10
"""Rows of a block, unless that makes more numbers than `MOST_NUMBERS`: then neighbours are merged."""
MOST_NUMBERS = 1 << 20
_ROWS_AT_ONCE = 1 << 12
"""Rows whose products are summed at once."""


def group_slices(series: int) -> list[slice]:
    """The groups of a number of series, in the grid's order."""
    return [slice(start, min(start + GROUP, series)) for start in range(0, series, GROUP)]


def group_scores(part: slice, series: int) -> Int64s:
    """The places of a group's scores: ranks first, then spreads."""
    members = np.arange(part.start, part.stop)
    return np.concatenate([members, series + members])


@dataclass(frozen=True)
class GroupMoments:
    """Sums over the rows of one group of p series.

    `second`: products of scores (2p, 2p), ranks first. `squares`: products of squared rank scores (p, p). `fourth`:
    fourth powers of scores (2p,).
    """

    second: Int64s
    squares: Int64s
    fourth: Int64s


@dataclass(frozen=True)
class Moments:
    """What one reference holds of `rows` rows. `block_rows` (b,), `block_sums` (b, width): stretches in order."""

    rows: int
    groups: tuple[GroupMoments, ...]
    block_rows: Int64s
    block_sums: Int64s


def deviations(moments: Moments) -> Float64s:
    """The standard deviation of each score of a row, in its unit, (width,); their means are nearly 0."""
    parts = [np.diag(group.second) for group in moments.groups]
    ranks = [part[: len(part) // 2] for part in parts]
    spreads = [part[len(part) // 2 :] for part in parts]
    squares = np.concatenate([np.zeros(0, dtype=np.int64), *ranks, *spreads])
    return np.sqrt(squares / max(moments.rows, 1))


class MomentSums:
    """Moments of rows that come in their order, some at a time."""

    def __init__(self, tables: ScoreTables) -> None:
        self._tables = tables
        self._series = tables.width // 2
        self._rows = 0
        self._parts = group_slices(self._series)
        self._groups = [_no_moments(part.stop - part.start) for part in self._parts]
        self._open = np.zeros((0, tables.width), dtype=np.int64)
        self._blocks: list[Int64s] = []

    def add(self, codes: Codes) -> None:
        """Add rows (m, series)."""
        for start in range(0, len(codes), _ROWS_AT_ONCE):
            self._add(self._tables.of_codes(codes[start : start + _ROWS_AT_ONCE]))

    def _add(self, scores: Scores) -> None:
        self._rows += len(scores)
        for n, part in enumerate(self._parts):
            self._groups[n] = _added(self._groups[n], scores[:, group_scores(part, self._series)])
        rows = np.concatenate([self._open, scores.astype(np.int64)])
        whole = len(rows) // BLOCK_ROWS * BLOCK_ROWS
        self._blocks.append(rows[:whole].reshape(-1, BLOCK_ROWS, self._tables.width).sum(axis=1))
        self._open = rows[whole:]

    def moments(self) -> Moments:
        """Return what was added up; rows behind the last whole block are in no block."""
        width = self._tables.width
        sums = np.concatenate([np.zeros((0, width), dtype=np.int64), *self._blocks])
        rows = np.full(len(sums), BLOCK_ROWS, dtype=np.int64)
        while sums.size > MOST_NUMBERS:
            even = len(sums) // 2 * 2
            sums, rows = sums[:even].reshape(-1, 2, width).sum(axis=1), rows[:even].reshape(-1, 2).sum(axis=1)
        return Moments(self._rows, tuple(self._groups), rows, sums)


def moments_of(tables: ScoreTables, codes: Iterable[Codes]) -> Moments:
    """Moments of rows in their order."""
    sums = MomentSums(tables)
    for part in codes:
        sums.add(part)
    return sums.moments()


def _no_moments(series: int) -> GroupMoments:
    scores = 2 * series
    zeros = [np.zeros(shape, dtype=np.int64) for shape in ((scores, scores), (series, series), (scores,))]
    return GroupMoments(*zeros)


def _added(moments: GroupMoments, scores: Scores) -> GroupMoments:
    """Add rows: whole numbers whose sums stay below 2⁵³, so that floats are exact in any order of BLAS.

    Squared scores are at most 2²⁰, their products 2⁴⁰: 2¹² rows at once.
    """
    series = scores.shape[1] // 2
    x = scores.astype(np.float64)
    second = (x.T @ x).astype(np.int64)
    square = x * x
    ranks = square[:, :series]
    squares = (ranks.T @ ranks).astype(np.int64)
    fourth = (square * square).sum(axis=0).astype(np.int64)
    return GroupMoments(moments.second + second, moments.squares + squares, moments.fourth + fourth)


# ---------------------------------------------------------------------- as bytes


class PackedMoments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Moments with their numbers packed; of symmetric matrices the upper half."""

    rows: int
    groups: tuple[bytes, ...]
    block_rows: bytes
    block_sums: bytes


def pack_moments(moments: Moments) -> PackedMoments:
    """Moments as bytes."""
    groups = tuple(
        pack(zigzag(np.concatenate([_upper(g.second), _upper(g.squares), g.fourth]))) for g in moments.groups
    )
    return PackedMoments(moments.rows, groups, pack(moments.block_rows), pack(zigzag(moments.block_sums.ravel())))


def unpack_moments(packed: PackedMoments, series: int) -> Moments:
    """The moments of a grid with this many series; raises FormatError."""
    parts = group_slices(series)
    if len(packed.groups) != len(parts):
        raise FormatError("the moments of a reference are of other series than its grid")
    groups = tuple(_group(raw, part.stop - part.start) for raw, part in zip(packed.groups, parts, strict=True))
    rows, sums = unpack(packed.block_rows), unzigzag(unpack(packed.block_sums))
    if len(sums) != 2 * series * len(rows):
        raise FormatError("the blocks of a reference's moments differ in number")
    return Moments(packed.rows, groups, rows, sums.reshape(len(rows), 2 * series))


def _group(raw: bytes, series: int) -> GroupMoments:
    scores = 2 * series
    sizes = scores * (scores + 1) // 2, series * (series + 1) // 2, scores
    numbers = unzigzag(unpack(raw))
    if len(numbers) != sum(sizes):
        raise FormatError("a group of a reference's moments has another size")
    second, squares, fourth = np.split(numbers, np.cumsum(sizes)[:-1])
    return GroupMoments(_whole(second, scores), _whole(squares, series), fourth)


def _upper(matrix: Int64s) -> Int64s:
    return matrix[np.triu_indices(len(matrix))]


def _whole(upper: Int64s, size: int) -> Int64s:
    matrix = np.zeros((size, size), dtype=np.int64)
    rows, columns = np.triu_indices(size)
    matrix[rows, columns] = upper
    matrix[columns, rows] = upper
    return matrix
