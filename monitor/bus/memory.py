"""The bus in memory, for replay and tests: the same rules as Kafka's, in one process.

A `MemoryBus` is the place itself: several consumers and writers over one object behave like several processes
over one cluster. Nobody else can write while a poll waits, so a poll never waits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from monitor.bus.port import Committed, Needs, OpenTransaction, Polled
from monitor.bus.records import choose_partition, is_compacted, is_stamped, now_ms, records_lost, share_out
from monitor.errors import BusError, StaleGeneration, TransactionFailed
from monitor.events import Headers, OffsetRange, Outgoing, RecordBatch, TopicPartition

READ_RECORDS = 5_000


@dataclass
class MemoryLog:
    """One partition as columns of equal length. For this file, and for buses built on it.

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


@dataclass
class _Group:
    """A consumer group: its members by instance, and a number that every change of membership raises."""

    members: dict[str, MemoryConsumer] = field(default_factory=dict)
    generation: int = 0
    committed: dict[TopicPartition, Committed] = field(default_factory=dict)


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
        self._groups: dict[str, _Group] = {}
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
        """The partition's log. For this file's consumers."""
        logs = self._logs.get(tp.topic, [])
        if not 0 <= tp.partition < len(logs):
            raise BusError(f"there is no partition {tp.partition} of topic {tp.topic!r} on {self.name}")
        return logs[tp.partition]

    def group(self, name: str) -> _Group:
        """The group, made at its first use. For this file's consumers and writers."""
        return self._groups.setdefault(name, _Group())

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


class MemoryConsumer:
    """One member of a group; partitions go round its members in the order of their instances."""

    def __init__(self, bus: MemoryBus, group: _Group, topics: Sequence[str], instance: str) -> None:
        self.topics = tuple(sorted(topics))
        self._bus = bus
        self._group = group
        self._instance = instance
        self._generation = -1
        self._positions: dict[TopicPartition, int] = {}
        self._paused: frozenset[TopicPartition] = frozenset()
        self._turn = 0
        group.members[instance] = self
        group.generation += 1

    def poll(self, timeout_ms: int, max_records: int) -> Polled:
        before = self._generation
        revoked = self._join()
        if self._generation != before:
            return self._polled((), revoked)
        flowing = sorted(self._positions.keys() - self._paused)
        self._turn += 1
        cut = self._turn % len(flowing) if flowing else 0
        flowing = flowing[cut:] + flowing[:cut]
        logs = [self._bus.log(tp) for tp in flowing]
        lost = tuple(
            OffsetRange(*tp, self._positions[tp], log.start)
            for tp, log in zip(flowing, logs, strict=True)
            if self._positions[tp] < log.start
        )
        self._positions |= {TopicPartition(gone.topic, gone.partition): gone.end for gone in lost}
        waiting = [max(0, log.stable - self._positions[tp]) for tp, log in zip(flowing, logs, strict=True)]
        batches = []
        for tp, log, share in zip(flowing, logs, share_out(waiting, max_records), strict=True):
            batch = log.batch(tp, self._positions[tp], None, share)
            if batch:
                batches.append(batch)
            if share:
                is_cut = batch and (len(batch) == share or log.batch(tp, batch.offsets[-1] + 1, None, 1))
                self._positions[tp] = batch.offsets[-1] + 1 if is_cut else log.stable
        return self._polled(tuple(batches), revoked, lost)

    def _polled(
        self,
        batches: tuple[RecordBatch, ...],
        revoked: frozenset[TopicPartition],
        lost: tuple[OffsetRange, ...] = (),
    ) -> Polled:
        token = (self, self._generation)
        return Polled(batches, frozenset(self._positions), revoked, self._generation, token, lost)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._own(tp)
        self._positions[tp] = offset

    def position(self, tp: TopicPartition) -> int:
        return self._own(tp)

    def committed(self, tp: TopicPartition) -> Committed | None:
        return self._group.committed.get(tp)

    def pause(self, tps: frozenset[TopicPartition]) -> None:
        self._paused = tps

    def close(self) -> None:
        if self._group.members.get(self._instance) is self:
            del self._group.members[self._instance]
            self._group.generation += 1

    def holds(self, generation: int) -> bool:
        """Return true if the group still is at `generation` with this member in it."""
        return self._group.members.get(self._instance) is self and generation == self._group.generation

    def _own(self, tp: TopicPartition) -> int:
        if tp not in self._positions:
            raise BusError(f"{tp.topic}/{tp.partition} is not assigned to this consumer")
        return self._positions[tp]

    def _join(self) -> frozenset[TopicPartition]:
        """Takes over the group's newest assignment; gives the partitions lost by that (all that it had)."""
        if self._group.members.get(self._instance) is not self:
            raise BusError(f"another consumer joined as instance {self._instance!r} and took its place")
        if self._generation == self._group.generation:
            return frozenset()
        lost = frozenset(self._positions)
        self._generation = self._group.generation
        self._positions = {tp: self._start(tp) for tp in self._assigned()}
        return lost

    def _assigned(self) -> list[TopicPartition]:
        mine: list[TopicPartition] = []
        for topic in self.topics:
            members = sorted(name for name, member in self._group.members.items() if topic in member.topics)
            place = members.index(self._instance)
            mine += [TopicPartition(topic, p) for p in range(place, self._bus.partitions(topic) or 0, len(members))]
        return mine

    def _start(self, tp: TopicPartition) -> int:
        committed = self._group.committed.get(tp)
        return self._bus.beginning(tp) if committed is None else committed.offset


class MemoryWriter:
    """The transactional writer of one name; a newer one of the same name fences it."""

    def __init__(self, bus: MemoryBus, name: str, group: _Group) -> None:
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
