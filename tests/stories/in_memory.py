"""Stories on the bus in memory: both stages in this process, and a clock that goes on by half a second a turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monitor.bus.memory import MemoryBus
from monitor.config import load
from monitor.evaluate.alerts import Place
from monitor.events import TopicPartition
from monitor.replay import in_order
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop
from monitor.runner.profile import ProfileStage
from monitor.runner.topics import create_topics
from monitor.service import ledger_topics
from monitor.settings import load_settings
from monitor.telemetry import get_log
from tests.kafka.service import LEDGER_PARTITIONS
from tests.references import AtOnce
from tests.replaying import partition_of, replayed
from tests.stories.story import PARTITIONS, Live, Published, Story, by_key, configuration

PLACE = Place("/s", "http://localhost", "0", "memory")
TURN_S = 0.5
MOST_TURNS = 2000
LOOK_EVERY = 4
"""Turns from one look at what is waited for to the next."""


class InMemory(Live):
    """A service of one process of each stage."""

    def __init__(self, stories: Sequence[Story]) -> None:
        topics = {story.name: f"in.{story.name}" for story in stories}
        super().__init__(
            MemoryBus(clock=lambda: 0, markers=True), load_settings(ledger_partitions=LEDGER_PARTITIONS), topics
        )
        self._ours = ledger_topics(self.settings)
        self._config = load(configuration(stories, topics), "alerts.yaml")
        self._now = 0.0
        self._loops: list[Loop] = []
        create_topics(self.bus, self._ours, tuple(topics.values()))
        self._start()

    def _start(self) -> None:
        log, clock = get_log("test"), lambda: self._now
        profile = ProfileStage(self.bus, self._config, self._ours, clock, log)
        evaluate = EvaluateStage(self.bus, self._config, self._ours, PLACE, AtOnce(), clock, log)
        self._loops = [
            Loop(self.bus, profile, "profile-1", clock, TURN_S),
            Loop(self.bus, evaluate, "evaluate-1", clock, TURN_S),
        ]

    def _turn(self) -> None:
        self._now += TURN_S
        for loop in self._loops:
            loop.turn(wait_ms=0)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        for _ in range(MOST_TURNS // LOOK_EVERY):
            if condition():
                return
            for _ in range(LOOK_EVERY):
                self._turn()
        raise AssertionError(f"not within {MOST_TURNS} turns: {what}")

    def kill(self) -> None:
        self._turn()  # so that something is under way
        self._start()

    def end(self) -> None:
        for loop in self._loops:
            loop.run(lambda: True)

    def replayed(self) -> Published:
        inputs = [TopicPartition(topic, p) for topic in self.topics.values() for p in range(PARTITIONS)]
        found: dict[str, dict[int, list[tuple[bytes | None, bytes]]]] = {}
        for message in in_order(replayed(self.bus, self._ours, inputs, PLACE), LEDGER_PARTITIONS):
            partition = partition_of(message, LEDGER_PARTITIONS)
            found.setdefault(message.topic, {}).setdefault(partition, []).append((message.key.encode(), message.value))
        return {topic: by_key(messages) for topic, messages in found.items()}
