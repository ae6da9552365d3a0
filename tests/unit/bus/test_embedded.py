"""The SQLite file: leases, foreign files, several processes, crashes, compaction."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.bus.embedded import EmbeddedBus
from monitor.bus.lease import LEASE_MS
from monitor.bus.port import Committed
from monitor.bus.records import POLL_BYTES
from monitor.errors import BusError, BusUnreachable, LeaseTaken, StaleGeneration, TransactionFailed
from monitor.events import Outgoing, TopicPartition

T0 = 1_700_000_000_000


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "bus.db")


def sql(path: str, statement: str, *values: object) -> None:
    """Changes the file behind the bus's back."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement, values)
    connection.close()


def gone_pid() -> int:
    """A pid that was a process's and is nobody's now."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_poll_of_large_records_is_bounded_in_bytes(path: str) -> None:
    """It hands out at most so many bytes but for the first record of each partition, and loses none."""
    bus = EmbeddedBus(path)
    bus.create("t", 2)
    sender = bus.sender()
    for i in range(40):
        sender.send(Outgoing("t", i % 2, None, b"%02d" % i + b"x" * 3_000_000))
    sender.flush()
    consumer = bus.consumer("g", ["t"], "a")
    consumer.poll(0, 5000)  # joins
    polls: list[list[bytes]] = []
    while not polls or polls[-1]:
        batches = consumer.poll(0, 5000).batches
        polls.append([value[:2] for batch in batches for value in batch.values if value is not None])
        assert sum(len(value or b"") for batch in batches for value in batch.values) <= POLL_BYTES + 2 * 3_000_002
    assert sorted(first for poll in polls for first in poll) == [b"%02d" % i for i in range(40)]
    whole = bus.read(TopicPartition("t", 0), 0, None, 0)
    assert POLL_BYTES <= sum(len(value or b"") for value in whole.values) < POLL_BYTES + 3_000_002
    bus.close()


def test_the_second_consumer_learns_who_serves_the_group(path: str) -> None:
    """Process, host and instance of the holder are in the message; another group is free."""
    first, second = EmbeddedBus(path), EmbeddedBus(path)
    first.create("t", 1)
    first.consumer("g", ["t"], "one")
    with pytest.raises(LeaseTaken, match=rf"process {os.getpid()} on {socket.gethostname()} \(instance 'one'\)"):
        second.consumer("g", ["t"], "two")
    second.consumer("other", ["t"], "two")
    first.close()
    second.consumer("g", ["t"], "two")
    second.close()


def test_the_lease_of_a_process_that_is_gone_is_free_at_once(path: str, clock: Clock) -> None:
    """A killed process need not be waited for."""
    bus = EmbeddedBus(path, clock)
    row = ("g", "dead", "one", socket.gethostname(), gone_pid(), T0)
    sql(path, "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?)", *row)
    bus.consumer("g", ["t"], "two")
    bus.close()


def test_a_holder_of_our_own_pid_that_is_not_ours_is_gone(path: str, clock: Clock) -> None:
    """A restarted container gives its process the pid of the dead one."""
    bus = EmbeddedBus(path, clock)
    row = ("g", "dead", "one", socket.gethostname(), os.getpid(), T0)
    sql(path, "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?)", *row)
    bus.consumer("g", ["t"], "two")
    bus.close()


def test_a_holder_on_another_host_is_judged_by_its_heartbeat_alone(path: str, clock: Clock) -> None:
    """Its pid says nothing here."""
    bus = EmbeddedBus(path, clock)
    sql(path, "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?)", "g", "far", "one", "elsewhere", gone_pid(), T0)
    clock.now = T0 + LEASE_MS - 1
    with pytest.raises(LeaseTaken, match="elsewhere"):
        bus.consumer("g", ["t"], "two")
    clock.now = T0 + LEASE_MS
    bus.consumer("g", ["t"], "two")
    bus.close()


def test_a_silent_holder_is_taken_over_and_its_commit_changes_nothing(path: str, clock: Clock) -> None:
    """Its commit raises StaleGeneration, its poll LeaseTaken naming the taker, and nothing of it is written."""
    bus, taker = EmbeddedBus(path, clock), EmbeddedBus(path, clock)
    bus.create("t", 1)
    consumer, writer = bus.consumer("g", ["t"], "one"), bus.writer("g", "one")
    polled = consumer.poll(0, 10)
    clock.now += LEASE_MS
    newer = taker.consumer("g", ["t"], "two")
    tp = TopicPartition("t", 0)
    with pytest.raises(StaleGeneration):
        writer.commit([Outgoing("t", 0, None, b"stale")], {tp: Committed(0, "stale")}, polled)
    with pytest.raises(LeaseTaken, match="'two'"):
        consumer.poll(0, 10)
    assert bus.end(tp) == 0
    assert newer.committed(tp) is None
    bus.close()
    taker.close()


@pytest.mark.parametrize("sign", ["poll", "commit"])
def test_polls_and_commits_keep_the_lease(path: str, clock: Clock, sign: str) -> None:
    """Either is a sign of life."""
    bus = EmbeddedBus(path, clock)
    bus.create("t", 1)
    consumer, writer = bus.consumer("g", ["t"], "one"), bus.writer("g", "one")
    polled = consumer.poll(0, 10)
    for _ in range(4):
        clock.now += LEASE_MS // 2
        if sign == "poll":
            consumer.poll(0, 10)
        else:
            writer.commit([], {}, polled)
    second = EmbeddedBus(path, clock)
    with pytest.raises(LeaseTaken):
        second.consumer("g", ["t"], "two")
    second.close()
    bus.close()


def test_a_missing_folder_is_unreachable(tmp_path: Path) -> None:
    """The message names the folder, and no folder is made."""
    with pytest.raises(BusUnreachable, match="missing does not exist"):
        EmbeddedBus(str(tmp_path / "missing" / "bus.db"))
    with pytest.raises(BusUnreachable, match="unable to open"):
        EmbeddedBus(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused_untouched(path: str) -> None:
    """Neither text nor a cut-off header becomes a bus."""
    for content in (b"timestamp,value\n" * 100, b"SQLite format 3\0" + b"\x10\0\1\1" + b"x" * 50):
        Path(path).write_bytes(content)
        with pytest.raises(BusError, match="not a database"):
            EmbeddedBus(path)
        assert Path(path).read_bytes() == content


def test_a_database_of_somebody_else_is_refused_untouched(path: str) -> None:
    """A SQLite file that is not ours gets no tables of ours."""
    sql(path, "CREATE TABLE customers (name TEXT)")
    before = Path(path).read_bytes()
    with pytest.raises(BusError, match="not one of Streamdrift's"):
        EmbeddedBus(path)
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("version", [1, 3])
def test_a_file_of_another_version_is_refused(path: str, version: int) -> None:
    """The message names both formats, and the remedy."""
    EmbeddedBus(path).close()
    sql(path, f"PRAGMA user_version={version}")
    with pytest.raises(BusError, match=f"format {version}, and this program knows 2; name another file"):
        EmbeddedBus(path)


def test_an_empty_file_becomes_a_bus(path: str) -> None:
    """A process that died before its first write leaves one."""
    Path(path).touch()
    bus = EmbeddedBus(path)
    bus.create("t", 2)
    assert bus.partitions("t") == 2
    bus.close()


def test_compaction_leaves_gaps_in_memory_of_what_was_replaced(path: str) -> None:
    """Only the newest record of a key is kept, within a commit and over commits, and across processes."""
    bus = EmbeddedBus(path)
    bus.create("t", 1, {"cleanup.policy": "compact"})
    writer = bus.writer("g", "a")
    writer.commit([Outgoing("t", 0, b"a", b"1"), Outgoing("t", 0, b"b", b"1"), Outgoing("t", 0, b"a", b"2")], {}, None)
    other = EmbeddedBus(path)
    other.writer("g", "b").commit([Outgoing("t", 0, b"b", b"2"), Outgoing("t", 0, None, b"keyless")], {}, None)
    batch = bus.read(TopicPartition("t", 0), 0, None, 0)
    assert (list(batch.offsets), list(batch.values)) == ([2, 3, 4], [b"2", b"2", b"keyless"])
    assert bus.beginning(TopicPartition("t", 0)) == 0
    bus.close()
    other.close()


def test_an_error_of_the_disk_in_a_commit_is_a_failed_transaction(path: str) -> None:
    """And the commit before it stays whole."""
    bus = EmbeddedBus(path)
    bus.create("t", 1)
    writer = bus.writer("g", "a")
    writer.commit([Outgoing("t", 0, None, b"1")], {}, None)
    bus._log.db.execute("PRAGMA max_page_count=1")  # as a full disk: SQLite has no room for one more page
    with pytest.raises(TransactionFailed, match="full"):
        writer.commit([Outgoing("t", 0, None, bytes(1_000_000))], {}, None)
    assert bus.end(TopicPartition("t", 0)) == 1
    bus.close()


WRITES = """
import sys
from monitor.bus.embedded import EmbeddedBus
from monitor.events import Outgoing
bus = EmbeddedBus(sys.argv[1])
bus.create("t", 2)
writer = bus.writer("g", sys.argv[2])
for i in range(int(sys.argv[3])):
    name = b"%s/%d" % (sys.argv[2].encode(), i)
    writer.commit([Outgoing("t", 0, None, name), Outgoing("t", 1, None, name)], {}, None)
    print(i, flush=True)
"""


def writes(path: str, name: str, commits: int) -> subprocess.Popen[str]:
    """A process that commits `commits` times to both partitions, and says so after each."""
    command = [sys.executable, "-c", WRITES, path, name, str(commits)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_write_at_once_and_every_commit_is_whole(path: str) -> None:
    """Three processes open a new file together; each one's records are all there, in its order, in both partitions."""
    processes = [writes(path, name, 40) for name in ("a", "b", "c")]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    bus = EmbeddedBus(path)
    zero, one = (list(bus.read(TopicPartition("t", p), 0, None, 0).values) for p in (0, 1))
    assert zero == one
    for name in ("a", "b", "c"):
        own = [value for value in zero if value is not None and value.startswith(name.encode())]
        assert own == [b"%s/%d" % (name.encode(), i) for i in range(40)]
    bus.close()


@pytest.mark.parametrize("after", [1, 7, 23])
def test_kill_9_leaves_whole_commits_only(path: str, after: int) -> None:
    """Everything that was acknowledged is there, and both partitions have the same."""
    process = writes(path, "a", 100_000)
    assert process.stdout is not None
    for _ in range(after):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    bus = EmbeddedBus(path)
    zero, one = (list(bus.read(TopicPartition("t", p), 0, None, 0).values) for p in (0, 1))
    assert zero == one
    assert len(zero) >= after
    bus.close()


def test_a_waiting_poll_sees_what_another_process_writes(path: str) -> None:
    """It comes back with the records, long before its time is up."""
    bus = EmbeddedBus(path)
    bus.create("t", 2)
    consumer = bus.consumer("g", ["t"], "a")
    consumer.poll(0, 10)
    process = writes(path, "w", 1)
    polled = consumer.poll(60_000, 10)
    assert polled.batches
    process.communicate(timeout=60)
    bus.close()


def test_a_topic_made_later_joins_the_assignment(path: str) -> None:
    """It is a new epoch, and nothing is revoked."""
    bus = EmbeddedBus(path)
    bus.create("a", 1)
    consumer = bus.consumer("g", ["a", "b"], "one")
    first = consumer.poll(0, 10)
    bus.create("b", 1)
    second = consumer.poll(0, 10)
    assert second.assigned - first.assigned == {TopicPartition("b", 0)}
    assert second.epoch > first.epoch
    assert second.revoked == frozenset()
    bus.close()
