"""A topic gets more partitions: they belong to the model from a pane that is recorded, and a replay says the same."""

from __future__ import annotations

import json
import random

import pytest

from monitor.bus.memory import MemoryBus
from monitor.bus.reading import read_whole, whole_values
from monitor.codec.canonical import time_text
from monitor.codec.chunks import Assembler
from monitor.config import load
from monitor.errors import ConfigurationError
from monitor.evaluate.alerts import Place
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.entries import PartitionSet, joined_at
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import decode_profile
from monitor.replay import in_order
from monitor.runner.announce import partition_set
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop
from monitor.runner.positions import Positions
from monitor.runner.profile import ProfileStage
from monitor.runner.topics import create_topics
from monitor.sources.control import control_records, decode_control
from monitor.telemetry import get_log
from tests import replaying
from tests.references import AtOnce

TOPICS = LedgerTopics("sd.", 2)
PLACE = Place("/s", "http://localhost", "0", "memory")
START = 1_790_000_000_000
CONFIG = load(
    """
version: 1
defaults: {window: {events: 60, every: 20}, lateness: 2s, pane: 2s, interval: 2s}
models:
  m:
    task: regression
    streams: {features: {topic: in}}
    columns: {numerical: [x]}
    reference: {first: 100}
groups:
  - {name: g, models: [m], rules: [{alert: Ks, expr: ks > 0.5, min_events: 20}, {alert: Late, expr: late_rate > 0.05}]}
""",
    "alerts.yaml",
)


def send(bus: MemoryBus, seconds: range, partitions: int, rng: random.Random, shift: float = 0.0) -> None:
    """Five rows a second in each partition."""
    sender = bus.sender()
    for second in seconds:
        for p in range(partitions):
            for i in range(5):
                stamp = time_text(START + second * 1000 + i * 200)
                event = {"event_id": "e", "model": "m", "event_time": stamp, "features": {"x": rng.gauss(shift, 1)}}
                sender.send(Outgoing("in", p, None, json.dumps(event).encode()))
    sender.flush()


def stages(bus: MemoryBus) -> list[Loop]:
    """Both stages, started anew."""
    log = get_log("test")
    return [
        Loop(bus, ProfileStage(bus, CONFIG, TOPICS, lambda: 0.0, log), "one-profile", lambda: 0.0, 0.0),
        Loop(
            bus,
            EvaluateStage(bus, CONFIG, TOPICS, PLACE, AtOnce(), lambda: 0.0, log),
            "one-evaluate",
            lambda: 0.0,
            0.0,
        ),
    ]


def turn(loops: list[Loop], times: int = 12) -> None:
    for _ in range(times):
        for loop in loops:
            loop.turn(wait_ms=0)


def test_a_new_partition_counts_from_a_recorded_pane_and_older_rows_are_late() -> None:
    """Before evaluate has named it a new partition is not read; then it is, and live equals replay."""
    rng = random.Random(5)
    bus = MemoryBus(clock=lambda: 0, markers=True)
    bus.create("in", 1)
    create_topics(bus, TOPICS, ("in",))
    send(bus, range(60), 1, rng)
    loops = stages(bus)
    turn(loops)

    bus.grow("in", 2)
    new = TopicPartition("in", 1)
    send(bus, range(40, 50), 2, rng)  # in the new partition: older than what is folded, so late
    turn(loops[:1])
    assert Positions(bus, TOPICS, "sd.profile").of(new, None) is None  # nobody has read it

    loops = stages(bus)
    turn(loops)
    send(bus, range(60, 90), 2, rng, shift=3.0)
    turn(loops, 20)
    control = decode_control(control_records(bus, TOPICS), "sd.")
    pane = joined_at(new, "m", control.activations)
    assert isinstance(pane, int)
    assert START // 2000 + 25 <= pane // 2000 <= START // 2000 + 31
    value = Positions(bus, TOPICS, "sd.profile").of(new, None)
    assert value is not None
    buckets = decode_profile(value).buckets
    assert buckets["late"] == 50
    assert sum(buckets.values()) == bus.end(new)

    live = []
    for p in range(TOPICS.partitions):
        for batch in read_whole(bus, TopicPartition("sd.alerts", p)):
            live += [value for _, value in whole_values(Assembler(), batch)]
    messages = replaying.replayed(bus, TOPICS, [TopicPartition("in", p) for p in range(2)], PLACE)
    again = [m.value for m in in_order(messages, TOPICS.partitions) if m.topic == "alerts"]
    assert {json.loads(v)["data"]["labels"]["alertname"] for v in again} == {"Ks", "Late"}
    assert sorted(again) == sorted(live)


def test_a_topic_with_fewer_partitions_is_refused() -> None:
    """A set only grows: what was read of a partition that is gone can't be taken back."""
    bus = MemoryBus(clock=lambda: 0)
    bus.create("in", 1)
    create_topics(bus, TOPICS, ("in",))
    assert partition_set(CONFIG.models[0], None, bus) == PartitionSet({"features": ("in", 1)})
    with pytest.raises(ConfigurationError, match="a topic can't lose partitions"):
        partition_set(CONFIG.models[0], PartitionSet({"features": ("in", 2)}), bus)
