"""What one ledger partition's task publishes: numbered, and without what is in the topics already.

The outputs of each model have numbers of their own, because they are a function of the ledger, while the order among
models depends on how it was polled. So folding again gives each message its number again, and one comparison decides:
what is below the number that is `present` in its output partition is not written. That is the mute after a restart, and
the reconciliation after a broker has lost a part of a transaction: a message that is there is skipped, one that is
missing is written again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

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
from monitor.runner.present_outputs import OUTPUTS, Numbering, Numbers, PresentOutputs, place_of
from monitor.runner.rebuild import Again
from monitor.runner.sequences import WRITER, Sequencer

_CLOUD_EVENT: Headers = (("content-type", b"application/cloudevents+json"),)
"""The header by which readers of CloudEvents over Kafka know a message in structured JSON."""
_PaneEnd = tuple[str, int]
"""The model and the end of the pane that an output belongs to."""
_Waiting = tuple[_PaneEnd, Outgoing]
"""An output that has yet to be written."""


class Outbox:
    """Outputs of the models of ledger partition `tp`, and entries that the task itself writes into the ledger."""

    def __init__(self, group: str, tp: TopicPartition, topics: LedgerTopics) -> None:
        self._tp = tp
        self._topics = topics
        self.present = PresentOutputs(tp, topics, f"{group}/{tp.topic}/{tp.partition}")
        """What is in the topics already."""
        self.entries: list[Entry] = []
        self._sequencers: dict[str, Sequencer] = {}
        self._waiting: list[_Waiting] = []
        self._spoke: set[str] = set()
        self._activated: dict[ActivationKey, Activation] = {}
        """The newest activation of each pane that was taken to be written."""
        self._activations: dict[ActivationKey, list[tuple[_Waiting, Activation]]] = {}
        """The activations of each pane that wait, and as what."""
        self._is_comparable = True
        """False while a commit of another version of messages is folded again to: nothing is numbered."""
        self._of_last_commit: list[Message] | None = None
        """Messages of the stretch that such a commit may have lost, once the fold has come to it."""
        self._completing = 0
        """How many of the outputs that wait complete such a commit: they go into one transaction.

        The numbers of some of them in `firing`, which has no ids, would say that nothing is lost there.
        """
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
        self.present.restore(target, models, bus, is_comparable)
        self._is_comparable = is_comparable
        self._unnumbered = [] if is_comparable and target.low is None and self.present.skipped else None
        # the task's own entries are not made by folding: their numbers go on from what is there
        own, place = self._sequencer("").sequences, place_of(self._tp)
        there = {name: number for name, number in self.present.numbers("").items() if name == place}
        self._sequencer("").go_on({**own, **there})

    def come_to_last_commit(self) -> None:
        """Folding again has come to what the last commit wrote, and may have lost; for one of another version."""
        if self._of_last_commit is None:
            self._of_last_commit = []

    def complete(self, names: Collection[str]) -> None:
        """End of folding again to a commit of another version: of all that, what the commit has lost is written.

        Numbers go on behind what is there.
        """
        for name in names:
            self._sequencer(name).go_on(self.present.numbers(name))
        messages, self._of_last_commit, self._is_comparable = self._of_last_commit or [], None, True
        for message in messages:
            self._number(message, self.present.lost)
        self._completing = len(self._waiting)
        self.present.forget_ids(message.value for message in messages)

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
        writers = {self.present.writer(model).encode() for model in models}
        self._waiting = [output for output in self._waiting if dict(output[1].headers).get(WRITER) not in writers]
        for model in models:
            self._sequencer(model).go_on(self.present.numbers(model))

    def arrive(self, others: Collection[str]) -> None:
        """End of folding again: only `others`, and models whose numbers differ from those committed, have to commit."""
        self._spoke = {*self.present.unsure, *others}

    def has_reached(self, models: Mapping[str, EvaluatedModel], others: Collection[str]) -> bool:
        """Return true if folding again gave as many outputs as were committed, but of `others`."""
        return all(self.numbers(name) == record.numbers for name, record in models.items() if name not in others)

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
        self._waiting += [(pane, part) for part in numbered if not self.present.has(part)]

    def begin_again(self, model: str, numbers: Mapping[str, int]) -> Again:
        """Return what is to take the outputs of a stopped model that is folded again. `numbers`: of what it published.

        What this process has written of it is there.
        """
        self.present.add(model, self._sequencer(model).sequences)
        there = self.present.numbers(model)
        places = {tp.topic: place_of(tp) for tp in self.present.places[1:]}
        missing = {topic: max(0, numbers.get(at, 0) - there.get(at, 0)) for topic, at in places.items()}
        for topic in map(self._topics.name, ("alerts", "incidents")):  # a message of either has a record in `firing`
            missing[topic] = max(missing[topic], missing[self._topics.name("firing")])
        return Again({topic: missing[self._topics.name(topic)] for topic in OUTPUTS})

    def publish_again(
        self, model: str, numbers: Mapping[str, int], again: Again, known: Mapping[ActivationKey, Activation]
    ) -> None:
        """All that a model publishes that was stopped. `numbers`: of what it had by then; what is there is muted."""
        with self.present.by_numbers_alone():  # which ids are there of what came before it was stopped, is not known
            self._go_back(model, numbers, again.before)
            self.publish([*again.activations, *again.before], known)
        self.publish(again.after, known)

    def _go_back(self, model: str, numbers: Mapping[str, int], messages: Iterable[Message]) -> None:
        """Let the next number be that with which these messages come to `numbers`."""
        records = [record for message in messages for record in self._unpublished(message)]
        count = Counter(f"{part.topic}/{part.partition}" for record in records for part in split(record))
        first = {place: numbers.get(place, 0) - count[place] for place in map(place_of, self.present.places[1:])}
        own = self._sequencer(model).sequences
        self._sequencer(model).go_on({place: number for place, number in {**own, **first}.items() if number})

    def _unpublished(self, message: Message) -> list[Outgoing]:
        """A message's records, but for those that ids say are there."""
        return self.present.without_known(self._records(message), message.value)

    def _records(self, message: Message) -> list[Outgoing]:
        """A message's record; behind that of an alert or an incident, what `firing` holds of it from now on."""
        key, partition = message.key.encode(), self._tp.partition
        record = Outgoing(self._topics.name(message.topic), partition, key, message.value, _CLOUD_EVENT)
        if message.status is None:
            return [record]
        now = None if message.ends else record.value  # a tombstone: compaction forgets it
        return [record, Outgoing(self._topics.name("firing"), partition, key, now, _CLOUD_EVENT)]

    def _activate(self, activation: Activation, known: Mapping[ActivationKey, Activation]) -> None:
        """Let an activation wait to be written, unless it is there; then those of its pane that wait are there, too.

        Folding again may give several of a pane of which the last has been written. An older one that was written
        behind it would count as news, and its file as the newest.
        """
        # not numbered: which stream's grid is made first depends on how the ledger was polled
        key = activation_key(activation)
        before = self._activations.setdefault(key, [])
        if self._activated.get(key, known.get(key)) == activation:
            for waiting, _ in before:
                self._waiting.remove(waiting)
            before.clear()
        elif not before or before[-1][1] != activation:
            record = encode_entry(activation, self._topics.name("decisions"), 0)
            waiting = (activation.decision.model, activation.at or 0), record
            self._waiting.append(waiting)
            before.append((waiting, activation))

    def take_early(self, most_bytes: int) -> list[Outgoing]:
        """Outputs up to the end of the pane at which they pass that size; empty if all of them are for one commit.

        They may be written before the commit whose position they belong to: after a crash in between they are found
        behind the tails like what a torn commit has left, and are not written again.
        """
        size = 0
        for i, (pane, record) in enumerate(self._waiting[:-1]):
            size += len(record.value or b"")
            if size >= most_bytes and i + 1 >= self._completing and self._waiting[i + 1][0] != pane:
                return self._take_waiting(i + 1)
        return []

    def _take_waiting(self, number: int) -> list[Outgoing]:
        """The first of the outputs that wait."""
        taken, self._waiting = self._waiting[:number], self._waiting[number:]
        self._completing = max(0, self._completing - number)
        places = {id(output) for output in taken}
        for key, activations in list(self._activations.items()):
            written = [activation for waiting, activation in activations if id(waiting) in places]
            if written:
                self._activated[key] = written[-1]  # not in `known`: it may never be committed, and the task be dropped
            if len(written) == len(activations):
                del self._activations[key]
            else:
                self._activations[key] = activations[len(written) :]
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
        return self.present.commit(name, self.numbers(name))

    def _sequencer(self, model: str) -> Sequencer:
        if model not in self._sequencers:
            self._sequencers[model] = Sequencer(self.present.writer(model))
        return self._sequencers[model]
