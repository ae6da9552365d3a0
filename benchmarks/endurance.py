"""Endurance: many events through the production folds, and how resident memory grows with them.

    python benchmarks/endurance.py [--events N] [--columns N] [--seed N] [--json FILE]

A buffer of traffic is folded again and again, each time at later offsets and times: rows drift and come back, some are
late, some from the future, categories are new in every pane, and alerts, retraining requests and observations come out.
Decoding text would be two thirds of the time, so each turn of the buffer decodes one poll in forty as text, with all
kinds of dead letters in it, and takes the rows of the others as they were decoded the first time. Between profile and
evaluate stand the ledger's bytes. The slope of memory is taken by least squares, behind the first tenth and behind the
longest look-back of the configuration, an hour of event time: what retraining may ask for is kept as long as that, so
until then memory grows as it is meant to. Both slopes are printed; the second decides.

Every row of the table is printed when it is reached, and the report is written then too: a run that is ended says how
far it came.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated

import msgspec
import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a script's path lacks the checkout

from benchmarks.throughput import machine
from monitor.codec.canonical import time_text
from monitor.codec.decode import Decoder
from monitor.config import load
from monitor.config.resolved import Config
from monitor.evaluate.alerts import Place
from monitor.evaluate.messages import Message
from monitor.evaluate.task import EvaluateTask
from monitor.events import Batch, RecordBatch, TopicPartition
from monitor.ledger.entries import Activation, PartitionSet, new_decision
from monitor.ledger.entry_codec import decode_entry, encode_entry
from monitor.profile.grids import Grids
from monitor.profile.partition import PartitionFold
from monitor.runner.announce import rules_decision
from monitor.runner.memory import resident_bytes

TOPIC, PARTITIONS, POLL = "endurance", 2, 2500
BUFFER = 200_000
"""Events of one turn of the buffer, 200 s of event time."""
START_MS = 1_790_000_000_000
LOOK_BACK = 3_600_000
"""Events of an hour of event time, the longest training window."""
TEXT = 40
"""One poll in so many is decoded from text."""
BROKEN = (b"", b"{", b"\xff", b"[" * 600, b"[]", b'{"model":"bench"}', b'{"model":"who"}')
_NOTHING: list[None] = [None] * POLL

_ALERTS_YAML = """\
version: 1
defaults: {{window: {{events: 5000, every: 2500}}, lateness: 2s, pane: 2s, interval: 10s}}
models:
  bench:
    task: classification_binary
    streams: {{features: {{topic: endurance}}}}
    columns: {{numerical: [{columns}], categorical: [c]}}
    reference: {{first: 5000}}
detectors:
  adwin: {{class: ADWIN, params: {{delta: 0.00002}}, input: "*"}}
  hinkley: {{class: PageHinkley, input: f00}}
groups:
  - name: drift
    models: [bench]
    rules:
      - {{alert: Psi, expr: psi > 0.1, min_events: 2000}}
      - {{alert: Change, expr: 'change{{detector="adwin"}} > 0'}}
      - {{alert: Late, expr: late_rate > 0.5}}
retraining:
  - trigger: again
    models: [bench]
    when: {{any: [Psi]}}
    cooldown: 1m
    training_window: {{since: first_violation, max: 1h}}
"""


class Sample(msgspec.Struct, frozen=True):
    """What was measured when `events` had been folded."""

    events: int
    resident_mb: float
    cpu_s: float
    wall_s: float


class Report(msgspec.Struct):
    """The run so far. Growth of resident memory per 10 million events: `tenth_mb` behind the first tenth, `slope_mb`
    behind the look-back too.
    """

    wanted: int
    columns: int
    seed: int
    machine: dict[str, str | int]
    samples: list[Sample]
    tenth_mb: float | None
    slope_mb: float | None
    out: dict[str, int]
    buckets: dict[str, int]


class Endless:
    """The buffer and the folds that it goes through, turn after turn."""

    def __init__(self, columns: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._names = [f"f{column:02d}" for column in range(columns)]
        config: Config = load(_ALERTS_YAML.format(columns=", ".join(self._names)), "endurance")
        (model,) = config.models
        self._decoder = Decoder(TOPIC, [model.contract])
        self._grids = Grids()
        self.folds = [PartitionFold(TopicPartition(TOPIC, p), [model.contract], self._grids) for p in range(PARTITIONS)]
        partitions = msgspec.json.encode(PartitionSet({"features": (TOPIC, PARTITIONS)})).decode()
        changes = [new_decision("bench", "set", partitions), rules_decision(model)]
        place = Place("/bench", "http://localhost:8787", "0", "bench")
        self._task = EvaluateTask(place, [Activation(change, None) for change in changes])
        self.out: Counter[str] = Counter()
        self._offsets = [0] * PARTITIONS
        values = self._values()
        self._polls = [self._decoded(values, start) for start in range(0, BUFFER, POLL)]

    def _values(self) -> list[bytes]:
        """One turn of the buffer as text: in its second half two columns have moved."""
        numbers = self._rng.normal(50.0, 10.0, size=(BUFFER, len(self._names)))
        numbers[BUFFER // 2 :, :2] += 8.0
        categories = np.char.add("c", self._rng.integers(0, 20, BUFFER).astype(str)).tolist()
        new = self._rng.random(BUFFER) < 0.02
        for i in np.flatnonzero(new).tolist():
            categories[i] = f"new{i}"
        times = np.arange(BUFFER) - np.where(self._rng.random(BUFFER) < 0.002, 6000, 0)
        times[self._rng.random(BUFFER) < 0.0001] += 86_400_000
        rows = np.round(numbers, 3).tolist()
        columns = zip(rows, categories, times.tolist(), strict=True)
        return [self._event(i, time, row, category) for i, (row, category, time) in enumerate(columns)]

    def _event(self, number: int, at: int, row: list[float], category: str) -> bytes:
        features = {**dict(zip(self._names, row, strict=True)), "c": category}
        event = {"event_id": f"e{number}", "model": "bench", "event_time": time_text(START_MS + at)}
        return msgspec.json.encode({**event, "features": features})

    def _decoded(self, values: list[bytes], start: int) -> Batch:
        part = values[start : start + POLL]
        return self._decoder.decode(_records(start // POLL % PARTITIONS, 0, part))

    # ------------------------------------------------------------------ turns

    def turn(self, number: int) -> Iterator[int]:
        """One turn of the buffer, shifted to its time; gives the events of each poll as it is folded."""
        shift = number * BUFFER
        for place, decoded in enumerate(self._polls):
            partition = place % PARTITIONS
            if place % TEXT == number % TEXT:
                yield self._feed_text(partition, place, shift)
            else:
                yield self._feed_rows(partition, decoded, shift)

    def _feed_rows(self, partition: int, decoded: Batch, shift: int) -> int:
        first = self._offsets[partition]
        rows = tuple(replace(r, offset=r.offset + first, time=r.time + shift) for r in decoded.rows)
        batch = replace(decoded, partition=partition, first=first, last=first + POLL - 1, rows=rows)
        return self._fold(batch, _records(partition, first, _NOTHING))

    def _feed_text(self, partition: int, place: int, shift: int) -> int:
        numbers = np.round(self._rng.normal(50.0, 10.0, size=(POLL - len(BROKEN), len(self._names))), 3).tolist()
        at = shift + place * POLL
        good = [self._event(i, at + i, row, f"text{i % 9}") for i, row in enumerate(numbers)]
        records = _records(partition, self._offsets[partition], [*BROKEN, *good])
        return self._fold(self._decoder.decode(records), records)

    def _fold(self, batch: Batch, records: RecordBatch) -> int:
        fold = self.folds[batch.partition]
        fold.feed(batch, records)
        self._offsets[batch.partition] = batch.last + 1
        drained = fold.drain()
        fold.snapshot({})
        entries = [*drained.panes, *([drained.watermark] if drained.watermark else [])]
        for entry in (encode_entry(entry, "ledger", 0) for entry in entries):
            self._task.read(decode_entry(entry.headers, entry.value or b""))
        for output in self._task.advance():
            if isinstance(output, Message):
                self.out[output.topic] += 1
            elif output.decision.kind == "grid":
                self._grids.add(output)
                for waiting in self.folds:
                    waiting.use_grids()
        self.out["dead letters"] += len(drained.rejected)
        return len(records)


def _records(partition: int, first: int, values: list[bytes] | list[None]) -> RecordBatch:
    n = len(values)
    return RecordBatch(TOPIC, partition, range(first, first + n), [0] * n, [None] * n, values, [()] * n)


def slope_mb(samples: list[Sample], start: int) -> float | None:
    """Growth of resident memory per 10 million events, by least squares from `start` events on."""
    kept = [sample for sample in samples if sample.events >= start]
    if len(kept) < 3:
        return None
    events, resident = np.array([s.events for s in kept]), np.array([s.resident_mb for s in kept])
    return float(np.polyfit(events / 1e7, resident, 1)[0])


def main(
    events: Annotated[int, typer.Option(min=2 * LOOK_BACK, help="Events to fold.")] = 10_000_000,
    columns: Annotated[int, typer.Option(min=2, help="Numeric columns, beside one of categories.")] = 4,
    seed: Annotated[int, typer.Option(help="Seed of the traffic.")] = 1,
    most_mb: Annotated[float, typer.Option(help="Largest slope, MB per 10 million events.")] = 1.0,
    json: Annotated[Path | None, typer.Option(help="File for the report.")] = None,
) -> None:
    """Fold many events, and say how resident memory grows."""
    run = Endless(columns, seed)
    report = Report(events, columns, seed, machine(), [], None, None, {}, {})
    step, done, number, wall = max(BUFFER, events // 50), 0, 0, perf_counter()
    typer.echo(f"seed {seed}, {columns} numeric columns, {events:,} events")
    typer.echo(f"{'events':>14} {'resident MB':>12} {'cpu s':>8} {'wall s':>8} {'MB/10^7':>8}")
    while done < events:
        for n in run.turn(number):
            done += n
            if done // step > (done - n) // step:
                sample = Sample(done, resident_bytes() / 1e6, process_time(), perf_counter() - wall)
                report.samples.append(sample)
                report.tenth_mb = slope_mb(report.samples, events // 10)
                report.slope_mb = slope_mb(report.samples, max(events // 10, LOOK_BACK))
                report.out = dict(run.out)
                report.buckets = dict(sum((fold.buckets for fold in run.folds), Counter()))
                _show(sample, report, json)
        number += 1
    if any(fold.account().difference for fold in run.folds):
        raise RuntimeError(f"offsets are in no bucket, or in two: {[fold.account() for fold in run.folds]}")
    if not all(run.out[name] for name in ("alerts", "retraining", "observations", "dead letters")):
        raise RuntimeError(f"a run in which nothing happens measures nothing: {run.out}")
    slope = report.slope_mb
    typer.echo(f"{report.out}; {report.buckets}")
    typer.echo(
        f"slope {slope:.3f} MB per 10 million events, at most {most_mb} wanted" if slope is not None else "short"
    )
    raise typer.Exit(1 if slope is None or slope > most_mb else 0)


def _show(sample: Sample, report: Report, json: Path | None) -> None:
    slope = "" if report.slope_mb is None else f"{report.slope_mb:.3f}"
    typer.echo(
        f"{sample.events:>14,} {sample.resident_mb:>12.1f} {sample.cpu_s:>8.1f} {sample.wall_s:>8.1f} {slope:>8}"
    )
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


if __name__ == "__main__":
    typer.run(main)
