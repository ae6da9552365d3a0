"""One partition of a topic in memory: records in columns, compaction and retention as Kafka has them."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from monitor.events import Headers, Outgoing, RecordBatch, TopicPartition


@dataclass
class MemoryLog:
    """One partition as columns of equal length.

    `start`: below it everything was deleted; `end`: the next offset.
    """

    compacted: bool
    stamped: bool
    offsets: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    headers: list[Headers] = field(default_factory=list)
    kinds: list[bool] = field(default_factory=list)
    """True for each record that the bus stamped."""
    newest: dict[bytes, int] = field(default_factory=dict)
    start: int = 0
    end: int = 0

    @property
    def stable(self) -> int:
        """How far readers get: here everything is committed at once."""
        return self.end

    def append(self, outgoing: Outgoing, now: int) -> None:
        self.show(self.end, outgoing, now)
        self.end += 1

    def show(self, offset: int, outgoing: Outgoing, now: int) -> None:
        """From now on readers see the record."""
        if self.compacted and outgoing.key is not None:
            self._forget(self.newest.get(outgoing.key))
            self.newest[outgoing.key] = offset
        own = None if self.stamped else outgoing.timestamp
        self.offsets.append(offset)
        self.timestamps.append(now if own is None else own)
        self.keys.append(outgoing.key)
        self.values.append(outgoing.value)
        self.headers.append(outgoing.headers)
        self.kinds.append(self.stamped)

    def delete_before(self, offset: int) -> None:
        """The log starts at `offset` from now on."""
        self.start = max(self.start, min(offset, self.end))
        gone = bisect_left(self.offsets, self.start)
        for column in (self.offsets, self.timestamps, self.keys, self.values, self.headers, self.kinds):
            del column[:gone]
        self.newest = {key: at for key, at in self.newest.items() if at >= self.start}

    def _forget(self, offset: int | None) -> None:
        if offset is not None:
            at = bisect_left(self.offsets, offset)
            for column in (self.offsets, self.timestamps, self.keys, self.values, self.headers, self.kinds):
                del column[at]

    def batch(self, tp: TopicPartition, start: int, end: int | None, limit: int) -> RecordBatch:
        first = bisect_left(self.offsets, start)
        last = min(first + limit, len(self.offsets) if end is None else bisect_left(self.offsets, end))
        kind = self.kinds[first] if first < last else self.stamped
        cut = slice(first, next((i for i in range(first, last) if self.kinds[i] != kind), last))
        return RecordBatch(
            tp.topic,
            tp.partition,
            self.offsets[cut],
            self.timestamps[cut],
            self.keys[cut],
            self.values[cut],
            self.headers[cut],
            kind,
        )
