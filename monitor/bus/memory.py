"""The bus in memory, for replay and tests: the same rules as Kafka's, in one process.

A `MemoryBus` is the place itself: several consumers and writers over one object behave like several processes
over one cluster. Nobody else can write while a poll waits, so a poll never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count

from monitor.bus.memory_group import MemoryConsumer, MemoryGroup
from monitor.bus.memory_log import MemoryLog
from monitor.bus.port import Committed, Needs, OpenTransaction, Polled
from monitor.bus.records import choose_partition, is_compacted, is_stamped, now_ms, records_lost
from monitor.errors import BusError, StaleGeneration, TransactionFailed
from monitor.events import Outgoing, RecordBatch, TopicPartition

READ_RECORDS = 5_000


class MemoryBus:
    """Topics, groups and writers in this process's memory.

    `clock`: gives the stamp of records that bring none, ms. `markers`: a commit leaves a gap of one offset in
    every partition that it wrote to, as Kafka's transaction markers do.
    """

    unsupported: frozenset[str] = frozenset()

    def __init__(self, clock: Callable[[], int] = now_ms, markers: bool = False) -> None:
        self.name = "memory:"
        self._clock = clock
        self._markers = markers
        self._logs: dict[str, list[MemoryLog]] = {}
        self._groups: dict[str, MemoryGroup] = {}
        self._writers: dict[str, MemoryWriter] = {}
        self._turn = count()

    def check_rights(self, needs: Needs) -> None:
        """Nobody else is here."""

    def partitions(self, topic: str) -> int | None:
        return len(self._logs[topic]) if topic in self._logs else None

    def create(self, topic: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
        if topic not in self._logs:
            settings = config or {}
            compacted, stamped = is_compacted(settings), is_stamped(settings)
            self._logs[topic] = [self.new_log(compacted, stamped) for _ in range(partitions)]
            for group in self._groups.values():
                if any(topic in member.topics for member in group.members.values()):
                    group.generation += 1

    def new_log(self, compacted: bool, stamped: bool) -> MemoryLog:
        """An empty partition."""
        return MemoryLog(compacted, stamped)

    def grow(self, topic: str, partitions: int) -> None:
        """Add partitions to a topic, as an administrator of a cluster would."""
        logs = self._logs[topic]
        logs += [self.new_log(logs[0].compacted, logs[0].stamped) for _ in range(partitions - len(logs))]
        for group in self._groups.values():
            group.generation += 1

    def stamp(self, topic: str, stamped: bool) -> None:
        """Stamp the topic's records from now on, or leave that to their senders, as an administrator may decide."""
        for log in self._logs[topic]:
            log.stamped = stamped

    def delete_before(self, tp: TopicPartition, offset: int) -> None:
        """Delete a partition's records below `offset`, as retention does."""
        self.log(tp).delete_before(offset)

    def topics(self) -> tuple[str, ...]:
        return tuple(sorted(self._logs))

    def beginning(self, tp: TopicPartition) -> int:
        return self.log(tp).start

    def end(self, tp: TopicPartition) -> int:
        return self.log(tp).end

    def last_stable(self, tp: TopicPartition) -> int:
        return self.log(tp).stable

    def open_transactions(self, tp: TopicPartition) -> tuple[OpenTransaction, ...]:
        return ()

    def offset_at(self, tp: TopicPartition, time: int) -> int:
        log = self.log(tp)
        stamped = zip(log.offsets, log.timestamps, strict=True)
        return next((offset for offset, timestamp in stamped if timestamp >= time), log.end)

    def read(self, tp: TopicPartition, start: int, end: int | None, timeout_ms: int) -> RecordBatch:
        log = self.log(tp)
        if start < log.start:
            raise records_lost(self.name, tp, start, log.start)
        batch = log.batch(tp, start, end, READ_RECORDS)
        if end is not None and not batch and self.end(tp) < end:
            raise BusError(f"{self.name} {tp.topic}/{tp.partition} ends at {self.end(tp)}, and {end} was asked for")
        return batch

    def cluster_id(self) -> str:
        return "memory"

    def release(self) -> str:
        return "memory of this process"

    def consumer(self, group: str, topics: Sequence[str], instance: str) -> MemoryConsumer:
        return MemoryConsumer(self, self.group(group), topics, instance)

    def writer(self, group: str, instance: str) -> MemoryWriter:
        name = f"{group}-{instance}"
        self._writers[name] = MemoryWriter(self, name, self.group(group))
        return self._writers[name]

    def sender(self) -> MemorySender:
        return MemorySender(self)

    def close(self) -> None:
        """The place stays: closing one user of it closes nothing for the others."""

    def log(self, tp: TopicPartition) -> MemoryLog:
        """The partition's log."""
        logs = self._logs.get(tp.topic, [])
        if not 0 <= tp.partition < len(logs):
            raise BusError(f"there is no partition {tp.partition} of topic {tp.topic!r} on {self.name}")
        return logs[tp.partition]

    def group(self, name: str) -> MemoryGroup:
        """The group, made at its first use."""
        return self._groups.setdefault(name, MemoryGroup())

    def owns(self, name: str, writer: MemoryWriter) -> bool:
        """Return true if `writer` is the newest of its name; an older one is fenced."""
        return self._writers.get(name) is writer

    def write(self, outgoing: Sequence[Outgoing], markers: bool) -> dict[TopicPartition, int]:
        """Appends all records, or raises BusError before the first; gives the offset behind the last of each log."""
        places = [
            TopicPartition(o.topic, choose_partition(o, self.partitions(o.topic), next(self._turn))) for o in outgoing
        ]
        now = self._clock()
        for tp, record in zip(places, outgoing, strict=True):
            self.log(tp).append(record, now)
        ends = {tp: self.log(tp).end for tp in sorted(set(places))}
        if markers and self._markers:
            for tp in ends:
                self.log(tp).end += 1
        return ends


class MemoryWriter:
    """The transactional writer of one name; a newer one of the same name fences it."""

    def __init__(self, bus: MemoryBus, name: str, group: MemoryGroup) -> None:
        self._bus = bus
        self._name = name
        self._group = group

    def commit(
        self,
        outgoing: Sequence[Outgoing],
        offsets: Mapping[TopicPartition, Committed],
        polled: Polled | None,
    ) -> dict[TopicPartition, int]:
        if polled is None and offsets:
            raise ValueError("offsets are committed with the poll that they came from")
        self.check(polled)
        try:
            ends = self._bus.write(outgoing, markers=True)
        except BusError as error:
            raise TransactionFailed(f"the commit was aborted: {error}") from error
        self._group.committed.update(offsets)
        return ends

    def check(self, polled: Polled | None) -> None:
        """Raises where a newer writer has this one's name, or the assignment is no longer that of the poll."""
        if not self._bus.owns(self._name, self):
            raise TransactionFailed(f"a newer writer {self._name!r} has fenced this one")
        if polled is not None:
            consumer, generation = _member(polled.generation)
            if not consumer.holds(generation):
                raise StaleGeneration("the group's assignment changed since the poll")

    def close(self) -> None: ...


def _member(generation: object) -> tuple[MemoryConsumer, int]:
    match generation:
        case (MemoryConsumer() as consumer, int() as number):
            return consumer, number
    raise ValueError("the poll comes from another bus")


class MemorySender:
    """Plain writing; everything is written at once."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    def send(self, outgoing: Outgoing) -> None:
        self._bus.write([outgoing], markers=False)

    def flush(self) -> None: ...

    def close(self) -> None: ...
