"""Topics as an append-only log in one SQLite file: opening it, transactions, appending and reading records.

Several processes use the file at once. WAL lets readers go on beside the one writer; `BEGIN IMMEDIATE` puts
writers in a row, so offsets are given in the order of commits and a reader never sees a hole that fills later.
`synchronous=FULL`: under NORMAL a power cut would keep the file whole but forget the last commits, although
its sender believes that they are safe. The price, one fsync a commit, is paid once a batch.

A record's row id is its partition's id and its offset in one integer, so that the one B-tree of the table is the
index as well: a partition is a range of it.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import msgspec

from monitor.bus.records import choose_partition, is_compacted, is_stamped
from monitor.errors import BusError, BusUnreachable
from monitor.events import Headers, Outgoing, RecordBatch, TopicPartition

APPLICATION = 0x53445246  # "SDRF" in the file's header: tells our files from other people's
VERSION = 2
OFFSET_BITS = 40
OFFSET_MASK = (1 << OFFSET_BITS) - 1
BUSY_SECONDS = 30.0
WAIT_SECONDS = 0.01

SCHEMA = (
    "CREATE TABLE place (id TEXT NOT NULL)",
    "CREATE TABLE topics (name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, config TEXT NOT NULL)",
    "CREATE TABLE partitions (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, number INTEGER NOT NULL,"
    " start INTEGER NOT NULL DEFAULT 0, end INTEGER NOT NULL DEFAULT 0, UNIQUE (topic, number))",
    "CREATE TABLE records (id INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, key BLOB, value BLOB, headers BLOB)",
    "CREATE TABLE newest (partition INTEGER NOT NULL, key BLOB NOT NULL, record INTEGER NOT NULL,"
    " PRIMARY KEY (partition, key)) WITHOUT ROWID",
    "CREATE TABLE committed (grp TEXT NOT NULL, topic TEXT NOT NULL, number INTEGER NOT NULL,"
    " offset INTEGER NOT NULL, metadata TEXT NOT NULL, PRIMARY KEY (grp, topic, number)) WITHOUT ROWID",
    "CREATE TABLE leases (grp TEXT PRIMARY KEY, owner TEXT NOT NULL, instance TEXT NOT NULL, host TEXT NOT NULL,"
    " pid INTEGER NOT NULL, heartbeat INTEGER NOT NULL)",
    "CREATE TABLE writers (name TEXT PRIMARY KEY, epoch INTEGER NOT NULL)",
)


class Topic(NamedTuple):
    """A topic of the file; `ids` are its partitions' row ids, by number."""

    ids: tuple[int, ...]
    compacted: bool
    stamped: bool


class SqliteLog:
    """The file, opened (and made if there is none) by this process."""

    def __init__(self, path: str, clock: Callable[[], int]) -> None:
        self._path = path
        self._clock = clock
        self._topics: dict[str, Topic] = {}
        self._turn = count()
        if not Path(path).parent.is_dir():
            raise BusUnreachable(f"{path}: the folder {Path(path).parent} does not exist; create it first")
        with self._translated():
            try:
                self.db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
                self.db.execute("PRAGMA schema_version")
            except sqlite3.OperationalError as error:
                raise BusUnreachable(f"{path}: {error}") from error
            try:
                self._prepare()
            except BaseException:
                self.db.close()
                raise

    def _prepare(self) -> None:
        self._check()
        self._use_wal()
        self.db.execute("PRAGMA synchronous=FULL")
        with self.writing():
            if self.db.execute("PRAGMA application_id").fetchone()[0] == 0:
                for statement in SCHEMA:
                    self.db.execute(statement)
                self.db.execute("INSERT INTO place VALUES (?)", (str(uuid.uuid4()),))
                self.db.execute(f"PRAGMA application_id={APPLICATION}")
                self.db.execute(f"PRAGMA user_version={VERSION}")
        self._check()

    def _check(self) -> None:
        """Refuses a file that is somebody else's, or of a newer version, before anything is changed in it."""
        application = self.db.execute("PRAGMA application_id").fetchone()[0]
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        tables = self.db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application != APPLICATION and (application or tables):
            raise BusError(f"{self._path}: a SQLite file, but not one of Streamdrift's; name another file")
        if application == APPLICATION and version != VERSION:
            raise BusError(
                f"{self._path}: written in format {version}, and this program knows {VERSION}; name another file"
            )

    def _use_wal(self) -> None:
        """Switches the file to WAL; SQLite's own busy time-out does not cover this statement."""
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self.db.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() >= until:
                    raise
                time.sleep(WAIT_SECONDS)

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise BusError(f"{self._path}: {error}") from error

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One snapshot of the file for all that is read inside."""
        with self._translated():
            self.db.execute("BEGIN")
            try:
                yield
            finally:
                self.db.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all that is written inside, or nothing of it when an exception leaves the block."""
        with self._translated():
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    def wait(self, seconds: float) -> None:
        """Returns when another process has written, or after `seconds`."""
        until = time.monotonic() + seconds
        with self._translated():
            version = self._version()
            while (left := until - time.monotonic()) > 0 and self._version() == version:
                time.sleep(min(WAIT_SECONDS, left))

    def _version(self) -> int:
        return int(self.db.execute("PRAGMA data_version").fetchone()[0])

    def create(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        with self.writing():
            row = (name, partitions, json.dumps(dict(config), sort_keys=True))
            if self.db.execute("INSERT OR IGNORE INTO topics VALUES (?, ?, ?)", row).rowcount:
                numbers = [(name, number) for number in range(partitions)]
                self.db.executemany("INSERT INTO partitions (topic, number) VALUES (?, ?)", numbers)

    def topic(self, name: str) -> Topic | None:
        """What the file knows of the topic. A topic never changes, so a found one is remembered."""
        if name not in self._topics:
            with self._translated():
                found = self.db.execute("SELECT config FROM topics WHERE name=?", (name,)).fetchone()
                ids = self.db.execute("SELECT id FROM partitions WHERE topic=? ORDER BY number", (name,)).fetchall()
            if found is None:
                return None
            config = json.loads(found[0])
            self._topics[name] = Topic(tuple(id for (id,) in ids), is_compacted(config), is_stamped(config))
        return self._topics[name]

    def partition(self, tp: TopicPartition) -> tuple[Topic, int]:
        """The topic, and the partition's id."""
        topic = self.topic(tp.topic)
        if topic is None or not 0 <= tp.partition < len(topic.ids):
            raise BusError(f"{self._path}: there is no partition {tp.partition} of topic {tp.topic!r}")
        return topic, topic.ids[tp.partition]

    def start(self, partition: int) -> int:
        """Return where a partition's log starts, by its id; inside `reading` or `writing`."""
        return int(self.db.execute("SELECT start FROM partitions WHERE id=?", (partition,)).fetchone()[0])

    def end(self, partition: int) -> int:
        """The next offset of a partition, by its id; inside `reading` or `writing`."""
        return int(self.db.execute("SELECT end FROM partitions WHERE id=?", (partition,)).fetchone()[0])

    def delete_before(self, partition: int, offset: int) -> None:
        """A partition's log starts at `offset` from now on, where it started before that; inside `writing`."""
        base, start = partition << OFFSET_BITS, max(self.start(partition), min(offset, self.end(partition)))
        self.db.execute("UPDATE partitions SET start=? WHERE id=?", (start, partition))
        self.db.execute("DELETE FROM records WHERE id>=? AND id<?", (base, base + start))
        self.db.execute("DELETE FROM newest WHERE partition=? AND record<?", (partition, base + start))

    def batch(self, tp: TopicPartition, start: int, end: int, limit: int, most_bytes: int) -> tuple[RecordBatch, int]:
        """Records of [start, end), at most `limit` and, but for the first, `most_bytes`; and where to go on from.

        Inside `reading`.
        """
        topic, partition = self.partition(tp)
        base = partition << OFFSET_BITS
        found = self.db.execute(
            "SELECT id, timestamp, key, value, headers FROM records WHERE id>=? AND id<? ORDER BY id LIMIT ?",
            (base + start, base + end, limit),
        )
        rows, size = [], 0
        for row in found:
            rows.append(row)
            size += len(row[3] or b"")
            if size >= most_bytes:
                break
        found.close()
        is_cut = len(rows) == limit or size >= most_bytes
        ids, timestamps, keys, values, headers = zip(*rows, strict=True) if rows else ((), (), (), (), ())
        offsets = [id & OFFSET_MASK for id in ids]
        batch = RecordBatch(
            tp.topic,
            tp.partition,
            offsets,
            timestamps,
            keys,
            values,
            [() if packed is None else _unpack(packed) for packed in headers],
            topic.stamped,
        )
        return batch, offsets[-1] + 1 if is_cut and offsets else end

    def append(self, outgoing: Sequence[Outgoing]) -> dict[TopicPartition, int]:
        """Appends all records, inside `writing`; gives the offset behind the last of each partition."""
        now = self._clock()
        ends: dict[int, int] = {}
        behind: dict[TopicPartition, int] = {}
        rows: dict[int, tuple[int, int, bytes | None, bytes | None, bytes | None]] = {}
        newest: dict[tuple[int, bytes], int] = {}
        for record in outgoing:  # offsets are given one by one
            topic = self.topic(record.topic)
            number = choose_partition(record, None if topic is None else len(topic.ids), next(self._turn))
            tp = TopicPartition(record.topic, number)
            topic, partition = self.partition(tp)
            offset = ends[partition] if partition in ends else self.end(partition)
            ends[partition] = behind[tp] = offset + 1
            id = partition << OFFSET_BITS | offset
            stamp = now if topic.stamped or record.timestamp is None else record.timestamp
            rows[id] = (id, stamp, record.key, record.value, _pack(record.headers) if record.headers else None)
            if topic.compacted and record.key is not None:
                rows.pop(newest.get((partition, record.key), -1), None)
                newest[partition, record.key] = id
        self._compact(newest)
        self.db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?)", rows.values())
        self.db.executemany("UPDATE partitions SET end=? WHERE id=?", [(end, id) for id, end in ends.items()])
        return behind

    def _compact(self, newest: Mapping[tuple[int, bytes], int]) -> None:
        """Deletes the records that those of the same key replace."""
        self.db.executemany(
            "DELETE FROM records WHERE id=(SELECT record FROM newest WHERE partition=? AND key=?)", newest.keys()
        )
        rows = [(partition, key, id) for (partition, key), id in newest.items()]
        self.db.executemany("INSERT OR REPLACE INTO newest VALUES (?, ?, ?)", rows)


_pack = msgspec.msgpack.Encoder().encode
_unpack: Callable[[bytes], Headers] = msgspec.msgpack.Decoder(Headers).decode
