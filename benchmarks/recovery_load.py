"""Models with many detectors, and their traffic: what the service of `recovery.py` has to do."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import msgspec
import numpy as np

from monitor.codec.canonical import time_text
from monitor.config.inputs import InputRefused, resolve_inputs
from monitor.config.resolved import Config
from monitor.events import Outgoing
from monitor.ledger.ledger_topics import LedgerTopics

TOPIC, PREFIX = "recovery.features", "recovery."
PARTITIONS, LEDGER_PARTITIONS = 6, 8
PANE_MS = 2000
START_MS = 1_790_000_000_000
REFERENCE_ROWS = 100
GAPS = 0.03
"""Share of values that are missing: what the detectors that read 0 and 1 watch."""
ON_RANKS = ("ADWIN", "PageHinkley")
ON_GAPS = ("DDM", "EDDM", "FHDDM", "HDDMA", "HDDMW")
KSWIN_COLUMNS = 5
"""Of each model: KSWIN takes 0.3 ms a value, some hundred times the others."""

HEAD = """
version: 1
defaults:
  {window: {events: 50, every: 25}, lateness: 2s, pane: 2s, interval: 2s, idle_timeout: 1h}
models:
"""
MODEL = """
  %(model)s:
    task: regression
    streams: {features: {topic: %(topic)s}}
    columns: {timestamp: event_time, numerical: [%(columns)s]}
    reference: {first: %(reference)d}
"""
GROUP = """
  - name: shift-%(model)s
    model: %(model)s
    rules: [{alert: Shift, expr: 'ks{column="c000"} > 0.7'}]
"""


def model_names(count: int) -> list[str]:
    """Names of models, evenly over the ledger partitions."""
    topics = LedgerTopics(PREFIX, LEDGER_PARTITIONS)
    wanted = Counter(dict.fromkeys(range(LEDGER_PARTITIONS), 0))
    names: list[str] = []
    for number in itertools.count():
        if len(names) == count:
            return names
        name = f"model-{number:03d}"
        if wanted[topics.partition_of(name)] == min(wanted.values()):
            wanted[topics.partition_of(name)] += 1
            names.append(name)
    return names


def column_count(detectors: int, models: int) -> int:
    """Return how many columns each model needs, so that there are at least `detectors` in all."""
    each = -(-detectors // models) - KSWIN_COLUMNS
    return max(KSWIN_COLUMNS, -(-each // (len(ON_RANKS) + len(ON_GAPS))))


def configuration(models: list[str], columns: int) -> str:
    """alerts.yaml: every detector on every column, but for KSWIN."""
    names = ", ".join(f"c{k:03d}" for k in range(columns))
    common = {"topic": TOPIC, "columns": names, "reference": REFERENCE_ROWS}
    parts = [HEAD, *(MODEL % {"model": model, **common} for model in models)]
    parts.append("\ndetectors:\n")
    parts += [f'  {kind.lower()}: {{class: {kind}, input: "*"}}\n' for kind in ON_RANKS]
    parts += [f'  {kind.lower()}: {{class: {kind}, input: "missing(*)"}}\n' for kind in ON_GAPS]
    parts += [f"  kswin{k}: {{class: KSWIN, input: c{k:03d}}}\n" for k in range(KSWIN_COLUMNS)]
    return "".join([*parts, "groups:\n", *(GROUP % {"model": model} for model in models)])


def detectors_of(config: Config) -> Counter[str]:
    """Count the detectors that the configuration makes, by class."""
    found: Counter[str] = Counter()
    for model in config.models:
        for spec in model.rules.detectors:
            try:
                found[spec.detector.class_] += len(resolve_inputs(spec, model.contract))
            except InputRefused:
                continue
    return found


class Panes:
    """Records of one pane after the other, for all models. `shifted`: column c000 has moved far."""

    def __init__(self, models: list[str], columns: int, rows: int) -> None:
        self.models = models
        self._names = [f"c{k:03d}" for k in range(columns)]
        self._rows = rows
        self._random = np.random.default_rng(1)
        self.number = 0

    def take(self, shifted: bool = False) -> Iterator[Outgoing]:
        """The records of the next pane."""
        start = START_MS + self.number * PANE_MS
        self.number += 1
        for row in range(self._rows):
            time_of = time_text(start + row * PANE_MS // self._rows)
            for model in self.models:
                values = np.round(self._random.standard_normal(len(self._names)), 3)
                if shifted:
                    values[0] += 5
                cells: list[float | None] = values.tolist()
                for k in np.flatnonzero(self._random.random(len(cells)) < GAPS).tolist():
                    if k:
                        cells[k] = None
                features = dict(zip(self._names, cells, strict=True))
                event_id = f"{model}-{self.number}-{row}"
                event = {"event_id": event_id, "model": model, "event_time": time_of, "features": features}
                yield Outgoing(TOPIC, (self.number * self._rows + row) % PARTITIONS, None, msgspec.json.encode(event))
