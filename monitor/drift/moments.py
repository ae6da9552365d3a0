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
from monitor.drift.linear import sums_of_products
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
        self._blocks = BlockSums(tables.width)

    def add(self, codes: Codes) -> None:
        """Add rows (m, series)."""
        for start in range(0, len(codes), _ROWS_AT_ONCE):
            self._add(self._tables.of_codes(codes[start : start + _ROWS_AT_ONCE]))

    def _add(self, scores: Scores) -> None:
        self._rows += len(scores)
        for n, part in enumerate(self._parts):
            self._groups[n] = _added(self._groups[n], scores[:, group_scores(part, self._series)])
        self._blocks.add(np.ones(len(scores), dtype=np.int64), scores.astype(np.int64))

    def moments(self) -> Moments:
        """Return what was added up; rows behind the last whole block are in no block."""
        return Moments(self._rows, tuple(self._groups), *self._blocks.blocks())


class BlockSums:
    """Sums of scores of rows that follow each other, about `BLOCK_ROWS` in each, or twice that and so on.

    What is added is a row, or a stretch of rows that is never cut. Blocks are merged by two as their
    numbers become too many, so memory is bounded; which blocks come out does not depend on how many are added at once.
    """

    def __init__(self, width: int, most: int = MOST_NUMBERS) -> None:
        """`most`: numbers that blocks of that width hold together."""
        self._most = max(most // max(width, 1), 2)
        self._length = BLOCK_ROWS
        self._rows = np.zeros(0, dtype=np.int64)
        self._sums = np.zeros((0, width), dtype=np.int64)
        self._open: tuple[Int64s, Int64s] = self._rows, self._sums

    def add(self, rows: Int64s, sums: Int64s) -> None:
        """Add stretches in order: how many rows each has (n,), at least one, and their sums of scores (n, width)."""
        rows, sums = np.concatenate([self._open[0], rows]), np.concatenate([self._open[1], sums])
        while True:
            made, used = _blocks_of(rows, self._length, self._most + 1 - len(self._rows))
            if used:
                self._rows = np.concatenate([self._rows, np.add.reduceat(rows[:used], made)])
                self._sums = np.concatenate([self._sums, np.add.reduceat(sums[:used], made)])
            rows, sums = rows[used:], sums[used:]
            if len(self._rows) <= self._most:
                break
            rest_rows, rest_sums = self._merge()
            rows, sums = np.concatenate([rest_rows, rows]), np.concatenate([rest_sums, sums])
        self._open = rows, sums

    def _merge(self) -> tuple[Int64s, Int64s]:
        """Make one block of two, so of twice the length; returns the one that is left, if there is one."""
        even = len(self._rows) // 2 * 2
        rest = self._rows[even:], self._sums[even:]
        self._rows = self._rows[:even].reshape(-1, 2).sum(axis=1)
        self._sums = self._sums[:even].reshape(-1, 2, self._sums.shape[1]).sum(axis=1)
        self._length *= 2
        return rest

    def blocks(self) -> tuple[Int64s, Int64s]:
        """Rows (b,) and sums (b, width) of the blocks; what is behind the last whole one is in none."""
        return self._rows, self._sums

    def state(self) -> BlocksState:
        """What later blocks depend on."""
        return BlocksState(
            self._length,
            pack(self._rows),
            pack(zigzag(self._sums.ravel())),
            pack(self._open[0]),
            pack(zigzag(self._open[1].ravel())),
        )

    def restore(self, state: BlocksState) -> None:
        """Go on from there; raises FormatError."""
        width = self._sums.shape[1]
        self._length = state.length
        self._rows, self._sums = _stretches(state.rows, state.sums, width)
        self._open = _stretches(state.open_rows, state.open_sums, width)


class BlocksState(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Blocks, and the stretches behind the last whole one, packed (`codec.varints`). `length`: fewest rows of one."""

    length: int
    rows: bytes
    sums: bytes
    open_rows: bytes
    open_sums: bytes


def _stretches(rows: bytes, sums: bytes, width: int) -> tuple[Int64s, Int64s]:
    counted, added = unpack(rows), unzigzag(unpack(sums))
    if (counted < 1).any():
        raise FormatError("the moments of a reference are of no rows")
    if len(added) != width * len(counted):
        raise FormatError("the blocks of a reference's moments differ in number")
    return counted, added.reshape(len(counted), width)


def _blocks_of(rows: Int64s, length: int, most: int) -> tuple[Int64s, int]:
    """Return where the first `most` blocks of at least `length` rows begin, and how many stretches they take."""
    ends = np.cumsum(rows)
    made, start = list[int](), 0
    while start < len(rows) and len(made) < most:  # a block at a time: where one begins depends on the one before
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + length)) + 1
        if stop > len(rows):
            break
        made.append(start)
        start = stop
    return np.array(made, dtype=np.int64), start


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
    second = sums_of_products(scores).astype(np.int64)
    square = scores * scores
    squares = sums_of_products(np.ascontiguousarray(square[:, :series])).astype(np.int64)
    fourth = (square * square).sum(axis=0).astype(np.int64)
    return GroupMoments(moments.second + second, moments.squares + squares, moments.fourth + fourth)


# ---------------------------------------------------------------------- as bytes


class PackedMoments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Moments with their numbers packed (`codec.varints`); of symmetric matrices the upper half."""

    rows: int
    groups: tuple[bytes, ...]
    block_rows: bytes
    block_sums: bytes


def pack_moments(moments: Moments) -> PackedMoments:
    """Moments as bytes."""
    groups = tuple(pack(zigzag(np.concatenate([upper(g.second), upper(g.squares), g.fourth]))) for g in moments.groups)
    return PackedMoments(moments.rows, groups, pack(moments.block_rows), pack(zigzag(moments.block_sums.ravel())))


def unpack_moments(packed: PackedMoments, series: int) -> Moments:
    """The moments of a grid with this many series; raises FormatError."""
    parts = group_slices(series)
    if len(packed.groups) != len(parts):
        raise FormatError("the moments of a reference are of other series than its grid")
    groups = tuple(_group(raw, part.stop - part.start) for raw, part in zip(packed.groups, parts, strict=True))
    if packed.rows < 0:
        raise FormatError("the moments of a reference are of no rows")
    return Moments(packed.rows, groups, *_stretches(packed.block_rows, packed.block_sums, 2 * series))


def _group(raw: bytes, series: int) -> GroupMoments:
    scores = 2 * series
    sizes = scores * (scores + 1) // 2, series * (series + 1) // 2, scores
    numbers = unzigzag(unpack(raw))
    if len(numbers) != sum(sizes):
        raise FormatError("a group of a reference's moments has another size")
    second, squares, fourth = np.split(numbers, np.cumsum(sizes)[:-1])
    return GroupMoments(whole(second, scores), whole(squares, series), fourth)


def upper(matrix: Int64s) -> Int64s:
    """The upper half of a symmetric matrix, with its diagonal."""
    return matrix[np.triu_indices(len(matrix))]


def whole(half: Int64s, size: int) -> Int64s:
    """The symmetric matrix of its upper half."""
    matrix = np.zeros((size, size), dtype=np.int64)
    rows, columns = np.triu_indices(size)
    matrix[rows, columns] = half
    matrix[columns, rows] = half
    return matrix
