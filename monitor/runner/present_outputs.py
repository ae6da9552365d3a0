"""Which outputs of one ledger partition's task are in their topics: what a restart finds, and commits add.

Numbers say it: of each writer, a model or none, the one behind its newest record behind the tails. What another version
of messages has published is numbered otherwise. There the ids of its messages say which are there, from where the last
commit of that version may have lost some.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from monitor.bus.port import Bus
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import EvaluatedModel, EvaluatePosition
from monitor.runner.message_ids import id_of, ids_between
from monitor.runner.sequences import numbers_from, offset_of, writer_and_sequence

OUTPUTS = ("alerts", "incidents", "retraining", "observations", "firing")
"""The topics of messages, and the compacted one of what fires or is open now."""
Numbers = dict[str, int]
"""Next numbers of one writer's outputs, by output partition as "topic/partition"."""


class Numbering(NamedTuple):
    """What a commit says of one model, or of none: the fields of `EvaluatedModel`."""

    numbers: Numbers
    before: Numbers
    there: Numbers


class PresentOutputs:
    """Those of ledger partition `tp`. `writer`: of the task itself."""

    def __init__(self, tp: TopicPartition, topics: LedgerTopics, writer: str) -> None:
        self.tails: Numbers = {}
        """The offset behind the last commit's records in each output partition."""
        self.skipped: dict[str, tuple[int, int]] = {}
        """The offsets between which ids are to be read, by output partition."""
        self.lost: set[str] = set()
        """Output partitions in which a commit of another version has written and nothing is found."""
        self.unsure: set[str] = set()
        """Models whose outputs of the last commit may be lost: the next one writes their records again."""
        self._tp = tp
        self._topics = topics
        self._writer = writer
        self._numbers: dict[tuple[str, str], int] = {}
        self._before: dict[str, Numbers] = {}
        self._ids: dict[str, set[str]] = {}
        """The ids of messages that are there, and not to be published again, by output partition."""

    def writer(self, model: str) -> str:
        """What the records of a model name as their writer."""
        return f"{self._writer}/{model}" if model else self._writer

    @property
    def places(self) -> list[TopicPartition]:
        """The output partitions whose records are numbered; that of the ledger is the first."""
        return [self._tp, *(TopicPartition(self._topics.name(topic), self._tp.partition) for topic in OUTPUTS)]

    @property
    def models(self) -> frozenset[str]:
        """The models that the commit knows, and those of which it knows nothing but that have outputs behind the tails.

        So it is if a model's first outputs are those of a torn commit.
        """
        prefix = self.writer("") + "/"
        return frozenset(name.removeprefix(prefix) for name, _ in self._numbers if name.startswith(prefix))

    # ------------------------------------------------------------------ restoring

    def restore(
        self, target: EvaluatePosition, models: Mapping[str, EvaluatedModel], bus: Bus, is_comparable: bool
    ) -> None:
        """Look into the topics from where a committed position says. `is_comparable`: whether numbers are."""
        self.tails, self.skipped = dict(target.tails), dict(target.skipped)
        last_commit = {name for name, record in models.items() if record.commit == target.commit}
        claimed = {name: record.numbers for name, record in models.items()} | {"": target.numbers}
        last = {name: r.before if name in last_commit else r.there for name, r in models.items()} | {"": target.before}
        self._numbers = {}
        for tp in self.places:
            place = place_of(tp)
            found = self._found(tp, target, bus)
            for name in claimed:
                # nothing behind the tail: the last commit wrote nothing there, or it is lost
                known = last[name].get(place, 0)
                self._numbers[self.writer(name), place] = (
                    max(claimed[name].get(place, 0), known) if found is None else known
                )
            self._numbers |= {(writer, place): number for writer, number in (found or {}).items()}
        # what the last commit claims and has lost is not there until the next one has written it again, and says so
        self._before = {name: self.numbers(name) for name in {"", *self.models}}
        if not is_comparable:
            self.lost = {
                place
                for name in {"", *last_commit}
                for place, number in claimed[name].items()
                if max(last[name].get(place, 0), self._numbers[self.writer(name), place]) < number
            }
            for tp in self._topics_with_ids():
                tail, end = target.tails.get(place_of(tp), 0), bus.end(tp)
                start, _ = self.skipped.get(place_of(tp), (tail, end))
                self.skipped[place_of(tp)] = min(start, tail, *self._behind_stopped(tp, models, bus)), end
        self._ids = {place_of(tp): self._read_ids(bus, tp) for tp in self._topics_with_ids()}
        self.unsure = last_commit

    def _found(self, tp: TopicPartition, target: EvaluatePosition, bus: Bus) -> dict[str, int] | None:
        """The number behind each writer's newest record that lies behind the tail; None if that was deleted."""
        tail = target.tails.get(place_of(tp), 0)
        return numbers_from(bus, tp, tail) if bus.beginning(tp) <= tail else None

    def _behind_stopped(self, tp: TopicPartition, models: Mapping[str, EvaluatedModel], bus: Bus) -> Iterator[int]:
        """The offset of the first record there that each stopped model has of what came after it stopped."""
        place = place_of(tp)
        for name, record in models.items():
            if record.stopped is not None:
                number, writer = record.stopped.numbers.get(place, 0), self.writer(name)
                if number < self._numbers[writer, place]:
                    offset = offset_of(bus, tp, writer, number)
                    yield from () if offset is None else (offset,)

    def _topics_with_ids(self) -> list[TopicPartition]:
        return [tp for tp in self.places[1:] if tp.topic != self._topics.name("firing")]

    def _read_ids(self, bus: Bus, tp: TopicPartition) -> set[str]:
        start, end = self.skipped.get(place_of(tp), (0, 0))
        return ids_between(bus, tp, start, end)

    # ------------------------------------------------------------------ what is there

    def has(self, record: Outgoing) -> bool:
        """Return true if a numbered record is there."""
        writer, number = writer_and_sequence(record.headers)
        return number < self._numbers.get((writer, f"{record.topic}/{record.partition}"), 0)

    def numbers(self, name: str, published: Mapping[str, int] | None = None) -> Numbers:
        """How many outputs of a model, or of none, are there, when all of `published` are too.

        A torn commit may have left more there.
        """
        writer = self.writer(name)
        known = {place: self._numbers.get((writer, place), 0) for place in map(place_of, self.places)}
        numbers = {place: max(number, (published or {}).get(place, 0)) for place, number in known.items()}
        return {place: number for place, number in numbers.items() if number}

    def add(self, model: str, numbers: Mapping[str, int]) -> None:
        """Outputs of a model up to these numbers are there."""
        self._numbers |= {(self.writer(model), place): number for place, number in numbers.items()}

    def commit(self, name: str, numbers: Numbers) -> Numbering:
        """What the commit at hand says of a model, or of none, whose next numbers these are."""
        there = self.numbers(name, numbers)
        before, self._before[name] = self._before.get(name, {}), there
        return Numbering(numbers, before, there)

    def confirm(self, ends: Mapping[TopicPartition, int]) -> None:
        """The offsets behind what a commit has written."""
        self.tails |= {place_of(tp): ends[tp] for tp in self.places if tp in ends}

    # ------------------------------------------------------------------ by ids

    def without_known(self, records: Iterable[Outgoing], message: bytes) -> list[Outgoing]:
        """The records of a message, but for those that its id says are there."""
        if not any(self._ids.values()):
            return list(records)
        name = id_of(message)
        return [r for r in records if name not in self._ids.get(f"{r.topic}/{r.partition}", ())]

    @contextmanager
    def by_numbers_alone(self) -> Iterator[None]:
        """While it lasts no id counts."""
        ids, self._ids = self._ids, {}
        try:
            yield
        finally:
            self._ids = ids

    def forget_ids(self, messages: Iterable[bytes]) -> None:
        """These have numbers from now on. If no id is left, none are to be read again."""
        for message in messages:
            for ids in self._ids.values():
                ids.discard(id_of(message))
        if not any(self._ids.values()):
            self.skipped = {}


def place_of(tp: TopicPartition) -> str:
    """Return an output partition's name in numbers and tails."""
    return f"{tp.topic}/{tp.partition}"
