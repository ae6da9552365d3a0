"""The sequential core of one lane: pane by pane, how far what came last has left the reference.

The rules of this file:

- Panes are put together to blocks of at least ten rows (`windows.py`). With each block the windows that it moves are
  judged in three ways: all columns together (`family.py`), each alone (`columns.py`, and each score of it), pairs of
  them (`correlation.py`).
- A window that has not moved counts as it did when it last moved, so what long windows see does not come and go.
- Each way gives a z, and is divided by its limit: a z that chance passes as often as a third of the budget allows. The
  limit of many groups, columns or pairs is higher, by Bonferroni. *Drift* is the largest of the three: 1 is the limit.
- Counts take every row; products of pairs take those of the trace.
- State is integers; the same panes give the same bits, wherever they are folded.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from monitor.codec.varints import pack, unpack, unzigzag, zigzag
from monitor.drift.change import Explanation, Pairs, Stretches, explain
from monitor.drift.columns import RARE, ColumnCells, ColumnEvidence
from monitor.drift.correlation import LEVELS as CORRELATION_LEVELS
from monitor.drift.correlation import Correlation
from monitor.drift.evidence import LEAST, beside
from monitor.drift.family import Family
from monitor.drift.moments import Moments, deviations, group_scores, group_slices
from monitor.drift.null import Null
from monitor.drift.scores import UNIT, ScoreTables
from monitor.drift.windows import Windows
from monitor.errors import FormatError
from monitor.events import Codes, Float64s, Int64s
from monitor.panes.grid import Grid
from monitor.stats.exact import significant

BLOCK_ROWS = 10
_NO_SUMS = np.zeros(0, dtype=np.int64)
_DEVIATION_OF_RANKS = 1.0233267079464885
"""√(1/12) · 2√π."""
_ROWS_A_KURTOSIS, _ROWS_A_SKEWNESS = 12.0, 200.0
"""Rows for each unit of the fourth moment of a score, and of its squared third: 22 of a continuous column."""
TESTS_A_COLUMN = 1 + len(RARE) + 4
"""Its shares, its rare cells, and both sides of both scores."""


class Limits(NamedTuple):
    """The z of each way of looking that chance passes as often as a third of the budget allows, were it one test."""

    family: float
    column: float
    correlation: float


SHIPPED = Limits(5.4, 4.5, 4.9)
"""At most one false alarm in 200,000 rows of panes of ten rows.

Tests of a column overlap, and tails of few rows are taken too large: so its limit is lower for the same chance. T² of
real columns has a longer tail than the gamma distribution that it is compared with: so its limit is higher.
"""


class Evidence(NamedTuple):
    """z over its limit, of each way of looking."""

    family: float
    column: float
    correlation: float

    @property
    def value(self) -> float:
        """What the metric `drift` is."""
        return significant(max(self))


class DriftState(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What later evidence depends on. `open`: the block that is not full yet; vectors are packed (`codec.varints`).

    `newest`: what each window gave when it last moved, by way of looking.
    """

    blocks: int
    starts: bytes
    parts: bytes
    pairs: bytes
    open_start: int | None
    open: bytes
    newest: tuple[tuple[float, ...], ...]


class Drift:
    """The core of one lane.

    `reference`: flat counts (`grid.layout`) of `rows` rows. `period`: rows of a known season, or 0.
    """

    def __init__(
        self, grid: Grid, reference: Int64s, rows: int, moments: Moments, limits: Limits = SHIPPED, period: int = 0
    ) -> None:
        self._grid, self._rows = grid, rows
        self._tables = ScoreTables(grid, reference)
        self._cells = ColumnCells(grid, reference)
        self._null = Null(moments, period)
        self._mean = self._tables.sums(reference) / max(rows, 1)
        series = len(grid.series)
        parts = group_slices(series)
        self._series = series
        self._moment_rows = moments.rows
        self._deviation = deviations(moments)
        square, cube, fourth = (self._tables.sums(reference, power) / max(rows, 1) for power in (2, 3, 4))
        self._fewest = _rows_of_normal_sums(square, cube, fourth)
        self._families = [
            Family(moments, group, group_scores(part, series), self._mean, self._null)
            for group, part in zip(moments.groups, parts, strict=True)
        ]
        self._pairs = [
            Correlation(group, moments.rows, part, self._null)
            for group, part in zip(moments.groups, parts, strict=True)
        ]
        pairs = sum(map(len, self._pairs))
        self._limits = Limits(
            beside(limits.family, len(self._families)),
            beside(limits.column, series * TESTS_A_COLUMN),
            beside(limits.correlation, 2 * pairs),
        )
        self._score_part = slice(1, 1 + self._tables.width)
        self._cell_part = slice(self._score_part.stop, self._score_part.stop + self._cells.width)
        self._windows = Windows(self._cell_part.stop)
        self._pair_windows = Windows(1 + pairs, CORRELATION_LEVELS)
        self._open_start: int | None = None
        self._open = np.zeros(self._cell_part.stop + 1 + pairs, dtype=np.int64)
        number = self._windows.number
        self._newest = [np.full(size, LEAST) for size in (number, number, self._pair_windows.number)]
        """What each window gave when it last moved, by way of looking."""

    @property
    def is_verified(self) -> bool:
        """True if the reference is long enough to show how its rows depend on each other."""
        return self._null.is_verified

    def add(self, start: int, events: int, counts: Int64s, codes: Codes) -> Evidence | None:
        """Take a pane that begins at `start` (ms), with its flat counts and trace (m, series).

        Gives None if no block ends with it.
        """
        if events == 0:
            return None
        if self._open_start is None:
            self._open_start = start
        split = self._cell_part.stop
        self._open[0] += events
        self._open[self._score_part] += self._tables.sums(counts)
        self._open[self._cell_part] += self._cells.of(counts)
        if len(codes):
            ranks = self._tables.ranks(codes)
            self._open[split] += len(codes)
            self._open[split + 1 :] += np.concatenate([_NO_SUMS, *(pairs.sums(ranks) for pairs in self._pairs)])
        if self._open[0] < BLOCK_ROWS:
            return None
        self._windows.add(self._open_start, self._open[:split])
        self._pair_windows.add(self._open_start, self._open[split:])
        self._open_start = None
        self._open = np.zeros_like(self._open)
        return self._evidence()

    def _evidence(self) -> Evidence:
        """Judge the windows that have moved, which are the shortest, and give the largest of all."""
        moved, pairs = self._windows.moved(), self._pair_windows.moved()
        n = moved[:, 0]
        scores = np.abs(self._score_z(self._means(moved, n), n))
        found = (
            np.stack([np.full(len(n), LEAST), *self._of_families(moved, n)], axis=1),
            np.concatenate([self._of_columns(moved, n).largest, scores], axis=1),
            np.concatenate([np.full((len(pairs), 1), LEAST), *self._of_pairs(pairs)], axis=1),
        )
        for newest, z, limit in zip(self._newest, found, self._limits, strict=True):
            newest[: len(z)] = z.max(axis=1, initial=LEAST) / limit
        return Evidence(*(float(newest.max()) for newest in self._newest))

    def _of_families(self, moved: Int64s, n: Int64s) -> list[Float64s]:
        sums = moved[:, self._score_part]
        return [family.evidence(sums, n, self._rows) for family in self._families]

    def _of_columns(self, moved: Int64s, n: Int64s) -> ColumnEvidence:
        factors = self._null.of_windows(n, self._rows)
        larger = np.maximum(factors[:, : self._series], factors[:, self._series :])
        return self._cells.evidence(moved[:, self._cell_part], n, self._rows, larger)

    def _of_pairs(self, moved: Int64s) -> list[Float64s]:
        stops = np.cumsum([1, *map(len, self._pairs)])
        return [
            pairs.evidence(moved[:, start:stop], moved[:, 0], self._moment_rows)
            for pairs, start, stop in zip(self._pairs, stops[:-1].tolist(), stops[1:].tolist(), strict=True)
        ]

    # ------------------------------------------------------------------ what people ask

    def explain(self) -> Explanation | None:
        """When and how the newest rows have left the reference; None before the first block."""
        if self._windows.blocks == 0:
            return None
        suffixes = self._windows.suffixes()
        sums = np.stack([suffix.sums for suffix in suffixes])
        n = sums[:, 0]
        families = [z / self._limits.family for z in self._of_families(sums, n)]
        means = self._means(sums, n)
        now = Stretches(
            suffixes=suffixes,
            rows=n,
            family=np.max([np.zeros(len(n)), *families], axis=0),
            columns=self._of_columns(sums, n),
            column_limit=self._limits.column,
            scores=self._score_z(means, n),
            score_means=means / UNIT,
            cells=sums[:, self._cell_part],
            pairs=self._stretches_of_pairs(),
            pair_limit=self._limits.correlation,
        )
        return explain(self._grid, self._cells, self._rows, now)

    def _stretches_of_pairs(self) -> Pairs:
        suffixes = self._pair_windows.suffixes()
        sums = np.stack([suffix.sums for suffix in suffixes])
        rows = np.maximum(sums[:, :1], 1).astype(np.float64)
        before = np.concatenate([np.zeros(0), *(pairs.mean for pairs in self._pairs)])
        first, second = (
            np.concatenate([np.zeros(0, dtype=np.int64), *(getattr(pairs, name) for pairs in self._pairs)])
            for name in ("first", "second")
        )
        z = np.concatenate([np.zeros((len(suffixes), 0)), *self._of_pairs(sums)], axis=1)
        scale = self._deviation[first] * self._deviation[second]
        return Pairs(suffixes, z, first, second, sums[:, 1:] / rows / scale, before / scale)

    def _means(self, sums: Int64s, n: Int64s) -> Float64s:
        """Mean scores of windows less those of the reference, (windows, width)."""
        return np.asarray(sums[:, self._score_part] / n[:, np.newaxis] - self._mean, dtype=np.float64)

    def _score_z(self, means: Float64s, n: Int64s) -> Float64s:
        """z of each score of windows alone, (windows, width); 0 if it can't vary, or of too few rows."""
        rows = n[:, np.newaxis].astype(np.float64)
        inflation = self._null.of_windows(n, self._rows)
        spread = self._deviation * np.sqrt((1.0 / rows + 1.0 / self._rows) * inflation)
        return np.where(rows >= self._fewest * inflation, means / np.maximum(spread, 1e-300), 0.0)

    def smallest_shift(self, rows: int) -> Float64s:
        """The shift of each numeric series, in deviations, that a number of rows reveals in half of the cases.

        In a normal column a shift of δ deviations moves the mean rank by δ / 2√π, whose own deviation is √(1/12) a row.
        NaN without score.
        """
        smallest = np.full(len(self._grid.numeric), np.nan)
        for part, family in zip(group_slices(self._series), self._families, strict=True):
            if len(family):
                needed = family.needed(self._limits.family, rows, self._rows)
                smallest[part.start : min(part.stop, len(smallest))] = needed
        factor = self._null.factors(rows, self._rows)[: len(smallest)]
        share = np.sqrt((1.0 / rows + 1.0 / self._rows) * factor)
        found: Float64s = np.where(self._deviation[: len(smallest)] > 0, smallest * share * _DEVIATION_OF_RANKS, np.nan)
        return found

    # ------------------------------------------------------------------ state

    def state(self) -> DriftState:
        """What later evidence depends on, beside grid and reference."""
        blocks, starts, parts = self._windows.state()
        pairs = self._pair_windows.state()[2]
        return DriftState(
            blocks,
            _packed(starts),
            _packed(parts),
            _packed(pairs),
            self._open_start,
            _packed(self._open),
            tuple(tuple(newest.tolist()) for newest in self._newest),
        )

    def restore(self, state: DriftState) -> None:
        """Go on from there; raises FormatError."""
        _, starts, parts = self._windows.state()
        pairs = self._pair_windows.state()[2]
        starts = _unpacked(state.starts, starts.shape)
        self._windows.restore(state.blocks, starts, _unpacked(state.parts, parts.shape))
        self._pair_windows.restore(state.blocks, starts[:CORRELATION_LEVELS], _unpacked(state.pairs, pairs.shape))
        self._open_start, self._open = state.open_start, _unpacked(state.open, self._open.shape)
        if [len(newest) for newest in state.newest] != [len(newest) for newest in self._newest]:
            raise FormatError("not a snapshot: the sequential core has other windows")
        self._newest = [np.array(newest) for newest in state.newest]


def _rows_of_normal_sums(square: Float64s, cube: Float64s, fourth: Float64s) -> Float64s:
    """From how many rows on a sum of scores with these moments is nearly normal, up to z = 6; ∞ if they can't vary."""
    least = np.maximum(square, 1e-300)
    kurtosis, skewness = fourth / least / least, cube / least / np.sqrt(least)
    return np.where(square > 0, _ROWS_A_KURTOSIS * kurtosis + _ROWS_A_SKEWNESS * skewness * skewness, np.inf)


def _packed(values: Int64s) -> bytes:
    return pack(zigzag(values.ravel()))


def _unpacked(raw: bytes, shape: tuple[int, ...]) -> Int64s:
    values = unzigzag(unpack(raw))
    if len(values) != int(np.prod(shape)):
        raise FormatError("not a snapshot: the sequential core is of another grid")
    return values.reshape(shape)
