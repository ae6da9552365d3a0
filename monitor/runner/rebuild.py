"""A model that is folded again from the ledger's start, in slices between the turns of the loop.

It has a fold of its own, which reads the ledger beside the one that runs. A step of it is a record of the model, a
pane, or a column of a reference that it makes; so a slice is over soon after its time is, and the other models go on.
It takes the place of the model that was stopped when it has come to the offset at which the fold that runs stands,
between two turns.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from monitor.bus.port import Bus
from monitor.bus.reading import PATIENCE_MS, records_of
from monitor.codec.chunks import Assembler
from monitor.errors import FormatError
from monitor.evaluate.alerts import Place
from monitor.evaluate.messages import Message
from monitor.evaluate.model import ModelFold, Output
from monitor.evaluate.task import EvaluateTask
from monitor.events import Record, TopicPartition
from monitor.ledger.commands import id_of
from monitor.ledger.entries import COMMANDS, Activation, Decision, DecisionKey, Entry, Notice, Watermark
from monitor.ledger.entry_codec import kind_of, read_entry
from monitor.runner.sequences import writer_and_sequence

SLICE_S = 0.2
"""A slice ends before the next step would pass this, if that takes as long as the longest so far."""
READ_AHEAD = 64
"""Records of the model that are read before what they seal is folded."""


class TurnSlice:
    """The time of one slice. `clock`: s, monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = self._at = clock()
        self._longest = 0.0

    def end_step(self) -> bool:
        """Count a step that has ended; return true if another one would take too long."""
        now = self._clock()
        self._longest, self._at = max(self._longest, now - self._at), now
        return now - self._began + self._longest > SLICE_S


class Again:
    """What a model publishes that is folded again.

    `missing`: by topic, how many of the messages that it had published before it was stopped may be lost at most: the
    last ones. The others are not kept.
    """

    def __init__(self, missing: Mapping[str, int]) -> None:
        self.activations: list[Activation] = []
        self.after: list[Message] = []
        self._missing = missing
        self._before: dict[str, deque[tuple[int, Message]]] = {}
        self._number = 0

    @property
    def before(self) -> list[Message]:
        """The messages from before it was stopped that may be lost, in the order in which they were decided."""
        found = [numbered for kept in self._before.values() for numbered in kept]
        return [message for _, message in sorted(found, key=lambda numbered: numbered[0])]

    def add(self, outputs: Iterable[Output], is_new: bool) -> None:
        """More outputs. `is_new`: true if they are behind the offset at which the model was stopped."""
        for output in outputs:
            if isinstance(output, Activation):
                self.activations.append(output)
            elif is_new:
                self.after.append(output)
            elif most := self._missing.get(output.topic, 0):
                self._number += 1
                self._before.setdefault(output.topic, deque(maxlen=most)).append((self._number, output))


class Rebuild:
    """The fold of one model. `activations`: of the model. `published`: the offset at which it was stopped.

    If the ledger's start has been deleted, the model's newest activations in `decisions` stand in for what was there.
    """

    def __init__(
        self,
        bus: Bus,
        tp: TopicPartition,
        model: str,
        place: Place,
        activations: Sequence[Activation],
        published: int,
        again: Again,
    ) -> None:
        self.model = model
        self.again = again
        self.position = bus.beginning(tp)
        """The next offset to be read."""
        self._bus = bus
        self._tp = tp
        self._published = published
        self._is_new = False
        self._task = EvaluateTask(place)
        self._assembler = Assembler()
        self._numbers: Counter[str] = Counter()
        """The number behind each writer's newest record. A repeat has a lower one, as in the fold that runs."""
        self._unfolded = 0
        self._to = 0
        self._walk = self._steps(_of_the_last_life(activations) if self.position > 0 else [])

    @property
    def fold(self) -> ModelFold:
        """The model's fold as far as it is."""
        return self._task.open_model(self.model)

    @property
    def digest(self) -> str:
        """The digest of all that it has published."""
        return self._task.digest_of(self.model)

    def go_on(self, to: int, is_over: Callable[[], bool]) -> bool:
        """Fold what lies below offset `to`, a step at least; return true if all of that is folded.

        `is_over`: asked after each step. Raises FormatError if an entry of the model is damaged, RecordsLost if the
        ledger's start was deleted meanwhile.
        """
        self._to = to
        while self.position < to or self._unfolded:
            next(self._walk)
            if is_over():
                break
        return self.position >= to and not self._unfolded and self._assembler.is_empty

    def _steps(self, activations: Sequence[Activation]) -> Iterator[None]:
        answered = {activation.decision.command for activation in activations}
        for activation in activations:
            decision = activation.decision
            if decision.kind in COMMANDS:
                self.fold.resume(activation, is_answered=id_of(decision.digest) in answered)
            elif decision.kind != "refusal":
                self._keep(self._task.read(msgspec.structs.replace(decision, command="")))
        while True:
            to = self._to
            while self.position < to:
                batch = self._bus.read(self._tp, self.position, to, PATIENCE_MS)
                for record in records_of(batch):
                    yield from self._take(record)
                self.position = batch.offsets[-1] + 1 if batch.offsets else to
                yield
            yield from self._advance()
            yield

    def _take(self, record: Record) -> Iterator[None]:
        if record.offset >= self._published and not self._is_new:
            yield from self._advance()
            self._is_new = True
        if self._count(record) and self._is_of_the_model(record):
            entry = read_entry(self._assembler, record)
            if entry is not None:
                yield from self._read(entry)
        self.position = record.offset + 1

    def _read(self, entry: Entry) -> Iterator[None]:
        if isinstance(entry, Decision | Notice):
            yield from self._advance()
        self._keep(self._task.read(entry))
        self._unfolded += 1
        if self._unfolded >= READ_AHEAD:
            yield from self._advance()
        elif not isinstance(entry, Watermark):
            yield

    def _advance(self) -> Iterator[None]:
        """Fold what is sealed, pane by pane."""
        before: int | None = None
        while self._unfolded:
            yield from self._task.prepare()
            self._keep(self._task.advance(1))
            reached = self.fold.judged_to
            if reached == before or reached is None:
                self._unfolded = 0
            before = reached
            yield

    def _keep(self, outputs: Iterable[Output]) -> None:
        self.again.add(outputs, self._is_new)
        for why in self._task.take_broken().values():
            raise FormatError(why)

    def _count(self, record: Record) -> bool:
        """Count a record of a writer; False if it was there before."""
        writer, number = writer_and_sequence(record.headers)
        is_new = number >= self._numbers[writer]
        if is_new:
            self._numbers[writer] = number + 1
        return is_new

    def _is_of_the_model(self, record: Record) -> bool:
        """Return true for the model's own records, and the watermarks and heartbeats of all inputs."""
        is_own = (record.key or b"").split(b"\0")[0] == self.model.encode()
        return is_own or kind_of(record.headers) in ("watermark", "heartbeat")


def _of_the_last_life(activations: Sequence[Activation]) -> list[Activation]:
    """The newest decision of each kind and stream since the model was last gone, and all commands."""
    newest: dict[DecisionKey, Activation] = {}
    for activation in activations:
        decision = activation.decision
        if decision.kind == "gone":
            newest.clear()
        elif decision.kind not in ("begun", "rebuild"):
            newest[decision.key] = activation
    return list(newest.values())


def stop_notice(model: str, why: str, tp: TopicPartition, watermarks: Mapping[TopicPartition, Watermark]) -> Notice:
    """The notice of a model that is not evaluated any more."""
    at = max((watermark.watermark for watermark in watermarks.values()), default=0)
    text = f"{model} is not evaluated any more: {why}. Run: streamdrift rebuild {model}"
    return Notice("", "ModelStopped", at, tp.topic, tp.partition, (("model", model),), text)
