"""Retention on a real broker that overtakes the service while it runs: what it has lost is counted and reported."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter

import pytest

from monitor.bus.kafka import KafkaBus
from monitor.bus.reading import read_whole, whole_values
from monitor.codec.canonical import time_text
from monitor.codec.chunks import Assembler
from monitor.config import load
from monitor.evaluate.alerts import Place
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop
from monitor.runner.profile import ProfileStage
from monitor.runner.topics import create_topics
from monitor.telemetry import get_log
from tests.accounts import accounts, check_accounts
from tests.kafka.retention import delete_before
from tests.references import AtOnce

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

START = 1_790_000_000_000
CONFIG = """
version: 1
defaults: {{window: {{events: 60, every: 20}}, lateness: 2s, pane: 2s, interval: 2s}}
models:
  m:
    task: regression
    streams: {{features: {{topic: {topic}}}}}
    columns: {{numerical: [x]}}
    reference: {{first: 60}}
groups: []
"""
TURNS = 60


class Serving:
    """Both stages in this process, one after the other."""

    def __init__(self, bus: KafkaBus) -> None:
        self.bus = bus
        self.topic, prefix = f"in-{uuid.uuid4().hex[:8]}", f"r{uuid.uuid4().hex[:8]}."
        self.topics = LedgerTopics(prefix, 1)
        # the events are of another time than the broker's
        bus.create(self.topic, 2, {"retention.ms": "-1"})
        create_topics(bus, self.topics, (self.topic,))
        config, log = load(CONFIG.format(topic=self.topic), "alerts.yaml"), get_log("test")
        place = Place("/s", "http://localhost", "0", bus.cluster_id())
        profile = ProfileStage(bus, config, self.topics, lambda: 0.0, log)
        evaluate = EvaluateStage(bus, config, self.topics, place, AtOnce(), time.monotonic, log)
        self.loops = [Loop(bus, stage, "one", lambda: 0.0, 0.0) for stage in (profile, evaluate)]
        self._sent = 0

    def send(self, rows: int) -> None:
        """So many rows in each of two partitions, ten a second."""
        sender = self.bus.sender()
        for i in range(self._sent, self._sent + rows):
            event = {"event_id": str(i), "model": "m", "event_time": time_text(START + 100 * i)}
            value = json.dumps({**event, "features": {"x": i % 7}}).encode()
            for p in range(2):
                sender.send(Outgoing(self.topic, p, None, value))
        self._sent += rows
        sender.close()

    def turn_until_read(self) -> None:
        """Turn until profile has committed all that is there, and evaluate has had as many turns."""
        for _ in range(TURNS):
            for loop in self.loops:
                loop.turn(wait_ms=100)
            found = accounts(self.bus, self.topics, [self.topic])
            if len(found) == 2 and all(account.position >= self.bus.end(tp) for tp, account in found.items()):
                break
        else:
            raise AssertionError(f"not read within {TURNS} turns: {found}")
        for loop in self.loops * 3:
            loop.turn(wait_ms=100)

    def alerts(self) -> list[bytes]:
        tp = TopicPartition(self.topics.name("alerts"), 0)
        return [value for batch in read_whole(self.bus, tp) for _, value in whole_values(Assembler(), batch)]


def test_a_running_service_that_retention_overtakes_reports_what_it_has_lost(bus: KafkaBus) -> None:
    """84,000 of 200,000 records went like this once, as gaps, without a notice."""
    serving = Serving(bus)
    serving.send(500)
    serving.turn_until_read()
    serving.send(500)
    delete_before(bus.name, TopicPartition(serving.topic, 0), 400)  # all of that was folded for good
    delete_before(bus.name, TopicPartition(serving.topic, 1), 800)
    serving.send(500)
    serving.turn_until_read()
    assert check_accounts(bus, serving.topics, [serving.topic]) == Counter(pane=2700, lost=300)
    assert {account.gaps for account in accounts(bus, serving.topics, [serving.topic]).values()} == {0}
    (alert,) = map(json.loads, serving.alerts())
    assert alert["data"]["labels"] == {
        "alertname": "DataLost",
        "from_offset": "500",
        "partition": "1",
        "severity": "warning",
        "topic": serving.topic,
    }
    assert "offsets 500 to 800 were deleted" in alert["data"]["text"]
