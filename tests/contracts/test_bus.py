"""What every bus promises, run over all three members; what one can't do is declared, and its refusal tested."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from monitor.bus.address import open_bus
from monitor.bus.embedded import EmbeddedBus
from monitor.bus.memory import MemoryBus
from monitor.bus.port import Bus, Committed, Consumer, Polled
from monitor.errors import BusError, LeaseTaken, RecordsLost, StaleGeneration, TransactionFailed
from monitor.events import OffsetRange, Outgoing, RecordBatch, TopicPartition
from tests.kafka.retention import delete_before

WAIT_MS = 10_000
SHORT_MS = 100


class Place:
    """One place, at which `open` gives a bus of its own to each process that a test plays."""

    def __init__(self, open_one: Callable[[], Bus]) -> None:
        self._open_one = open_one
        self._opened: list[Bus] = []
        self._run = uuid.uuid4().hex[:8]
        self.bus = self.open()

    def open(self) -> Bus:
        self._opened.append(self._open_one())
        return self._opened[-1]

    def name(self, word: str) -> str:
        """A topic's or group's name that no other test uses."""
        return f"{word}-{self._run}"

    def topic(self, word: str = "t", partitions: int = 1, config: dict[str, str] | None = None) -> str:
        self.bus.create(self.name(word), partitions, config)
        return self.name(word)

    def delete_before(self, tp: TopicPartition, offset: int) -> None:
        """Retention moves the log's start to `offset`."""
        if isinstance(self.bus, MemoryBus | EmbeddedBus):
            self.bus.delete_before(tp, offset)
        else:
            delete_before(self.bus.name, tp, offset)

    def close(self) -> None:
        for bus in self._opened:
            bus.close()


@pytest.fixture(params=["memory", "memory with markers", "embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each member in turn."""
    if request.param == "kafka":
        url = f"kafka://{request.getfixturevalue('kafka_address')}"
        place = Place(lambda: open_bus(url))
    elif request.param == "embedded":
        place = Place(lambda: open_bus(f"sqlite:///{tmp_path}/bus.db"))
    else:
        memory = MemoryBus(markers=request.param != "memory")
        place = Place(lambda: memory)
    yield place
    place.close()


def joined(consumer: Consumer) -> Polled:
    """Polls until the consumer has partitions."""
    for _ in range(30):
        polled = consumer.poll(WAIT_MS, 100)
        if polled.assigned:
            return polled
    raise AssertionError("the consumer got no partition")


def gathered(consumer: Consumer, count: int) -> tuple[list[RecordBatch], Polled]:
    """Polls until `count` records came; the last poll belongs to them."""
    batches: list[RecordBatch] = []
    for _ in range(50):
        polled = consumer.poll(WAIT_MS, 100)
        batches += polled.batches
        if sum(map(len, batches)) >= count:
            return batches, polled
    raise AssertionError(f"{sum(map(len, batches))} of {count} records came")


def read_all(bus: Bus, topic: str, partition: int = 0) -> list[tuple[int, bytes | None, bytes | None]]:
    """All committed records of a partition below the high watermark: offset, key, value."""
    tp = TopicPartition(topic, partition)
    found: list[tuple[int, bytes | None, bytes | None]] = []
    start, end = bus.beginning(tp), bus.end(tp)
    while batch := bus.read(tp, start, end, WAIT_MS):
        found += zip(batch.offsets, batch.keys, batch.values, strict=True)
        start = batch.offsets[-1] + 1
    return found


def values(bus: Bus, topic: str, partition: int = 0) -> list[bytes | None]:
    return [value for _, _, value in read_all(bus, topic, partition)]


def send(bus: Bus, topic: str, *payload: bytes, partition: int = 0) -> None:
    sender = bus.sender()
    for value in payload:
        sender.send(Outgoing(topic, partition, None, value))
    sender.flush()
    sender.close()


def test_a_topic_has_its_partitions_and_creating_it_again_changes_nothing(place: Place) -> None:
    """`create` is idempotent, also from another process; `partitions` of what is not there is None."""
    assert place.bus.partitions(place.name("t")) is None
    topic = place.topic("t", 3)
    place.open().create(topic, 5, {"retention.ms": "1000"})
    assert place.bus.partitions(topic) == 3
    assert topic in place.bus.topics()
    assert list(place.bus.topics()) == sorted(place.bus.topics())
    assert not [name for name in place.bus.topics() if name.startswith("__")]


def test_reading_below_the_logs_start_is_refused(place: Place) -> None:
    """What was deleted is no gap: the error says which offsets are gone and where the log starts."""
    topic = place.topic()
    tp = TopicPartition(topic, 0)
    send(place.bus, topic, *(b"%d" % i for i in range(10)))
    assert values(place.bus, topic)[0] == b"0"
    place.delete_before(tp, 4)
    assert (place.bus.beginning(tp), place.bus.end(tp)) == (4, 10)
    for start in (0, 3):
        for end in (None, 6, 10):
            with pytest.raises(RecordsLost, match=f"offsets {start} to 4 of {topic}/0 were deleted") as caught:
                place.bus.read(tp, start, end, WAIT_MS)
            assert caught.value.beginning == 4
    assert list(place.bus.read(tp, 4, 6, WAIT_MS).values) == [b"4", b"5"]
    place.delete_before(tp, 10)
    with pytest.raises(RecordsLost, match="offsets 6 to 10"):
        place.bus.read(tp, 6, None, WAIT_MS)
    assert not place.bus.read(tp, 10, None, SHORT_MS)
    send(place.bus, topic, b"next")
    assert read_all(place.bus, topic) == [(10, None, b"next")]


def _lost(consumer: Consumer, count: int) -> tuple[list[OffsetRange], list[int]]:
    """What polls report as lost, and the offsets that they bring, until there are `count` of these."""
    lost: list[OffsetRange] = []
    offsets: list[int] = []
    for _ in range(50):
        polled = consumer.poll(SHORT_MS if count == 0 else WAIT_MS, 5)
        lost += polled.lost
        offsets += [offset for batch in polled.batches for offset in batch.offsets]
        if len(offsets) >= count and (count or lost):
            break
    return lost, offsets


def test_a_consumer_that_retention_overtakes_reports_what_it_has_lost(place: Place) -> None:
    """Once, before it goes on from the log's start; what lies behind its position is no loss."""
    topic = place.topic("t", 2)
    tp = TopicPartition(topic, 0)
    send(place.bus, topic, *(b"%d" % i for i in range(20)))
    consumer = place.bus.consumer(place.name("g"), [topic], "a")
    joined(consumer)
    assert _lost(consumer, 20) == ([], list(range(20)))
    place.delete_before(tp, 20)
    send(place.bus, topic, *(b"%d" % i for i in range(20, 40)))
    assert _lost(consumer, 20) == ([], list(range(20, 40)))
    send(place.bus, topic, *(b"%d" % i for i in range(40, 60)))
    consumer.seek(tp, 22)
    place.delete_before(tp, 45)
    assert _lost(consumer, 15) == ([OffsetRange(*tp, 22, 45)], list(range(45, 60)))
    assert consumer.position(tp) == 60
    consumer.close()


def test_a_consumer_that_comes_too_late_reports_what_it_has_lost(place: Place) -> None:
    """Its group's committed offset lies below the log's start; a group that has none begins at that, without a loss."""
    topic = place.topic()
    tp = TopicPartition(topic, 0)
    send(place.bus, topic, *(b"%d" % i for i in range(10)))
    consumer, writer = place.bus.consumer(place.name("g"), [topic], "a"), place.bus.writer(place.name("g"), "a")
    joined(consumer)
    _, polled = gathered(consumer, 10)
    writer.commit([], {tp: Committed(3, "")}, polled)
    consumer.close()
    place.delete_before(tp, 7)
    again = place.open().consumer(place.name("g"), [topic], "a")
    joined(again)
    assert _lost(again, 3) == ([OffsetRange(*tp, 3, 7)], [7, 8, 9])
    again.close()
    fresh = place.open().consumer(place.name("fresh"), [topic], "a")
    joined(fresh)
    assert _lost(fresh, 3) == ([], [7, 8, 9])
    fresh.close()


def test_what_is_lost_up_to_the_end_is_reported_without_any_record(place: Place) -> None:
    """A poll need not bring records to bring that."""
    topic = place.topic()
    tp = TopicPartition(topic, 0)
    send(place.bus, topic, *(b"%d" % i for i in range(10)))
    consumer = place.bus.consumer(place.name("g"), [topic], "a")
    joined(consumer)
    _lost(consumer, 10)
    consumer.seek(tp, 2)
    place.delete_before(tp, 10)
    assert _lost(consumer, 0) == ([OffsetRange(*tp, 2, 10)], [])
    assert consumer.position(tp) == 10
    consumer.close()


def test_looking_for_a_topic_does_not_make_it(place: Place) -> None:
    """The user's topics are never created: neither by looking, nor by subscribing, nor by writing."""
    missing = place.name("missing")
    assert place.bus.partitions(missing) is None
    consumer = place.bus.consumer(place.name("g"), [missing], "a")
    assert consumer.poll(SHORT_MS, 10).assigned == frozenset()
    consumer.close()
    assert place.bus.partitions(missing) is None


def test_records_come_in_order_with_all_that_was_written(place: Place) -> None:
    """Offsets rise; key, value, headers and time are what was sent; tombstones and keyless records too."""
    topic = place.topic()
    sent = [
        Outgoing(topic, 0, b"k", b"v", (("a", b"1"), ("a", b"2"), ("b", b"")), 1_700_000_000_123),
        Outgoing(topic, 0, None, b"", (), 5),
        Outgoing(topic, 0, b"", None, (), 1_700_000_000_000),
        Outgoing(topic, 0, b"big", bytes(range(256)) * 3_906, (), 7),
    ]
    place.bus.writer(place.name("g"), "a").commit(sent, {}, None)
    tp = TopicPartition(topic, 0)
    batch = place.open().read(tp, 0, None, WAIT_MS)
    assert batch.tp == tp
    assert list(batch.offsets) == [0, 1, 2, 3]
    assert list(batch.keys) == [o.key for o in sent]
    assert list(batch.values) == [o.value for o in sent]
    assert list(batch.headers) == [o.headers for o in sent]
    assert list(batch.timestamps) == [o.timestamp for o in sent]
    assert not batch.log_append_time


def test_a_key_always_goes_to_one_partition_and_keyless_records_to_some(place: Place) -> None:
    """Without a partition of its own, a record's key chooses it."""
    topic = place.topic("t", 4)
    sender = place.bus.sender()
    for i in range(40):
        sender.send(Outgoing(topic, None, b"k%d" % (i % 8), b"%d" % i))
        sender.send(Outgoing(topic, None, None, b"x"))
    sender.close()
    homes: dict[bytes | None, set[int]] = {}
    for partition in range(4):
        for _, key, _ in read_all(place.bus, topic, partition):
            homes.setdefault(key, set()).add(partition)
    assert len(homes) == 9
    assert all(len(partitions) == 1 for key, partitions in homes.items() if key is not None)
    assert len({min(partitions) for key, partitions in homes.items() if key is not None}) > 1


def test_a_stamping_topic_is_known_as_one(place: Place) -> None:
    """Under LogAppendTime the bus's own stamp replaces the sender's, and every batch tells it."""
    topic = place.topic("t", 1, {"message.timestamp.type": "LogAppendTime"})
    plain = place.topic("plain")
    for name in (topic, plain):
        place.bus.writer(place.name("g"), name).commit([Outgoing(name, 0, None, b"v", (), 5)], {}, None)
    stamped = place.bus.read(TopicPartition(topic, 0), 0, None, WAIT_MS)
    assert stamped.log_append_time
    assert stamped.timestamps[0] > 1_600_000_000_000
    assert not place.bus.read(TopicPartition(plain, 0), 0, None, WAIT_MS).log_append_time


def test_offsets_can_be_looked_up(place: Place) -> None:
    """`beginning`, `end` and the first offset at or after a time; past the last record that is the end."""
    topic = place.topic("t", 2)
    tp = TopicPartition(topic, 1)
    assert (place.bus.beginning(tp), place.bus.end(tp), place.bus.offset_at(tp, 0)) == (0, 0, 0)
    sender = place.bus.sender()
    for time in (1_000, 2_000, 3_000):
        sender.send(Outgoing(topic, 1, None, b"v", (), time))
        sender.flush()
    assert (place.bus.beginning(tp), place.bus.end(tp)) == (0, 3)
    assert [place.bus.offset_at(tp, time) for time in (0, 1_000, 1_001, 3_000, 3_001)] == [0, 0, 1, 2, 3]


def test_an_unknown_partition_is_refused_by_name(place: Place) -> None:
    """A question about what is not there is an error, not a zero."""
    with pytest.raises(BusError, match=place.name("nowhere")):
        place.bus.end(TopicPartition(place.name("nowhere"), 0))


def test_reading_stops_at_the_end_that_was_asked_for(place: Place) -> None:
    """`read` gives [start, end); at the end it is empty at once, and it waits no longer than told."""
    topic = place.topic()
    tp = TopicPartition(topic, 0)
    send(place.bus, topic, b"0", b"1", b"2", b"3")
    assert list(place.bus.read(tp, 1, 3, WAIT_MS).values) == [b"1", b"2"]
    assert list(place.bus.read(tp, 3, None, WAIT_MS).values) == [b"3"]
    assert not place.bus.read(tp, 4, 4, 600_000)
    assert not place.bus.read(tp, 4, None, SHORT_MS)
    assert list(place.bus.read(tp, 0, 1, WAIT_MS).values) == [b"0"]


def test_reading_ends_where_only_gaps_are_left(place: Place) -> None:
    """Control records below `end` are no reason to wait."""
    topic = place.topic()
    tp = TopicPartition(topic, 0)
    place.bus.writer(place.name("g"), "a").commit([Outgoing(topic, 0, None, b"v")], {}, None)
    end = place.bus.end(tp)
    assert not place.bus.read(tp, 1, end, 600_000)
    assert values(place.bus, topic) == [b"v"]


def test_an_end_that_is_not_reached_is_no_silent_end(place: Place) -> None:
    """Who asks for all records below an offset gets them, or an error: fewer would pass for all there are."""
    topic = place.topic()
    tp = TopicPartition(topic, 0)
    send(place.bus, topic, b"v")
    assert list(place.bus.read(tp, 0, 5, WAIT_MS).values) == [b"v"]
    with pytest.raises(BusError, match="5 was asked for"):
        place.bus.read(tp, 1, 5, SHORT_MS)


def test_without_open_transactions_everything_can_be_read(place: Place) -> None:
    """Where readers stop is the end."""
    topic = place.topic()
    tp = TopicPartition(topic, 0)
    place.bus.writer(place.name("g"), "a").commit([Outgoing(topic, 0, None, b"v")], {}, None)
    assert values(place.bus, topic) == [b"v"]  # the marker of a commit comes later than its return
    assert place.bus.last_stable(tp) == place.bus.end(tp) >= 1
    assert place.bus.open_transactions(tp) == ()


def test_several_partitions_are_read_in_turns(place: Place) -> None:
    """Going back and forth between partitions loses and repeats nothing."""
    topic = place.topic("t", 3)
    for partition in range(3):
        send(place.bus, topic, *(b"%d/%d" % (partition, i) for i in range(20)), partition=partition)
    for start in range(0, 20, 5):
        for partition in (2, 0, 1):
            batch = place.bus.read(TopicPartition(topic, partition), start, start + 5, WAIT_MS)
            assert list(batch.values) == [b"%d/%d" % (partition, i) for i in range(start, start + 5)]


def test_the_first_poll_of_an_assignment_brings_no_records(place: Place) -> None:
    """So the caller can seek before the first record of a partition that is new to it."""
    topic = place.topic("t", 2)
    send(place.bus, topic, b"v")
    consumer = place.bus.consumer(place.name("g"), [topic], "a")
    polled = joined(consumer)
    assert polled.batches == ()
    assert polled.assigned == {TopicPartition(topic, 0), TopicPartition(topic, 1)}
    assert polled.revoked == frozenset()
    batches, later = gathered(consumer, 1)
    assert later.epoch == polled.epoch
    assert [list(batch.values) for batch in batches] == [[b"v"]]
    consumer.close()


def test_a_poll_holds_at_most_what_was_asked_for(place: Place) -> None:
    """All polls together give every record once, in order, at most `max_records` at a time."""
    topic = place.topic("t", 3)
    for partition in range(3):
        send(place.bus, topic, *(b"%d" % i for i in range(25)), partition=partition)
    consumer = place.bus.consumer(place.name("g"), [topic], "a")
    joined(consumer)
    seen: dict[int, list[int]] = {0: [], 1: [], 2: []}
    while sum(map(len, seen.values())) < 75:
        polled = consumer.poll(WAIT_MS, 7)
        assert 0 < sum(map(len, polled.batches)) <= 7
        for batch in polled.batches:
            seen[batch.partition] += batch.offsets
    assert seen == {partition: list(range(25)) for partition in range(3)}
    consumer.close()


def test_a_consumer_goes_on_where_it_was_put(place: Place) -> None:
    """`seek` moves the next poll, backwards too; `position` is where it starts, past gaps at the end."""
    topic = place.topic()
    tp = TopicPartition(topic, 0)
    writer = place.bus.writer(place.name("w"), "a")
    writer.commit([Outgoing(topic, 0, None, b"%d" % i) for i in range(5)], {}, None)
    consumer = place.bus.consumer(place.name("g"), [topic], "a")
    joined(consumer)
    assert consumer.position(tp) == 0
    gathered(consumer, 5)
    consumer.seek(tp, 3)
    assert consumer.position(tp) == 3
    batches, _ = gathered(consumer, 2)
    assert list(batches[0].values) == [b"3", b"4"]
    consumer.poll(SHORT_MS, 10)
    assert consumer.position(tp) == place.bus.end(tp)
    consumer.close()


def test_a_partition_that_is_not_assigned_cannot_be_moved(place: Place) -> None:
    """Neither sought nor asked for its position."""
    topic = place.topic()
    consumer = place.bus.consumer(place.name("g"), [topic], "a")
    joined(consumer)
    for move in (lambda tp: consumer.seek(tp, 0), consumer.position):
        with pytest.raises(BusError, match="not assigned"):
            move(TopicPartition(topic, 7))
    consumer.close()


def test_paused_partitions_wait_and_lose_nothing(place: Place) -> None:
    """`pause` names exactly the paused ones; a partition that flows again goes on where it was."""
    topic = place.topic("t", 2)
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    consumer = place.bus.consumer(place.name("g"), [topic], "a")
    joined(consumer)
    consumer.pause(frozenset({zero}))
    for partition in (0, 1):
        send(place.bus, topic, b"a", b"b", partition=partition)
    batches, _ = gathered(consumer, 2)
    assert {batch.tp for batch in batches} == {one}
    assert consumer.position(zero) == 0
    consumer.pause(frozenset({one}))
    send(place.bus, topic, b"c", partition=1)
    batches, _ = gathered(consumer, 2)
    assert {batch.tp for batch in batches} == {zero}
    consumer.pause(frozenset())
    batches, _ = gathered(consumer, 1)
    assert [list(batch.values) for batch in batches] == [[b"c"]]
    consumer.close()


def test_a_commit_carries_records_offsets_and_metadata(place: Place) -> None:
    """What a commit wrote is read by others; its offsets come back, with their metadata, after a restart."""
    source, target = place.topic("in", 2), place.topic("out")
    group = place.name("g")
    send(place.bus, source, b"1", b"2")
    first = place.open()
    consumer, writer = first.consumer(group, [source], "a"), first.writer(group, "a")
    tp, other = TopicPartition(source, 0), TopicPartition(source, 1)
    assert consumer.committed(tp) is None
    joined(consumer)
    _, polled = gathered(consumer, 2)
    writer.commit([Outgoing(target, 0, b"k", b"v")], {tp: Committed(1, "digest é")}, polled)
    assert consumer.committed(tp) == Committed(1, "digest é")
    consumer.close()
    writer.close()
    again = place.open().consumer(group, [source], "a")
    joined(again)
    assert again.committed(tp) == Committed(1, "digest é")
    assert again.committed(other) is None
    assert (again.position(tp), again.position(other)) == (1, 0)
    batches, _ = gathered(again, 1)
    assert [list(batch.values) for batch in batches] == [[b"2"]]
    assert values(place.bus, target) == [b"v"]
    again.close()


@pytest.mark.parametrize("bad", ["a partition that is not there", "neither key nor value"])
def test_a_commit_is_all_or_nothing(place: Place, bad: str) -> None:
    """One refused record, and neither the others nor the offsets are ever seen; the next writer starts clean."""
    source, target = place.topic("in"), place.topic("out")
    group = place.name("g")
    send(place.bus, source, b"1")
    consumer, writer = place.bus.consumer(group, [source], "a"), place.bus.writer(group, "a")
    joined(consumer)
    _, polled = gathered(consumer, 1)
    tp = TopicPartition(source, 0)
    refused = Outgoing(target, 99, None, b"v") if bad.startswith("a partition") else Outgoing(target, 0, None, None)
    with pytest.raises(TransactionFailed):
        writer.commit([Outgoing(target, 0, None, b"lost"), refused], {tp: Committed(1, "lost")}, polled)
    with suppress(TransactionFailed):
        writer.close()
    fresh = place.bus.writer(group, "a")
    assert consumer.committed(tp) is None
    fresh.commit([Outgoing(target, 0, None, b"kept")], {tp: Committed(1, "kept")}, polled)
    assert values(place.bus, target) == [b"kept"]
    assert consumer.committed(tp) == Committed(1, "kept")
    consumer.close()


def test_offsets_rise_strictly_over_commits(place: Place) -> None:
    """Gaps are allowed, repeats are not; readers and consumers see the same offsets."""
    topic = place.topic()
    writer = place.bus.writer(place.name("w"), "a")
    for i in range(5):
        writer.commit([Outgoing(topic, 0, None, b"%d" % i), Outgoing(topic, 0, None, b"x")], {}, None)
    read = [offset for offset, _, _ in read_all(place.bus, topic)]
    assert len(read) == 10
    assert all(before < after for before, after in pairwise(read))
    assert place.bus.end(TopicPartition(topic, 0)) > read[-1]
    consumer = place.bus.consumer(place.name("g"), [topic], "a")
    joined(consumer)
    batches, _ = gathered(consumer, 10)
    assert [offset for batch in batches for offset in batch.offsets] == read
    consumer.close()


def test_an_empty_commit_is_no_error(place: Place) -> None:
    """A poll may bring nothing to write."""
    assert place.bus.writer(place.name("g"), "a").commit([], {}, None) == {}


def test_a_commit_returns_where_its_records_end(place: Place) -> None:
    """For each partition written to, and no other: the offset behind the last record, not behind the markers."""
    topic, other = place.topic("t", 2), place.topic("other", 3)
    writer = place.bus.writer(place.name("w"), "a")
    placed = [(topic, 0), (other, 2), (topic, 0), (other, 2), (other, 1)]
    for _ in range(3):
        ends = writer.commit([Outgoing(name, number, None, b"v") for name, number in placed], {}, None)
        assert set(ends) == {TopicPartition(*place) for place in placed}
        for tp, end in ends.items():
            assert read_all(place.bus, *tp)[-1][0] + 1 == end
    keyed = writer.commit([Outgoing(other, None, b"k%d" % i, b"keyed") for i in range(9)], {}, None)
    assert {tp: read_all(place.bus, *tp)[-1][0] + 1 for tp in keyed} == keyed


def test_offsets_need_their_poll(place: Place) -> None:
    """Offsets without the poll that they came from are a bug of the caller."""
    topic = place.topic()
    writer = place.bus.writer(place.name("g"), "a")
    with pytest.raises(ValueError, match="poll"):
        writer.commit([], {TopicPartition(topic, 0): Committed(0, "")}, None)


def test_a_newer_writer_of_the_same_name_fences_the_older(place: Place) -> None:
    """A zombie's commit fails and changes nothing; the newer one goes on."""
    topic = place.topic()
    zombie = place.bus.writer(place.name("g"), "a")
    zombie.commit([Outgoing(topic, 0, None, b"1")], {}, None)
    newer = place.open().writer(place.name("g"), "a")
    with pytest.raises(TransactionFailed):
        zombie.commit([Outgoing(topic, 0, None, b"zombie")], {}, None)
    newer.commit([Outgoing(topic, 0, None, b"2")], {}, None)
    assert values(place.bus, topic) == [b"1", b"2"]


def test_writers_of_two_instances_do_not_disturb_each_other(place: Place) -> None:
    """Only the same name fences."""
    topic = place.topic()
    a, b = place.bus.writer(place.name("g"), "a"), place.open().writer(place.name("g"), "b")
    for writer, value in ((a, b"1"), (b, b"2"), (a, b"3")):
        writer.commit([Outgoing(topic, 0, None, value)], {}, None)
    assert values(place.bus, topic) == [b"1", b"2", b"3"]


def test_a_group_is_shared_or_the_second_is_refused_by_name(place: Place) -> None:
    """Two members get disjoint partitions that are all of them; a bus that can't share names the holder."""
    topic, group = place.topic("t", 4), place.name("g")
    everything = {TopicPartition(topic, partition) for partition in range(4)}
    first = place.open().consumer(group, [topic], "a")
    joined(first)
    if "sharing a group" in place.bus.unsupported:
        with pytest.raises(LeaseTaken, match="'a'"):
            place.open().consumer(group, [topic], "b")
        first.close()
        return
    second = place.open().consumer(group, [topic], "b")
    with ThreadPoolExecutor(2) as pool:  # a join waits for the other member's poll
        for _ in range(10):
            one, two = pool.map(lambda consumer: consumer.poll(1_000, 10), (first, second))
            if one.assigned and two.assigned and one.assigned | two.assigned == everything:
                break
    assert one.assigned | two.assigned == everything
    assert not one.assigned & two.assigned
    first.close()
    second.close()


def test_a_commit_of_a_poll_before_a_rebalance_is_refused(place: Place) -> None:
    """It raises StaleGeneration and changes nothing; what was lost is named, and the next poll's commit succeeds."""
    if "sharing a group" in place.bus.unsupported:
        pytest.skip("no rebalance on this bus: tests/unit/bus/test_embedded.py takes the lease over instead")
    source, target, group = place.topic("in", 2), place.topic("out"), place.name("g")
    send(place.bus, source, b"1")
    first, writer = place.bus.consumer(group, [source], "a"), place.bus.writer(group, "a")
    before = joined(first)
    _, old = gathered(first, 1)
    second = place.open().consumer(group, [source], "b")
    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            one, two = pool.map(lambda consumer: consumer.poll(1_000, 10), (first, second))
            if one.epoch != old.epoch and one.assigned and two.assigned:
                break
    assert one.epoch != old.epoch
    with pytest.raises(StaleGeneration):
        writer.commit([Outgoing(target, 0, None, b"stale")], {TopicPartition(source, 0): Committed(1, "")}, old)
    (mine, *_) = one.assigned
    assert mine in before.assigned
    assert first.committed(mine) is None
    writer.commit([Outgoing(target, 0, None, b"fresh")], {mine: Committed(0, "fresh")}, one)
    assert values(place.bus, target) == [b"fresh"]
    first.close()
    second.close()


def test_a_restarted_instance_takes_its_partitions_at_once(place: Place) -> None:
    """Closed and opened again under its name, a consumer goes on from the committed offsets."""
    topic, group = place.topic("t", 2), place.name("g")
    for partition in (0, 1):
        send(place.bus, topic, b"1", b"2", partition=partition)
    consumer, writer = place.bus.consumer(group, [topic], "a"), place.bus.writer(group, "a")
    joined(consumer)
    _, polled = gathered(consumer, 4)
    writer.commit([], {TopicPartition(topic, 1): Committed(2, "")}, polled)
    consumer.close()
    again = place.open().consumer(group, [topic], "a")
    assert joined(again).assigned == {TopicPartition(topic, 0), TopicPartition(topic, 1)}
    batches, _ = gathered(again, 2)
    assert [(batch.partition, list(batch.values)) for batch in batches] == [(0, [b"1", b"2"])]
    again.close()


def test_what_a_sender_lost_is_reported(place: Place) -> None:
    """A record that can't be written raises at `send` or at `flush`; the sender goes on afterwards."""
    topic = place.topic()
    sender = place.bus.sender()

    def lose() -> None:
        sender.send(Outgoing(topic, 99, None, b"v"))
        sender.flush()

    sender.send(Outgoing(topic, 0, None, b"before"))
    with pytest.raises(BusError, match="99"):
        lose()
    sender.send(Outgoing(topic, 0, None, b"after"))
    sender.flush()
    assert values(place.bus, topic) == [b"before", b"after"]


def test_a_place_has_one_id(place: Place) -> None:
    """The same for everybody who opens it."""
    assert place.bus.cluster_id() == place.open().cluster_id() != ""


def test_a_place_tells_what_keeps_its_log(place: Place) -> None:
    """A name and a release."""
    assert re.fullmatch(r"Kafka \d+(\.\d+)+|SQLite \d+(\.\d+)+|memory of this process", place.bus.release())


def test_the_newest_of_a_key_stays_in_a_compacted_topic(place: Place) -> None:
    """Whatever compaction has removed: the last record of each key is there, in the order of offsets."""
    topic = place.topic("t", 1, {"cleanup.policy": "compact"})
    writer = place.bus.writer(place.name("g"), "a")
    writer.commit(
        [Outgoing(topic, 0, b"a", b"1"), Outgoing(topic, 0, b"b", b"1"), Outgoing(topic, 0, b"a", b"2")], {}, None
    )
    writer.commit([Outgoing(topic, 0, b"b", b"2"), Outgoing(topic, 0, b"a", b"3")], {}, None)
    writer.commit([Outgoing(topic, 0, b"b", None)], {}, None)
    found = read_all(place.bus, topic)
    assert {key: value for _, key, value in found} == {b"a": b"3", b"b": None}
    assert [offset for offset, _, _ in found] == sorted({offset for offset, _, _ in found})
