"""Acceptance on a real broker: the service raises the right alerts, survives kill -9, and a replay says the same bytes.

`STREAMDRIFT_KAFKA_EVENTS=1000000` runs it at its full size.
"""

from __future__ import annotations

import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kafka
import msgspec
import pytest

from monitor.bus.kafka import KafkaBus
from monitor.codec.canonical import time_text
from monitor.codec.times import parse_time
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics
from tests.accounts import check_accounts
from tests.broker import Broker
from tests.kafka.scenario import (
    DRIFTING,
    EVENTS,
    LATENESS_MS,
    MODEL,
    PANE_MS,
    PARTITIONS,
    RULES,
    SILENT_PARTITION,
    Feed,
    Scenario,
    events_since,
    time_of,
)
from tests.kafka.service import COMMAND, LEDGER_PARTITIONS, Reached, Service, environment
from tests.schemas import check_message

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
PATIENCE_S = 120 + EVENTS / 4000
UNREACHABLE = "kafka://127.0.0.1:1"
Record = Callable[[str, object], None]


class Message:
    """One record of the alerts topic, as somebody else's consumer reads it."""

    def __init__(self, record: Any) -> None:
        self.partition: int = record.partition
        self.value: bytes = record.value
        self.headers: dict[str, bytes] = dict(record.headers)
        self.event: dict[str, Any] = msgspec.json.decode(record.value)
        self.data: dict[str, Any] = self.event["data"]
        self.labels: dict[str, str] = self.data["labels"]
        self.time = parse_time(self.event["time"])

    @property
    def order(self) -> tuple[int, int, str, str]:
        """Where a replay writes it."""
        return self.time, self.partition, self.labels["model"], self.data["fingerprint"]


def test_alerts_survive_kill_9_and_a_replay_repeats_their_bytes(
    own_broker: Broker, tmp_path: Path, record_property: Record
) -> None:
    """Two of twenty columns step: they alert, nothing else does; neither a crash nor the broker's absence matters."""
    scenario = Scenario(f"ml.features-{uuid.uuid4().hex[:8]}")
    address = f"kafka://{own_broker.address}"
    config = tmp_path / "service" / "alerts.yaml"
    config.parent.mkdir()
    config.write_text(scenario.config)
    tell = _teller(record_property)
    bus = KafkaBus([own_broker.address], {})
    bus.create(scenario.topic, PARTITIONS)

    _run_with_a_crash(bus, scenario, Service(environment(address, "a."), config, tmp_path / "a.log"), tell)
    alerts = read_alerts(own_broker.address, "a.alerts")
    check_alerts(alerts, scenario, tell)
    check_firing(own_broker.address, "a.firing", alerts)
    check_buckets(bus, scenario.topic, "a.", tell)

    _run_undisturbed(bus, scenario, Service(environment(address, "b."), config, tmp_path / "b.log"), tell)
    assert [m.value for m in read_alerts(own_broker.address, "b.alerts")] == [m.value for m in alerts]

    log = tmp_path / "captured.jsonl"
    _streamdrift(tell, tmp_path, environment(address, "a."), "capture", scenario.topic, "--out", str(log))
    bus.close()
    own_broker.stop()
    out = tmp_path / "alerts.jsonl"
    _streamdrift(tell, tmp_path, environment(UNREACHABLE, "a."), "replay", str(log), "--alerts-out", str(out))
    expected = sorted(alerts, key=lambda message: message.order)
    assert out.read_bytes() == b"".join(message.value + b"\n" for message in expected)


# ---------------------------------------------------------------------- the run


def _run_with_a_crash(bus: KafkaBus, scenario: Scenario, service: Service, tell: Record) -> None:
    """Traffic flows beside the service, which is killed as soon as there is an alert, and started again later."""
    reached = Reached(bus, scenario.topic, "a.")
    feed = Feed(scenario)
    _send(bus, feed.until(scenario.silence.start))
    service.start()
    try:
        service.wait_until(reached.has_read_all, "the first part was read", PATIENCE_S)
        _let_a_partition_fall_silent(bus, scenario, service, reached, feed)
        while feed.number < scenario.step.stop and not reached.has_alerts():
            _send(bus, feed.until(feed.number + scenario.events // 100))
        service.wait_until(reached.has_alerts, "an alert was written", PATIENCE_S)
        service.kill()
        tell("killed_at_event", reached.events())
        _send(bus, feed.until(scenario.events))
        service.start()
        _catch_up(scenario, service, reached)
        assert service.stop() == 0, service.tail()
    finally:
        service.kill()
    published = service.log.read_text()
    assert published.count('"partition_restored"') >= PARTITIONS
    assert '"ledger_restored"' in published


def _let_a_partition_fall_silent(
    bus: KafkaBus, scenario: Scenario, service: Service, reached: Reached, feed: Feed
) -> None:
    """The other partitions go on until a heartbeat has moved the silent one's watermark past its last record."""
    slices = 10
    silent = reached.inputs[SILENT_PARTITION]
    for _ in range(slices):
        _send(bus, feed.until(feed.number + len(scenario.silence) // slices))
        service.wait_until(reached.has_read_all, "a slice was read", PATIENCE_S)
        if reached.has_sealed(silent, time_of(scenario.silence.start)):
            return
    raise AssertionError(f"the silent partition held back the others\n{service.tail()}")


def _run_undisturbed(bus: KafkaBus, scenario: Scenario, service: Service, tell: Record) -> None:
    """All of the log at once, without a crash."""
    reached = Reached(bus, scenario.topic, "b.")
    began = time.monotonic()
    service.start()
    try:
        service.wait_until(reached.has_read_all, "all was read", PATIENCE_S)
        tell("profile_events_per_second", round(reached.events() / (time.monotonic() - began)))
        _catch_up(scenario, service, reached)
        tell("events_per_second", round(reached.events() / (time.monotonic() - began)))
        assert service.stop() == 0, service.tail()
    finally:
        service.kill()


def _catch_up(scenario: Scenario, service: Service, reached: Reached) -> None:
    """All has been read, sealed as far as the lateness allows, and judged."""
    sealed = time_of(scenario.events) - LATENESS_MS - 2 * PANE_MS
    service.wait_until(lambda: reached.has_read_all() and reached.has_sealed_all(sealed), "all was read", PATIENCE_S)
    ledger = reached.ledger()
    service.wait_until(lambda: reached.has_judged(ledger), "all was judged", PATIENCE_S)


def _send(bus: KafkaBus, records: Iterator[Outgoing]) -> None:
    sender = bus.sender()
    for record in records:
        sender.send(record)
    sender.flush()
    sender.close()


def _streamdrift(tell: Record, folder: Path, env: dict[str, str], *arguments: str) -> None:
    began = time.monotonic()
    done = subprocess.run([*COMMAND, *arguments], env=env, cwd=folder, capture_output=True, text=True, check=False)
    tell(f"{arguments[0]}_seconds", round(time.monotonic() - began, 1))
    assert done.returncode == 0, done.stderr[-4000:]


def _teller(record_property: Record) -> Record:
    """Prints a figure, and records it in the report."""

    def tell(name: str, value: object) -> None:
        record_property(name, value)
        print(f"{name}: {value}", flush=True)

    return tell


# ---------------------------------------------------------------------- what has to hold


def read_alerts(address: str, topic: str) -> list[Message]:
    """All messages of a topic as a plain read-committed consumer sees them."""
    return [Message(record) for record in read_all(address, topic)]


def check_firing(address: str, topic: str, alerts: list[Message]) -> None:
    """The compacted topic holds the newest message of what fires or is open, and tombstones."""
    newest = {record.key.decode(): record.value for record in read_all(address, topic)}
    last = {message.data["fingerprint"]: (message.data["status"], message.value) for message in alerts}
    for record in read_all(address, topic.replace("firing", "incidents")):
        last[record.key.decode()] = msgspec.json.decode(record.value)["data"]["status"], record.value
    ended = "resolved", "closed"
    assert newest == {name: None if status in ended else value for name, (status, value) in last.items()}


def read_all(address: str, topic: str) -> list[Any]:
    """All records of a topic as a plain read-committed consumer sees them."""
    consumer = kafka.KafkaConsumer(bootstrap_servers=address, isolation_level="read_committed", metrics_enabled=False)
    try:
        tps = [kafka.TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(tps)
        consumer.seek_to_beginning(*tps)
        ends = consumer.end_offsets(tps)
        found: list[Any] = []
        while any(consumer.position(tp) < ends[tp] for tp in tps):
            for records in consumer.poll(1000).values():
                found += records
        return found
    finally:
        consumer.close()


def check_alerts(alerts: list[Message], scenario: Scenario, tell: Record) -> None:
    """The messages are valid and complete, about the right columns, and none is too early."""
    for message in alerts:
        check_cloud_event(message)
    assert len({message.event["id"] for message in alerts}) == len(alerts)
    for partition in {message.partition for message in alerts}:
        numbers = [int(m.headers["sd-seq"]) for m in alerts if m.partition == partition]
        assert numbers == list(range(len(numbers)))
    columns = Counter(m.labels["column"] for m in alerts)
    assert set(columns) == set(DRIFTING), columns
    began = time_of(scenario.step.start)
    assert min(message.time for message in alerts) > began
    assert min(parse_time(message.data["startsAt"]) for message in alerts) > began
    statuses = Counter(message.data["status"] for message in alerts)
    tell("alert_messages", dict(statuses))
    assert len(alerts) >= 20
    assert statuses["firing"] == statuses["resolved"]
    for rule in RULES:
        for column in DRIFTING:
            times = [m.time for m in alerts if (m.labels["alertname"], m.labels["column"]) == (rule, column)]
            assert times, f"{rule} did not fire for {column}"
            delay = events_since(scenario.step.start, min(times))
            tell(f"delay_in_events/{rule}/{column}", delay)
            assert delay < len(scenario.step)


def check_cloud_event(message: Message) -> None:
    """As the shipped schemas say; CloudEvents 1.0, structured JSON."""
    check_message(msgspec.json.encode(message.event))
    event = message.event
    assert event["specversion"] == "1.0"
    assert event["type"] == f"streamdrift.alert.{message.data['status']}.v1"
    assert event["source"]
    assert event["id"]
    assert time_text(message.time) == event["time"]
    assert event["datacontenttype"] == "application/json"
    assert event["subject"] == f"{MODEL}/{message.labels['column']}"
    assert all(name.isascii() and name.isalnum() and name.islower() for name in event)
    assert message.headers["content-type"] == b"application/cloudevents+json"


def check_buckets(bus: KafkaBus, topic: str, prefix: str, tell: Record) -> None:
    """Every record of every partition is in one bucket."""
    total = check_accounts(bus, LedgerTopics(prefix, LEDGER_PARTITIONS), [topic])
    assert total.total() == sum(bus.end(TopicPartition(topic, p)) for p in range(PARTITIONS))
    tell("buckets", {name: count for name, count in total.items() if count})
