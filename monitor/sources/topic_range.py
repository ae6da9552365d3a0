"""Rows of a topic in a range of event time, found without reading what lies before it.

Event time grows with the offset, but for the lateness. So the first offset is sought by halves: a few records in the
middle say on which side the range begins. The stamps of the broker need not agree with event time, and are not asked.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole
from monitor.codec.decode import Decoder
from monitor.contract import ModelContract
from monitor.events import RecordBatch, Rows, TopicPartition
from monitor.panes import rows as rows_of

_NEAR = 2000
"""Offsets: a range is not sought more closely than that."""
_PROBE = 64
"""Records that say which event time an offset has."""


def rows_between(
    bus: Bus, tp: TopicPartition, contract: ModelContract, start_ms: int | None, end_ms: int | None
) -> Iterator[Rows]:
    """The model's rows of one partition with event time in [start_ms, end_ms), ms UTC, batch by batch."""
    decoder = Decoder(tp.topic, [contract])
    margin = contract.lateness_ms + contract.max_clock_skew_ms
    low = -(1 << 62) if start_ms is None else start_ms
    high = 1 << 62 if end_ms is None else end_ms
    first = bus.beginning(tp) if start_ms is None else _seek(bus, tp, decoder, start_ms - margin)
    for batch in read_whole(bus, tp, first):
        for rows in decoder.decode(batch).rows:
            inside = rows_of.take(rows, (rows.time >= low) & (rows.time < high))
            if len(inside):
                yield inside
            if int(np.median(rows.time)) >= high + margin:
                return


def _seek(bus: Bus, tp: TopicPartition, decoder: Decoder, time: int) -> int:
    """An offset, near the first, before which rows are older than `time` (ms)."""
    low, high = bus.beginning(tp), bus.end(tp)
    while high - low > _NEAR:
        middle = (low + high) // 2
        found = _time_at(bus, tp, decoder, middle)
        low, high = (middle, high) if found is not None and found < time else (low, middle)
    return low


def _time_at(bus: Bus, tp: TopicPartition, decoder: Decoder, offset: int) -> int | None:
    """The event time around an offset, ms; None if no row of the model is near."""
    batch: RecordBatch | None = next(read_whole(bus, tp, offset), None)
    if batch is None:
        return None
    for part in (batch.cut(0, _PROBE), batch):
        times = [rows.time for rows in decoder.decode(part).rows]
        if times:
            return int(np.median(np.concatenate(times)))
    return None
