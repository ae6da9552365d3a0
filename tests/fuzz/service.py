"""Both stages over the bus in memory, fed with a log of good and bad records, and its twin with tombstones instead."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, cycle

from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus
from monitor.bus.reading import read_whole, records_of, whole_values
from monitor.codec.canonical import time_text
from monitor.codec.chunks import Assembler
from monitor.config import load
from monitor.config.resolved import Config
from monitor.evaluate.alerts import Place
from monitor.events import Headers, Outgoing, TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.contracts import input_topics
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop
from monitor.runner.profile import ProfileStage
from monitor.runner.topics import create_topics
from monitor.telemetry import get_log
from tests.accounts import accounts, check_accounts
from tests.fuzz.mutants import RECIPES, Event, mutate, plain
from tests.references import AtOnce

TOPICS = LedgerTopics("sd.", 2)
FEATURES, PREDICTIONS = "in.features", "in.predictions"
PLACE = Place("/s", "http://localhost", "0", "memory")
PARTITIONS = 2
START = 1_790_000_000_000
STEP_MS = 20
"""Event time between two good events of one partition."""
_TEXT = f"""
version: 1
defaults:
  window: {{events: 400, every: 200}}
  lateness: 2s
  pane: 2s
  interval: 2s
  idle_timeout: 5s
  trace_points: 64
models:
  m:
    task: classification_binary
    streams: {{features: {{topic: {FEATURES}}}, predictions: {{topic: {PREDICTIONS}}}}}
    columns:
      prediction: y
      probability: p
      numerical: [a, b]
      binary: [d]
      categorical: [c]
      text: [t]
      arrays: [v]
    reference: {{first: 400}}
  nobody:
    task: classification_binary
    streams: {{features: {{topic: {FEATURES}}}, predictions: {{topic: {PREDICTIONS}}}}}
    columns:
      prediction: y
      probability: p
      numerical: [a]
detectors:
  adwin: {{class: ADWIN, params: {{delta: 0.05}}, input: "*", model: m}}
  ddm: {{class: DDM, input: d, model: m}}
groups:
  - name: g
    models: [m]
    rules:
      - {{alert: Psi, expr: psi > 0.5, min_events: 100}}
      - {{alert: Missing, expr: missing_rate > 0.05, min_events: 100}}
      - {{alert: Change, expr: 'change{{detector=~".*"}} > 0'}}
      - {{alert: Late, expr: late_rate > 0.2}}
      - {{alert: Silence, expr: seconds_since_last_event > 30}}
"""
CONFIG = load(_TEXT, "alerts.yaml")
_BOTH = f"{{features: {{topic: {FEATURES}}}, predictions: {{topic: {PREDICTIONS}}}}}"
ALONE = load(
    _TEXT.replace(_BOTH, f"{{features: {{topic: {FEATURES}}}}}").replace(
        "      prediction: y\n      probability: p\n", ""
    ),
    "alerts.yaml",
)
"""The same with the stream of features only."""


@dataclass(frozen=True)
class Line:
    """One record of the log, and the recipe that it is from; good ones have none."""

    topic: str
    partition: int
    value: bytes | None
    recipe: str | None
    headers: Headers = ()


def good(topic: str, number: int, at_ms: int, rng: random.Random, shift: float) -> Event:
    """A good event; `at` is its time, and no field."""
    event: Event = {"event_id": f"e{number}", "model": "m", "event_time": time_text(START + at_ms), "at": START + at_ms}
    if topic == PREDICTIONS:
        return {**event, "y": rng.randint(0, 1), "p": rng.random()}
    numbers = {"a": rng.gauss(shift, 1), "b": rng.random(), "d": int(rng.random() < 0.2), "c": rng.choice("xyz")}
    return {**event, "features": {**numbers, "t": "t" * rng.randint(1, 30), "v": [rng.random(), 0.5]}}


def a_log(records: int, seed: int) -> list[Line]:
    """As many bad records as good ones, in any order; in the second half `a` has drifted."""
    rng = random.Random(seed)
    recipes = cycle(RECIPES)
    places = [(topic, p) for topic in (FEATURES, PREDICTIONS) for p in range(PARTITIONS)]
    lines: list[Line] = []
    for number in range(records):
        topic, partition = places[number % len(places)]
        at, shift = number // len(places) * STEP_MS, 0.0 if number < records / 2 else 2.0
        event = good(topic, number, at, rng, shift)
        name = next(recipes)
        value = plain({k: v for k, v in event.items() if k != "at"})
        pair = [
            Line(topic, partition, value, None),
            Line(topic, partition, mutate(good(topic, number, at, rng, shift), name, rng), name),
        ]
        rng.shuffle(pair)
        lines += pair
    return lines


@dataclass
class Outcome:
    """What a run said and where its records went. `dead`: reason of each dead letter by topic, partition and offset.

    `observations`: messages. `labels`, `commands`: what became of these, by the metrics of the service. `bus`: what all
    of it was read from and written to.
    """

    alerts: list[bytes]
    observations: list[bytes]
    buckets: dict[TopicPartition, Counter[str]]
    dead: dict[tuple[str, int, int], str]
    labels: dict[str, int]
    commands: Counter[str]
    bus: MemoryBus

    @property
    def total(self) -> Counter[str]:
        """The buckets of all partitions together."""
        return sum(self.buckets.values(), Counter())


def serve(lines: Sequence[Line], chunk: int = 2000, config: Config = CONFIG, partitions: int = PARTITIONS) -> Outcome:
    """The log through both stages, as it arrives; any exception is the process's end, and so the test's."""
    bus = MemoryBus(clock=lambda: 0, markers=True)
    topics = input_topics(config)
    for topic in topics:
        bus.create(topic, partitions)
    create_topics(bus, TOPICS, topics)
    log, seconds = get_log("test"), count()
    with capture_logs():
        evaluate = EvaluateStage(bus, config, TOPICS, PLACE, AtOnce(), lambda: float(next(seconds)), log)
        loops = [
            Loop(bus, ProfileStage(bus, config, TOPICS, lambda: 0.0, log), "one-profile", lambda: 0.0, 0.0),
            Loop(bus, evaluate, "one-evaluate", lambda: 0.0, 0.0),
        ]
        sender = bus.sender()
        for start in range(0, len(lines), chunk):
            for line in lines[start : start + chunk]:
                sender.send(Outgoing(line.topic, line.partition, b"k", line.value, line.headers))
            _turn(loops, 3)
        _turn(loops, 30)
    commands: Counter[str] = Counter()
    for sample in evaluate.numbers():
        if sample.name == "streamdrift_commands_total":
            commands[sample.labels[1]] += int(sample.value)
    return Outcome(
        sorted(_values(bus, "alerts")),
        list(_values(bus, "observations")),
        _buckets(bus, topics),
        {place: reason for topic in topics for place, reason in _dead(bus, topic)},
        {one.labels[1]: int(one.value) for one in evaluate.numbers() if one.name.startswith("streamdrift_label_rows")},
        commands,
        bus,
    )


def _buckets(bus: MemoryBus, topics: Sequence[str]) -> dict[TopicPartition, Counter[str]]:
    """Where the records of each partition went; each is in one place, or this fails."""
    check_accounts(bus, TOPICS, topics)
    return {tp: Counter(account.buckets) for tp, account in accounts(bus, TOPICS, topics).items()}


def _turn(loops: Iterable[Loop], times: int) -> None:
    for _ in range(times):
        for loop in loops:
            loop.turn(wait_ms=0)


def _values(bus: MemoryBus, topic: str) -> Iterable[bytes]:
    for p in range(TOPICS.partitions):
        for batch in read_whole(bus, TopicPartition(TOPICS.name(topic), p)):
            yield from (value for _, value in whole_values(Assembler(), batch))


def _dead(bus: MemoryBus, topic: str) -> Iterable[tuple[tuple[str, int, int], str]]:
    for p in range(bus.partitions(topic) or 0):
        for batch in read_whole(bus, TopicPartition(f"sd.dlq.{topic}", p)):
            for record in records_of(batch):
                headers = dict(record.headers)
                yield (topic, p, int(headers["sd-offset"])), headers["sd-reason"].decode()


def twin(lines: Sequence[Line], dead: Iterable[tuple[str, int, int]]) -> list[Line]:
    """The same log with a tombstone at each bad offset."""
    bad = set(dead)
    offsets: Counter[tuple[str, int]] = Counter()
    out: list[Line] = []
    for line in lines:
        place = (line.topic, line.partition)
        is_bad = (*place, offsets[place]) in bad
        offsets[place] += 1
        out.append(Line(*place, None, line.recipe) if is_bad else line)
    return out
