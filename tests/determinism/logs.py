"""Random logs for the determinism suite: what a seed stands for, and running one through the engine.

Every other log has a lock: limits of `drift` and a calibrated threshold that were solved for other references.
A log has 1 to 4 partitions of each of two topics, rows out of order and late, a partition that is silent for a while
with heartbeats over the gap, bad cells, a drift that comes and goes, and a grid from its own first rows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import msgspec
import numpy as np
from msgspec.structs import replace

from monitor.codec.canonical import time_text
from monitor.codec.times import parse_time
from monitor.config import load
from monitor.config.resolved import Config
from monitor.evaluate.alerts import Place
from monitor.evaluate.messages import Message
from monitor.events import RecordBatch, TopicPartition
from monitor.ledger.commands import Request
from monitor.ledger.entries import Activation, Heartbeat, PartitionSet, new_decision
from monitor.replay import Replay, ReplayLog, in_order
from monitor.runner.announce import rules_decision
from tests.commands import accept, command, expire, silence
from tests.determinism.stretches import Listening, accepted
from tests.locks import load_locked

START = 1_790_000_000_000
LEDGER_PARTITIONS = 8
SPAN_S = 26
"""Length of the reference of each third log; that of the others is a number of rows."""
TOPICS = ("ml.features", "ml.predictions")

CONFIG = """
version: 1
defaults:
  {{window: {window}, lateness: {lateness}s, pane: 2s, interval: {interval}s, trace_points: {points}}}
models:
  m:
    task: classification_binary
    streams: {{features: {{topic: ml.features}}, predictions: {{topic: ml.predictions}}}}
    columns: {{prediction: y_pred, probability: y_pred_proba, numerical: [a, b], categorical: [c]}}
    reference: {{{origin}: {first}}}{grid_rows}
detectors:
  adwin: {{class: ADWIN, params: {{delta: 0.002}}, input: a}}
  shift: {{class: PageHinkley, params: {{min_instances: 30, delta: 0.005, threshold: 15.0}}, input: probability}}
groups:
  - name: drift
    models: [m]
    rules:
      - {{alert: Psi, expr: psi > 0.2, for: {hold}s, min_events: 50}}
      - {{alert: Spread, expr: ks > reference_mean + 4 * reference_std, min_events: 50, under: Psi}}
      - {{alert: Change, expr: 'change{{detector=~".*"}} > 0'}}
      - {{alert: Drift, expr: drift > 1}}
      - {{alert: Ks, expr: ks > 0.2, min_events: 50, for_windows: {windows}, recovery_threshold: reference_mean}}
      - {{alert: Missing, expr: missing_rate > 0.2, keep_firing_for: {hold}s, recovery_threshold: 0.1}}
      - {{alert: Wasserstein, expr: wasserstein > 0.5, min_events: 50, unless: [Missing, Ks, NoData]}}
retraining:
  - {{trigger: again, models: [m], when: {{any: [Psi, Change]}}, cooldown: 20s, training_window: {{max: 1h}}}}
"""


@dataclass(frozen=True)
class RandomLog:
    """One log. `records`: of each partition, values in offset order. `heartbeats`: where a clock spoke.

    `commands`: silences and their ends, and in every fifth log a stretch of features that is accepted, with the
    reference that it becomes; each with the pane that it was recorded for.
    """

    seed: int
    config: Config
    records: dict[TopicPartition, list[bytes]]
    heartbeats: list[Heartbeat]
    commands: list[Activation] = field(default_factory=list)


def random_log(seed: int) -> RandomLog:
    """The log that a seed stands for."""
    log = plain_log(seed)
    return dataclasses.replace(log, commands=[*log.commands, *_accepted(seed)]) if seed % 5 == 1 else log


def plain_log(seed: int) -> RandomLog:
    """The same of which nothing is accepted."""
    rng = random.Random(seed)
    lateness = rng.choice([2, 5, 9])
    text = CONFIG.format(
        window=rng.choice(["{events: 200, every: 50}", "{events: 150}", "{time: 20s, every: 4s}", "{time: 12s}"]),
        lateness=lateness,
        interval=rng.choice([2, 4]),
        points=rng.choice([16, 40, 2048]),
        origin="trailing" if seed % 6 == 2 else "first",
        first=f"{SPAN_S}s" if seed % 3 == 2 else rng.choice([120, 250]),
        hold=rng.choice([0, 4]),
        windows=2 + seed % 3,
        grid_rows="\n    grid_rows: 60" if seed % 3 == 2 else "",
    )
    config = load_locked(with_budget(text)) if seed % 2 else load(text, "alerts.yaml")
    records: dict[TopicPartition, list[bytes]] = {}
    heartbeats: list[Heartbeat] = []
    for topic in TOPICS:
        for p in range(rng.randint(1, 4)):
            tp = TopicPartition(topic, p)
            records[tp], beats = _partition(tp, rng, lateness * 1000)
            heartbeats += beats
    return RandomLog(seed, config, records, heartbeats, _commands(random.Random(f"commands {seed}")))


@cache
def _accepted(seed: int) -> list[Activation]:
    """What is accepted of a log that has drifted: `a` alone in each other one, and the reference counts later."""
    log, rng = plain_log(seed), random.Random(f"accept {seed}")
    engine = Listening(_replay_log(log))
    for batch in pieces(log, None):
        engine.feed(batch)
    engine.finish({})
    start, end = START + rng.randint(46_000, 52_000), START + rng.randint(66_000, 72_000)
    request = accept(start, end, "features", ("a",) if seed % 2 else ())
    asked_at = START + 2000 * rng.randint(36, 38)
    return accepted(engine, command("m", request, "accept"), request, asked_at, asked_at + 2000 * rng.randint(0, 4))


def _commands(rng: random.Random) -> list[Activation]:
    """Some silences at panes of the log, and the ends of some."""
    commands: list[Activation] = []
    at, names = START, list[str]()
    while (at := at + 2000 * rng.randint(1, 20)) < START + 120_000:
        request: Request = silence(rng.randint(1, 60_000), *rng.choice([(), ("alertname=Psi",), ("column=a",)]))
        if names and rng.random() < 0.3:
            request = expire(rng.choice(names))
        asked = command("m", request, str(at))
        names.append(asked.id)
        commands.append(Activation(asked.decision, at))
    return commands


def with_budget(text: str) -> str:
    """The same file with a budget, and a rule whose threshold is calibrated."""
    budget = "    budget: {false_alarms: 1, per: day}\n    reference:"
    far = "rules:\n      - {alert: Far, expr: 'wasserstein > calibrated(\"1 per day\")', min_events: 50}\n"
    return text.replace("    reference:", budget, 1).replace("rules:\n", far, 1)


def slowed(log: RandomLog, times: int) -> RandomLog:
    """The same rows so many times as far apart, in panes as much longer, and most alerts under one that lasts."""
    lasting = "{{alert: Lasting, expr: psi > 0.1, min_events: 50, keep_firing_for: 1h}}"
    text = CONFIG.replace("pane: 2s", f"pane: {2 * times}s").replace("rules:\n", f"rules:\n      - {lasting}\n")
    for alert, under in (("Psi", "Lasting"), ("Change", "Psi")):
        text = text.replace(f"alert: {alert},", f"alert: {alert}, under: {under},")
    text = text.format(
        window="{events: 200, every: 50}",
        lateness=9 * times,
        interval=4 * times,
        points=40,
        origin="first",
        first=120,
        hold=4 * times,
        windows=2,
        grid_rows="",
    )
    records = {tp: [_slowed(value, times) for value in values] for tp, values in log.records.items()}
    beats = [replace(beat, watermark=START + ((beat.watermark or START) - START) * times) for beat in log.heartbeats]
    return RandomLog(log.seed, load(text, "alerts.yaml"), records, beats, [])


def _slowed(value: bytes, times: int) -> bytes:
    event = msgspec.json.decode(value)
    time = START + (parse_time(event["event_time"]) - START) * times
    return msgspec.json.encode({**event, "event_time": time_text(time)})


def _partition(tp: TopicPartition, rng: random.Random, lateness_ms: int) -> tuple[list[bytes], list[Heartbeat]]:
    """A partition's values, 120 s of event time at its own rate, and the heartbeats over its silence."""
    step = rng.choice([150, 250, 400])
    silent = rng.random() < 0.3
    values: list[bytes] = []
    heartbeats: list[Heartbeat] = []
    highest = START
    level = rng.gauss(0, 0.5)  # partitions keyed by customer differ
    for i in range(120_000 // step):
        time = START + i * step + rng.randint(0, step - 1)
        if silent and 70_000 < time - START < 84_000:
            if not heartbeats or time - heartbeats[-1].reached > 6000 + lateness_ms:
                heartbeats.append(Heartbeat(*tp, len(values), time - lateness_ms))
            continue
        if rng.random() < 0.1:
            time -= rng.randint(0, lateness_ms - 1)
        elif rng.random() < 0.02:
            time -= lateness_ms + rng.randint(3000, 8000)
        highest = max(highest, time)
        values.append(_value(tp, i, time, 45_000 < time - START < 80_000, level, rng))
    return values, heartbeats


def _value(tp: TopicPartition, i: int, time: int, drifted: bool, level: float, rng: random.Random) -> bytes:
    event: dict[str, object] = {"event_id": f"{tp.partition}-{i}", "model": "m", "event_time": time_text(time)}
    shift = 2.0 if drifted else 0.0
    if tp.topic == TOPICS[1]:
        event |= {
            "y_pred": int(rng.random() < 0.3),
            "y_pred_proba": min(1.0, max(0.0, rng.gauss(0.4 + shift / 6, 0.1))),
        }
    else:
        a: object = round(rng.gauss(level + shift, 1.0), rng.choice([1, 6]))
        if rng.random() < 0.02:
            a = rng.choice([None, "12.5", True, 1e200])
        features: dict[str, object] = {"a": a, "b": rng.gauss(0, 1), "c": rng.choice("xyz" if not drifted else "xyq")}
        if rng.random() < 0.01:
            del features["b"]
        event["features"] = features
    return msgspec.json.encode(event)


def pieces(log: RandomLog, rng: random.Random | None) -> Iterator[RecordBatch]:
    """The log in batches: whole partitions one after the other, or random sizes in a random interleaving."""
    at = dict.fromkeys(sorted(log.records), 0)
    while at:
        tp = next(iter(at)) if rng is None else rng.choice(sorted(at))
        size = len(log.records[tp]) if rng is None else rng.choice([1, 7, 50, 400])
        values = log.records[tp][at[tp] : at[tp] + size]
        n, first = len(values), at[tp]
        if n:
            yield RecordBatch(*tp, list(range(first, first + n)), [0] * n, [None] * n, values, [()] * n)
        at[tp] += n
        if at[tp] >= len(log.records[tp]):
            del at[tp]


def replay_of(log: RandomLog) -> Replay:
    """The engine for the log."""
    return Replay(_replay_log(log))


def _replay_log(log: RandomLog) -> ReplayLog:
    model = log.config.models[0]
    streams = {s.stream: (s.topic, sum(1 for tp in log.records if tp.topic == s.topic)) for s in model.contract.streams}
    content = msgspec.json.encode(PartitionSet(streams)).decode()
    activations = [Activation(new_decision("m", "set", content), None), Activation(rules_decision(model), None)]
    activations += log.commands
    place = Place("/streamdrift", "http://localhost:8787", "0", "cluster")
    partitions = list(log.records)
    return ReplayLog([model.contract], partitions, log.heartbeats, activations, place, True, LEDGER_PARTITIONS)


def run(log: RandomLog, rng: random.Random | None = None) -> list[Message]:
    """All messages of the log, in their one order."""
    engine = replay_of(log)
    messages = [message for batch in pieces(log, rng) for message in engine.feed(batch)]
    messages += engine.finish({})
    return in_order(messages, LEDGER_PARTITIONS)


def digest(messages: list[Message]) -> str:
    """Names a list of messages, byte by byte."""
    return hashlib.sha256(b"\n".join(m.topic.encode() + b" " + m.value for m in messages)).hexdigest()


def numbers(value: object) -> Iterator[float]:
    """All floats in a decoded message."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)


def unrounded(messages: list[Message]) -> bool:
    """Whether a message carries a number with more than 12 significant digits."""
    found = np.fromiter((x for m in messages for x in numbers(msgspec.json.decode(m.value))), dtype=np.float64)
    return any(float(f"{x:.12g}") != x for x in found.tolist())
