"""The port: what every bus offers to the runner, the command line and the tests.

One process, one thread uses a bus. The runner's loop is: `consumer.poll`, fold, `writer.commit`; then again.
The rules that every member keeps (tests/contracts/test_bus.py runs them over all three):

- Offsets rise strictly within a partition; they may have gaps.
- `Writer.commit` is atomic: all records and all committed offsets become visible, or none of them.
- Readers see committed records only.
- All records of a batch are stamped in one way, by the broker or by their senders; a poll may bring several batches of
  a partition, in order.
- A poll that changes the assignment brings no records, so that the caller can seek before the first of them. A
  partition that is new to a consumer starts at its group's committed offset, else at the first record kept.
- No reader skips what was deleted: a consumer whose position lies below the log's start reports the range and goes on
  from there, and `read` raises `RecordsLost`.
- `commit` under a generation that is no longer the consumer's raises `StaleGeneration` and changes nothing.
- After `TransactionFailed` the process ends: nobody may go on with that writer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from monitor.events import OffsetRange, Outgoing, RecordBatch, TopicPartition


class Committed(NamedTuple):
    """A group's committed offset of one partition, with its metadata string."""

    offset: int
    metadata: str


class OpenTransaction(NamedTuple):
    """A transaction that has written to a partition and has not ended; `start`: offset of its first record there.

    `writer` and `timeout_ms` (transactional id, and when its coordinator aborts it) are known where a coordinator looks
    after it. Where none does, it hangs: nobody will ever end it by himself.
    """

    producer_id: int
    epoch: int
    start: int
    writer: str | None = None
    timeout_ms: int | None = None

    def __str__(self) -> str:
        known = "" if self.timeout_ms is None else f" of {self.writer!r} with a time-out of {self.timeout_ms // 1000} s"
        return (
            f"a transaction{known} is open since offset {self.start} (producer {self.producer_id}, epoch {self.epoch})"
        )

    def remedy(self, bus: str, tp: TopicPartition) -> str:
        """The command that aborts it, for an administrator. `bus`: the bus's name."""
        return (
            f"kafka-transactions.sh --bootstrap-server {bus.removeprefix('kafka://')} abort --topic {tp.topic}"
            f" --partition {tp.partition} --start-offset {self.start}"
        )


class Needs(NamedTuple):
    """What a process is going to do on a bus, for a bus that knows users and rights.

    `inputs`: topics that it reads. `outputs`: those that it reads and writes, and creates if they are missing.
    `members`: group and instance of its consumers and writers.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Polled:
    """What one poll brought, and the assignment it belongs to.

    `assigned`: all partitions that are this consumer's now. `generation`: opaque to the caller, handed back to
    `Writer.commit`; two polls with an equal `epoch` have the same assignment. A partition that was lost and came
    back between two polls is in `revoked`, so that its state is dropped. `lost`: ranges before the batches that were
    deleted before this consumer read them, by retention or an administrator; its positions are behind them.
    """

    batches: tuple[RecordBatch, ...]
    assigned: frozenset[TopicPartition]
    revoked: frozenset[TopicPartition]
    epoch: int
    generation: object = field(repr=False, default=None)
    lost: tuple[OffsetRange, ...] = ()


class Consumer(Protocol):
    """A member of a consumer group (it gets its share of the topics' partitions)."""

    def poll(self, timeout_ms: int, max_records: int) -> Polled:
        """Records after each partition's position, waiting up to `timeout_ms` for the first."""

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go on from the first record at or after `offset`; what was deleted from there on, a poll reports as lost."""

    def position(self, tp: TopicPartition) -> int:
        """The offset that the next poll starts from; it moves over gaps at the end of a partition too."""

    def committed(self, tp: TopicPartition) -> Committed | None:
        """What the group committed last, or None at a first start."""

    def pause(self, tps: frozenset[TopicPartition]) -> None:
        """Exactly `tps` are paused from now on; all other partitions flow."""

    def close(self) -> None:
        """Leave; the group's committed offsets stay."""


class Writer(Protocol):
    """The transactional writer of one process."""

    def commit(
        self,
        outgoing: Sequence[Outgoing],
        offsets: Mapping[TopicPartition, Committed],
        polled: Polled | None,
    ) -> Mapping[TopicPartition, int]:
        """Write all records and commit all offsets of the consumer's group, atomically.

        `polled` is the poll that the work came from (None: no offsets). Returns the offset behind the last record
        written, for each partition that was written to: where a look at that output's tail may begin after a crash.
        Raises StaleGeneration, TransactionFailed.
        """

    def close(self) -> None: ...


class Sender(Protocol):
    """Plain, at-least-once writing, for traffic: `streamdrift produce`."""

    def send(self, outgoing: Outgoing) -> None:
        """Write one record, soon."""

    def flush(self) -> None:
        """Return when all that was sent is written; raises BusError where something was lost."""

    def close(self) -> None: ...


class Bus(Protocol):
    """One address: a Kafka cluster, a SQLite file, or memory."""

    name: str
    """What messages call it: `kafka://host:9092`, `sqlite:///drift.db`, `memory:`."""
    unsupported: frozenset[str]
    """What this member can't do and refuses by name: `sharing a group` (LeaseTaken)."""

    def check_rights(self, needs: Needs) -> None:
        """Raises BusError that names all rights which are lacking, where the bus knows users."""

    def partitions(self, topic: str) -> int | None:
        """Return the number of partitions, or None if there is no such topic."""

    def create(self, topic: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
        """Create the topic; where it exists (already or by a race) nothing happens.

        `config`: Kafka's topic settings (cleanup.policy, retention.ms, message.timestamp.type, ...).
        """

    def topics(self) -> tuple[str, ...]:
        """Names of all topics, sorted, without the transport's internal ones."""

    def beginning(self, tp: TopicPartition) -> int:
        """The log's start: all records below were deleted. Compaction, which leaves gaps, does not move it."""

    def end(self, tp: TopicPartition) -> int:
        """The high watermark: the offset that the next record would get, open transactions included."""

    def last_stable(self, tp: TopicPartition) -> int:
        """Return where readers stop: the first offset of the oldest open transaction, or the end if none is open."""

    def open_transactions(self, tp: TopicPartition) -> tuple[OpenTransaction, ...]:
        """Transactions that have written to the partition and have not ended, the oldest first."""

    def offset_at(self, tp: TopicPartition, time: int) -> int:
        """First offset whose stamp is at or after `time` (ms), or the end."""

    def read(self, tp: TopicPartition, start: int, end: int | None, timeout_ms: int) -> RecordBatch:
        """Committed records from `start` on, below `end` (None: no bound), without any group.

        Returns at most some thousand at once. Where only gaps or control records are left below `end` the batch is
        empty at once, and without `end` when `timeout_ms` passed. Raises BusError when it passed and `end` was not
        reached, naming the open transaction that stands before it; RecordsLost if `start` lies below the log's start.
        """

    def cluster_id(self) -> str:
        """Identifies the place, for messages."""

    def release(self) -> str:
        """What keeps the log there, and its release: `Kafka 4.1`."""

    def consumer(self, group: str, topics: Sequence[str], instance: str) -> Consumer: ...

    def writer(self, group: str, instance: str) -> Writer: ...

    def sender(self) -> Sender: ...

    def close(self) -> None:
        """Closes all consumers, writers and senders that it gave out, too."""
