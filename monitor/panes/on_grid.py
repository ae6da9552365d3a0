"""The rows of one pane on its grid: counts and sums of all, and the codes of those whose level is high enough.

Rows are encoded as they come, those of many panes at once: in a sparse stream a batch has rows of as many panes as it
has rows, and numpy's calls would cost more than what they do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from monitor.events import Bools, CellState, Codes, Int32s, Int64s, Rows, States, TopicPartition
from monitor.panes import heavy
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid, count_encoded, encode


class EncodedRows(NamedTuple):
    """Rows with their codes (n, series), their values as fixed-point integers (n, numeric series), and levels (n,)."""

    rows: Rows
    codes: Codes
    units: Int64s
    levels: States

    def take(self, mask: Bools) -> EncodedRows:
        """The rows where the mask (n,) is true."""
        if mask.all():
            return self
        which = np.flatnonzero(mask)
        return EncodedRows(rows_of.take(self.rows, which), self.codes[which], self.units[which], self.levels[which])


def encoded(grid: Grid, rows: Rows, tp: TopicPartition) -> EncodedRows:
    """Rows of a topic partition on a grid."""
    return EncodedRows(rows, *encode(grid, rows), rows_of.levels(rows_of.partition_seed(tp), rows.offset, rows.part))


class _Kept(NamedTuple):
    """What stays of rows: codes and levels, and what puts them in canonical order."""

    codes: Codes
    levels: States
    time: Int64s
    offset: Int64s
    part: Int32s

    def take(self, which: Bools | Int64s) -> _Kept:
        return _Kept(self.codes[which], self.levels[which], self.time[which], self.offset[which], self.part[which])


class OnGrid:
    """The rows of one pane. `trace_points`: most rows that keep their codes."""

    def __init__(self, grid: Grid, trace_points: int) -> None:
        self._grid = grid
        self._trace_points = trace_points
        self._counts: Int64s | None = None
        self._added = 0
        self._kept: list[_Kept] = []
        self._rows_kept = 0
        self.level = 0
        """The lowest level of a row that keeps its codes."""
        self.unknown: list[dict[str, int]] = [{} for _ in grid.categorical]
        """For each series of categories the heavy hitters among those that the grid does not know."""

    def add(self, encoded: EncodedRows) -> None:
        """Take rows of the pane, in offset order behind those before."""
        rows = encoded.rows
        counts = count_encoded(self._grid, encoded.codes, encoded.units)
        self._counts = counts if self._counts is None else self._counts + counts
        self._added += 1
        self._count_unknown(rows, encoded.codes)
        self._keep([_Kept(encoded.codes, encoded.levels, rows.time, rows.offset, rows.part)], self.level)
        while self._rows_kept > self._trace_points:
            self.level += 1
            parts, self._kept, self._rows_kept = self._kept, [], 0
            self._keep(parts, self.level)

    def _keep(self, parts: Iterable[_Kept], level: int) -> None:
        for part in parts:
            self._kept.append(part.take(part.levels >= level) if level else part)
            self._rows_kept += len(self._kept[-1].levels)

    def counts(self, late: int) -> Int64s:
        """The flat count vector of all rows, with that many late ones."""
        layout = self._grid.layout
        counts = np.zeros(layout.width, dtype=np.int64) if self._counts is None else self._counts.copy()
        counts[layout.late] = late
        if self._added > 1:  # the sums of one part are as they should be
            layout.normalise(counts)
        return counts

    def trace(self) -> tuple[Codes, States]:
        """Codes and levels of the rows that keep them, in canonical order."""
        if not self._kept:
            return np.empty((0, len(self._grid.series)), dtype=np.uint16), np.empty(0, dtype=np.uint8)
        kept = self._kept[0]
        if len(self._kept) > 1:
            kept = _Kept(*map(np.concatenate, zip(*self._kept, strict=True)))
            self._kept = [kept]
        order = rows_of.canonical_order(kept.time, kept.offset, kept.part)
        return kept.codes[order], kept.levels[order]

    def _count_unknown(self, rows: Rows, codes: Codes) -> None:
        width = len(self._grid.numeric)
        for j, category in enumerate(self._grid.categorical):
            new = np.flatnonzero(codes[:, width + j] == len(category.values))
            if len(new):
                values = rows.categorical[j]
                valid = rows.categorical_states[new, j] == CellState.VALID
                heavy.feed(self.unknown[j], (values[i] for i in new[valid].tolist()))
