"""What one ledger partition's task publishes: numbered, and without what is in the topics already.

The outputs of each model have numbers of their own, because they are a function of the ledger, while the order among
models depends on how it was polled. So folding again gives each message its number again, and one comparison decides:
what is below the number that is `present` in its output partition is not written. That is the mute after a restart, and
the reconciliation after a broker has lost a part of a transaction: a message that is there is skipped, one that is
missing is written again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from monitor.bus.port import Bus
from monitor.codec.chunks import split
from monitor.evaluate.messages import Message
from monitor.evaluate.model import Output
from monitor.events import Headers, Outgoing, TopicPartition
from monitor.ledger.entries import Activation, Entry
from monitor.ledger.entry_codec import encode_entry
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import EvaluatedModel, EvaluatePosition
from monitor.runner.activations import ActivationKey, activation_key
from monitor.runner.message_ids import id_of, ids_between
from monitor.runner.rebuild import Again
from monitor.runner.sequences import WRITER, Sequencer, numbers_from, offset_of, writer_and_sequence

_CLOUD_EVENT: Headers = (("content-type", b"application/cloudevents+json"),)
"""By this header the readers of CloudEvents over Kafka know a message in structured JSON."""
OUTPUTS = ("alerts", "retraining", "observations", "firing")
"""The topics of messages, and the compacted one of what fires now."""
Numbers = dict[str, int]
"""Next numbers of one writer's outputs, by output partition as "topic/partition"."""


_PaneEnd = tuple[str, int]
"""The model and the end of the pane that an output belongs to."""
_Waiting = tuple[_PaneEnd, Outgoing]
"""An output that has yet to be written."""


class Numbering(NamedTuple):
    """What a commit says of one model, or of none: the fields of `EvaluatedModel`."""

    numbers: Numbers
    before: Numbers
    there: Numbers


class Outbox:
    """Outputs of the models of ledger partition `tp`, and entries that the task itself writes into the ledger."""

    def __init__(self, group: str, tp: TopicPartition, topics: LedgerTopics) -> None:
        self._writer = f"{group}/{tp.topic}/{tp.partition}"
        self._tp = tp
        self._topics = topics
        self._sequencers: dict[str, Sequencer] = {}
        self._present: dict[tuple[str, str], int] = {}
        self._waiting: list[_Waiting] = []
        self._before: dict[str, Numbers] = {}
        self._spoke: set[str] = set()
        self._unsure: set[str] = set()
        """Models whose outputs of the last commit may be lost: the next one writes their records again."""
        self.tails: dict[str, int] = {}
        self.entries: list[Entry] = []
        self._activated: dict[ActivationKey, Activation] = {}
        """By pane the newest activation that was taken to be written."""
        self._activations: dict[ActivationKey, tuple[_Waiting, Activation]] = {}
        """By pane the activation that waits, and as what."""
        self._is_comparable = True
        """False while a commit of another version of messages is folded again to: nothing is numbered."""
        self._lost: set[str] = set()
        """Output partitions in which that commit has written and nothing is found."""
        self._of_last_commit: list[Message] | None = None
        """Messages of the stretch that such a commit may have lost, once the fold has come to it."""
        self._ids: dict[str, set[str]] = {}
        """By output partition the ids of messages that are there, and not to be published again."""
        self.skipped: dict[str, tuple[int, int]] = {}
        self._unnumbered: list[Message] | None = None
        """Notices of no model while their numbers are not known: see `number_notices`."""

    # ------------------------------------------------------------------ restoring

    def restore(
        self, target: EvaluatePosition, models: Mapping[str, EvaluatedModel], bus: Bus, is_comparable: bool = True
    ) -> None:
        """Go on from a committed position, folding again from the snapshots.

        `is_comparable`: whether what is published by this process is numbered as in the commit.
        """
        snapshots = {name: record.snapshot for name, record in models.items()} | {"": target.low}
        for name, snapshot in snapshots.items():
            if snapshot is not None:
                self._sequencer(name).go_on(snapshot.numbers)
        self.tails = dict(target.tails)
        last_commit = {name for name, record in models.items() if record.commit == target.commit}
        claimed = {name: record.numbers for name, record in models.items()} | {"": target.numbers}
        last = {name: r.before if name in last_commit else r.there for name, r in models.items()} | {"": target.before}
        self._present = {}
        for tp in self.places():
            place = _place(tp)
            found = self._found(tp, target, bus)
            for name in claimed:
                # nothing behind the tail: the last commit wrote nothing there, or it is lost
                known = last[name].get(place, 0)
                self._present[self.writer(name), place] = (
                    max(claimed[name].get(place, 0), known) if found is None else known
                )
            self._present |= {(writer, place): number for writer, number in (found or {}).items()}
        # what the last commit claims and has lost is not there until the next one has written it again, and says so
        self._before = {name: self._there(name, {}) for name in claimed}
        self._is_comparable, self.skipped = is_comparable, dict(target.skipped)
        if not is_comparable:
            self._lost = {
                place
                for name in {"", *last_commit}
                for place, number in claimed[name].items()
                if max(last[name].get(place, 0), self._present[self.writer(name), place]) < number
            }
            for tp in self._topics_with_ids():
                tail, end = target.tails.get(_place(tp), 0), bus.end(tp)
                start, _ = self.skipped.get(_place(tp), (tail, end))
                self.skipped[_place(tp)] = min(start, tail, *self._behind_stopped(tp, models, bus)), end
        self._ids = {_place(tp): self._read_ids(bus, tp) for tp in self._topics_with_ids()}
        self._unnumbered = [] if is_comparable and target.low is None and self.skipped else None
        self._unsure = last_commit
        # the task's own entries are not made by folding: their numbers go on from what is there
        own = {_place(self._tp): self._present.get((self._writer, _place(self._tp)), 0)}
        self._sequencer("").go_on({**self._sequencer("").sequences, **{place: n for place, n in own.items() if n}})

    def _found(self, tp: TopicPartition, target: EvaluatePosition, bus: Bus) -> dict[str, int] | None:
        """The number behind each writer's newest record that lies behind the tail; None if that was deleted."""
        tail = target.tails.get(_place(tp), 0)
        return numbers_from(bus, tp, tail) if bus.beginning(tp) <= tail else None

    def _behind_stopped(self, tp: TopicPartition, models: Mapping[str, EvaluatedModel], bus: Bus) -> Iterator[int]:
        """The offset of the first record there that each stopped model has of what came after it stopped."""
        place = _place(tp)
        for name, record in models.items():
            if record.stopped is not None:
                number, writer = record.stopped.numbers.get(place, 0), self.writer(name)
                if number < self._present[writer, place]:
                    offset = offset_of(bus, tp, writer, number)
                    yield from () if offset is None else (offset,)

    def _topics_with_ids(self) -> list[TopicPartition]:
        return [tp for tp in self.places()[1:] if tp.topic != self._topics.name("firing")]

    def _read_ids(self, bus: Bus, tp: TopicPartition) -> set[str]:
        start, end = self.skipped.get(_place(tp), (0, 0))
        return ids_between(bus, tp, start, end)

    def come_to_last_commit(self) -> None:
        """Folding again has come to what the last commit wrote, and may have lost; for one of another version."""
        if self._of_last_commit is None:
            self._of_last_commit = []

    def complete(self, names: Collection[str]) -> None:
        """End of folding again to a commit of another version: of all that, what the commit has lost is written.

        Numbers go on behind what is there.
        """
        for name in names:
            self._sequencer(name).go_on(self._there(name, {}))
        messages, self._of_last_commit, self._is_comparable = self._of_last_commit or [], None, True
        for message in messages:
            self._number(message, self._lost)
            for ids in self._ids.values():
                ids.discard(id_of(message.value))
        if not any(self._ids.values()):
            self.skipped = {}

    @property
    def is_numbered(self) -> bool:
        """Return true if the numbers of notices of no model are known: see `number_notices`."""
        return self._unnumbered is None

    def number_notices(self, numbers: Mapping[str, int]) -> None:
        """End of folding again from the ledger's start: notices of no model end at the committed numbers.

        Before those that this version has published another one may have published some, which numbers alone tell.
        """
        messages, self._unnumbered = self._unnumbered, None
        if messages is not None:
            self._go_back("", numbers, messages)
            for message in messages:
                self._number(message, None)

    def go_on_behind(self, models: Collection[str]) -> None:
        """Drop what folding again gave of these models: their numbers go on behind what is there."""
        writers = {self.writer(model).encode() for model in models}
        self._waiting = [output for output in self._waiting if dict(output[1].headers).get(WRITER) not in writers]
        for model in models:
            self._sequencer(model).go_on(self._there(model, {}))

    def arrive(self, others: Collection[str]) -> None:
        """End of folding again: only `others`, and models whose numbers differ from those committed, have to commit."""
        self._spoke = {*self._unsure, *others}

    def has_reached(self, models: Mapping[str, EvaluatedModel], others: Collection[str]) -> bool:
        """Return true if folding again gave as many outputs as were committed, but of `others`."""
        return all(self.numbers(name) == record.numbers for name, record in models.items() if name not in others)

    def places(self) -> list[TopicPartition]:
        """The output partitions whose records are numbered."""
        return [self._tp, *(TopicPartition(self._topics.name(topic), self._tp.partition) for topic in OUTPUTS)]

    # ------------------------------------------------------------------ publishing

    def publish(self, outputs: Iterable[Output], known: Mapping[ActivationKey, Activation]) -> None:
        """Outputs of models, in each model's order. `known`: by pane the newest activation that has been written."""
        for output in outputs:
            self._spoke.add(output.model if isinstance(output, Message) else output.decision.model)
            if not isinstance(output, Message):
                self._activate(output, known)
            elif self._unnumbered is not None and not output.model:
                self._unnumbered.append(output)
            elif self._is_comparable:
                self._number(output, None)
            elif self._of_last_commit is not None:
                self._of_last_commit.append(output)

    def _number(self, message: Message, places: Collection[str] | None) -> None:
        """Number a message's records and keep those to be written. `places`: only there; None: everywhere."""
        records = [r for r in self._unpublished(message) if places is None or f"{r.topic}/{r.partition}" in places]
        pane = (message.model, message.at)
        numbered = self._sequencer(message.model).number(records)
        self._waiting += [(pane, part) for part in numbered if not self._is_there(part)]

    def begin_again(self, model: str, numbers: Mapping[str, int]) -> Again:
        """Return what is to take the outputs of a stopped model that is folded again. `numbers`: of what it published.

        What this process has written of it is there.
        """
        written = self._sequencer(model).sequences
        self._present |= {(self.writer(model), place): number for place, number in written.items()}
        there = self._there(model, {})
        places = {tp.topic: _place(tp) for tp in self.places()[1:]}
        missing = {topic: max(0, numbers.get(at, 0) - there.get(at, 0)) for topic, at in places.items()}
        alerts, firing = self._topics.name("alerts"), self._topics.name("firing")
        missing[alerts] = max(missing[alerts], missing[firing])  # one message has a record in both
        return Again({topic: missing[self._topics.name(topic)] for topic in OUTPUTS})

    def publish_again(
        self, model: str, numbers: Mapping[str, int], again: Again, known: Mapping[ActivationKey, Activation]
    ) -> None:
        """All that a model publishes that was stopped. `numbers`: of what it had by then; what is there is muted."""
        ids, self._ids = self._ids, {}  # of what was published before it was stopped numbers alone say what is there
        self._go_back(model, numbers, again.before)
        self.publish([*again.activations, *again.before], known)
        self._ids = ids
        self.publish(again.after, known)

    def _go_back(self, model: str, numbers: Mapping[str, int], messages: Iterable[Message]) -> None:
        """Let the next number be that with which these messages come to `numbers`."""
        records = [record for message in messages for record in self._unpublished(message)]
        count = Counter(f"{part.topic}/{part.partition}" for record in records for part in split(record))
        first = {place: numbers.get(place, 0) - count[place] for place in map(_place, self.places()[1:])}
        own = self._sequencer(model).sequences
        self._sequencer(model).go_on({place: number for place, number in {**own, **first}.items() if number})

    def _unpublished(self, message: Message) -> list[Outgoing]:
        """A message's records, but for those that ids say are there."""
        records = self._records(message)
        if not any(self._ids.values()):
            return records
        name = id_of(message.value)
        return [r for r in records if name not in self._ids.get(f"{r.topic}/{r.partition}", ())]

    def _records(self, message: Message) -> list[Outgoing]:
        """A message's record; behind that of an alert, what `firing` holds of it from now on."""
        key, partition = message.key.encode(), self._tp.partition
        record = Outgoing(self._topics.name(message.topic), partition, key, message.value, _CLOUD_EVENT)
        if message.firing is None:
            return [record]
        now = record.value if message.firing else None  # a tombstone: compaction forgets the alert
        return [record, Outgoing(self._topics.name("firing"), partition, key, now, _CLOUD_EVENT)]

    def _activate(self, activation: Activation, known: Mapping[ActivationKey, Activation]) -> None:
        """Let an activation wait to be written, in the place of another one of its pane.

        Folding again may give several of a pane of which the last has been written. An older one that was written
        behind it would count as news, and its file as the newest.
        """
        # not numbered: which stream's grid is made first depends on how the ledger was polled
        key = activation_key(activation)
        if key in self._activations:
            waiting, _ = self._activations.pop(key)
            self._waiting.remove(waiting)
        if self._activated.get(key, known.get(key)) != activation:
            record = encode_entry(activation, self._topics.name("decisions"), 0)
            waiting = (activation.decision.model, activation.at or 0), record
            self._waiting.append(waiting)
            self._activations[key] = waiting, activation

    def _is_there(self, record: Outgoing) -> bool:
        writer, number = writer_and_sequence(record.headers)
        return number < self._present.get((writer, f"{record.topic}/{record.partition}"), 0)

    def take_early(self, most_bytes: int) -> list[Outgoing]:
        """Outputs up to the end of the pane at which they pass that size; empty if all of them are for one commit.

        They may be written before the commit whose position they belong to: after a crash in between they are found
        behind the tails like what a torn commit has left, and are not written again.
        """
        size = 0
        for i, (pane, record) in enumerate(self._waiting[:-1]):
            size += len(record.value or b"")
            if size >= most_bytes and self._waiting[i + 1][0] != pane:
                return self._take_waiting(i + 1)
        return []

    def _take_waiting(self, number: int) -> list[Outgoing]:
        """The first of the outputs that wait."""
        taken, self._waiting = self._waiting[:number], self._waiting[number:]
        places = {id(output) for output in taken}
        for key, (waiting, activation) in list(self._activations.items()):
            if id(waiting) in places:
                self._activated[key] = activation  # not in `known`: it may never be committed, and the task be dropped
                del self._activations[key]
        return [record for _, record in taken]

    def take(self) -> list[Outgoing]:
        """All that is to be written now, and once."""
        entries = [encode_entry(entry, self._tp.topic, self._tp.partition) for entry in self.entries]
        waiting, self.entries = self._take_waiting(len(self._waiting)), []
        return [*waiting, *self._sequencer("").number(entries)]

    @property
    def is_empty(self) -> bool:
        return not self._waiting and not self.entries

    # ------------------------------------------------------------------ numbers

    def numbers(self, name: str) -> Numbers:
        """The next numbers of all that a model has published so far, written or not."""
        return dict(sorted(self._sequencers[name].sequences.items())) if name in self._sequencers else {}

    def take_spoken(self) -> set[str]:
        """Models that have something to commit since the last call: outputs, or other numbers than committed."""
        spoke, self._spoke = self._spoke, set()
        return spoke

    def commit(self, name: str) -> Numbering:
        """What the commit at hand says of a model, or of none."""
        numbers = self.numbers(name)
        there = self._there(name, numbers)
        before, self._before[name] = self._before.get(name, {}), there
        return Numbering(numbers, before, there)

    def _there(self, name: str, published: Mapping[str, int]) -> Numbers:
        """How many outputs are in the topics when all these are: a torn commit may have left more there."""
        writer = self.writer(name)
        known = {place: self._present.get((writer, place), 0) for place in map(_place, self.places())}
        numbers = {place: max(number, published.get(place, 0)) for place, number in known.items()}
        return {place: number for place, number in numbers.items() if number}

    def confirm(self, ends: Mapping[TopicPartition, int]) -> None:
        """The offsets behind what a commit has written."""
        self.tails |= {_place(tp): ends[tp] for tp in self.places() if tp in ends}

    def _sequencer(self, model: str) -> Sequencer:
        if model not in self._sequencers:
            self._sequencers[model] = Sequencer(self.writer(model))
        return self._sequencers[model]

    def writer(self, model: str) -> str:
        """What the records of a model name as their writer."""
        return f"{self._writer}/{model}" if model else self._writer


def _place(tp: TopicPartition) -> str:
    return f"{tp.topic}/{tp.partition}"
