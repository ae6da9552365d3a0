"""The traffic and rules of the acceptance test: two of twenty columns step, and one partition is silent for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from monitor.events import Outgoing
from producers.schedule import Drift
from producers.synthetic import numeric_columns, numeric_traffic
from producers.traffic import Traffic

EVENTS = int(os.environ.get("STREAMDRIFT_KAFKA_EVENTS", "200000"))
"""Feature events of the acceptance test; 1000000 is its full size."""
COLUMNS = 20
PARTITIONS = 6
DRIFTING = ("f03", "f11")
SILENT_PARTITION = 5
MODEL = "numeric"
START_MS = 1_790_000_000_000
RATE = 1000.0
LATENESS_MS = 20_000
"""Far above the disorder: heartbeats, which a wall clock paces, make no row late, so runs of the same log agree."""
PANE_MS = 2000
DISORDER_MS = 4000

CONFIG = """
version: 1
defaults:
  {{window: {{events: 10000, every: 2000}}, lateness: 20s, pane: 2s, interval: 2s, idle_timeout: 2s}}
models:
  numeric:
    task: regression
    streams: {{features: {{topic: {topic}}}}}
    columns: {{timestamp: event_time, numerical: [{columns}]}}
    reference: {{first: 5000}}
detectors:
  adwin: {{class: ADWIN, params: {{delta: 0.00001}}, input: "*"}}
groups:
  - name: drift
    models: [numeric]
    rules:
      - {{alert: Psi, expr: psi > 0.04}}
      - {{alert: PsiLasting, expr: psi > 0.04, for: 6s, keep_firing_for: 4s}}
      - {{alert: Ks, expr: ks > 0.085}}
      - {{alert: KsSoon, expr: ks > 0.085, window: {{events: 5000, every: 1000}}}}
      - {{alert: Change, expr: 'change{{detector="adwin"}} > 0'}}
"""
RULES = ("Psi", "PsiLasting", "Ks", "KsSoon", "Change")


@dataclass(frozen=True)
class Scenario:
    """Where things happen, by number of the event."""

    topic: str
    events: int = EVENTS

    @property
    def silence(self) -> range:
        """Events in which the silent partition's records are left out."""
        return range(self.events * 40 // 100, self.events * 55 // 100)

    @property
    def step(self) -> range:
        """Events in which two columns are 0.3 standard deviations higher."""
        return range(self.events * 60 // 100, self.events * 80 // 100)

    @property
    def config(self) -> str:
        return CONFIG.format(topic=self.topic, columns=", ".join(numeric_columns(COLUMNS)))

    def traffic(self) -> Traffic:
        return Traffic(self.events, 3, START_MS, RATE, 0.02, DISORDER_MS, PARTITIONS)

    @property
    def drifts(self) -> tuple[Drift, ...]:
        return tuple(Drift("step", column, False, self.step.start, 0.3, self.step.stop) for column in DRIFTING)


class Feed:
    """The scenario's records, handed out up to one event after the other."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._records = numeric_traffic(scenario.traffic(), COLUMNS, scenario.drifts, scenario.topic, MODEL)
        self.number = 0

    def until(self, number: int) -> Iterator[Outgoing]:
        """Records of the events before `number` that have not been handed out."""
        for record in islice(self._records, number - self.number):
            silent = record.partition == SILENT_PARTITION and self.number in self._scenario.silence
            self.number += 1
            if not silent:
                yield record


def time_of(number: int) -> int:
    """Event time (ms) at which the event's own share of time begins."""
    return START_MS + int(number * 1000 / RATE)


def events_since(number: int, time: int) -> int:
    """Events that came between the event of that number and a time."""
    return int((time - time_of(number)) * RATE / 1000)
