"""The sequential core of one lane: pane by pane, how far what came last has left the reference.

The rules of this file:

- Panes are put together to blocks of at least ten rows (`windows.py`). With each block the windows that it moves are
  judged in three ways: all columns together (`family.py`), each alone (`columns.py`, and each score of it), pairs of
  them (`correlation.py`).
- A window that has not moved counts as it did when it last moved, so what long windows see does not come and go.
- Each way gives a z, and is divided by its limit: a z that chance passes as often as a third of the budget allows. The
  limit of many groups, columns or pairs is higher, by Bonferroni. *Drift* is the largest of the three: 1 is the limit.
- Counts take every row; products of pairs take those of the trace.
- State is whole numbers below 2⁵³, as floats; the same panes give the same bits, wherever they are folded.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec
import numpy as np

from monitor.codec.varints import pack, unpack, unzigzag, zigzag
from monitor.drift.change import Explanation, Pairs, Stretches, explain
from monitor.drift.columns import TESTS_A_COLUMN, ColumnCells, ColumnEvidence
from monitor.drift.correlation import LEVELS as CORRELATION_LEVELS
from monitor.drift.correlation import Correlation
from monitor.drift.evidence import LEAST, beside, of_chi_square, without
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


class _Looked(NamedTuple):
    """z of windows: of families (windows, groups), columns, and scores (windows, width).

    `means`: of scores, less those of the reference.
    """

    families: Float64s
    columns: ColumnEvidence
    means: Float64s
    scores: Float64s


class Drift:
    """The core of one lane.

    `reference`: flat counts (`grid.layout`) of `rows` rows. `period`: rows of a known season, or 0. `ranked`: see
    `ScoreTables`.
    """

    def __init__(
        self,
        grid: Grid,
        reference: Int64s,
        rows: int,
        moments: Moments,
        limits: Limits = SHIPPED,
        period: int = 0,
        ranked: Int64s | None = None,
    ) -> None:
        self._grid, self._rows = grid, rows
        self._tables = ScoreTables(grid, reference, ranked)
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
        stops = [*accumulate(map(len, self._pairs), initial=1)]
        self._pair_parts = [slice(start, stop) for start, stop in pairwise(stops)]
        pairs = stops[-1] - 1
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
        self._open = np.zeros(self._cell_part.stop + 1 + pairs)
        self._newest = np.full((len(Limits._fields), self._windows.number), LEAST)
        """What each window gave when it last moved, by way of looking; those of pairs are fewer."""

    @property
    def _numbers(self) -> tuple[int, int, int]:
        """How many windows there are, by way of looking."""
        return self._windows.number, self._windows.number, self._pair_windows.number

    @property
    def pieces(self) -> tuple[int, int]:
        """How many independent pieces the reference holds, and rows of each."""
        return self._null.pieces, self._null.piece_rows

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
            sums = (pairs.sums(self._tables.ranks(codes, pairs.part)) for pairs in self._pairs)
            self._open[split] += len(codes)
            self._open[split + 1 :] += np.concatenate([_NO_SUMS, *sums])
        if self._open[0] < BLOCK_ROWS:
            return None
        self._windows.add(self._open_start, self._open[:split])
        self._pair_windows.add(self._open_start, self._open[split:])
        self._open_start = None
        self._open[:] = 0.0
        return self._evidence()

    def _evidence(self) -> Evidence:
        """Judge the windows that have moved, which are the shortest, and give the largest of all."""
        found = *self.of_windows(self._windows.moved()), self.of_pair_windows(self._pair_windows.moved())
        for newest, z in zip(self._newest, found, strict=True):
            newest[: len(z)] = z
        return Evidence(*np.maximum.reduce(self._newest, axis=1).tolist())

    def of_windows(self, sums: Float64s) -> tuple[Float64s, Float64s]:
        """The largest z over its limit, of families and of columns, in each window of these sums (windows, width)."""
        looked = self._look_at(sums)
        shares, rare = looked.columns
        columns = np.concatenate([shares, rare.reshape(len(rare), -1), np.abs(looked.scores)], axis=1)
        families = np.maximum.reduce(looked.families, axis=1, initial=LEAST) / self._limits.family
        return families, np.maximum.reduce(columns, axis=1, initial=LEAST) / self._limits.column

    def of_pair_windows(self, sums: Float64s) -> Float64s:
        """The same of pairs of columns."""
        largest: Float64s = np.maximum.reduce(self._of_pairs(sums), axis=1, initial=LEAST)
        return largest / self._limits.correlation

    def panes_of(self, codes: Codes, rows: int, trace: int) -> tuple[Int64s, Int64s]:
        """The sums of panes of `rows` rows each, of which the first `trace` are in the trace: of rows, and of pairs."""
        panes = len(codes) // rows
        scores = self._tables.of_codes(codes[: panes * rows]).reshape(panes, rows, -1)
        n = np.full((panes, 1), rows)
        of_rows = [n, scores.sum(axis=1).astype(np.int64), self._cells.of_panes(codes, rows)]
        ranks = scores[:, :trace, : self._series]
        of_pairs = [np.full((panes, 1), trace)]
        of_pairs += [pairs.sums_of_panes(ranks).astype(np.int64) for pairs in self._pairs]
        return np.concatenate(of_rows, axis=1), np.concatenate(of_pairs, axis=1)

    def limits_at(self, evidence: Evidence) -> Limits:
        """The limits by which these values would be 1."""
        tests = len(self._families), self._series * TESTS_A_COLUMN, 2 * sum(map(len, self._pairs))
        return Limits(
            *(without(value * limit, n) for value, limit, n in zip(evidence, self._limits, tests, strict=True))
        )

    def _look_at(self, sums: Float64s) -> _Looked:
        """Look at windows (windows, width) in all ways but pairs."""
        n, rows, m, of_scores = sums[:, 0], sums[:, :1], self._rows, sums[:, self._score_part]
        cells, inflation = sums[:, self._cell_part], self._null.of_windows(n, m)
        of_columns = np.maximum(inflation[:, : self._series], inflation[:, self._series :])
        # all chi-squares become z at once
        chi = [self._cells.chi_squares(cells, rows, m, of_columns)]
        chi += [family.chi_squares(of_scores, rows, m) for family in self._families]
        values, degrees = (np.concatenate(parts, axis=1) for parts in zip(*chi, strict=True))
        z = of_chi_square(values, degrees)
        means = of_scores / rows - self._mean
        return _Looked(
            families=z[:, self._series :],
            columns=ColumnEvidence(z[:, : self._series], self._cells.rare_evidence(cells, rows, m, of_columns)),
            means=means,
            scores=self._score_z(means, rows, inflation),
        )

    def _of_pairs(self, sums: Float64s) -> Float64s:
        """|z| of windows, (windows, pairs)."""
        parts = [
            pairs.evidence(sums[:, part], sums[:, 0], self._moment_rows)
            for pairs, part in zip(self._pairs, self._pair_parts, strict=True)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate([sums[:, :0], *parts], axis=1)

    # ------------------------------------------------------------------ what people ask

    def explain(self) -> Explanation | None:
        """When and how the newest rows have left the reference; None before the first block."""
        if self._windows.blocks == 0:
            return None
        suffixes = self._windows.suffixes()
        sums = np.stack([suffix.sums for suffix in suffixes])
        looked = self._look_at(sums)
        now = Stretches(
            suffixes=suffixes,
            rows=sums[:, 0],
            family=(looked.families / self._limits.family).max(axis=1, initial=0.0),
            columns=looked.columns,
            column_limit=self._limits.column,
            scores=looked.scores,
            score_means=looked.means / UNIT,
            cells=sums[:, self._cell_part],
            pairs=self._stretches_of_pairs(),
            pair_limit=self._limits.correlation,
        )
        return explain(self._grid, self._cells, self._rows, now)

    def _stretches_of_pairs(self) -> Pairs:
        suffixes = self._pair_windows.suffixes()
        sums = np.stack([suffix.sums for suffix in suffixes])
        rows = np.maximum(sums[:, :1], 1.0)
        before = np.concatenate([np.zeros(0), *(pairs.mean for pairs in self._pairs)])
        first, second = (
            np.concatenate([np.zeros(0, dtype=np.int64), *(getattr(pairs, name) for pairs in self._pairs)])
            for name in ("first", "second")
        )
        scale = self._deviation[first] * self._deviation[second]
        return Pairs(suffixes, self._of_pairs(sums), first, second, sums[:, 1:] / rows / scale, before / scale)

    def _score_z(self, means: Float64s, rows: Float64s, inflation: Float64s) -> Float64s:
        """z of each score of windows alone, (windows, width); 0 if it can't vary, or of too few rows.

        `rows`: (windows, 1). `inflation`: (windows, width), or (1, width) if it is that of all windows.
        """
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
            _packed(self._open.astype(np.int64)),
            tuple(tuple(newest[:number].tolist()) for newest, number in zip(self._newest, self._numbers, strict=True)),
        )

    def restore(self, state: DriftState) -> None:
        """Go on from there; raises FormatError."""
        _, starts, parts = self._windows.state()
        pairs = self._pair_windows.state()[2]
        starts = _unpacked(state.starts, starts.shape)
        self._windows.restore(state.blocks, starts, _unpacked(state.parts, parts.shape))
        self._pair_windows.restore(state.blocks, starts[:CORRELATION_LEVELS], _unpacked(state.pairs, pairs.shape))
        self._open_start = state.open_start
        self._open[:] = _unpacked(state.open, self._open.shape)
        if tuple(map(len, state.newest)) != self._numbers:
            raise FormatError("not a snapshot: the sequential core has other windows")
        for newest, found in zip(self._newest, state.newest, strict=True):
            newest[: len(found)] = found


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
