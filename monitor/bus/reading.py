"""Reading a partition from end to end, or its newest records, and what records of ours hold."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.bus.port import Bus
from monitor.codec.chunks import Assembler
from monitor.errors import RecordsLost
from monitor.events import Record, RecordBatch, TopicPartition

PATIENCE_MS = 30_000
"""Longer than the transaction of a writer that died stays open: its time-out, 15 s, and 10 s until the broker looks."""


def read_whole(
    bus: Bus, tp: TopicPartition, start: int | None = None, timeout_ms: int = PATIENCE_MS, to: int | None = None
) -> Iterator[RecordBatch]:
    """All committed records from `start` to the present high watermark, or to `to` if that is lower.

    `start`: None is the log's start. Open transactions below the end are waited for; raises BusError if one does not
    end in time, and RecordsLost if records from `start` on were deleted.
    """
    at, end = bus.beginning(tp) if start is None else start, bus.end(tp)
    end = end if to is None else min(end, to)
    while at < end:
        batch = bus.read(tp, at, end, timeout_ms)
        if not batch.offsets:
            return
        yield batch
        at = batch.offsets[-1] + 1


def read_newest(bus: Bus, tp: TopicPartition, most: int) -> Iterator[RecordBatch]:
    """The records at the newest `most` offsets that readers see; what is deleted meanwhile is passed over."""
    end = bus.last_stable(tp)
    at = max(bus.beginning(tp), end - most)
    while at < end:
        try:
            batch = bus.read(tp, at, end, PATIENCE_MS)
        except RecordsLost as lost:
            at = lost.beginning
            continue
        if not batch.offsets:
            return
        yield batch
        at = batch.offsets[-1] + 1


def records_of(batch: RecordBatch) -> Iterator[Record]:
    """A batch's records one by one: for our own topics, which carry few."""
    columns = zip(batch.offsets, batch.timestamps, batch.keys, batch.values, batch.headers, strict=True)
    for offset, timestamp, key, value, headers in columns:
        yield Record(batch.topic, batch.partition, offset, timestamp, key, value, headers, batch.log_append_time)


def whole_values(assembler: Assembler, batch: RecordBatch) -> Iterator[tuple[Record, bytes]]:
    """Records of ours whose value is complete, put together from their chunks."""
    for record in records_of(batch):
        if record.value is not None:
            value = assembler.feed(record)
            if value is not None:
                yield record, value
