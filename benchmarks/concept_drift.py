"""Concept drift on public streams: a frozen model, ADWIN on its errors, through the engine and alone.

    python benchmarks/concept_drift.py --data DIR [--json FILE] [--streams NAME ...]

Needs the extra `benchmark` (scikit-learn), and the streams with their MANIFEST.csv in DIR; what is not there is left
out and named. A model, ExtraTrees(40) with seed 0, learns from the first 2,000 rows of a stream and is frozen. Its
predictions and the labels of the rows behind are one event a second each, and ADWIN reads `error`: with River's
default, by which it looks for a cut at every 32nd value, and with `clock: 10`, as alerts.yaml has it.

A listed drift counts if it moves the model's error by 5 points: in the 2,000 rows behind it, against the 2,000 before
(of a gradual one, around its 1,200 rows). It is found by the first alert within 4,000 rows; an alert outside of the
4,000 rows behind any listed drift (of a gradual one, from 600 rows before) is false. The delay is the number of labels
from the row that is listed to the time of the alert, which is the end of its pane of 10 rows. Drifts whose transition
takes 50 or 500 rows are summed apart: of those no detector sees much at the row that is listed.

Beside it stands River's class alone, without panes, on the same errors from the row on at which outcomes begin. What
the engine adds to its delay is the rest of a pane. The row at which it begins decides at which rows behind a drift it
looks; so the delay alone is given, too, for each of as many first rows as its clock has values.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from river.drift import ADWIN

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
STREAMS = ("lobo_", "tornado_", "sea")
KINDS = {"gradual": "gradual", "abrupt": "abrupt", "circles": "over 500 rows", "tornado": "over 50 rows"}
"""What the names of streams say of their drifts."""
PANE = 10
FIRST = 110
"""The row at which outcomes begin: behind the pane that completes the first 100 predictions."""
CLOCKS = {"errors": 32, "errors_often": 10}
"""Detectors of the configuration: after how many values each looks for a cut."""
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
  errors_often: {class: ADWIN, params: {clock: 10}, input: error}
groups:
  - name: concept
    model: frozen
    rules:
      - {alert: errors, expr: 'change{detector="errors"} > 0'}
      - {alert: errors_often, expr: 'change{detector="errors_often"} > 0'}
"""


@dataclass(frozen=True)
class Found:
    """What came of some drifts. `delays`: labels from each drift that counts to its alert, None if there was none."""

    delays: tuple[int | None, ...]
    false: int

    @property
    def found(self) -> int:
        return sum(delay is not None for delay in self.delays)

    @property
    def middle(self) -> float | None:
        return median(delay for delay in self.delays if delay is not None) if self.found else None


@dataclass(frozen=True)
class Stream:
    """What came of one stream, by detector. `shifted`: River alone from each of the first rows behind its own.

    `agrees`: the engine's alerts are those of River alone, each at the end of its pane.
    """

    name: str
    kind: str
    rows: int
    engine: dict[str, Found]
    alone: dict[str, Found]
    shifted: dict[str, tuple[Found, ...]]
    agrees: bool


def main() -> None:
    """Run all streams that are there, print a line for each, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the streams and their MANIFEST.csv")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--streams", nargs="*", help="these only")
    arguments = parser.parse_args()
    console, streams = Console(), list[Stream]()
    for name, drifts in listed(arguments.data / "MANIFEST.csv", arguments.streams):
        file = arguments.data / f"{name}.parquet"
        if file.exists():
            streams.append(figures(name, file, drifts))
            console.print(line(streams[-1]), highlight=False)
        else:
            console.print(f"{file} is not there: left out")
    show(streams, console)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(msgspec.to_builtins(streams), indent=2) + "\n")


def listed(manifest: Path, wanted: Sequence[str] | None) -> Iterator[tuple[str, list[int]]]:
    """Names of the streams with concept drift, and the rows at which it begins."""
    with manifest.open() as file:
        for row in csv.DictReader(file):
            if row["name"].startswith(STREAMS) and (wanted is None or row["name"] in wanted):
                yield row["name"], json.loads(row["drifts"])


def figures(name: str, file: Path, drifts: Sequence[int]) -> Stream:
    """Replay one stream with a frozen model, and feed River alone with its errors."""
    predicted, truth = frozen(file)
    wrong = (predicted != truth).astype(np.float64)
    kind = next((kind for word, kind in KINDS.items() if word in name), "not said")
    gap = EARLIER if kind == "gradual" else 0
    near = [(at - LEARNT - gap, at - LEARNT + WITHIN) for at in drifts]
    moved = [at - LEARNT for at in drifts if moves(wrong, at - LEARNT, gap)]

    def found(alerts: Sequence[int]) -> Found:
        delays = [next((row - at for row in alerts if at - gap <= row < at + WITHIN), None) for at in moved]
        return Found(tuple(delays), sum(not any(start <= row < end for start, end in near) for row in alerts))

    alerts = alerts_of(predicted, truth)
    alone = {
        name: [changes(wrong, first, clock) for first in range(FIRST, FIRST + clock)] for name, clock in CLOCKS.items()
    }
    return Stream(
        name,
        kind,
        len(wrong),
        {name: found(rows) for name, rows in alerts.items()},
        {name: found(rows[0]) for name, rows in alone.items()},
        {name: tuple(found(row) for row in rows) for name, rows in alone.items()},
        all(alerts[name] == [row // PANE * PANE + PANE for row in rows[0]] for name, rows in alone.items()),
    )


def changes(wrong: np.ndarray, first: int, clock: int) -> list[int]:
    """Rows at which River's ADWIN, without anything of ours round it, sees a change; it reads from `first` on."""
    adwin, found = ADWIN(clock=clock), list[int]()
    for row, value in enumerate(wrong[first:].tolist(), first):
        adwin.update(value)
        if adwin.drift_detected:
            found.append(row)
    return found


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


def alerts_of(predicted: np.ndarray, truth: np.ndarray) -> dict[str, list[int]]:
    """Rows at which the alert of each detector began to fire."""
    model = load(CONFIG, "alerts.yaml").models[0]
    tps = [TopicPartition("predictions", 0), TopicPartition("labels", 0)]
    topics = {stream.stream: (stream.topic, 1) for stream in model.contract.streams}
    partitions = new_decision("frozen", "set", msgspec.json.encode(PartitionSet(topics)).decode())
    activations = [Activation(partitions, None), Activation(rules_decision(model), None)]
    place = Place("/benchmark", "http://localhost", "0", "")
    engine = Replay(ReplayLog([model.contract], tps, [], activations, place, ends=True, ledger_partitions=1))
    sources = [batches(tps[0], "y_pred", predicted), batches(tps[1], "y_true", truth)]
    messages = [message for part in engine.fold(sources) for message in part] + engine.finish({})
    found: dict[str, list[int]] = {name: [] for name in CLOCKS}
    for alert in (msgspec.json.decode(message.value) for message in messages if message.topic == "alerts"):
        name = alert["data"]["labels"]["alertname"]
        if name in found and alert["data"].get("status") == "firing":
            found[name].append((parse_time(alert["time"]) - START) // 1000)
    return found


def batches(tp: TopicPartition, field: str, values: np.ndarray) -> Iterator[RecordBatch]:
    """One event a second, whose id is its row."""
    for first in range(0, len(values), BATCH):
        rows = range(first, min(first + BATCH, len(values)))
        events = [
            msgspec.json.encode({"event_time": time_text(START + row * 1000), "id": row, field: int(values[row])})
            for row in rows
        ]
        yield RecordBatch(*tp, rows, [0] * len(rows), [None] * len(rows), events, [()] * len(rows))


def line(stream: Stream) -> str:
    """What came of one stream, in a line."""
    found = [f"{name}: {one.delays}, {one.false} false" for name, one in stream.engine.items()]
    differs = "" if stream.agrees else "; DIFFERS from River alone at the ends of its panes"
    return f"{stream.name}: {'; '.join(found)}{differs}"


def show(streams: Sequence[Stream], console: Console) -> None:
    """Print the sums of each kind of drift, and false alarms."""
    table = Table("drifts", "clock", "count", "found", "median delay", "River alone", "alone, by first row")
    for kind in [*sorted({stream.kind for stream in streams if stream.engine["errors"].delays}), "all"]:
        own = [stream for stream in streams if kind in ("all", stream.kind)]
        for name, clock in CLOCKS.items():
            engine = together(stream.engine[name] for stream in own)
            alone = together(stream.alone[name] for stream in own)
            shifted = [together(stream.shifted[name][k] for stream in own).middle for k in range(clock)]
            middles = [middle for middle in shifted if middle is not None]
            spread = f"{min(middles):g} to {max(middles):g}" if middles else "-"
            counts = str(len(engine.delays)), str(engine.found)
            table.add_row(kind, str(clock), *counts, _number(engine.middle), _number(alone.middle), spread)
    console.print(table)
    rows = sum(stream.rows for stream in streams)
    for name, clock in CLOCKS.items():
        engine = together(stream.engine[name] for stream in streams)
        alone = together(stream.alone[name] for stream in streams)
        rates = [f"{one.false} ({one.false / max(rows, 1) * 10_000:.3f} per 10,000)" for one in (engine, alone)]
        console.print(
            f"clock {clock}: {rates[0]} false alarms in {rows:,} labels, River alone {rates[1]}", highlight=False
        )


def together(founds: Iterable[Found]) -> Found:
    """The drifts of several streams as one."""
    every = list(founds)
    return Found(tuple(delay for one in every for delay in one.delays), sum(one.false for one in every))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


if __name__ == "__main__":
    main()
