"""The open panes of one model in one input partition: rows go in, due panes are sealed.

A late row counts in the oldest pane that is open by its watermark. Without a grid panes are sealed raw, at most
`raw_rows` rows in all; the pane that would exceed them sends its first rows as a sample, once, and waits. That holds
back nothing: the last row that the grid is made from lies in this pane or before it, and the other partitions have to
pass that row before the pane can be folded anyway.

So of the raw rows of all open panes only the first `raw_rows` in canonical order, pane by pane, can ever travel. Where
the log can be folded again (`may_cut`) the others are forgotten, however many come before the first pane is due; when
the grid is there, they are folded again. What is kept is enough: rows that come later only take places away.

Labels need no grid, and are never late: one behind the watermark goes into the oldest open pane, that of its arrival.
A pane takes at most MOST_LABELS of a partition, and the rest goes into the next one that has room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from monitor.contract import ModelContract, StreamContract, lane_contract
from monitor.events import Int64s, Rows, TopicPartition
from monitor.ledger.position_records import ModelPosition, RowState
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid
from monitor.panes.keyed import KeyedRows
from monitor.panes.on_grid import encoded
from monitor.panes.open_keyed import OpenKeyed
from monitor.panes.open_pane import OpenPane
from monitor.panes.pane import Pane, RawPane

MOST_LABELS = 1 << 18
"""Most labels of one partition that a pane takes."""


class ModelPanes:
    """Open panes by index, and for each the state before its first row: from there it can be folded again.

    `first`: the watermark from which on the model is folded, where that is not the partition's first. `may_cut`: raw
    rows that can't travel may be forgotten.
    """

    def __init__(
        self, contract: ModelContract, tp: TopicPartition, first: int | None = None, may_cut: bool = False
    ) -> None:
        self.contract = contract
        self.first = first
        self.again: int | None = None
        """The watermark at which the model's life began here; None: with its first row here."""
        self._may_cut = may_cut
        self._raw_held = 0
        self.grid: Grid | None = None
        self._tp = tp
        self.lane = lane_contract(contract, self._stream)
        self._empty = rows_of.empty(contract.model, self._stream, self.lane)
        self._is_labels = self._stream.stream == "labels"
        self._open: dict[int, OpenPane] = {}
        self._starts: dict[int, RowState] = {}
        self._raw_sent = 0
        self._sampled = False
        self._is_left = False
        """True if another contract has taken the place of this one."""
        self._ended: set[int] = set()
        """Panes that were open meanwhile: of these no more than the number of rows is sealed, also if it comes back."""

    @property
    def _stream(self) -> StreamContract:
        return next(stream for stream in self.contract.streams if stream.topic == self._tp.topic)

    @property
    def lacks_grid(self) -> bool:
        """Return true if it has no grid and needs one."""
        return self.grid is None and not self._is_labels

    def leave(self) -> None:
        """Another contract takes the place of this one."""
        self._is_left = True
        self._ended.update(self._open)

    def come_back(self, contract: ModelContract, first: int | None) -> None:
        """The contract that was left counts again, from here on, and raw rows as if it were new.

        How many had travelled before is in no position record, because it would count for nobody else.
        """
        self.contract, self.first, self._is_left = contract, first, False
        self._raw_sent, self._sampled = 0, False

    def add(self, rows: Rows, watermark: Int64s, state_of: Callable[[int], RowState]) -> NDArray[np.bool_]:
        """Take accepted rows; returns which were late, shape (n,).

        `watermark`: before each row, shape (n,). `state_of`: the state before the row at a place.
        """
        pane_ms = self.contract.pane_ms
        index = rows.time // pane_ms
        if self._is_labels:
            self._add_labels(rows, np.maximum(index, watermark // pane_ms), state_of)
            return np.zeros(len(rows), dtype=np.bool_)
        late = (index + 1) * pane_ms <= watermark
        pane = np.where(late, watermark // pane_ms, index)
        on_grid = None if self.grid is None else encoded(self.grid, rows, self._tp)
        for k in _distinct(pane):
            mine = pane == k
            opened = self._opened(k, state_of, int(np.argmax(mine)))
            if (in_time := mine & ~late).any():
                if self.grid is not None and on_grid is not None:
                    opened.add_encoded(on_grid.take(in_time), self.grid)
                else:
                    opened.add(rows_of.take(rows, in_time), None)
                    self._raw_held += int(in_time.sum())
            if (too_late := mine & late).any():
                opened.add_late(rows.offset[too_late])
        if self._may_cut and self.grid is None and self._raw_held > 2 * self.contract.raw_rows:
            self._cut()
        return late

    def _opened(self, index: int, state_of: Callable[[int], RowState], place: int) -> OpenPane:
        """The open pane of an index. `place`: in the rows that come, of the first that it takes."""
        if index not in self._open:
            stream = self._stream
            keyed = None if stream.keys is None else OpenKeyed(stream, stream.keys)
            points = self.contract.trace_points
            pane = OpenPane(self._empty, self._tp, index, self.contract.pane_ms, points, keyed=keyed)
            self._open[index], self._starts[index] = pane, state_of(place)
            if self._is_left:
                self._ended.add(index)
        return self._open[index]

    def _add_labels(self, rows: Rows, index: Int64s, state_of: Callable[[int], RowState]) -> None:
        """Take labels, each with the index of its pane; what has no room there goes into the next.

        That depends on all rows of the pane that is full: so the next one begins no later than it.
        """
        places = np.arange(len(rows))
        while len(places):
            k = int(index[places].min())
            mine = places[index[places] == k]
            opened = self._opened(k, state_of, int(mine[0]))
            taken, left = np.split(mine, [max(0, MOST_LABELS - opened.events)])
            if len(taken):
                opened.count(rows_of.take(rows, taken))
            if len(left):
                self._opened(k + 1, state_of, int(left[0]))
                self._starts[k + 1] = min(self._starts[k], self._starts[k + 1], key=lambda state: state.offset)
                index[left] = k + 1
            places = places[index[places] > k]

    def _cut(self) -> None:
        """Forget raw rows that can't travel any more."""
        left, self._raw_held = self._raw_left, 0
        for index, pane in sorted(self._open.items()):
            has_ended = index in self._ended
            self._raw_held += pane.keep_first(0 if has_ended else max(0, left))
            left -= 0 if has_ended else pane.events

    @property
    def is_cut(self) -> bool:
        """True if rows of an open pane were forgotten that may have to travel."""
        return any(pane.is_cut for index, pane in self._open.items() if index not in self._ended)

    # ------------------------------------------------------------------ sealing

    def seal(self, watermark: int) -> Iterator[Pane | RawPane | KeyedRows]:
        """Seal all panes that are due, oldest first, as far as the grid and raw rows allow."""
        for index in self._due(watermark):
            pane = self._open[index]
            if index in self._ended or self._is_labels:
                yield from pane.seal_keyed()
                yield pane.seal_counted()
                self._forget(index)
                continue
            if self.grid is None and (pane.is_cut or pane.events > self._raw_left):
                if not self._sampled:
                    self._sampled = True
                    yield pane.seal_raw(first_rows=self._raw_left)
                return
            yield from pane.seal_keyed()
            if self.grid is None:
                self._raw_sent += pane.events
                yield pane.seal_raw()
            else:
                yield pane.seal(self.grid)
            self._forget(index)

    @property
    def _raw_left(self) -> int:
        return self.contract.raw_rows - self._raw_sent

    def _due(self, watermark: int) -> list[int]:
        return sorted(index for index in self._open if (index + 1) * self.contract.pane_ms <= watermark)

    def _forget(self, index: int) -> None:
        del self._open[index]
        del self._starts[index]
        self._ended.discard(index)

    def blocked(self, watermark: int) -> int | None:
        """Start of the oldest pane that is due and not sealed, in ms."""
        due = self._due(watermark)
        return due[0] * self.contract.pane_ms if due else None

    def last_end(self) -> int | None:
        """End of the newest open pane, in ms."""
        return (max(self._open) + 1) * self.contract.pane_ms if self._open else None

    # ------------------------------------------------------------------ restoring

    def starts(self) -> list[RowState]:
        """The state before the first row of every open pane."""
        return list(self._starts.values())

    def position(self, watermark: int | None) -> ModelPosition:
        """What a commit at a watermark says of this model."""
        due = [] if watermark is None else self._due(watermark)
        raw_sent, sampled = (self._raw_sent, self._sampled) if self.grid is None else (0, False)
        return ModelPosition(due[0] if due else None, raw_sent, sampled, self.first, self.again)

    def arrive(self, position: ModelPosition, watermark: int | None) -> None:
        """End of folding again: panes that were sealed before the commit at that watermark are forgotten."""
        self._raw_sent, self._sampled = position.raw_sent, position.sampled
        self.first, self.again = position.first, position.again
        for index in [] if watermark is None else self._due(watermark):
            if position.blocked_at is None or index < position.blocked_at:
                self._forget(index)

    def offsets(self) -> list[str]:
        """What the open panes hold, for a digest."""
        return [
            f"{self.contract.model}/{self.lane}/{index}:{p.events},{p.late},{p.first_offset},{p.last_offset},{p.offset_sum}"
            for index, p in sorted(self._open.items())
        ]


def _distinct(pane: Int64s) -> list[int]:
    if len(pane) and pane[0] == pane[-1] and (pane == pane[0]).all():
        return [int(pane[0])]
    return [int(k) for k in np.unique(pane)]
