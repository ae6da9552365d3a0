"""Several processes of both stages over one bus in memory, that join, leave and stand still as they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import msgspec

from monitor.bus.memory import MemoryBus
from monitor.bus.reading import read_whole, whole_values
from monitor.codec.canonical import time_text
from monitor.codec.chunks import Assembler
from monitor.config import load
from monitor.config.resolved import Config
from monitor.evaluate.alerts import Place
from monitor.events import Outgoing, TopicPartition
from monitor.ledger import position_records as positions
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import ProfilePosition
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop, Stage
from monitor.runner.positions import Positions
from monitor.runner.profile import ProfileStage
from monitor.runner.topics import create_topics
from monitor.sources.references import reference_decisions
from monitor.telemetry import get_log
from tests import replaying
from tests.references import AtOnce

TOPICS = LedgerTopics("sd.", 2)
PLACE = Place("/s", "http://localhost", "0", "memory")
START = 1_790_000_000_000
PANE_MS, LATENESS_MS, IDLE_S = 2000, 2000, 5.0
INPUTS = {"in.features": 3, "in.predictions": 2}
CONFIG = """
version: 1
defaults: {window: {events: 120, every: 60}, lateness: 2s, pane: 2s, interval: 2s, idle_timeout: 5s}
models:
  m:
    task: regression
    streams: {features: {topic: in.features}, predictions: {topic: in.predictions}}
    columns: {numerical: [x], prediction: y}
    reference: {first: 110}
  w:
    task: regression
    streams: {features: {topic: in.features}}
    columns: {numerical: [x]}
    reference: {first: 100}
groups:
  - {name: g, models: [m], rules: [{alert: Ks, expr: ks > 0.5, min_events: 20}]}
  - {name: h, model: w, rules: [{alert: Psi, expr: psi > 0.8, window: {time: 20s, every: 4s}, min_events: 20}]}
"""


def config(max_lead_ms: int = 600_000) -> Config:
    """Two models that share a topic, one of them with another topic beside it. The file's digest is always the same."""
    loaded = load(CONFIG, "alerts.yaml")
    return replace(loaded, models=tuple(replace(model, max_lead_ms=max_lead_ms) for model in loaded.models))


def new_bus(inputs: dict[str, int] | None = None, clock: Callable[[], int] = lambda: 0) -> MemoryBus:
    """A bus with the input topics and ours. `clock`: its stamps, ms."""
    bus = MemoryBus(clock=clock, markers=True)
    topics = inputs or INPUTS
    for topic, partitions in topics.items():
        bus.create(topic, partitions)
    create_topics(bus, TOPICS, tuple(topics))
    return bus


def inputs_of(bus: MemoryBus, topics: Iterable[str] = tuple(INPUTS)) -> list[TopicPartition]:
    return [TopicPartition(topic, p) for topic in topics for p in range(bus.partitions(topic) or 0)]


def send(bus: MemoryBus, tp: TopicPartition, seconds: Iterable[float], shift: float = 0.0) -> None:
    """One event at each of these seconds of event time; both models read the features."""
    sender = bus.sender()
    for number, second in enumerate(seconds):
        event: dict[str, object] = {"event_id": "e", "event_time": time_text(START + int(second * 1000))}
        x = (hash_of(tp, number) % 1000) / 250 + shift
        if tp.topic == "in.features":
            event |= {"model": "mw"[number % 2], "features": {"x": x}}
        else:
            event |= {"model": "m", "y": x}
        sender.send(Outgoing(tp.topic, tp.partition, None, msgspec.json.encode(event)))
    sender.flush()


def hash_of(tp: TopicPartition, number: int) -> int:
    """Spread by arithmetic alone."""
    return (number * 7919 + tp.partition * 104_729 + len(tp.topic)) * 2_654_435_761 % (1 << 32) >> 8


@dataclass
class Fleet:
    """Processes by name, `profile-1` or `evaluate-2`. `now`: the clock of all, s. `is_crowded`: memory is short."""

    bus: MemoryBus
    config: Config
    now: float = 0.0
    is_crowded: bool = False
    loops: dict[str, Loop] = field(default_factory=dict)
    stages: dict[str, Stage] = field(default_factory=dict)
    _known: Positions | None = None

    def join(self, name: str, with_config: Config | None = None) -> None:
        """Start a process, or start it anew without closing the one before; `with_config`: its own alerts.yaml."""
        config = with_config or self.config
        log = get_log("test")
        clock = lambda: self.now  # noqa: E731 - read later
        if name.startswith("profile"):
            self.stages[name] = ProfileStage(self.bus, config, TOPICS, clock, log, lambda: self.is_crowded)
        else:
            references = AtOnce(lambda model: reference_decisions(self.bus, model))
            self.stages[name] = EvaluateStage(self.bus, config, TOPICS, PLACE, references, clock, log)
        self.loops[name] = Loop(self.bus, self.stages[name], name, clock, 0.0)

    def leave(self, name: str) -> None:
        """Stop a process in order."""
        self.loops[name].run(lambda: True)
        del self.loops[name], self.stages[name]

    def turn(self, *names: str) -> None:
        """One turn of each of these processes, or of all."""
        for name in names or sorted(self.loops):
            self.loops[name].turn(wait_ms=0)

    def settle(self, turns: int = 400) -> None:
        """All processes turn, and time goes on, until all is committed and no partition is behind the furthest."""
        for turn in range(turns):
            self.now += 0.5
            self.turn()
            if turn % 5 == 4 and self.is_done():
                break
        else:
            raise AssertionError(f"not done within {turns} turns: {self.watermarks()}")
        for _ in range(6):
            self.turn()

    def is_done(self) -> bool:
        """Whether all is read, and every partition is as far as records have brought the furthest."""
        found = self.positions()
        reached = [(p, self.bus.end(tp)) for tp, p in found.items() if p is not None]
        furthest = max((p.natural for p, _ in reached if p.natural is not None), default=0)
        return len(reached) == len(found) and all(
            p.position >= end and (p.watermark or 0) // PANE_MS >= furthest // PANE_MS for p, end in reached
        )

    def positions(self) -> dict[TopicPartition, ProfilePosition | None]:
        """The newest position record of every input partition."""
        self._known = self._known or Positions(self.bus, TOPICS, "sd.profile")
        self._known.follow()
        values = {tp: self._known.newest(tp) for tp in inputs_of(self.bus)}
        return {tp: None if value is None else positions.decode_profile(value) for tp, value in values.items()}

    def watermarks(self) -> dict[TopicPartition, int | None]:
        return {tp: p.watermark if p is not None else None for tp, p in self.positions().items()}


COMPARED = ("alerts", "incidents", "observations")
"""The topics of messages that are compared with a replay."""


def published(bus: MemoryBus, topic: str = "alerts") -> list[bytes]:
    """All messages of a topic, sorted."""
    tps = [TopicPartition(TOPICS.name(topic), p) for p in range(TOPICS.partitions)]
    return sorted(value for tp in tps for batch in read_whole(bus, tp) for _, value in whole_values(Assembler(), batch))


def replayed(bus: MemoryBus, topics: Iterable[str] = tuple(INPUTS)) -> dict[str, list[bytes]]:
    """What a replay of the log says, by topic and sorted."""
    messages = replaying.replayed(bus, TOPICS, inputs_of(bus, topics), PLACE)
    return {topic: sorted(m.value for m in messages if m.topic == topic) for topic in COMPARED}


def check_against_replay(bus: MemoryBus) -> list[bytes]:
    """Alerts, incidents and observations are those of a replay, each once; gives the alerts."""
    live = {topic: published(bus, topic) for topic in COMPARED}
    assert live == replayed(bus)
    assert live["observations"]
    return live["alerts"]
