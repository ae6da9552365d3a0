"""Golden stories: what people see of one problem from its first row to its end, on a service that is killed meanwhile.

A story is an alerts.yaml and a plot: a generator that sends rows, asks for things, and asserts what was published. At
each `yield` the service is killed and another one started. Every story runs alone on the bus in memory, in a second or
two (`in_memory.py`), and all of them together run by processes on Kafka (`on_kafka.py`), because starting these takes
most of the time. However a story ends, a replay of what lies in the topics has to say the same, byte for byte.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from ruamel.yaml import YAML

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, whole_values
from monitor.cli.commanding import Desk, Sent
from monitor.codec.canonical import time_text
from monitor.codec.chunks import Assembler
from monitor.codec.times import parse_time
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.commands import Request
from monitor.ledger.entries import Activation
from monitor.settings import Settings
from tests.chaos.oracle import MESSAGES
from tests.kafka.service import Reached
from tests.schemas import check_message

START_MS = 1_790_000_000_000
"""Second 0 of every story, ms UTC."""
TOPIC = "TOPIC"
"""Stands in a story's alerts.yaml for its input topic."""
PARTITIONS = 2
Published = Mapping[str, Mapping[int, Mapping[bytes | None, list[bytes]]]]
"""Values of messages in order, by topic (without prefix), partition and key."""
Plot = Generator[None, None, None]


@dataclass(frozen=True)
class Story:
    """One story. `config`: an alerts.yaml without `defaults`, whose one model has the story's name and reads TOPIC."""

    name: str
    config: str
    plot: Callable[[View], Plot]


@dataclass(frozen=True)
class Row:
    """An event, `at` seconds behind the start. `rest`: fields of it beside the features."""

    at: float
    features: Mapping[str, object]
    rest: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Taken:
    """A command that was taken. `clock`: where the judging clock stood then, seconds behind the start."""

    id: str
    clock: float


class Live(ABC):
    """A service that runs stories. `topics`: the input topic of each, by its name."""

    def __init__(self, bus: Bus, settings: Settings, topics: Mapping[str, str]) -> None:
        self.bus = bus
        self.settings = settings
        self.topics = topics
        for topic in topics.values():
            bus.create(topic, PARTITIONS)

    @abstractmethod
    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Let the service go on until the condition holds; fails if it takes too long."""

    @abstractmethod
    def kill(self) -> None:
        """End all processes as kill -9 does, and start others."""

    @abstractmethod
    def end(self) -> None:
        """Stop the processes in order."""

    @abstractmethod
    def replayed(self) -> Published:
        """What a replay of the topics says."""


class View:
    """One story's side of the service that runs it: its topic, and its model."""

    def __init__(self, live: Live, story: Story) -> None:
        self.reached = Reached(live.bus, live.topics[story.name], live.settings.prefix)
        self._live = live
        self._model = story.name
        self._topic = live.topics[story.name]
        self._sent = 0

    # ------------------------------------------------------------------ what happens

    def send(self, rows: Iterable[Row]) -> None:
        """Write rows, to the partitions in turn."""
        sender = self._live.bus.sender()
        for row in rows:
            at = time_text(START_MS + round(row.at * 1000))
            event = {"event_id": str(self._sent), "model": self._model, "event_time": at, "features": row.features}
            value = msgspec.json.encode({**event, **row.rest})
            sender.send(Outgoing(self._topic, self._sent % PARTITIONS, None, value))
            self._sent += 1
        sender.flush()
        sender.close()

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Let the service go on until the condition holds."""
        self._live.wait_until(condition, f"{self._model}: {what}")

    def settle(self) -> None:
        """Wait until all that was sent is folded, judged and committed."""
        self.wait_until(self.reached.has_read_all, "all rows are read")
        ledger = self.reached.ledger()
        self.wait_until(lambda: self.reached.has_judged(ledger), "all panes are judged")

    def hand_in(self, request: Request) -> Sent:
        """Write a command, and wait for nothing."""
        return Desk(self._live.bus, self._live.settings).send(self._model, request, "somebody")

    def taken(self, sent: Sent) -> Taken:
        """Wait until a command is taken; raises ConfigurationError if it is refused."""
        found: list[Activation] = []

        def is_answered() -> bool:
            found.extend(answer for answer in [sent.look()] if answer is not None)
            return bool(found)

        self.wait_until(is_answered, f"the command {sent.command.kind} is taken")
        clock = max(found[0].at or 0, found[0].silence_judged_to or 0)
        return Taken(sent.command.id, seconds_of(clock))

    def ask(self, request: Request) -> Taken:
        """Hand in a command, and wait until it is taken; raises ConfigurationError if it is refused."""
        return self.taken(self.hand_in(request))

    # ------------------------------------------------------------------ what people see

    def messages(self, topic: str = "alerts") -> list[dict[str, Any]]:
        """The messages of a topic by now, in order; those of other models may be among them."""
        values = published(self._live.bus, self.reached.topics.name(topic)).values()
        return [check_message(value) for partition in values for _, value in partition]

    def alerts(self, **labels: str) -> list[dict[str, Any]]:
        """The messages of the model's alerts with these labels by now, in order."""
        wanted = {"model": self._model, **labels}.items()
        return [m for m in self.messages() if wanted <= m["data"]["labels"].items()]


def seconds_of(time: int | str) -> float:
    """Seconds behind the start, of ms UTC or of a time in a message."""
    return ((parse_time(time) if isinstance(time, str) else time) - START_MS) / 1000


# ---------------------------------------------------------------------- telling them


def tell(stories: Sequence[Story], live: Live) -> None:
    """Run stories to their ends, scene by scene, with a kill between the scenes; and compare with a replay."""
    views = [View(live, story) for story in stories]
    plots = [story.plot(view) for story, view in zip(stories, views, strict=True)]
    while plots := [plot for plot in plots if _goes_on(plot)]:
        live.kill()
    for view in views:
        view.settle()
    live.end()
    expected, prefix = live.replayed(), live.settings.prefix
    for topic in MESSAGES:
        found = published(live.bus, prefix + topic)
        assert by_key(found) == expected.get(topic, {}), f"{topic}: the service and its replay differ"


def _goes_on(plot: Plot) -> bool:
    """Run the next scene; return false if it was the last one."""
    is_over = object()
    return next(plot, is_over) is not is_over


def published(bus: Bus, topic: str) -> dict[int, list[tuple[bytes | None, bytes]]]:
    """Key and value of the messages of a topic by now, by partition."""
    found: dict[int, list[tuple[bytes | None, bytes]]] = {}
    for p in range(bus.partitions(topic) or 0):
        tp, assembler = TopicPartition(topic, p), Assembler()
        batches = read_whole(bus, tp, to=bus.last_stable(tp))
        whole = [(record.key, value) for batch in batches for record, value in whole_values(assembler, batch)]
        found |= {p: whole} if whole else {}
    return found


def by_key(messages: Mapping[int, Iterable[tuple[bytes | None, bytes]]]) -> dict[int, dict[bytes | None, list[bytes]]]:
    found: dict[int, dict[bytes | None, list[bytes]]] = {}
    for partition, pairs in messages.items():
        for key, value in pairs:
            found.setdefault(partition, {}).setdefault(key, []).append(value)
    return found


def configuration(stories: Sequence[Story], topics: Mapping[str, str]) -> str:
    """One alerts.yaml for all stories: lists of theirs one behind the other, mappings side by side."""
    whole: dict[str, Any] = {}
    for story in stories:
        for name, part in YAML(typ="safe").load(story.config.replace(TOPIC, topics[story.name])).items():
            if isinstance(part, list):
                whole[name] = whole.get(name, []) + part
            elif isinstance(part, dict):
                assert name != "defaults", f"{story.name}: settings stand in the model, because others have their own"
                whole[name] = whole.get(name, {}) | part
            else:
                whole[name] = part
    return msgspec.json.encode(whole).decode()  # which is YAML, too
