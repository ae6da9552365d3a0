"""Columns alone: the shares of a column's bins and of its cells that are not valid, against those of the reference.

Two tests a column. A two-sample chi-square on its coarse bins, missing and invalid cells among them, but without cells
of which fewer than five are expected. And for each rare kind of cell (beyond the 0.1 % quantiles of the reference on
either side, missing, invalid, a new category) the tail of a binomial distribution, which holds for a single row, too.

Counts of rows that depend on each other vary more; so chi-square is divided by the larger inflation of the column's two
scores, and an excess of rare cells by its root.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from monitor.drift.evidence import LEAST, ChiSquares, of_excess
from monitor.events import CellState, Codes, Float64s, Int64s
from monitor.panes.coarse import CoarseBins
from monitor.panes.grid import CategoryBins, Grid

FEWEST_EXPECTED = 5.0
RARE = ("low", "high", "missing", "invalid", "new")
TESTS_A_COLUMN = 1 + len(RARE) + 4
"""Its shares, its rare cells, and both sides of both scores."""
RareKind = Literal["low", "high", "missing", "invalid", "new"]


class ColumnEvidence(NamedTuple):
    """z of windows, (windows, columns): of the shares, and of each rare kind of cell (windows, columns, 5)."""

    shares: Float64s
    rare: Float64s

    @property
    def largest(self) -> Float64s:
        """The largest z of each window and column."""
        found: Float64s = np.maximum(self.shares, self.rare.max(axis=-1))
        return found


class ColumnCells:
    """The cells of all columns of a grid: which places of its count vector each of them adds up.

    `width`: cells of all columns together; of each column first its coarse bins, missing and invalid, then the five
    rare kinds, some of which are parts of those before.
    """

    def __init__(self, grid: Grid, reference: Int64s) -> None:
        self.columns = len(grid.series)
        self._layout = grid.layout
        parts = [_compared(grid, reference, j) for j in range(self.columns)]
        self._sizes = np.array([len(part) - len(RARE) for part in parts], dtype=np.int64)
        stops = np.cumsum(self._sizes + len(RARE))
        self._rare = stops[:, np.newaxis] - len(RARE) + np.arange(len(RARE))
        self.width = int(stops[-1]) if parts else 0
        self._shares = np.setdiff1d(np.arange(self.width), self._rare)
        self._share_starts = np.cumsum(self._sizes) - self._sizes
        self._column = np.repeat(np.arange(self.columns), self._sizes)
        flat = [places for part in parts for places in part]
        lengths = np.array([len(places) for places in flat], dtype=np.int64)
        self._order = np.concatenate([np.zeros(0, dtype=np.int64), *flat])
        self._filled = np.flatnonzero(lengths)
        self._starts = (np.cumsum(lengths) - lengths)[self._filled]
        self.reference = self.of(reference)
        self._rare_places = self._rare.ravel()
        self._share_reference = self.reference[self._shares].astype(np.float64)
        self._rare_reference = self.reference[self._rare_places].astype(np.float64)

    def share_places(self, column: int) -> slice:
        """The places of a column's coarse bins, missing and invalid cells, among all cells."""
        first = int(self._shares[self._share_starts[column]])
        return slice(first, first + int(self._sizes[column]))

    def rare_place(self, column: int, kind: int) -> int:
        """The place of a rare kind of cell of a column."""
        return int(self._rare[column, kind])

    def of(self, counts: Int64s) -> Int64s:
        """Cells of a flat count vector, (width,)."""
        cells = np.zeros(self.width, dtype=np.int64)
        if len(self._starts):
            cells[self._filled] = np.add.reduceat(counts.take(self._order), self._starts)
        return cells

    def of_panes(self, codes: Codes, rows: int) -> Int64s:
        """Cells of panes of `rows` rows each, (panes, width)."""
        panes = len(codes) // rows
        places = self._layout.places(codes[: panes * rows]).reshape(panes, -1)
        first = np.arange(panes)[:, np.newaxis] * (self.width + 1)
        number = panes * (self.width + 1)
        cells = sum(np.bincount((table[places] + first).ravel(), minlength=number) for table in self._cells_of)
        return np.asarray(cells).reshape(panes, -1)[:, :-1]

    @cached_property
    def _cells_of(self) -> Int64s:
        """The cells that each place of the count vector belongs to, at most two, (2, places); `width` is none."""
        tables = np.full((2, self._layout.width), self.width, dtype=np.int64)
        stops = [*self._starts[1:].tolist(), len(self._order)]
        for cell, start, stop in zip(self._filled.tolist(), self._starts.tolist(), stops, strict=True):
            places = self._order[start:stop]
            tables[(tables[0, places] < self.width).astype(np.int64), places] = cell
        return tables

    def chi_squares(self, cells: Float64s, rows: Float64s, m: int, inflation: Float64s) -> ChiSquares:
        """The two-sample chi-square of the shares of each column in windows (windows, width).

        `rows`: of each, (windows, 1); `m`: of the reference. `inflation`: (windows, columns), or (1, columns) if it is
        that of all windows.
        """
        window, reference = cells.take(self._shares, axis=1), self._share_reference
        pooled = window + reference
        takes_part = pooled * np.minimum(rows, m) / (rows + m) >= FEWEST_EXPECTED
        # of what takes part: cells that are left out move no share
        parts = np.empty((3, *window.shape))
        parts[2] = takes_part
        np.multiply(window, parts[2], out=parts[0])
        np.multiply(reference, parts[2], out=parts[1])
        part_w, part_r, number = np.add.reduceat(parts, self._share_starts, axis=2)
        spread = np.sqrt(np.maximum(part_r, 1.0) / np.maximum(part_w, 1.0)).take(self._column, axis=1)
        gap = spread * window - reference / spread
        terms = gap * gap / np.maximum(pooled, 1.0) * parts[2]
        chi = np.add.reduceat(terms, self._share_starts, axis=1) / inflation
        return ChiSquares(chi, np.where((part_w > 0) & (part_r > 0), number - 1.0, 0.0))

    def rare_evidence(self, cells: Float64s, rows: Float64s, m: int, inflation: Float64s) -> Float64s:
        """z of an excess of each rare kind of cell, (windows, columns, 5); as `chi_squares`."""
        hits = cells.take(self._rare_places, axis=1).ravel()
        at = np.flatnonzero(hits)
        window, place = np.divmod(at, len(self._rare_places))
        share = (rows / (rows + m)).ravel()
        found = of_excess(hits.take(at), self._rare_reference.take(place), share.take(window))
        found /= np.sqrt(inflation)[window if len(inflation) > 1 else 0, place // len(RARE)]
        z = np.full(len(hits), LEAST)
        z[at] = found
        return z.reshape(len(cells), self.columns, len(RARE))


def _compared(grid: Grid, reference: Int64s, j: int) -> list[Int64s]:
    """Places in the count vector of each cell of a column, but none of a column of outcomes that is unknown.

    A file does not hold how long labels take, so all cells of that column are absent there, and in no window.
    """
    is_unknown = grid.stream == "outcomes" and not reference[grid.layout.bins[j]].any()
    return [places[:0] if is_unknown else places for places in _cells(grid, reference, j)]


def _cells(grid: Grid, reference: Int64s, j: int) -> Iterator[Int64s]:
    """Places in the count vector of each cell of a column."""
    layout = grid.layout
    part, invalid = layout.bins[j], layout.invalid[j]
    bins = grid.numeric[j] if j < len(grid.numeric) else grid.categorical[j - len(grid.numeric)]
    coarse = CoarseBins(bins, reference[part])
    stops = [*coarse.starts[1:].tolist(), len(coarse.order)]
    for start, stop in zip(coarse.starts.tolist(), stops, strict=True):
        yield part.start + coarse.order[start:stop]
    missing = np.array([invalid.stop - state for state in (CellState.NULL, CellState.ABSENT)], dtype=np.int64)
    unusable = np.array([p for p in range(invalid.start, invalid.stop) if p not in missing], dtype=np.int64)
    yield missing
    yield unusable
    nothing = np.zeros(0, dtype=np.int64)
    if isinstance(bins, CategoryBins):
        yield from (nothing, nothing, missing, unusable, np.array([part.stop - 1], dtype=np.int64))
    else:
        first, last = bins.usual
        low, high = np.arange(part.start, part.start + first), np.arange(part.start + last + 1, part.stop)
        yield from (low, high, missing, unusable, nothing)
