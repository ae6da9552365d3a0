"""Both stages over the bus in memory: killed at any commit they publish each thing once, and a replay says the same."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus, MemoryWriter
from monitor.bus.port import Committed, Polled
from monitor.bus.reading import read_whole, records_of
from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.config.resolved import Config
from monitor.errors import StateDivergence, TransactionFailed
from monitor.evaluate.alerts import Place
from monitor.evaluate.messages import Message
from monitor.events import Outgoing, Record, TopicPartition
from monitor.ledger.entry_codec import kind_of
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop, Stage
from monitor.runner.parts import Rhythm
from monitor.runner.profile import ProfileStage
from monitor.runner.sequences import writer_and_sequence
from monitor.runner.topics import create_topics
from monitor.runner.witness import MemoryWitness
from monitor.telemetry import get_log
from tests import replaying
from tests.accounts import accounts, check_accounts
from tests.references import AtOnce

TOPICS = LedgerTopics("sd.", 2)
PLACE = Place("/s", "http://localhost", "0", "memory")
INPUTS = ("ml.features", "ml.predictions")
START = 1_790_000_000_000
CONFIG = """
version: 1
defaults:
  window: {events: 60, every: 20}
  lateness: 2s
  pane: 2s
  interval: 2s
  max_clock_skew: 1m
  idle_timeout: 5s
  trace_points: 16
models:
  m:
    task: classification_binary
    streams: {features: {topic: ml.features}, predictions: {topic: ml.predictions}}
    columns: {prediction: y_pred, numerical: [a], categorical: [c]}
    reference: {first: 110}
  w:
    task: classification_binary
    streams: {features: {topic: ml.features}}
    columns: {numerical: [a]}
    reference: {first: 100}
detectors:
  adwin: {class: ADWIN, params: {delta: 0.2}, input: a}
groups:
  - name: g
    models: [m]
    rules:
      - {alert: Psi, expr: psi > 0.8}
      - {alert: Change, expr: 'change{detector="adwin"} > 0'}
      - {alert: Silence, expr: seconds_since_last_event > 9}
  - name: h
    models: [w]
    rules: [{alert: Ks, expr: ks > 0.4, window: {time: 20s, every: 4s}}]
retraining:
  - {trigger: a, models: [m], when: {any: [Psi]}, cooldown: 10s, training_window: {since: first_violation, max: 1h}}
"""


OFTEN = Rhythm(panes=7, records=200)


class FragileBus(MemoryBus):
    """Commits fail when told to: `fails` says for each commit whether it ends before or after it is done.

    `loses`: stage and topic. The stage's first commit that writes there, and elsewhere, is torn: its records in that
    topic are lost (for `positions` its offsets too), all else is kept.
    """

    def __init__(self, fails: random.Random | None) -> None:
        super().__init__(clock=lambda: 0, markers=True)
        self.fails = fails
        self.loses = ("", "")

    def writer(self, group: str, instance: str) -> MemoryWriter:
        writer = _FragileWriter(self, f"{group}-{instance}", self.group(group))
        self._writers[f"{group}-{instance}"] = writer
        return writer


class _FragileWriter(MemoryWriter):
    def commit(
        self, outgoing: Sequence[Outgoing], offsets: Mapping[TopicPartition, Committed], polled: Polled | None
    ) -> dict[TopicPartition, int]:
        bus = self._bus
        assert isinstance(bus, FragileBus)
        stage, lost = bus.loses
        if stage and stage in self._name and any(o.topic != lost and "sd-seq" in dict(o.headers) for o in outgoing):
            kept = [o for o in outgoing if o.topic != lost]
            if len(kept) < len(outgoing):
                bus.loses = ("", "")
                super().commit(kept, {} if lost.endswith("positions") else offsets, polled)
                raise TransactionFailed("torn by the broker")
        fate = bus.fails.random() if bus.fails is not None else 1.0
        if fate < 0.15:
            raise TransactionFailed("killed before the commit")
        ends = super().commit(outgoing, offsets, polled)
        if fate < 0.3:
            raise TransactionFailed("killed after the commit")
        return ends


@dataclass
class Service:
    """Both stages as two processes, started again whenever they die."""

    bus: FragileBus
    config: Config
    now: float = 0.0
    deaths: int = 0
    rhythm: Rhythm = OFTEN
    place: Place = PLACE
    tick_s: float = 0.0
    """What each look at its clock takes evaluate."""
    events: list[str] = field(default_factory=list)
    """Of the log, for those who want to look at it."""
    loops: dict[str, Loop] = field(default_factory=dict)
    witnesses: dict[str, MemoryWitness] = field(default_factory=dict)

    def turn(self, name: str) -> None:
        try:
            if name not in self.loops:
                witness = self.witnesses.setdefault(name, MemoryWitness())
                witness.begin()
                stage = self._stage(name)
                self.loops[name] = Loop(self.bus, stage, f"one-{name}", lambda: self.now, 0.0, witness=witness)
            self.loops[name].turn(wait_ms=0)
        except TransactionFailed:
            del self.loops[name]  # crash only: nothing is closed
            self.deaths += 1

    def _stage(self, name: str) -> Stage:
        log = get_log("test")
        if name == "profile":
            return ProfileStage(self.bus, self.config, TOPICS, lambda: self.now, log)
        ticks = count()
        clock = lambda: self.now + next(ticks) * self.tick_s  # noqa: E731 - read later
        return EvaluateStage(self.bus, self.config, TOPICS, self.place, AtOnce(), clock, log, self.rhythm)


def value(rng: random.Random, topic: str, at_ms: int, number: int) -> bytes | None:
    """A record of the traffic; a few are broken, late, empty, or from next year."""
    kind = rng.random()
    if kind < 0.02:
        return None if kind < 0.01 else b"{broken"
    if kind < 0.05:
        at_ms += 31_536_000_000 if kind < 0.03 else -20_000
    event: dict[str, object] = {"event_id": str(number), "event_time": time_text(START + at_ms)}
    event["model"] = "m" if topic == INPUTS[1] else rng.choice("mmw")
    if topic == INPUTS[1]:
        return msgspec.json.encode({**event, "y_pred": rng.randint(0, 1)})
    shift = 3.0 if 40_000 < at_ms < 70_000 else 0.0
    return msgspec.json.encode({**event, "features": {"a": rng.gauss(shift, 1), "c": rng.choice("xyz")}})


def serve(
    seed: int,
    fails: random.Random | None,
    snapshot_panes: int = 7,
    loses: tuple[str, str] = ("", ""),
    meanwhile: Callable[[Service, int], None] = lambda service, second: None,
) -> Service:
    """100 s of traffic over three partitions, one of them silent for half of the time, then 60 s of nothing."""
    rng = random.Random(seed)
    bus = FragileBus(None)
    config = load(CONFIG, "alerts.yaml")
    bus.create(INPUTS[0], 2)
    bus.create(INPUTS[1], 1)
    create_topics(bus, TOPICS, INPUTS)
    service = Service(bus, config, rhythm=Rhythm(snapshot_panes, 200 if snapshot_panes < 1000 else 20_000))
    service.turn("evaluate")
    bus.fails = fails
    sender = bus.sender()
    for second in range(160):
        service.now += 1
        meanwhile(service, second)
        bus.loses = loses if second == 60 else bus.loses
        for topic, p, rate in ((INPUTS[0], 0, 9), (INPUTS[0], 1, 4), (INPUTS[1], 0, 4)):
            for i in range(rate if second < 100 and not (p == 1 and second % 100 > 50) else 0):
                sender.send(Outgoing(topic, p, b"k", value(rng, topic, second * 1000 + i * 1000 // rate, i)))
        for _ in range(2):
            service.turn("profile")
            service.turn("evaluate")
    bus.fails = None
    assert bus.loses == ("", "")
    for _ in range(6):
        service.turn("profile")
        service.turn("evaluate")
    return service


def all_of(bus: MemoryBus, topic: str) -> list[Record]:
    return [
        record
        for p in range(bus.partitions(topic) or 0)
        for batch in read_whole(bus, TopicPartition(topic, p))
        for record in records_of(batch)
    ]


def published(bus: MemoryBus) -> list[tuple[str, str, bytes]]:
    """Every message, as (topic, key, value)."""
    return [
        (topic, (record.key or b"").decode(), record.value or b"")
        for topic in ("alerts", "incidents", "retraining", "observations")
        for record in all_of(bus, TOPICS.name(topic))
    ]


def replayed(service: Service) -> list[Message]:
    """The same log through the engine without a bus, with what the service decided while it was made."""
    bus = service.bus
    tps = [TopicPartition(topic, p) for topic in INPUTS for p in range(bus.partitions(topic) or 0)]
    return replaying.replayed(bus, TOPICS, tps, PLACE)


def check_once(service: Service) -> None:
    """Numbers without gaps, ids only once, and each consumed record in one bucket."""
    bus = service.bus
    numbers: dict[tuple[str, str, int], list[int]] = {}
    for topic in ("ledger", "alerts", "incidents", "retraining", "observations"):
        for record in all_of(bus, TOPICS.name(topic)):
            writer, number = writer_and_sequence(record.headers)
            numbers.setdefault((writer, record.topic, record.partition), []).append(number)
    assert all(found == list(range(len(found))) for found in numbers.values())
    ids = Counter((topic, msgspec.json.decode(message)["id"]) for topic, _, message in published(bus))
    assert max(ids.values()) == 1
    total = check_accounts(bus, TOPICS, INPUTS)
    held = sum(account.held for account in accounts(bus, TOPICS, INPUTS).values())
    assert total.total() + held == sum(len(all_of(bus, topic)) for topic in INPUTS)
    assert min(total[bucket] for bucket in ("pane", "late", "tombstone", "dead:invalid_json", "dead:time_ahead")) > 0


@pytest.mark.parametrize("seed", range(1, 2))
def test_the_service_publishes_what_a_replay_of_its_log_does(seed: int) -> None:
    """Heartbeats and activations of the log are taken along; so live equals replay from the first event."""
    with capture_logs():
        service = serve(seed, None)
    check_once(service)
    live = published(service.bus)
    assert sorted(live) == sorted((m.topic, m.key, m.value) for m in replayed(service))
    assert {topic for topic, _, _ in live} == {"alerts", "incidents", "retraining", "observations"}


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_commit_each_thing_is_published_once(seed: int) -> None:
    """Before a commit or right after it: nothing is missing, nothing comes twice, and a replay says the same."""
    with capture_logs():
        service = serve(seed, random.Random(seed))
    assert service.deaths > 20
    assert all_of(service.bus, TOPICS.name("state"))
    check_once(service)
    assert sorted(published(service.bus)) == sorted((m.topic, m.key, m.value) for m in replayed(service))


def take_turns(service: Service, turns: int) -> None:
    for _ in range(turns):
        service.turn("evaluate")


def test_another_outcome_of_folding_again_stops_the_stage() -> None:
    """Where the ledger has changed under it, evaluate refuses to go on."""
    with capture_logs():
        service = serve(0, None, snapshot_panes=10_000)  # no snapshot: all of the ledger is folded again
        ledger = TopicPartition(TOPICS.name("ledger"), TOPICS.partition_of("m"))
        log = service.bus.log(ledger)
        panes = [i for i, headers in enumerate(log.headers) if kind_of(headers) == "pane"]
        log.values[panes[-8]] = log.values[panes[-9]]
        del service.loops["evaluate"]
        service.turn("evaluate")  # joins
        with pytest.raises(StateDivergence, match="other messages"):
            take_turns(service, 40)  # each folds a part of the ledger
