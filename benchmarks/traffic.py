"""Seeded traffic for the benchmarks: one model of numeric columns, its events as JSON bytes, cut into polls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.config.resolved import Config
from monitor.events import RecordBatch

PARTITIONS = 4
POLL = 5000
"""Records that one poll takes, from all partitions together (the runner's MAX_RECORDS)."""
_START_MS = 1_790_000_000_000

UNJUDGED = 6_000
"""Events of the panes that the reference is made of: the first 5,000, and the rest of their third pane."""

# One event a millisecond: a pane of 2 s holds 2,000 rows, so no trace is thinned and a window closes at every pane.
_ALERTS_YAML = """\
version: 1
defaults: {{window: {{events: 5000, every: 500}}, lateness: 2s, pane: 2s, interval: 2s}}
models:
  bench:
    task: classification_binary
    streams: {{features: {{topic: {topic}}}}}
    columns: {{numerical: [{columns}]}}
    reference: {{first: 5000}}
detectors:
  adwin: {{class: ADWIN, params: {{delta: 0.00002}}, input: "*"}}
groups:
  - name: drift
    models: [bench]
    rules:
      - {{alert: Psi, expr: psi > 0.1, min_events: 2000}}
      - {{alert: Ks, expr: ks > 0.1, min_events: 2000}}
      - {{alert: Change, expr: 'change{{detector="adwin"}} > 0'}}
"""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Events of one model: `values` are the records of each partition, in offset order."""

    config: Config
    topic: str
    columns: int
    events: int
    values: tuple[tuple[bytes, ...], ...]

    @property
    def bytes_per_event(self) -> float:
        """Mean size of a record's value."""
        return sum(len(value) for part in self.values for value in part) / self.events

    def polls(self) -> Iterator[list[RecordBatch]]:
        """The records in the order of their arrival, as polls bring them."""
        share = POLL // PARTITIONS
        for start in range(0, len(self.values[0]), share):
            yield [self._batch(partition, start, start + share) for partition in range(PARTITIONS)]

    def _batch(self, partition: int, start: int, end: int) -> RecordBatch:
        values = self.values[partition][start:end]
        n = len(values)
        offsets = range(start, start + n)
        return RecordBatch(self.topic, partition, offsets, [_START_MS] * n, [None] * n, values, [()] * n)


def make_traffic(topic: str, columns: int, events: int, seed: int = 1) -> Traffic:
    """Normal columns; in the second half two of them are shifted by 0.3 of their standard deviation."""
    rng = np.random.default_rng(seed)
    names = [f"f{column:02d}" for column in range(columns)]
    numbers = rng.normal(50.0, 10.0, size=(events, columns))
    numbers[events // 2 :, 2:4] += 3.0
    rows = np.round(numbers, 4).tolist()
    encoded = [_event(i, dict(zip(names, row, strict=True))) for i, row in enumerate(rows)]
    values = tuple(tuple(encoded[partition::PARTITIONS]) for partition in range(PARTITIONS))
    config = load(_ALERTS_YAML.format(topic=topic, columns=", ".join(names)), "benchmark")
    return Traffic(config, topic, columns, events, values)


def _event(number: int, features: dict[str, float]) -> bytes:
    """One event in the native format, with all fields of its envelope."""
    return msgspec.json.encode(
        {
            "event_id": f"01JD{number:010d}",
            "prediction_id": f"tx-{number}",
            "model": "bench",
            "model_version": "14",
            "endpoint": "default",
            "event_time": time_text(_START_MS + number),
            "features": features,
        }
    )
