"""A member of a Kafka consumer group that discards what a rebalance has overtaken.

The client has these needs, each found by a fault (kafka-python 3.0):

- A poll frees the slot for records in hand, else a partition that was paused and resumed can stay silent.
- Metadata before the first poll, and polls of a second or more, or the first join can stick for good. Metadata
  again after `subscribe`: else it may come after the first join, count as a change, and set off a second one.
- A join is waited for beyond the poll: an answer that comes between two polls is thrown away and asked for again,
  which sends the whole group through another round.
- A member that does not become stable is closed and made again.
- The committed offset is unknown while a transaction that writes it is open: it is waited for until that must have
  timed out.
- The listener runs on the client's I/O thread, where no call is allowed: it only marks.
- `group_metadata()` right after `poll()`: taken later it can name a generation that the records are not of.
- Without `auto_offset_reset` a position below the log's start raises instead of being corrected in silence; so does
  a partition that is assigned in the midst of a poll and has no committed offset.
- A member that was evicted and came back may go on from its old position: after every change of assignment each
  partition is put back to its committed offset, and records behind the expected one are not accepted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from kafka import ConsumerRebalanceListener
from kafka import errors as kafka_errors
from kafka.structs import MemberState

from monitor.bus.kafka_clients import KafkaClients, kafka_tp, poll, record_batches
from monitor.bus.port import Committed, Polled
from monitor.errors import BusError, StaleGeneration
from monitor.events import OffsetRange, RecordBatch, TopicPartition

SESSION_MS = 10_000
HEARTBEAT_MS = 2_000
MAX_POLL_INTERVAL_MS = 120_000
POLL_MS = 1_000
JOIN_MS = 3_000
REQUEST_MS = 10_000
COMMITTED_MS = 30_000
STUCK_SECONDS = 30.0


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc] # the client ships no types
    """What the group gave to this member, as the client's I/O thread reports it. Only marks."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: set[TopicPartition] = set()
        self._lost: set[TopicPartition] = set()
        self.epoch = 0

    def on_partitions_assigned(self, assigned: Iterable[tuple[str, int]]) -> None:
        with self._lock:
            self._held |= {TopicPartition(*tp) for tp in assigned}
            self.epoch += 1

    def on_partitions_revoked(self, revoked: Iterable[tuple[str, int]]) -> None:
        with self._lock:
            gone = {TopicPartition(*tp) for tp in revoked}
            self._held -= gone
            self._lost |= gone
            self.epoch += 1

    on_partitions_lost = on_partitions_revoked

    def drop(self) -> None:
        """The member itself is given up: all that it held is lost."""
        self.on_partitions_revoked(tuple(self._held))

    def take(self) -> tuple[int, frozenset[TopicPartition], frozenset[TopicPartition]]:
        """The epoch, what is held, and what was lost since the last call."""
        with self._lock:
            lost, self._lost = frozenset(self._lost), set()
            return self.epoch, frozenset(self._held), lost


@dataclass(frozen=True, slots=True)
class Generation:
    """The assignment that a poll belongs to: ours to compare, `metadata` for the broker to fence by (KIP-447)."""

    epoch: int
    metadata: Any = field(repr=False)
    assignment: Assignment = field(repr=False)

    @property
    def is_current(self) -> bool:
        return self.assignment.epoch == self.epoch


class KafkaMember:
    """A consumer of a group under a static membership: a restarted `instance` keeps its partitions."""

    def __init__(self, clients: KafkaClients, group: str, topics: Sequence[str], instance: str) -> None:
        self._clients = clients
        self._group = group
        self._topics = sorted(topics)
        self._instance = instance
        self._assignment = Assignment()
        self._paused: frozenset[TopicPartition] = frozenset()
        self._expected: dict[TopicPartition, int] = {}
        self._epoch = 0
        self._client = self._open()

    def _open(self) -> Any:
        self._stable_at = time.monotonic()
        client = self._clients.consumer(
            group_id=self._group,
            group_instance_id=self._instance,
            client_id=self._instance,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        )
        with self._clients.translated(f"opening a member of group {self._group!r}"):
            for topic in self._topics:
                client.partitions_for_topic(topic)
            client.subscribe(self._topics, listener=self._assignment)
            client.topics()
        return client

    def poll(self, timeout_ms: int, max_records: int) -> Polled:
        until = time.monotonic() + timeout_ms / 1000
        while True:
            polled = self._poll_once(max_records)
            if polled.batches or polled.lost or polled.epoch != self._epoch or time.monotonic() >= until:
                self._epoch = polled.epoch
                return polled

    def _poll_once(self, max_records: int) -> Polled:
        """One poll of the client. It comes back for records only, so a long wait is many of these."""
        with self._clients.translated(f"poll of group {self._group!r}"):
            self._join()
            records, out_of_range = self._fetch(max_records)
            metadata = self._client.group_metadata()
            epoch, held, lost = self._assignment.take()
            changed = epoch != self._epoch
            if changed:
                metadata = self._client.group_metadata()
                self._start(epoch, held)
            self._watch(metadata.state)
            batches = () if changed else self._accept(records)
            deleted = () if changed else self._pass_deleted(out_of_range)
        return Polled(batches, held, lost, epoch, Generation(epoch, metadata, self._assignment), deleted)

    def _fetch(self, max_records: int) -> tuple[dict[Any, list[Any]], Mapping[Any, int]]:
        """The records of a poll, and the positions that are out of range."""
        try:
            return poll(self._client, POLL_MS, max_records), {}
        except kafka_errors.NoOffsetForPartitionError:
            return {}, {}  # assigned in the midst of the poll; `_start` puts it somewhere
        except kafka_errors.OffsetOutOfRangeError as error:
            return {}, error.args[0]

    def _pass_deleted(self, out_of_range: Mapping[Any, int]) -> tuple[OffsetRange, ...]:
        """Go on where the logs begin; gives what lies below that, which was deleted before it was read."""
        ranges = []
        for pair, offset in out_of_range.items():
            tp = TopicPartition(*pair)
            beginning = self._client.beginning_offsets([kafka_tp(tp)])[kafka_tp(tp)]
            if offset < beginning:
                ranges.append(OffsetRange(*tp, offset, beginning))
                self._client.seek(kafka_tp(tp), beginning)
                self._expected[tp] = beginning
            else:
                self._return_to(tp, offset)
        return tuple(ranges)

    def _join(self) -> None:
        coordinator = self._client._coordinator
        if coordinator.need_rejoin():
            coordinator.poll(timeout_ms=JOIN_MS)

    def _start(self, epoch: int, held: frozenset[TopicPartition]) -> None:
        """Puts every partition to its committed offset, or to the first kept, and pauses those to be paused."""
        firsts = self._client.beginning_offsets([kafka_tp(tp) for tp in sorted(held)]) if held else {}
        self._expected = {}
        for tp in sorted(held):
            committed = self.committed(tp)
            try:
                self.seek(tp, firsts[kafka_tp(tp)] if committed is None else committed.offset)
            except StaleGeneration:
                if self._assignment.epoch == epoch:
                    raise
                return  # the next rebalance is under way, and the next poll starts again
        self.pause(self._paused)

    def _watch(self, state: str) -> None:
        """Makes the client again when it has not been a stable member for long."""
        now = time.monotonic()
        if state == MemberState.STABLE:
            self._stable_at = now
        elif now - self._stable_at > STUCK_SECONDS:
            self._client.close(autocommit=False)
            self._assignment.drop()
            self._client = self._open()

    def _accept(self, records: dict[tuple[str, int], list[Any]]) -> tuple[RecordBatch, ...]:
        batches = []
        for pair, found in records.items():
            tp = TopicPartition(*pair)
            expected = self._expected.get(tp, 0)
            if found[0].offset < expected:
                self._return_to(tp, expected)
            else:
                self._expected[tp] = found[-1].offset + 1
                batches += record_batches(tp, found)
        return tuple(batches)

    def _return_to(self, tp: TopicPartition, expected: int) -> None:
        end = self._client.end_offsets([kafka_tp(tp)])[kafka_tp(tp)]
        if end < expected:
            raise BusError(
                f"{self._clients.name}: {tp.topic}/{tp.partition} ends at {end}, before the offset {expected} that"
                " was reached: the topic was created again or lost records; start the group from the beginning"
            )
        self.seek(tp, expected)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        try:
            self._client.seek(kafka_tp(tp), offset)
        except ValueError as error:
            raise StaleGeneration(f"{tp.topic}/{tp.partition} is not assigned to this consumer") from error
        self._expected[tp] = offset

    def position(self, tp: TopicPartition) -> int:
        try:
            with self._clients.translated("position"):
                position = self._client.position(kafka_tp(tp), timeout_ms=REQUEST_MS)
        except BusError as error:
            if isinstance(error.__cause__, kafka_errors.IllegalStateError | kafka_errors.NoOffsetForPartitionError):
                raise StaleGeneration(f"{tp.topic}/{tp.partition} is not assigned to this consumer") from error
            raise
        if position is None:
            raise BusError(f"{self._clients.name}: the position in {tp.topic}/{tp.partition} is not known yet")
        return int(position)

    def committed(self, tp: TopicPartition) -> Committed | None:
        with self._clients.translated(f"committed offset of group {self._group!r}"):
            found = self._client.committed(kafka_tp(tp), metadata=True, timeout_ms=COMMITTED_MS)
        return None if found is None or found.offset < 0 else Committed(found.offset, found.metadata or "")

    def pause(self, tps: frozenset[TopicPartition]) -> None:
        self._paused = tps
        assigned = {TopicPartition(*tp) for tp in self._client.assignment()}
        already = {TopicPartition(*tp) for tp in self._client.paused()}
        self._client.pause(*(kafka_tp(tp) for tp in sorted((tps & assigned) - already)))
        self._client.resume(*(kafka_tp(tp) for tp in sorted((already & assigned) - tps)))

    def close(self) -> None:
        self._client.close(autocommit=False, timeout_ms=REQUEST_MS)
