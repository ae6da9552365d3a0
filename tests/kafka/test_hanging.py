"""A transaction that its writer has left open, on a real broker: found, named, and no reason to wait in silence."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import kafka
import pytest
from kafka.admin import AbortTransactionSpec, KafkaAdminClient

from monitor.bus.kafka import KafkaBus
from monitor.bus.reading import read_whole
from monitor.errors import BusError
from monitor.events import TopicPartition
from monitor.runner.hanging import ROUND_S, HangingWatch
from monitor.telemetry import get_log

pytestmark = pytest.mark.kafka
LONG_S = 600


@pytest.fixture
def left_open(bus: KafkaBus, kafka_address: str) -> Iterator[TopicPartition]:
    """A partition with a record, a transaction on it that is left open, and a record of somebody else behind that."""
    tp = TopicPartition(f"hang-{uuid.uuid4().hex[:8]}", 0)
    bus.create(tp.topic, 1)
    producer = kafka.KafkaProducer(
        bootstrap_servers=kafka_address, transactional_id=f"left-{tp.topic}", transaction_timeout_ms=LONG_S * 1000
    )
    plain = kafka.KafkaProducer(bootstrap_servers=kafka_address)
    plain.send(tp.topic, b"before", partition=0).get(10)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(tp.topic, b"open", partition=0).get(10)
    plain.send(tp.topic, b"behind", partition=0).get(10)
    plain.close()
    yield tp
    producer.close(timeout=1)


def test_readers_report_what_they_wait_for(bus: KafkaBus, left_open: TopicPartition) -> None:
    """What is committed comes; then no silence and no false end, but who holds it back and what helps."""
    assert (bus.last_stable(left_open), bus.end(left_open)) == (1, 3)
    batches = read_whole(bus, left_open, timeout_ms=500)
    assert next(batches).values == [b"before"]
    with pytest.raises(BusError, match="can be read up to 1 and is written up to 3") as caught:
        next(batches)
    (transaction,) = bus.open_transactions(left_open)
    assert transaction.writer == f"left-{left_open.topic}"
    assert (transaction.start, transaction.timeout_ms) == (1, LONG_S * 1000)
    for part in (
        f"of '{transaction.writer}' with a time-out of {LONG_S} s is open since offset 1",
        f"producer {transaction.producer_id}, epoch {transaction.epoch}",
        f"abort --topic {left_open.topic} --partition 0 --start-offset 1",
    ):
        assert part in str(caught.value)
    assert [batch.values for batch in read_whole(bus, left_open, to=bus.last_stable(left_open))] == [[b"before"]]


def test_a_hanging_transaction_is_found_until_it_is_aborted(
    bus: KafkaBus, left_open: TopicPartition, kafka_address: str
) -> None:
    """By a clock that is an argument: found beyond the limit, gone after what the remedy does."""
    now = 0.0
    watch = HangingWatch(bus, lambda: now, get_log("test"), limit_s=60, longest_s=120)
    looks = []
    for _ in range(30):
        now += ROUND_S
        looks.append(len(watch.look([left_open])))
    assert looks == [0] * 12 + [1] * 18
    (found,) = watch.look([left_open])
    (transaction,) = found.transactions
    assert (found.tp, found.last_stable, found.end, transaction.start) == (left_open, 1, 3, 1)
    assert f"abort --topic {left_open.topic} --partition 0 --start-offset 1" in found.remedy
    admin = KafkaAdminClient(bootstrap_servers=kafka_address)
    spec = AbortTransactionSpec(
        kafka.TopicPartition(*left_open), transaction.producer_id, transaction.epoch, coordinator_epoch=-1
    )
    admin.abort_transaction(spec)
    admin.close()
    now += ROUND_S
    assert watch.look([left_open]) == ()
    assert [value for batch in read_whole(bus, left_open) for value in batch.values] == [b"before", b"behind"]
