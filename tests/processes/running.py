"""The service on a bus, in processes of its own, with traffic of one event each 100 ms of event time a partition."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import msgspec

from monitor.bus.port import Bus
from monitor.codec.canonical import time_text
from monitor.events import Outgoing
from tests.kafka.service import Reached, Service

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
    models: [m]
    rules: [{{alert: Mean, expr: 'mean > {threshold}'}}]
"""


@dataclass
class Running:
    """One service; `web`: where its endpoints are."""

    bus: Bus
    topic: str
    service: Service
    reached: Reached
    config: Path
    web: str
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

    def published(self, event: str) -> list[dict[str, Any]]:
        """Log lines of that event."""
        lines = [json.loads(line) for line in self.service.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def ask(self, path: str) -> tuple[int, str]:
        """Status and text of a page; 0 where nobody answers."""
        try:
            with urlopen(f"http://{self.web}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except URLError:
            return 0, ""

    def wait_for(self, event: str, times: int) -> None:
        self.service.wait_until(lambda: len(self.published(event)) >= times, f"{times} times {event}", PATIENCE_S)
