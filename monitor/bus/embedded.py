"""The bus in a SQLite file, for one machine without a broker: topics, groups, transactions as Kafka has them.

A group is served by one process at a time: the holder of its lease, who gets all partitions.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from monitor.bus.lease import RENEW_MS, Lease
from monitor.bus.port import Committed, Needs, OpenTransaction, Polled
from monitor.bus.records import POLL_BYTES, choose_partition, now_ms, records_lost, share_out
from monitor.bus.sqlite_log import OFFSET_BITS, OFFSET_MASK, SqliteLog
from monitor.errors import BusError, StaleGeneration, TransactionFailed
from monitor.events import OffsetRange, Outgoing, RecordBatch, TopicPartition

READ_RECORDS = 5_000
SEND_RECORDS = 2_000
SEND_SECONDS = 0.05


class EmbeddedBus:
    """Topics and groups of one SQLite file. `clock`: stamps records and leases, ms."""

    unsupported: frozenset[str] = frozenset({"sharing a group"})

    def __init__(self, path: str, clock: Callable[[], int] = now_ms) -> None:
        self.name = f"sqlite:///{path}"
        self._clock = clock
        self._log = SqliteLog(path, clock)
        self._given = ExitStack()
        self._given.callback(self._log.close)

    def check_rights(self, needs: Needs) -> None:
        """Who may open the file may do everything."""

    def partitions(self, topic: str) -> int | None:
        found = self._log.topic(topic)
        return None if found is None else len(found.ids)

    def create(self, topic: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
        if self._log.topic(topic) is None:
            self._log.create(topic, partitions, config or {})

    def delete_before(self, tp: TopicPartition, offset: int) -> None:
        """Delete a partition's records below `offset`, as retention does on Kafka."""
        _, partition = self._log.partition(tp)
        with self._log.writing():
            self._log.delete_before(partition, offset)

    def topics(self) -> tuple[str, ...]:
        with self._log.reading():
            return tuple(sorted(name for (name,) in self._log.db.execute("SELECT name FROM topics")))

    def beginning(self, tp: TopicPartition) -> int:
        _, partition = self._log.partition(tp)
        with self._log.reading():
            return self._log.start(partition)

    def end(self, tp: TopicPartition) -> int:
        _, partition = self._log.partition(tp)
        with self._log.reading():
            return self._log.end(partition)

    def last_stable(self, tp: TopicPartition) -> int:
        return self.end(tp)

    def open_transactions(self, tp: TopicPartition) -> tuple[OpenTransaction, ...]:
        return ()

    def offset_at(self, tp: TopicPartition, time: int) -> int:
        _, partition = self._log.partition(tp)
        base = partition << OFFSET_BITS
        query = "SELECT id FROM records WHERE id>=? AND id<=? AND timestamp>=? ORDER BY id LIMIT 1"
        with self._log.reading():
            row = self._log.db.execute(query, (base, base | OFFSET_MASK, time)).fetchone()
            return self._log.end(partition) if row is None else int(row[0]) & OFFSET_MASK

    def read(self, tp: TopicPartition, start: int, end: int | None, timeout_ms: int) -> RecordBatch:
        _, partition = self._log.partition(tp)
        until = time.monotonic() + timeout_ms / 1000
        while True:
            with self._log.reading():
                written, beginning = self._log.end(partition), self._log.start(partition)
                if start < beginning:
                    raise records_lost(self.name, tp, start, beginning)
                until_offset = written if end is None else min(end, written)
                batch, _ = self._log.batch(tp, start, until_offset, READ_RECORDS, POLL_BYTES)
            left = until - time.monotonic()
            if batch or (end is not None and end <= written):
                return batch
            if left <= 0:
                if end is None:
                    return batch
                raise BusError(f"{self.name}: {tp.topic}/{tp.partition} ends at {written}, and {end} was asked for")
            self._log.wait(left)

    def cluster_id(self) -> str:
        with self._log.reading():
            return str(self._log.db.execute("SELECT id FROM place").fetchone()[0])

    def release(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def consumer(self, group: str, topics: Sequence[str], instance: str) -> EmbeddedConsumer:
        consumer = EmbeddedConsumer(self._log, Lease(self._log, self._clock, group, instance), group, topics)
        self._given.callback(consumer.close)
        return consumer

    def writer(self, group: str, instance: str) -> EmbeddedWriter:
        return EmbeddedWriter(self._log, self._clock, group, instance)

    def sender(self) -> EmbeddedSender:
        sender = EmbeddedSender(self._log)
        self._given.callback(sender.close)
        return sender

    def close(self) -> None:
        """Closes all that this bus gave out, too."""
        self._given.close()


class EmbeddedConsumer:
    """The one member of a group: it gets all partitions of its topics."""

    def __init__(self, log: SqliteLog, lease: Lease, group: str, topics: Sequence[str]) -> None:
        self._log = log
        self._lease = lease
        self._group = group
        self._topics = tuple(sorted(topics))
        self._positions: dict[TopicPartition, int] = {}
        self._paused: frozenset[TopicPartition] = frozenset()
        self._epoch = 0
        self._turn = 0

    def poll(self, timeout_ms: int, max_records: int) -> Polled:
        until = time.monotonic() + timeout_ms / 1000
        self._lease.renew()
        if self._assign():
            return self._polled(())
        while True:
            batches, lost = self._fetch(max_records)
            left = until - time.monotonic()
            if batches or lost or left <= 0:
                return self._polled(batches, lost)
            self._log.wait(min(left, RENEW_MS / 1000))
            self._lease.renew()

    def _polled(self, batches: tuple[RecordBatch, ...], lost: tuple[OffsetRange, ...] = ()) -> Polled:
        return Polled(batches, frozenset(self._positions), frozenset(), self._epoch, self._lease.owner, lost)

    def _assign(self) -> bool:
        """Takes up the partitions of topics that were made since; whether there are any."""
        known = {topic: self._log.topic(topic) for topic in self._topics}
        mine = {TopicPartition(name, p) for name, topic in known.items() if topic for p in range(len(topic.ids))}
        fresh = sorted(mine - self._positions.keys())
        for tp in fresh:
            committed = self.committed(tp)
            self._positions[tp] = self._start(tp) if committed is None else committed.offset
        self._epoch += bool(fresh) or self._epoch == 0
        return bool(fresh)

    def _start(self, tp: TopicPartition) -> int:
        _, partition = self._log.partition(tp)
        with self._log.reading():
            return self._log.start(partition)

    def _fetch(self, max_records: int) -> tuple[tuple[RecordBatch, ...], tuple[OffsetRange, ...]]:
        flowing = sorted(self._positions.keys() - self._paused)
        self._turn += 1
        cut = self._turn % len(flowing) if flowing else 0
        flowing = flowing[cut:] + flowing[:cut]
        batches, lost = [], []
        with self._log.reading():
            for tp in flowing:
                start = self._log.start(self._log.partition(tp)[1])
                if self._positions[tp] < start:
                    lost.append(OffsetRange(*tp, self._positions[tp], start))
                    self._positions[tp] = start
            ends = [self._log.end(self._log.partition(tp)[1]) for tp in flowing]
            waiting = [max(0, end - self._positions[tp]) for tp, end in zip(flowing, ends, strict=True)]
            shares = share_out(waiting, max_records)
            for tp, end, share in zip(flowing, ends, shares, strict=True):
                if share:
                    most = POLL_BYTES // len(flowing)
                    batch, self._positions[tp] = self._log.batch(tp, self._positions[tp], end, share, most)
                    if batch:
                        batches.append(batch)
        return tuple(batches), tuple(lost)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.position(tp)
        self._positions[tp] = offset

    def position(self, tp: TopicPartition) -> int:
        if tp not in self._positions:
            raise BusError(f"{tp.topic}/{tp.partition} is not assigned to this consumer")
        return self._positions[tp]

    def committed(self, tp: TopicPartition) -> Committed | None:
        query = "SELECT offset, metadata FROM committed WHERE grp=? AND topic=? AND number=?"
        with self._log.reading():
            row = self._log.db.execute(query, (self._group, *tp)).fetchone()
        return None if row is None else Committed(*row)

    def pause(self, tps: frozenset[TopicPartition]) -> None:
        self._paused = tps

    def close(self) -> None:
        self._lease.release()


class EmbeddedWriter:
    """The transactional writer of one name; a newer one of the same name fences it."""

    def __init__(self, log: SqliteLog, clock: Callable[[], int], group: str, instance: str) -> None:
        self._log = log
        self._clock = clock
        self._group = group
        self._name = name = f"{group}-{instance}"
        with log.writing():
            log.db.execute(
                "INSERT INTO writers VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1", (name,)
            )
            self._epoch = self._current()

    def _current(self) -> int:
        return int(self._log.db.execute("SELECT epoch FROM writers WHERE name=?", (self._name,)).fetchone()[0])

    def commit(
        self,
        outgoing: Sequence[Outgoing],
        offsets: Mapping[TopicPartition, Committed],
        polled: Polled | None,
    ) -> dict[TopicPartition, int]:
        if polled is None and offsets:
            raise ValueError("offsets are committed with the poll that they came from")
        try:
            with self._log.writing():
                self._refuse_stale(polled)
                ends = self._log.append(outgoing)
                rows = [(self._group, *tp, *committed) for tp, committed in offsets.items()]
                self._log.db.executemany("INSERT OR REPLACE INTO committed VALUES (?, ?, ?, ?, ?)", rows)
            return ends
        except StaleGeneration:
            raise
        except BusError as error:
            raise TransactionFailed(f"the commit was aborted: {error}") from error

    def _refuse_stale(self, polled: Polled | None) -> None:
        if self._current() != self._epoch:
            raise TransactionFailed(f"a newer writer {self._name!r} has fenced this one")
        if polled is not None:
            beat = "UPDATE leases SET heartbeat=? WHERE grp=? AND owner=?"
            if not self._log.db.execute(beat, (self._clock(), self._group, polled.generation)).rowcount:
                raise StaleGeneration(f"the lease of group {self._group!r} is another's since the poll")

    def close(self) -> None: ...


class EmbeddedSender:
    """Plain writing: at a low rate each record at once, in a burst some thousand in one transaction."""

    def __init__(self, log: SqliteLog) -> None:
        self._log = log
        self._waiting: list[Outgoing] = []
        self._flushed = 0.0

    def send(self, outgoing: Outgoing) -> None:
        topic = self._log.topic(outgoing.topic)
        choose_partition(outgoing, None if topic is None else len(topic.ids), 0)  # refused alone, before others wait
        self._waiting.append(outgoing)
        if len(self._waiting) >= SEND_RECORDS or time.monotonic() - self._flushed >= SEND_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            with self._log.writing():
                self._log.append(self._waiting)
            self._waiting.clear()
        self._flushed = time.monotonic()

    def close(self) -> None:
        self.flush()
