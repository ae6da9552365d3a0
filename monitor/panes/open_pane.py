"""Rows of one pane that is still open, and sealing it.

With a grid a row is kept as two-byte codes, thinned by level so that at most `trace_points` of a pane stay, while
its counts and sums take every row. Without a grid the rows are kept as they came. Whatever the batches, the sealed
pane is the same: counts are integers, the level depends on the rows alone, and the trace is put in canonical order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from monitor.events import Int64s, OffsetRange, Rows, TopicPartition
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid
from monitor.panes.keyed import KeyedRows
from monitor.panes.on_grid import EncodedRows, OnGrid, encoded
from monitor.panes.open_keyed import OpenKeyed
from monitor.panes.pane import Pane, RawPane


@dataclass(slots=True)
class OpenPane:
    """One open pane of one model in one topic partition, and its row's first and last offset."""

    empty: Rows
    """No rows of this model and stream: names them, and tells the width of its columns."""
    tp: TopicPartition
    index: int
    pane_ms: int
    trace_points: int
    segment: str = ""
    events: int = 0
    late: int = 0
    last_time: int | None = None
    first_offset: int | None = None
    last_offset: int = -1
    offset_sum: int = 0
    raw: list[Rows] = field(default_factory=list)
    is_cut: bool = False
    """True if raw rows were forgotten: then the pane can't be summarised, and its log has to be folded again."""
    keyed: OpenKeyed | None = None
    """What the join needs of its rows, if the stream has keys."""
    _on_grid: OnGrid | None = None

    def add(self, rows: Rows, grid: Grid | None) -> None:
        """Take rows of this pane, in offset order after those before."""
        if grid is not None:
            self.add_encoded(encoded(grid, rows, self.tp), grid)
            return
        self.count(rows)
        self.raw.append(rows)

    def add_encoded(self, rows: EncodedRows, grid: Grid) -> None:
        """Take rows of this pane that are on its grid already."""
        self.count(rows.rows)
        self._put_on(grid).add(rows)

    def count(self, rows: Rows) -> None:
        """Take of the rows only their number, times and offsets, and what the join needs."""
        self.events += len(rows)
        self.last_time = max(int(rows.time.max()), self.last_time if self.last_time is not None else -(1 << 62))
        self._touch(rows.offset)
        if self.keyed is not None:
            self.keyed.add(rows)

    def keep_first(self, n: int) -> int:
        """Forget raw rows but the first `n` in canonical order; returns how many are kept."""
        held = sum(map(len, self.raw))
        if held <= n:
            return held
        rows = rows_of.concat(self.raw)
        self.raw = [rows_of.take(rows, np.sort(rows_of.canonical_order(rows.time, rows.offset, rows.part)[:n]))]
        self.is_cut = True
        return n

    def add_late(self, offset: Int64s) -> None:
        """Count rows that came late for a pane sealed before."""
        self.late += len(offset)
        self._touch(offset)

    def _touch(self, offset: Int64s) -> None:
        first = int(offset[0])
        self.first_offset = first if self.first_offset is None else min(first, self.first_offset)
        self.last_offset = max(self.last_offset, int(offset[-1]))
        self.offset_sum += int(offset.sum())

    def _put_on(self, grid: Grid) -> OnGrid:
        if self._on_grid is None:
            self._on_grid = OnGrid(grid, self.trace_points)
            if self.raw:
                self._on_grid.add(encoded(grid, rows_of.concat(self.raw), self.tp))
                self.raw = []
        return self._on_grid

    def seal_keyed(self) -> Iterator[KeyedRows]:
        """Yield the keyed rows, which travel ahead of the pane."""
        if self.keyed is not None:
            yield from self.keyed.seal(self.empty, self.tp, self.index, self.pane_ms)

    def seal(self, grid: Grid) -> Pane:
        """The pane on its grid."""
        kept = self._put_on(grid)
        codes, levels = kept.trace()
        return Pane(
            self.empty.model,
            self.segment,
            grid.stream,
            self.empty.contract,
            self.tp,
            self.index,
            self.pane_ms,
            grid.digest,
            self.events,
            self.last_time,
            OffsetRange(*self.tp, self.first_offset or 0, self.last_offset + 1),
            kept.counts(self.late),
            kept.level,
            codes,
            levels,
            tuple(kept.unknown),
        )

    def seal_counted(self) -> Pane:
        """How many rows it had, until when, and their offsets: of labels, and of a contract that was left.

        It is the same whether a grid was there or not.
        """
        none = np.empty((0, 0), dtype=np.uint16)
        offsets = OffsetRange(*self.tp, self.first_offset or 0, self.last_offset + 1)
        counts, levels = np.zeros(0, dtype=np.int64), np.empty(0, dtype=np.uint8)
        return Pane(
            self.empty.model,
            self.segment,
            self.empty.stream,
            self.empty.contract,
            self.tp,
            self.index,
            self.pane_ms,
            "",
            self.events,
            self.last_time,
            offsets,
            counts,
            0,
            none,
            levels,
            (),
        )

    def seal_raw(self, first_rows: int | None = None) -> RawPane:
        """The pane's rows as they came; with `first_rows` a sample of that many, first in canonical order."""
        rows = rows_of.concat([self.empty, *self.raw])
        if first_rows is not None:
            rows = rows_of.take(rows, np.sort(rows_of.canonical_order(rows.time, rows.offset, rows.part)[:first_rows]))
        return RawPane(
            self.empty.model,
            self.segment,
            rows.stream,
            self.empty.contract,
            self.tp,
            self.index,
            self.pane_ms,
            self.late,
            self.first_offset or 0,
            self.last_offset,
            self.trace_points,
            rows,
            first_rows is None,
        )


def summarise(raw: RawPane, grid: Grid) -> Pane:
    """A raw pane on a grid: the same pane as if the grid had been there from the start."""
    pane = OpenPane(
        rows_of.take(raw.rows, np.zeros(0, dtype=np.int64)),
        raw.tp,
        raw.index,
        raw.pane_ms,
        raw.trace_points,
        raw.segment,
    )
    if len(raw.rows):
        pane.add(raw.rows, grid)
    pane.late, pane.first_offset, pane.last_offset = raw.late, raw.first_offset, raw.last_offset
    return pane.seal(grid)
