"""`streamdrift run` and signals: SIGTERM commits and leaves, SIGHUP takes another alerts.yaml or keeps the old one."""

from __future__ import annotations

import json
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.bus.address import open_bus
from monitor.bus.port import Bus
from monitor.codec.canonical import time_text
from monitor.events import Outgoing
from tests.kafka.service import Reached, Service, environment

pytestmark = pytest.mark.slow
START = 1_790_000_000_000
STEP_MS, PANE_MS, LATENESS_MS = 100, 2000, 2000
PARTITIONS = 2
PATIENCE_S = 60
CONFIG = """
version: 1
defaults: {{window: {{events: 50, every: 10}}, lateness: 2s, pane: 2s, interval: 2s}}
models:
  m:
    task: regression
    streams: {{features: {{topic: {topic}}}}}
    columns: {{numerical: [a]}}
    reference: {{first: 100}}
groups:
  - name: g
    model: m
    rules: [{{alert: Mean, expr: 'mean > {threshold}'}}]
"""


@dataclass
class Running:
    """The service on a bus, with traffic of one event each 100 ms of event time in each partition."""

    bus: Bus
    topic: str
    service: Service
    reached: Reached
    config: Path
    sent: int = 0

    def write(self, threshold: float) -> None:
        self.config.write_text(CONFIG.format(topic=self.topic, threshold=threshold))

    def send(self, events: int) -> None:
        sender = self.bus.sender()
        for i in range(self.sent, self.sent + events):
            event = {"event_id": str(i), "event_time": time_text(START + STEP_MS * i), "features": {"a": i % 7}}
            for p in range(PARTITIONS):
                sender.send(Outgoing(self.topic, p, b"k", msgspec.json.encode({**event, "model": "m"})))
        self.sent += events
        sender.flush()
        sender.close()

    def positions(self) -> int:
        """Records of the topic that are committed."""
        return self.reached.events()

    def said(self, event: str) -> list[dict[str, Any]]:
        """Log lines of that event."""
        lines = [json.loads(line) for line in self.service.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def wait_for(self, event: str, times: int) -> None:
        self.service.wait_until(lambda: len(self.said(event)) >= times, f"{times} times {event}", PATIENCE_S)


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    """Commits come rarely while traffic flows: every minute, or when there is nothing to read."""
    url = f"sqlite:///{tmp_path}/bus.db"
    if request.param == "kafka":
        url = f"kafka://{request.getfixturevalue('kafka_address')}"
    bus, topic, prefix = open_bus(url), f"in-{uuid.uuid4().hex[:8]}", f"s{uuid.uuid4().hex[:8]}."
    bus.create(topic, PARTITIONS)
    config = tmp_path / "alerts.yaml"
    env = environment(url, prefix) | {"STREAMDRIFT_COMMIT_INTERVAL_MS": "60000"}
    service = Service(env, config, tmp_path / "service.log")
    one = Running(bus, topic, service, Reached(bus, topic, prefix), config)
    one.write(50)
    one.send(200)
    service.start()
    try:
        service.wait_until(one.reached.has_read_all, "all was read", PATIENCE_S)
        yield one
    finally:
        service.kill()
        bus.close()


def test_sigterm_commits_what_is_folded_and_leaves(running: Running) -> None:
    """Exit code 0; the commit of the end holds what no commit before did; a restart folds the open panes again only."""
    stop = threading.Event()
    flow = threading.Thread(target=_traffic, args=(running.bus.name, running.topic, running.sent, stop))
    flow.start()
    try:
        running.service.pause(3)
        before = running.positions()
        assert running.service.stop() == 0, running.service.tail()
    finally:
        stop.set()
        flow.join()
    assert running.positions() > before
    assert len(running.said("stage_stopped")) == 2
    assert running.said("stage_stopped_without_commit") == []

    running.service.start()
    running.wait_for("partition_restored", PARTITIONS)
    running.service.wait_until(running.reached.has_read_all, "the rest was read", PATIENCE_S)
    for line in running.said("partition_restored"):
        watermark = START + STEP_MS * (line["to"] - 1) - LATENESS_MS
        assert START + STEP_MS * line["low"] >= watermark // PANE_MS * PANE_MS


def _traffic(url: str, topic: str, first: int, stop: threading.Event) -> None:
    """A bus belongs to one thread."""
    bus = open_bus(url)
    source = Running(bus, topic, None, None, Path(), first)  # type: ignore[arg-type] # it only sends
    while not stop.wait(0.05):
        source.send(20)
    bus.close()


def test_sighup_takes_another_file_and_a_bad_one_keeps_the_old(running: Running) -> None:
    """The reason is said with its place; a stage that starts meanwhile runs on the old text, too."""
    running.write(60)
    running.service.signal(signal.SIGHUP)
    running.wait_for("config_taken", 2)
    running.wait_for("change_announced", 3)

    running.config.write_text(running.config.read_text().replace("mean > 60", "meen > 70"))
    running.service.signal(signal.SIGHUP)
    running.wait_for("config_reload_failed", 1)
    (failed,) = running.said("config_reload_failed")
    assert failed["problems"] == [
        f"{running.config}:13:34: unknown metric 'meen'; did you mean 'mean'?",
    ]
    for pid in running.service.children():
        os.kill(pid, signal.SIGKILL)
    running.wait_for("stage_started", 4)
    running.send(100)
    running.service.wait_until(running.reached.has_read_all, "all was read", PATIENCE_S)

    running.write(70)
    running.service.signal(signal.SIGHUP)
    running.wait_for("config_taken", 4)
    assert running.service.stop() == 0, running.service.tail()
