"""Grid and reference from rows that may be too many to hold: read three times, kept once.

The first reading keeps a sample, the rows whose level is high enough (as in a thinned trace): the grid is made from it,
the slices of time, and second moments. The second reading counts every row on that grid; the third sums the scores of
rows that follow each other in time, because a score is known once all rows are counted. If the sample holds all
rows one reading does. So memory is bounded, whatever the range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from monitor.codec.counts import pack_counts
from monitor.contract import StreamContract
from monitor.drift.moments import BLOCK_ROWS, MOST_NUMBERS, Moments, moments_of
from monitor.drift.scores import Scores, ScoreTables
from monitor.evaluate.gaps import LongestGap
from monitor.evaluate.reference import MOST_SLICES, ROWS_PER_SLICE, Reference, ReferenceSlice, build_reference
from monitor.events import Int64s, Rows, TopicPartition
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid, encode_rows, leave_one_out, left_out_codes, make_grid

MOST_ROWS = 1 << 17
"""Rows of the sample at most."""
CODED_AT_ONCE = 1 << 12
"""Rows of the sample that are put on the grid at once."""

Parts = Callable[[], Iterable[tuple[TopicPartition, Rows]]]
"""Reads the rows, batch by batch: the same ones at each call, but for those that come at the end meanwhile."""


def grid_and_reference(
    parts: Parts, stream: StreamContract, origin: str, most: int = MOST_ROWS
) -> tuple[Grid, Reference] | None:
    """Grid and reference of all rows; None if there are none. `most`: rows that are held."""
    sample = _Sample(most)
    for tp, rows in parts():
        sample.add(tp, rows)
    held = sample.rows()
    if held is None:
        return None
    grid = make_grid(held, stream)
    if sample.seen == len(held):
        return grid, build_reference(grid, held, origin)
    return grid, _counted(parts, grid, held, sample.seen, origin)


class _Sample:
    """The rows of level >= `level`, the smallest that lets at most `most` of them stay."""

    def __init__(self, most: int) -> None:
        self.seen = 0
        self._most = most
        self._level = 0
        self._held: list[tuple[Rows, np.ndarray]] = []

    def add(self, tp: TopicPartition, rows: Rows) -> None:
        self.seen += len(rows)
        self._held.append((rows, rows_of.levels(rows_of.partition_seed(tp), rows.offset, rows.part)))
        if self._level:
            self._held[-1] = _thinned(self._held[-1], self._level)
        while sum(len(levels) for _, levels in self._held) > self._most:
            self._level += 1
            self._held = [_thinned(part, self._level) for part in self._held]

    def rows(self) -> Rows | None:
        """What is kept, by time; ties in the order in which they were read."""
        parts = [rows for rows, _ in self._held if len(rows)]
        if not parts:
            return None
        rows = rows_of.concat(parts)
        return rows_of.take(rows, np.argsort(rows.time, kind="stable"))


def _thinned(part: tuple[Rows, np.ndarray], level: int) -> tuple[Rows, np.ndarray]:
    rows, levels = part
    keep = levels >= level
    return rows_of.take(rows, keep), levels[keep]


def _counted(parts: Parts, grid: Grid, sampled: Rows, seen: int, origin: str) -> Reference:
    """All rows on the grid, in slices of time. `sampled`: the grid's, by time: their times say where to cut."""
    pieces = max(1, min(MOST_SLICES, seen // ROWS_PER_SLICE))
    cuts = np.unique([piece[0] for piece in np.array_split(sampled.time, pieces)[1:]])
    counts = np.zeros((len(cuts) + 1, grid.layout.width), dtype=np.int64)
    events = np.zeros(len(cuts) + 1, dtype=np.int64)
    times, gap = [(1 << 62, -(1 << 62))] * (len(cuts) + 1), LongestGap()
    for _, rows in parts():
        gap.add(rows.time)
        place = np.searchsorted(cuts, rows.time, side="right")
        for piece in np.unique(place).tolist():  # rows of a batch lie in one slice or two
            mine = rows_of.take(rows, place == piece)
            counts[piece] += encode_rows(grid, mine)[1]
            events[piece] += len(mine)
            low, high = times[piece]
            times[piece] = (min(low, int(mine.time.min())), max(high, int(mine.time.max())))
    own = np.split(np.arange(len(sampled)), np.searchsorted(sampled.time, cuts))
    for piece, rows_of_grid in zip(counts, own, strict=True):
        grid.layout.normalise(piece)
        leave_one_out(grid, piece, encode_rows(grid, rows_of.take(sampled, rows_of_grid))[1])
    slices = tuple(
        ReferenceSlice(n, *times[piece], pack_counts(counts[piece])) for piece, n in enumerate(events.tolist()) if n > 0
    )
    reference = Reference(grid.model, grid.stream, grid.digest, grid.layout.width, origin, slices, gap.ms())
    return replace(reference, moments=_moments(parts, grid, sampled, ScoreTables(grid, reference.total)))


def _moments(parts: Parts, grid: Grid, sampled: Rows, tables: ScoreTables) -> Moments:
    """Second moments of the sample, and sums over all rows, in blocks of time that each hold ten rows of the sample."""
    starts = range(0, len(sampled), CODED_AT_ONCE)
    parts_of_sample = (np.arange(at, min(at + CODED_AT_ONCE, len(sampled))) for at in starts)
    of_sample = (left_out_codes(grid, encode_rows(grid, rows_of.take(sampled, part))[0]) for part in parts_of_sample)
    moments = moments_of(tables, of_sample)
    blocks = BlocksOfTime(sampled.time, tables.width)
    for _, batch in parts():
        blocks.add(batch.time, tables.of_codes(encode_rows(grid, batch)[0]))
    return blocks.in_place_of_those(moments)


class BlocksOfTime:
    """Sums of scores of rows that come in any order, in blocks of time that each hold ten rows of a sample.

    `times`: of the sample, ms, ascending.
    """

    def __init__(self, times: Int64s, width: int) -> None:
        most = min(len(times) // BLOCK_ROWS, MOST_NUMBERS // max(width, 1))
        firsts = [block[0] for block in np.array_split(times, max(1, most))[1:]]
        self._cuts = np.unique(np.array(firsts, dtype=np.int64))
        self._rows = np.zeros(len(self._cuts) + 1, dtype=np.int64)
        self._sums = np.zeros((len(self._cuts) + 1, width), dtype=np.int64)

    def add(self, time: Int64s, scores: Scores) -> None:
        """Add rows: their times (n,), ms, and scores (n, width)."""
        place = np.searchsorted(self._cuts, time, side="right")
        np.add.at(self._rows, place, 1)
        np.add.at(self._sums, place, scores)

    def in_place_of_those(self, moments: Moments) -> Moments:
        """The moments with these blocks."""
        held = self._rows > 0
        return replace(moments, block_rows=self._rows[held], block_sums=self._sums[held])
