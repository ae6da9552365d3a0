"""Lanes of generated rows for the sequential core."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.contract import ColumnSpec, StreamContract
from monitor.drift.core import Drift, Evidence
from monitor.drift.moments import moments_of
from monitor.drift.scores import ScoreTables
from monitor.events import CellState, Codes, Float64s, Rows
from monitor.panes.grid import encode_rows, leave_one_out, left_out_codes, make_grid


def rows_of(numeric: Float64s, categories: list[list[str]]) -> Rows:
    """Rows of columns x0, x1 ... and c0, c1 ...; NaN is a null."""
    n = len(numeric)
    states = np.where(np.isnan(numeric), int(CellState.NULL), int(CellState.VALID)).astype(np.uint8)
    none = np.zeros((n, len(categories)), dtype=np.uint8)
    place = np.arange(n), np.zeros(n, dtype=np.int32), np.arange(n) * 1000
    return Rows("m", "features", "c", *place, numeric, states, tuple(categories), none)


class Lane:
    """A core with its reference."""

    def __init__(self, reference: Rows) -> None:
        columns = [ColumnSpec(f"x{j}", f"x{j}", "numerical") for j in range(reference.numeric.shape[1])]
        columns += [ColumnSpec(f"c{j}", f"c{j}", "categorical") for j in range(len(reference.categorical))]
        self.grid = make_grid(reference, StreamContract("features", "t", "event_time", tuple(columns)))
        codes, self.counts = encode_rows(self.grid, reference)
        self.codes = left_out_codes(self.grid, codes)
        leave_one_out(self.grid, self.counts, self.counts)
        self.rows = len(reference)
        self.moments = moments_of(ScoreTables(self.grid, self.counts), [self.codes])

    def core(self) -> Drift:
        """A core that has seen nothing."""
        return Drift(self.grid, self.counts, self.rows, self.moments)

    def encode(self, rows: Rows) -> Codes:
        return encode_rows(self.grid, rows)[0]


def feed(core: Drift, lane: Lane, codes: Codes, pane: int = 10, first: int = 0) -> Iterator[Evidence | None]:
    """Evidence of panes of so many rows, 1 s a row; `first`: number of the first pane."""
    for i in range(len(codes) // pane):
        part = codes[i * pane : (i + 1) * pane]
        yield core.add((first + i) * pane * 1000, len(part), lane.grid.layout.count(part), part)


def normal(seed: int, rows: int, columns: int = 5) -> Float64s:
    return np.random.default_rng(seed).normal(size=(rows, columns))
