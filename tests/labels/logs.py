"""Random logs of predictions and their labels: what a seed stands for, and running one through the engine.

A log has 1 to 4 partitions of predictions and of labels, which have other keys. Labels come at once or later than they
are waited for, before their predictions, never, twice, corrected, for ids that nobody knows, and for ids that are used
again; some carry the time of their prediction, and a clock lets their partitions follow. All lengths are small: a pane
is two seconds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import msgspec

from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.config.resolved import Config
from monitor.contract import StreamContract
from monitor.evaluate import outcomes
from monitor.evaluate.messages import Message
from monitor.evaluate.outcomes import outcome_rows
from monitor.evaluate.performance import Performance
from monitor.events import Rows, TopicPartition
from monitor.ledger.entries import Heartbeat
from monitor.replay import Replay, in_order
from tests.determinism import logs as plain

START = plain.START
Outcome = Mapping[str, float]
PANE_MS, LATENESS_MS = 2000, 4000
FEATURES, PREDICTIONS, LABELS = "ml.features", "ml.predictions", "ml.labels"

CONFIG = """
version: 1
defaults:
  window: {{events: 200, every: 50}}
  lateness: 4s
  pane: 2s
  interval: {interval}s
  max_clock_skew: 1d
  idle_timeout: 5s
models:
  m:
    task: {task}
    streams:
      features: {{topic: ml.features}}
      predictions: {{topic: ml.predictions}}
      labels:
        topic: ml.labels
        max_delay: {max_delay}s
        max_early: {max_early}s
        pending: {pending}
        sample: {sample}
    columns: {{numerical: [x], id: id, label: y, {columns}}}
    performance:
      window: {window}
      mature: {mature}
      {performance}
    reference: {{first: {first}}}
detectors:
  change: {{class: ADWIN, params: {{delta: 0.01}}, input: {input}}}
groups:
  - name: labels
    models: [m]
    rules:
      - {{alert: Change, expr: 'change{{detector="change"}} > 0'}}
      - {{alert: Coverage, expr: label_coverage < 0.88}}
      - {{alert: Drift, expr: drift > 0.9}}
{rules}
"""
_OF_ERRORS = (
    "{alert: Below, expr: accuracy < reference_mean - 0.03, min_labels: 30}",
    "{alert: Early, expr: error_rate > 0.3, min_labels: 20, maturity: provisional}",
    "{alert: Sure, expr: error_rate > 0.2, min_labels: 20, confidence: 0.8}",
    "{alert: Normal, expr: accuracy < baseline - 0.1, min_labels: 5}",
    "{alert: Own, expr: accuracy < 0.75, min_labels: 10, window: WINDOW}",
)
RULES: Mapping[str, tuple[str, ...]] = {
    "classification_binary": (
        *_OF_ERRORS,
        "{alert: F1, expr: f1 < 0.6, min_labels: 30, maturity: provisional}",
        "{alert: Precise, expr: precision < 0.65, min_labels: 30}",
        "{alert: Wrong, expr: false_positive_rate > reference_mean + 0.05, min_labels: 30}",
        "{alert: Cost, expr: cost_per_1000 > 900, min_labels: 30}",
    ),
    "classification_multiclass": (
        *_OF_ERRORS,
        "{alert: F1, expr: 'f1{average=~\".*\"} < 0.5', min_labels: 30}",
        "{alert: Recall, expr: recall < reference_mean - 0.05, min_labels: 30}",
        "{alert: Cost, expr: cost_per_1000 > 900, min_labels: 30}",
    ),
    "regression": (
        "{alert: Mae, expr: mae > reference_mean * 1.2, min_labels: 30}",
        "{alert: Early, expr: rmse > 1.5, min_labels: 20, maturity: provisional}",
        "{alert: Sure, expr: mae > 0.9, min_labels: 20, confidence: 0.8}",
        "{alert: Bias, expr: bias > baseline + 0.3, min_labels: 5}",
        "{alert: Own, expr: mape > 0.5, min_labels: 10, window: WINDOW}",
    ),
}
DEVIATION = {
    "classification_binary": "{alert: Far, expr: accuracy < reference_mean - 2 * reference_std, min_labels: 60}",
    "classification_multiclass": "{alert: Far, expr: accuracy < reference_mean - 2 * reference_std, min_labels: 60}",
    "regression": "{alert: Far, expr: mae > reference_mean + 2 * reference_std, min_labels: 60}",
}
"""A rule on what windows differ by without drift, for logs that are long enough."""


@dataclass(frozen=True)
class LabelLog:
    """One log. `records`: of each partition, values in offset order. `heartbeats`: where a clock spoke."""

    seed: int
    config: Config
    records: dict[TopicPartition, list[bytes]]
    heartbeats: list[Heartbeat]
    arrivals: dict[TopicPartition, list[int]]
    """When each record comes, ms."""

    @property
    def plain(self) -> plain.RandomLog:
        """The same log, as the determinism suite folds it."""
        return plain.RandomLog(self.seed, self.config, self.records, self.heartbeats)


@dataclass(frozen=True)
class Traits:
    """What the events of one log are like. Times: ms; `long`: ten times as many events as the others."""

    task: str
    has_class: bool
    has_probability: bool
    positive: str | None
    classes: int
    max_delay: int
    max_early: int
    delay: int
    lags: bool
    ids: int
    seconds: int
    per_second: float
    drift: float


def random_log(seed: int, seconds: int | None = None) -> LabelLog:
    """The log that a seed stands for. `seconds`: of event time, for a shorter one."""
    rng = random.Random(seed)
    traits = _traits(rng)
    traits = traits if seconds is None else replace(traits, seconds=seconds)
    topics = {topic: rng.randint(1, 4) for topic in (FEATURES, PREDICTIONS, LABELS)}
    topics[FEATURES] = min(topics[FEATURES], 2)
    config = _config(traits, rng)
    partitions = {topic: [TopicPartition(topic, p) for p in range(n)] for topic, n in topics.items()}
    events = _Events(traits, partitions, rng)
    events.fill()
    records, heartbeats, arrivals = events.partitioned()
    return LabelLog(seed, config, records, heartbeats, arrivals)


def _traits(rng: random.Random) -> Traits:
    task = rng.choice(sorted(RULES))
    is_binary = task == "classification_binary"
    has_class = not is_binary or rng.random() < 0.7
    is_long = rng.random() < 0.08
    max_delay = rng.choice([10, 30, 80]) * 1000
    return Traits(
        task=task,
        has_class=has_class,
        has_probability=is_binary and (not has_class or rng.random() < 0.7),
        positive="fraud" if is_binary and rng.random() < 0.3 else None,
        classes=rng.choice([3, 6, 130]),
        max_delay=max_delay,
        max_early=rng.choice([0, 4, 20]) * 1000,
        delay=int(max_delay * rng.choice([0, 0, 0.1, 0.3, 0.5])),
        lags=rng.random() < 0.4,
        ids=rng.choice([60, 150, 10**6]),
        seconds=rng.choice([120, 200]),
        per_second=30.0 if is_long else rng.choice([3.0, 6.0]),
        drift=rng.choice([0.0, 0.35, 0.6]),
    )


def _config(traits: Traits, rng: random.Random) -> Config:
    own, window = rng.choice(
        [
            ("{time: 16s, every: 8s}", "{time: 40s, every: 8s}"),
            ("{time: 60s, every: 4s}", "{time: 20s, every: 4s}"),
            ("{time: 48s, every: 24s}", "{time: 24s}"),
            ("{time: 10s, every: 2s}", "{time: 6s, every: 2s}"),
            ("{events: 100, every: 50}", "{events: 150, every: 50}"),
            ("{events: 120}", "{events: 60}"),
        ]
    )
    is_long = traits.per_second > 10
    rules = [*RULES[traits.task], *([DEVIATION[traits.task]] if is_long else [])]
    columns = {"prediction": "p"} if traits.has_class else {}
    columns |= {"probability": "q"} if traits.has_probability else {}
    text = CONFIG.format(
        interval=rng.choice([2, 4, 6]),
        task=traits.task,
        max_delay=traits.max_delay // 1000,
        max_early=traits.max_early // 1000,
        pending=rng.choice([60, 300, 10**5, 10**5, 10**5]),
        sample=rng.choice(["1", "1", "1", "1/2", "1/4"]) if not is_long else "1",
        columns=", ".join(f"{name}: {field}" for name, field in columns.items()),
        window=window,
        mature=rng.choice([0.5, 0.8, 0.9]),
        performance="\n      ".join(_performance(traits, rng)),
        first=1700 if is_long else rng.choice([40, 40, 120, 300]),
        input=_watched(traits),
        rules="\n".join(f"      - {rule.replace('WINDOW', own)}" for rule in rules),
    )
    return load(text, "alerts.yaml")


def _watched(traits: Traits) -> str:
    return "loss" if traits.task == "regression" else "error"


def _performance(traits: Traits, rng: random.Random) -> list[str]:
    """Lines of the configuration that not every task has."""
    if traits.task == "regression":
        lines = ["baseline: {bias: 0.1}"]
        return [*lines, f"tolerance: {rng.choice([0, 0.5, 1])}"] if rng.random() < 0.6 else lines
    lines = ["baseline: {accuracy: 0.8}"]
    if traits.positive is not None:
        lines.append(f"positive: {traits.positive}")
    if not traits.has_class:
        lines.append(f"threshold: {rng.choice([0.3, 0.5])}")
    names = ("ok", traits.positive) if traits.positive else ("0", "1") if traits.has_probability else ("1", "0")
    if traits.task == "classification_multiclass":
        names = ("c1", "c2")
    lines.append(f"costs: {{'{names[0]}': {{'{names[1]}': 5}}, '{names[1]}': {{'{names[0]}': 1.5}}}}")
    return lines


class _Events:
    """The events of a log, each with the moment (ms) at which it comes."""

    def __init__(self, traits: Traits, partitions: Mapping[str, list[TopicPartition]], rng: random.Random) -> None:
        self._traits = traits
        self._partitions = partitions
        self._rng = rng
        self._records: list[tuple[int, TopicPartition, dict[str, Any]]] = []

    def fill(self) -> None:
        """Make all events."""
        traits, rng = self._traits, self._rng
        for i in range(int(traits.seconds * traits.per_second)):
            time = START + int(i * 1000 / traits.per_second) + rng.randrange(100)
            if 60_000 < time - START < 60_000 + 8000 * (traits.classes % 4):  # nothing is predicted for a while
                continue
            self._feature(time)
            self._case(i, time)
        for _ in range(int(20 * rng.random())):
            at = START + rng.randrange(traits.seconds * 1000)
            self._label(at, at, f"nobody-{rng.randrange(10)}", self._truth(at)[0])

    def _put(self, at: int, topic: str, event: dict[str, Any], partition: int | None = None) -> None:
        tps = self._partitions[topic]
        tp = self._rng.choice(tps) if partition is None else tps[partition % len(tps)]
        self._records.append((at, tp, event))

    def _feature(self, time: int) -> None:
        event = {"model": "m", "event_time": time_text(time), "features": {"x": self._rng.gauss(0, 1)}}
        self._put(time, FEATURES, event)

    def _case(self, i: int, time: int) -> None:
        """One prediction, those that repeat it, and its labels."""
        traits, rng = self._traits, self._rng
        id_: str | int = i % traits.ids if rng.random() < 0.97 else rng.randrange(i + 1) % traits.ids
        truth, other = self._truth(time), self._truth(time)
        arrival = time if rng.random() < 0.9 else time + rng.choice([3000, 12_000])
        self._prediction(arrival, time, id_, truth)
        if rng.random() < 0.04:
            again = time + rng.choice([0, 500, 9000])
            self._prediction(again, again, id_, other)
        if rng.random() < 0.05:
            return
        at = time + self._delay()
        self._label(at, time, id_, truth[0])
        while rng.random() < 0.15:
            later = at + rng.choice([0, 200, 600, 600, 5000, traits.max_delay])
            self._label(later, time, id_, rng.choice([truth, other])[0])

    def _delay(self) -> int:
        traits, rng = self._traits, self._rng
        if rng.random() < 0.06:
            return -int(rng.random() * (traits.max_early + 8000))
        if rng.random() < 0.03:
            return traits.max_delay + rng.randrange(60_000)
        return int(rng.expovariate(1.0) * traits.delay)

    def _truth(self, time: int) -> tuple[Any, Any, float]:
        """A label, its prediction and a probability; they differ more in the second half."""
        traits, rng = self._traits, self._rng
        is_late = time - START > traits.seconds * 500
        if traits.task == "regression":
            truth = rng.choice([round(rng.gauss(2, 2), 2), 0, 1])
            error = rng.gauss(traits.drift * is_late, 0.5 + traits.drift * is_late)
            return truth, 1e6 if rng.random() < 0.002 else truth + error, 0.5
        is_right = rng.random() < 0.85 - traits.drift * is_late
        if traits.task == "classification_multiclass":
            # most are of the first classes
            first = int(rng.random() ** 3 * traits.classes)
            second = first if is_right else (first + 1) % traits.classes
            return f"c{first}", f"c{second}", 0.5
        truth = rng.random() < 0.4
        predicted = truth if is_right else not truth
        probability = min(1.0, max(0.0, round(rng.gauss(0.7 if predicted else 0.3, 0.2), rng.choice([1, 3, 9]))))
        return self._class(truth), self._class(predicted), probability

    def _class(self, value: bool) -> Any:
        if self._traits.positive is not None:
            return self._traits.positive if value else self._rng.choice(["ok", "ok", "fine"])
        return self._rng.choice([int(value)] * 5 + [value, float(value), str(int(value))])

    def _prediction(self, at: int, time: int, id_: str | int, of: tuple[Any, Any, float]) -> None:
        rng = self._rng
        event: dict[str, Any] = {"model": "m", "event_time": time_text(time), "id": self._written(id_)}
        if self._traits.has_class:
            event["p"] = of[1]
        if self._traits.has_probability:
            event["q"] = of[2]
        fault = rng.random()
        if fault < 0.01:
            del event["id"]
        elif fault < 0.02:
            event["p"] = None
        elif fault < 0.03 and self._traits.has_probability:
            event["q"] = rng.choice([None, 1.5])
        elif fault < 0.04 and self._traits.task == "classification_binary" and self._traits.has_class:
            event["p"] = "maybe"
        self._put(at, PREDICTIONS, event, hash_of(id_) if rng.random() < 0.8 else None)

    def _label(self, at: int, of: int, id_: str | int, value: Any) -> None:
        """A label that comes at `at`, of a prediction at `of`."""
        rng = self._rng
        time = of if self._traits.lags else at - rng.choice([0, 0, 300, 300, 6000])
        event = {"event_time": time_text(max(time, START - 30_000)), "id": self._written(id_), "y": value}
        fault = rng.random()
        if fault < 0.01:
            del event["id"]
        elif fault < 0.02:
            event["y"] = None
        elif fault < 0.03 and self._traits.task == "classification_binary":
            event["y"] = "maybe"
        if rng.random() < 0.5:
            event |= {"model": "m"}
        self._put(at, LABELS, event)

    def _written(self, id_: str | int) -> str | int:
        return self._rng.choice([id_, str(id_)])

    def partitioned(
        self,
    ) -> tuple[dict[TopicPartition, list[bytes]], list[Heartbeat], dict[TopicPartition, list[int]]]:
        """Values by partition, the watermarks that a clock gave those of labels, and when each value comes."""
        every = self._rng.choice([2500, 7000])
        speaks = self._traits.lags or self._rng.random() < 0.3
        records: dict[TopicPartition, list[bytes]] = {tp: [] for tps in self._partitions.values() for tp in tps}
        arrivals: dict[TopicPartition, list[int]] = {tp: [] for tp in records}
        heartbeats: list[Heartbeat] = []
        given = dict.fromkeys(records, START)
        for at, tp, event in sorted(self._records, key=lambda record: record[:2]):
            if speaks and tp.topic == LABELS and at - given[tp] > every:
                given[tp] = at
                heartbeats.append(Heartbeat(*tp, len(records[tp]), at - LATENESS_MS))
            records[tp].append(msgspec.json.encode(event))
            arrivals[tp].append(at)
        return records, heartbeats, arrivals


def hash_of(id_: str | int) -> int:
    """A partition's key, by arithmetic alone."""
    return sum(str(id_).encode()) * 7


# ---------------------------------------------------------------------- running one


def run(log: LabelLog, rng: random.Random | None = None) -> tuple[list[Message], Performance]:
    """All messages of the log, in their one order, and what labels have come to in the end."""
    engine = plain.replay_of(log.plain)
    messages = [message for batch in plain.pieces(log.plain, rng) for message in engine.feed(batch)]
    messages += engine.finish({})
    return in_order(messages, plain.LEDGER_PARTITIONS), performance_of(engine)


@contextmanager
def outcomes_read() -> Iterator[list[Outcome]]:
    """The outcomes that detectors may read meanwhile, in order: by column."""
    read: list[Outcome] = []

    def spy(model: str, contract: StreamContract, *of: Any) -> Rows:
        rows = outcome_rows(model, contract, *of)
        read.extend(dict(zip(contract.numeric_series, values, strict=True)) for values in rows.numeric.tolist())
        return rows

    with patch.object(outcomes, "outcome_rows", spy):
        yield read


def performance_of(engine: Replay) -> Performance:
    """Labels of the one model."""
    performance = engine._evaluate.models["m"]._labels.performance
    assert performance is not None
    return performance
