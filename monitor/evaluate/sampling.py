"""The first n rows of a stream in canonical order: what its grid and first reference are made from.

Until there is a grid, panes travel raw. A partition's rows are known up to its frontier: the end of its newest sealed
pane, or its sample's last row. The first n rows are known when every partition's frontier is past the n-th of them; so
they do not depend on which partition was read first. A sealed pane counts even where the partition's watermark stands
still for another model that waits for its own grid: else two models could wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from monitor.contract import StreamContract
from monitor.evaluate.state import FirstRowsState
from monitor.events import Rows, StreamName, TopicPartition
from monitor.ledger.entries import PartitionSet, Watermark
from monitor.panes import rows as rows_of
from monitor.panes.pane import RawPane, decode_raw, encode_raw


class FirstRows:
    """Collects raw panes of one stream until its first rows are known for certain."""

    def __init__(self) -> None:
        self.parts: list[RawPane] = []
        self._sealed_to: dict[TopicPartition, int] = {}
        self._sampled_to: dict[TopicPartition, tuple[int, int]] = {}
        self._known = 0

    def add(self, pane: RawPane) -> None:
        """Take a sealed raw pane, or the sample of one that waits; rows that were taken before count once."""
        known = [part.rows.offset for part in self.parts if part.tp == pane.tp]
        if known and (again := np.isin(pane.rows.offset, np.concatenate(known))).any():
            pane = replace(pane, rows=rows_of.take(pane.rows, ~again))
        if len(pane.rows) or pane.complete:
            self.parts.append(pane)
            self._known += len(pane.rows)
        if pane.complete:
            self._sealed_to[pane.tp] = max(pane.index + 1, self._sealed_to.get(pane.tp, pane.index + 1))
        if not pane.complete and len(pane.rows):
            order = rows_of.canonical_order(pane.rows.time, pane.rows.offset, pane.rows.part)
            self._sampled_to[pane.tp] = (int(pane.rows.time[order[-1]]), int(pane.rows.offset[order[-1]]))

    def state(self, stream: StreamName) -> FirstRowsState:
        """What has been collected; where a sample ends follows from its rows."""
        return FirstRowsState(stream, tuple(encode_raw(part) for part in self.parts))

    def restore(self, state: FirstRowsState) -> None:
        """Go on from there. Raises FormatError."""
        for part in state.parts:
            self.add(decode_raw(part))

    def rows(self, sealed: Mapping[TopicPartition, int], wanted: int, pane_ms: int) -> Rows | None:
        """The first `wanted` rows in canonical order, or None as long as they are not certain.

        `sealed`: of every partition of the stream, the event time (ms) below which all its rows are sealed.
        """
        if self._known < wanted:
            return None
        parts = [part for part in self.parts if len(part.rows)]  # a pane without rows has no columns either
        joined = rows_of.concat([part.rows for part in parts])
        tps = sorted(sealed)
        place = np.concatenate([np.full(len(part.rows), tps.index(part.tp)) for part in parts])
        order = np.lexsort((joined.offset, place, joined.time))[:wanted]
        last = order[-1]
        time, key = int(joined.time[last]), (int(joined.time[last]), int(place[last]), int(joined.offset[last]))
        for at, tp in enumerate(tps):
            sampled = self._sampled_to.get(tp)
            frontier = max(sealed[tp], self._sealed_to[tp] * pane_ms) if tp in self._sealed_to else sealed[tp]
            if time >= frontier and (sampled is None or key > (sampled[0], at, sampled[1])):
                return None
        return rows_of.take(joined, order)


def sealed_to(
    model: str,
    partitions: PartitionSet,
    contract: StreamContract,
    watermarks: Mapping[TopicPartition, Watermark],
    pane_ms: int,
) -> dict[TopicPartition, int]:
    """Of each partition of the stream's topic, the event time (ms) below which all the model's rows are sealed."""
    found = {}
    for tp in partitions.partitions:
        if tp.topic == contract.topic:
            sealed = watermarks[tp].watermark_of(model) if tp in watermarks else None
            found[tp] = -(1 << 62) if sealed is None else sealed // pane_ms * pane_ms
    return found
