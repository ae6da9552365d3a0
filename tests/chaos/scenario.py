"""Traffic and rules of a chaos run: columns that drift again and again, late rows, and records that are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from monitor.events import Outgoing
from producers.schedule import Drift
from producers.synthetic import numeric_columns, numeric_traffic
from producers.traffic import Traffic
from tests.chaos import labelled
from tests.chaos.commanded import Commanded
from tests.chaos.labelled import Labelled

TOPIC = "chaos.features"
PREFIX = "chaos."
PARTITIONS = 6
LEDGER_PARTITIONS = 4
MODELS = ("blue", "brown", "green", "white")
COLUMNS = 8
DRIFTING = ("f01", "f03", "f06")
SILENT_PARTITION = 5
START_MS = 1_790_000_000_000
RATE = 1000.0
"""Events a second of event time, of all models together."""
PERIODS = 25
"""How often the columns drift and come back in a full run."""
SHORTEST_PERIOD = 3000
BROKEN_EVERY = 211

HEAD = """
version: 1
defaults:
  window: {{events: 1000, every: 250}}
  lateness: 4s
  pane: 2s
  interval: 2s
  idle_timeout: {idle_timeout}
  max_lead: 30s
  max_clock_skew: 1m
models:
"""
MODEL = """
  {model}:
    task: regression
    streams: {{features: {{topic: {topic}}}}}
    columns: {{timestamp: event_time, numerical: [{columns}]}}
    reference: {{first: 1000}}
"""
DETECTORS = """
detectors:
  adwin: {class: ADWIN, params: {delta: 0.0001}, input: "*"}
  page_hinkley: {class: PageHinkley, params: {threshold: 20}, input: f03}
  kswin: {class: KSWIN, params: {alpha: 0.0001}, input: f06, model: green}
  gaps_ddm: {class: DDM, input: missing(f05)}
  gaps_hddm: {class: HDDMW, input: missing(f05)}
groups:
"""
GROUP = """
  - name: drift-{model}
    models: [{model}]
    rules:
      - {{alert: Psi, expr: psi > 0.06}}
      - {{alert: PsiLasting, expr: psi > 0.06, for: 4s, keep_firing_for: 4s}}
      - {{alert: Ks, expr: ks > 0.1}}
      - {{alert: KsSoon, expr: ks > 0.12, window: {{events: 500, every: 250}}}}
      - {{alert: Gaps, expr: missing_rate > 0.05}}
      - {{alert: Change, expr: 'change > 0'}}
"""
TRIGGER = """
  - trigger: again-{model}
    models: [{model}]
    when: {{any: [PsiLasting, Gaps]}}
    cooldown: 20s
"""


def topics(labels: int) -> Mapping[str, int]:
    """The input topics of a run whose night brings so many labels (0: there are none), with their partitions."""
    return {TOPIC: PARTITIONS, **(labelled.TOPICS if labels else {})}


def configuration(idle: bool, labels: int = 0) -> str:
    """alerts.yaml of the run. Where no partition is to be idle there is no heartbeat in a year."""
    columns = ", ".join(numeric_columns(COLUMNS))
    parts = [HEAD.format(idle_timeout="2s" if idle else "365d")]
    parts += [MODEL.format(model=model, topic=TOPIC, columns=columns) for model in MODELS]
    detectors, groups = (labelled.DETECTORS, labelled.GROUPS) if labels else ("", "")
    parts += [labelled.MODELS] if labels else []
    parts += [DETECTORS.replace("groups:\n", detectors.lstrip("\n") + "groups:\n")]
    parts += [*(GROUP.format(model=model) for model in MODELS), groups, "\nretraining:\n"]
    parts += [TRIGGER.format(model=model) for model in MODELS]
    return "".join(parts)


@dataclass(frozen=True)
class Feed:
    """The run's records: `events` of them, by one seed. `idle`: one partition is silent for a part of the run.

    `labels`: so many come in one night, of a model beside all others; 0: there is no such model. `commanded`: the
    commands of the run; None: there are none.
    """

    events: int
    seed: int
    idle: bool
    labels: int = 0
    commanded: Commanded | None = None

    def all_records(self, start: int = 0) -> Iterator[list[Outgoing]]:
        """The record of each event from number `start` on, with labels and commands beside it."""
        labelled = Labelled(self.labels, self.seed) if self.labels else None
        for number, record in enumerate(self.records(start), start):
            records = [] if record is None else [record]
            records += [] if labelled is None else labelled.beside(number, self.events)
            records += [] if self.commanded is None else self.commanded.beside(number)
            yield records

    def records(self, start: int = 0) -> Iterator[Outgoing | None]:
        """One an event, from the event of number `start` on; None where the event is kept back."""
        silence = range(self.events * 40 // 100, self.events * 55 // 100)
        models = [self._model(number) for number in range(len(MODELS))]
        for number in range(self.events):
            record = next(models[number % len(models)])
            if number < start:
                continue
            silent = self.idle and record.partition == SILENT_PARTITION and number in silence
            yield None if silent else _broken(record, number)

    def _model(self, number: int) -> Iterator[Outgoing]:
        events = -(-self.events // len(MODELS))
        traffic = Traffic(events, self.seed + number, START_MS, RATE / len(MODELS), 0.02, 6000, PARTITIONS)
        return islice(numeric_traffic(traffic, COLUMNS, tuple(self._drifts(events)), TOPIC, MODELS[number]), events)

    @staticmethod
    def _drifts(events: int) -> Iterator[Drift]:
        period = max(SHORTEST_PERIOD, events // PERIODS)
        for column in DRIFTING:
            yield Drift("recurring", column, False, 1500, 0.6, None, period)
        for start in range(1500 + period // 4, events, 3 * period):
            yield Drift("missingness", "f05", False, start, 0.2, start + period // 2)


def _broken(record: Outgoing, number: int) -> Outgoing:
    """The record, or now and then something in its place that cannot be a row."""
    if number % BROKEN_EVERY or record.value is None:
        return record
    value = record.value
    broken = (
        value[: len(value) // 2],
        b"\xff" + value,
        b'{"model":"nobody",' + value.split(b",", 3)[3],
        b"[" * 700,
        b"",
        value.replace(b'"event_time"', b'"time"'),
        None,
    )[number // BROKEN_EVERY % 7]
    return Outgoing(record.topic, record.partition, record.key, broken)
