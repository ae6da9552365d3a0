"""A consumer group in memory: its members, who reads which partition, and from where.

Every change of membership raises the group's generation; a member learns of it at its next poll, and then has other
partitions. A commit with the poll of another generation is refused (`memory.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from monitor.bus.memory_log import MemoryLog
from monitor.bus.port import Committed, Polled
from monitor.bus.records import share_out
from monitor.errors import BusError
from monitor.events import OffsetRange, RecordBatch, TopicPartition


class Topics(Protocol):
    """The logs that a consumer reads: those of its bus."""

    def partitions(self, topic: str) -> int | None: ...

    def log(self, tp: TopicPartition) -> MemoryLog: ...


@dataclass
class MemoryGroup:
    """A consumer group: its members by instance, and a number that every change of membership raises."""

    members: dict[str, MemoryConsumer] = field(default_factory=dict)
    generation: int = 0
    committed: dict[TopicPartition, Committed] = field(default_factory=dict)


class MemoryConsumer:
    """One member of a group; partitions go round its members in the order of their instances."""

    def __init__(self, bus: Topics, group: MemoryGroup, topics: Sequence[str], instance: str) -> None:
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
        return self._bus.log(tp).start if committed is None else committed.offset
