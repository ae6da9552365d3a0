"""What only a real broker shows: fencing of zombies, open transactions, restarts, limits, speed of a poll."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import kafka
import pytest

from monitor.bus.kafka import KafkaBus
from monitor.bus.kafka_group import Assignment, KafkaMember
from monitor.bus.port import Committed, Consumer, Polled
from monitor.bus.reading import read_whole
from monitor.errors import BusError, StaleGeneration, TransactionFailed
from monitor.events import Outgoing, TopicPartition
from tests.broker import Broker

pytestmark = pytest.mark.kafka
WAIT_MS = 10_000


@pytest.fixture
def topic(bus: KafkaBus) -> str:
    name = f"t-{uuid.uuid4().hex[:8]}"
    bus.create(name, 2)
    return name


def joined(consumer: Consumer) -> Polled:
    """Polls until the consumer has partitions."""
    for _ in range(30):
        polled = consumer.poll(WAIT_MS, 100)
        if polled.assigned:
            return polled
    raise AssertionError("the consumer got no partition")


def test_records_of_an_open_transaction_are_invisible(bus: KafkaBus, topic: str, kafka_address: str) -> None:
    """Readers stop before them, while `end` counts them; after the abort they are a gap."""
    tp = TopicPartition(topic, 0)
    name = f"open-{topic}"
    producer = kafka.KafkaProducer(bootstrap_servers=kafka_address, transactional_id=name)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, b"open", partition=0)
    producer.flush()
    assert (bus.last_stable(tp), bus.end(tp)) == (0, 1)
    assert not bus.read(tp, 0, None, 200)
    with pytest.raises(BusError, match="can be read up to 0 and is written up to 1"):
        bus.read(tp, 0, 1, 200)
    producer.abort_transaction()
    producer.close()
    bus.writer("after", topic).commit([Outgoing(topic, 0, None, b"committed")], {}, None)
    assert list(bus.read(tp, 0, None, WAIT_MS).values) == [b"committed"]


def test_the_broker_fences_a_zombie_that_knows_nothing_of_its_replacement(kafka_address: str, topic: str) -> None:
    """A frozen process that goes on after its instance was started anew commits neither records nor offsets."""
    zombie, newer = KafkaBus([kafka_address], {}), KafkaBus([kafka_address], {})
    group, tp = f"g-{topic}", TopicPartition(topic, 0)
    consumer, writer = zombie.consumer(group, [topic], "a"), zombie.writer(group, "one")
    polled = joined(consumer)
    replacement = newer.consumer(group, [topic], "a")
    fresh = joined(replacement)
    with pytest.raises(TransactionFailed):
        writer.commit([Outgoing(topic, 1, None, b"zombie")], {tp: Committed(0, "zombie")}, polled)
    with pytest.raises(TransactionFailed, match="failed before"):
        writer.commit([], {tp: Committed(0, "zombie")}, polled)
    newer.writer(group, "one").commit([Outgoing(topic, 1, None, b"fresh")], {tp: Committed(0, "fresh")}, fresh)
    assert replacement.committed(tp) == Committed(0, "fresh")
    assert list(newer.read(TopicPartition(topic, 1), 0, None, WAIT_MS).values) == [b"fresh"]
    zombie.close()
    newer.close()


def test_joining_never_sticks(kafka_address: str, topic: str) -> None:
    """Three members that start together share the partitions, whatever the time-outs of their polls."""
    wide = f"wide-{topic}"
    buses = [KafkaBus([kafka_address], {}) for _ in range(3)]
    buses[0].create(wide, 6)
    members = [bus.consumer(f"g-{topic}", [wide], f"m{i}") for i, bus in enumerate(buses)]
    with ThreadPoolExecutor(len(members)) as pool:
        for _ in range(20):
            polls = list(pool.map(lambda member: member.poll(0, 10), members))
            if [len(polled.assigned) for polled in polls] == [2, 2, 2]:
                break
    assert sorted(tp.partition for polled in polls for tp in polled.assigned) == list(range(6))
    assert [len(polled.assigned) for polled in polls] == [2, 2, 2]
    for bus in buses:
        bus.close()


def test_a_member_that_does_not_become_stable_is_made_again(
    bus: KafkaBus, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it held is revoked, and the new client gets it back."""
    member = bus.consumer(f"g-{topic}", [topic], "a")
    joined(member)
    stuck = member._client
    monkeypatch.setattr("monitor.bus.kafka_group.STUCK_SECONDS", -1.0)
    member._watch("<rebalancing>")
    assert member._client is not stuck
    again = joined(member)
    assert again.assigned == again.revoked == {TopicPartition(topic, 0), TopicPartition(topic, 1)}


def test_a_record_behind_the_expected_position_is_not_accepted(bus: KafkaBus, topic: str) -> None:
    """A client that goes on from an old position is put back to where the member was."""
    sender = bus.sender()
    for i in range(10):
        sender.send(Outgoing(topic, 0, None, b"%d" % i))
    sender.flush()
    member: KafkaMember = bus.consumer(f"g-{topic}", [topic], "a")
    joined(member)
    tp = TopicPartition(topic, 0)
    member.seek(tp, 6)
    member._client.seek(kafka.TopicPartition(topic, 0), 2)  # what an evicted client does
    seen: list[bytes | None] = []
    while len(seen) < 4:
        for batch in member.poll(WAIT_MS, 100).batches:
            seen += batch.values
    assert seen == [b"6", b"7", b"8", b"9"]


def test_a_partition_that_was_paused_in_the_middle_of_a_batch_goes_on(bus: KafkaBus, topic: str) -> None:
    """The rest of the batch that was in hand comes after the pause, although another partition was read meanwhile."""
    sender = bus.sender()
    for i in range(20):
        sender.send(Outgoing(topic, i % 2, None, b"%d" % i))
    sender.flush()
    member: KafkaMember = bus.consumer(f"g-{topic}", [topic], "a")
    joined(member)
    (first,) = member.poll(WAIT_MS, 3).batches
    member.pause(frozenset({first.tp}))
    others = 0
    while others < 10:
        for batch in member.poll(WAIT_MS, 100).batches:
            assert batch.tp != first.tp
            others += len(batch)
    member.pause(frozenset())
    rest: list[int] = []
    while len(rest) < 7:
        batches = member.poll(WAIT_MS, 100).batches
        assert batches, "the resumed partition brings nothing"
        rest += [offset for batch in batches for offset in batch.offsets]
    assert rest == list(range(3, 10))


def test_reading_partitions_in_turn_loses_none_of_them(bus: KafkaBus, topic: str) -> None:
    """A partition that was left in the middle of a batch is read on from there."""
    sender = bus.sender()
    for i in range(2 * 6000):
        sender.send(Outgoing(topic, i % 2, None, b"v"))
    sender.flush()
    seen = {TopicPartition(topic, p): 0 for p in range(2)}
    for _ in range(2):
        for tp in seen:
            seen[tp] += len(bus.read(tp, seen[tp], None, WAIT_MS))
    assert list(seen.values()) == [6000, 6000]


def test_reading_many_partitions_to_their_ends_waits_for_none_of_them(bus: KafkaBus, topic: str) -> None:
    """A restart reads dozens, one after the other: the broker's answer that one has no more holds the next not back."""
    many, n = f"{topic}.many", 12
    bus.create(many, n)
    bus.writer("w", topic).commit([Outgoing(many, p, None, b"v") for p in range(n)], {}, None)
    tps = [TopicPartition(many, p) for p in range(n)]
    assert bus.read(tps[0], 0, bus.end(tps[0]), WAIT_MS).values == [b"v"]  # the reader's connection stands
    begun = time.monotonic()
    assert [batch.values for tp in tps for batch in read_whole(bus, tp)] == [[b"v"]] * n
    assert time.monotonic() - begun < n * 0.25  # half of what kafka-python's fetch_max_wait_ms would make of it


def test_a_topic_that_was_made_again_is_reported(bus: KafkaBus, topic: str) -> None:
    """A position past the end of the log is an error that names it, not a silent start from the beginning."""
    bus.writer("w", topic).commit([Outgoing(topic, 0, None, b"v")], {}, None)
    with pytest.raises(BusError, match=f"{topic}/0 is past the end"):
        bus.read(TopicPartition(topic, 0), 1_000, None, WAIT_MS)
    member = bus.consumer(f"g-{topic}", [topic], "a")

    def poll_on() -> None:
        epoch = 0
        for _ in range(10):
            polled = member.poll(1_000, 10)
            if polled.epoch != epoch:  # as a restore does after every change of assignment
                epoch = polled.epoch
                member.seek(TopicPartition(topic, 0), 1_000)

    with pytest.raises(BusError, match="created again"):
        poll_on()


def test_a_stale_generation_is_refused_before_anything_is_sent(bus: KafkaBus, topic: str) -> None:
    """The writer is still good afterwards."""
    member, writer = bus.consumer(f"g-{topic}", [topic], "a"), bus.writer(f"g-{topic}", "a")
    polled = joined(member)
    assignment: Assignment = member._assignment
    assignment.on_partitions_revoked([(topic, 0)])
    with pytest.raises(StaleGeneration):
        writer.commit([Outgoing(topic, 1, None, b"stale")], {}, polled)
    writer.commit([Outgoing(topic, 1, None, b"good")], {}, None)
    assert list(bus.read(TopicPartition(topic, 1), 0, None, WAIT_MS).values) == [b"good"]


def test_a_record_beyond_the_brokers_limit_fails_by_name(bus: KafkaBus, topic: str) -> None:
    """The broker knows its limit; the sender tells what it refused, the writer fails as a whole."""
    big = Outgoing(topic, 0, None, bytes(1_100_000))
    sender = bus.sender()
    sender.send(big)
    with pytest.raises(BusError, match=r"1 records were not written.*MessageSizeTooLarge"):
        sender.flush()
    with pytest.raises(TransactionFailed, match="MessageSizeTooLarge"):
        bus.writer("w", topic).commit([Outgoing(topic, 1, None, b"lost"), big], {}, None)


def test_a_broker_restart_between_commits_is_survived(own_broker: Broker) -> None:
    """SIGTERM, start again: a new process goes on where the old one was, and nothing is lost or repeated."""
    bus = KafkaBus([own_broker.address], {})
    bus.create("t", 1)
    tp = TopicPartition("t", 0)
    consumer, writer = bus.consumer("g", ["t"], "a"), bus.writer("g", "a")
    joined(consumer)
    writer.commit([Outgoing("t", 0, None, b"1")], {}, None)
    own_broker.stop()
    own_broker.start()
    bus.close()
    after = KafkaBus([own_broker.address], {})
    again, fresh = after.consumer("g", ["t"], "a"), after.writer("g", "a")
    polled = joined(again)
    fresh.commit([Outgoing("t", 0, None, b"2")], {tp: Committed(1, "m")}, polled)
    assert again.committed(tp) == Committed(1, "m")
    start = 0
    found: list[bytes | None] = []
    while batch := after.read(tp, start, after.end(tp), WAIT_MS):
        found += batch.values
        start = batch.offsets[-1] + 1
    assert found == [b"1", b"2"]
    after.close()
