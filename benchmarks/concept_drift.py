"""Concept drift on public streams: a frozen model, ADWIN on its errors, through the engine.

    python benchmarks/concept_drift.py --data DIR [--json FILE] [--streams NAME ...]

Needs the extra `benchmark` (scikit-learn), and the streams with their MANIFEST.csv in DIR; what is not there is left
out and named. A model, ExtraTrees(40) with seed 0, learns from the first 2,000 rows of a stream and is frozen. Its
predictions and the labels of the rows behind are one event a second each, and ADWIN with its default reads `error`.

A listed drift counts if it moves the model's error by 5 points: in the 2,000 rows behind it, against the 2,000 before
(of a gradual one, around its 1,200 rows). It is found by the first alert within 4,000 rows; an alert outside of the
4,000 rows behind any listed drift (of a gradual one, from 600 rows before) is false.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from monitor.codec.canonical import time_text
from monitor.codec.times import parse_time
from monitor.config import load
from monitor.evaluate.alerts import Place
from monitor.events import RecordBatch, TopicPartition
from monitor.ledger.entries import Activation, PartitionSet, new_decision
from monitor.replay import Replay, ReplayLog
from monitor.runner.announce import rules_decision

LEARNT = 2_000
WITHIN = 4_000
EARLIER = 600
"""A gradual drift may be found that many rows before the middle that is listed."""
MOVED = 0.05
START = 1_790_000_000_000
BATCH = 2_000
KINDS = ("lobo_", "tornado_", "sea")
CONFIG = """
version: 1
defaults: {lateness: 0s, pane: 10s, interval: 10s, window: {events: 5000, every: 5000}}
models:
  frozen:
    task: classification_multiclass
    streams: {predictions: {topic: predictions}, labels: {topic: labels, max_delay: 10m}}
    columns: {id: id, prediction: y_pred, label: y_true}
    performance: {window: {time: 20m, every: 1m}}
    reference: {first: 100}
detectors:
  errors: {class: ADWIN, input: error}
groups:
  - {name: concept, model: frozen, rules: [{alert: ConceptDrift, expr: 'change{detector="errors"} > 0'}]}
"""


@dataclass(frozen=True)
class Found:
    """What came of one stream. `delays`: rows from each drift that counts to its alert, None if there was none."""

    name: str
    rows: int
    drifts: int
    is_gradual: bool
    delays: tuple[int | None, ...]
    false: int


def main() -> None:
    """Run all streams that are there, print a row for each, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the streams and their MANIFEST.csv")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--streams", nargs="*", help="these only")
    arguments = parser.parse_args()
    console, found = Console(), list[Found]()
    for name, drifts in listed(arguments.data / "MANIFEST.csv", arguments.streams):
        file = arguments.data / f"{name}.parquet"
        if file.exists():
            found.append(figures(name, file, drifts))
            console.print(f"{name}: {found[-1].delays}, {found[-1].false} false", highlight=False)
        else:
            console.print(f"{file} is not there: left out")
    show(found, console)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(msgspec.to_builtins(found), indent=2) + "\n")


def listed(manifest: Path, wanted: Sequence[str] | None) -> Iterator[tuple[str, list[int]]]:
    """Names of the streams with concept drift, and the rows at which it begins."""
    with manifest.open() as file:
        for row in csv.DictReader(file):
            if row["name"].startswith(KINDS) and (wanted is None or row["name"] in wanted):
                yield row["name"], json.loads(row["drifts"])


def figures(name: str, file: Path, drifts: Sequence[int]) -> Found:
    """Replay one stream with a frozen model."""
    predicted, truth = frozen(file)
    wrong = (predicted != truth).astype(np.float64)
    is_gradual = "gradual" in name
    gap = EARLIER if is_gradual else 0
    moved = [at for at in drifts if moves(wrong, at - LEARNT, gap)]
    alerts = [row + LEARNT for row in alerts_of(predicted, truth)]
    near = [(at - gap, at + WITHIN) for at in drifts]
    delays = [next((row - at for row in alerts if at - gap <= row < at + WITHIN), None) for at in moved]
    false = sum(not any(start <= row < end for start, end in near) for row in alerts)
    return Found(name, len(truth), len(moved), is_gradual, tuple(delays), false)


def frozen(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of a model that learnt from the first rows, and the truth, of all others."""
    from sklearn.ensemble import ExtraTreesClassifier  # the extra `benchmark`

    table = pq.read_table(file)
    target = next(name for name in ("y", "label", "class", "target") if name in table.schema.names)
    columns = [table.column(name).to_numpy().astype(np.float64) for name in table.schema.names if name != target]
    features, truth = np.stack(columns, axis=1), table.column(target).to_numpy().astype(np.int64)
    model = ExtraTreesClassifier(40, random_state=0).fit(features[:LEARNT], truth[:LEARNT])
    return np.asarray(model.predict(features[LEARNT:])), truth[LEARNT:]


def moves(wrong: np.ndarray, at: int, gap: int) -> bool:
    """Return true if the error behind a drift is another one than before."""
    before, after = wrong[max(0, at - gap - 2000) : at - gap], wrong[at + gap : at + gap + 2000]
    return abs(float(after.mean()) - float(before.mean())) >= MOVED


def alerts_of(predicted: np.ndarray, truth: np.ndarray) -> list[int]:
    """Rows at which ConceptDrift began to fire."""
    model = load(CONFIG, "alerts.yaml").models[0]
    tps = [TopicPartition("predictions", 0), TopicPartition("labels", 0)]
    topics = {stream.stream: (stream.topic, 1) for stream in model.contract.streams}
    partitions = new_decision("frozen", "set", msgspec.json.encode(PartitionSet(topics)).decode())
    activations = [Activation(partitions, None), Activation(rules_decision(model), None)]
    place = Place("/benchmark", "http://localhost", "0", "")
    engine = Replay(ReplayLog([model.contract], tps, [], activations, place, ends=True, ledger_partitions=1))
    sources = [batches(tps[0], "y_pred", predicted), batches(tps[1], "y_true", truth)]
    messages = [message for part in engine.fold(sources) for message in part] + engine.finish({})
    found = [msgspec.json.decode(m.value) for m in messages if m.topic == "alerts"]
    return [(parse_time(alert["time"]) - START) // 1000 for alert in found if is_concept_drift(alert)]


def is_concept_drift(alert: dict[str, Any]) -> bool:
    """Return true if it began to fire."""
    data = alert["data"]
    return (data.get("status"), data["labels"]["alertname"]) == ("firing", "ConceptDrift")


def batches(tp: TopicPartition, field: str, values: np.ndarray) -> Iterator[RecordBatch]:
    """One event a second, whose id is its row."""
    for first in range(0, len(values), BATCH):
        rows = range(first, min(first + BATCH, len(values)))
        events = [
            msgspec.json.encode({"event_time": time_text(START + row * 1000), "id": row, field: int(values[row])})
            for row in rows
        ]
        yield RecordBatch(*tp, rows, [0] * len(rows), [None] * len(rows), events, [()] * len(rows))


def show(found: Sequence[Found], console: Console) -> None:
    """Print a row a stream, and the sums."""
    table = Table("stream", "drifts that count", "found", "median delay, labels", "false", "false per 10,000")
    for one in [*found, together(found, False), together(found, True)]:
        delays = [delay for delay in one.delays if delay is not None]
        middle = f"{median(delays):.0f}" if delays else "-"
        rate = f"{one.false / one.rows * 10_000:.3f}" if one.rows else "-"
        table.add_row(one.name, str(one.drifts), str(len(delays)), middle, str(one.false), rate)
    console.print(table)
    rows, false = sum(one.rows for one in found), sum(one.false for one in found)
    if rows:
        console.print(f"false alarms: {false} in {rows:,} labels, {false / rows * 10_000:.3f} per 10,000")


def together(found: Sequence[Found], is_gradual: bool) -> Found:
    """All abrupt or all gradual streams as one."""
    own = [one for one in found if one.is_gradual == is_gradual]
    delays = tuple(delay for one in own for delay in one.delays)
    name = "all gradual" if is_gradual else "all abrupt"
    rows, drifts, false = (sum(getattr(one, field) for one in own) for field in ("rows", "drifts", "false"))
    return Found(name, rows, drifts, is_gradual, delays, false)


if __name__ == "__main__":
    main()
