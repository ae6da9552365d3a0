"""References that people have accepted: made of the panes in the ledger, in slices between the turns of the loop.

What is asked stands in the model's state (`evaluate/accepting.py`), so a process that takes a ledger partition over
makes it again, and the same. The ledger is read from its start up to where the fold is, twice; a step is a record. What
comes of it goes into the ledger as a decision: the reference, or the refusal with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from monitor.bus.port import Bus
from monitor.bus.reading import PATIENCE_MS, records_of
from monitor.codec.canonical import time_text
from monitor.codec.chunks import Assembler
from monitor.errors import FormatError, RecordsLost
from monitor.evaluate.accepting import Refusal, lane_to_accept
from monitor.evaluate.model import ModelFold
from monitor.evaluate.reference import encode_reference
from monitor.evaluate.stretch import StoredPanes, Stretch, StretchReference, StretchRefused
from monitor.evaluate.task import EvaluateTask
from monitor.events import Record, TopicPartition
from monitor.ledger.commands import Accept, Command, command_of
from monitor.ledger.entries import Decision, Watermark, new_decision
from monitor.ledger.entry_codec import kind_of, read_entry
from monitor.panes.grid import Grid
from monitor.panes.merging import MergedPane
from monitor.panes.pane import Pane, RawPane
from monitor.panes.steps import Steps
from monitor.runner.outbox import Outbox
from monitor.runner.sequences import writer_and_sequence
from monitor.telemetry import Log

GONE = "the ledger does not hold all panes of the stretch any more"


class AcceptedReferences:
    """Those of ledger partition `tp`, one after the other."""

    def __init__(self, bus: Bus, tp: TopicPartition, outbox: Outbox, log: Log) -> None:
        self._bus = bus
        self._tp = tp
        self._outbox = outbox
        self._log = log
        self._making: tuple[str, Steps[Decision]] | None = None
        self._answered: set[str] = set()
        """Ids of commands whose answer was written, read back or not."""

    def is_asked(self, task: EvaluateTask) -> bool:
        """Return true if there is one to be made."""
        return any(name not in self._answered for fold in task.models.values() for name, _ in fold.accepting)

    def go_on(self, task: EvaluateTask, position: int, is_over: Callable[[], bool]) -> None:
        """Go on until `is_over`, which is asked after each step. `task`: has folded the ledger up to `position`."""
        while (making := self._begun(task, position)) is not None:
            name, steps = making
            try:
                next(steps)
            except StopIteration as end:
                self._answer(name, end.value)
            if is_over():
                return

    def _begun(self, task: EvaluateTask, position: int) -> tuple[str, Steps[Decision]] | None:
        """What is being made, or begins: the first that is asked. One of a model that is gone is dropped."""
        asked = {
            name: (fold, decision)
            for _, fold in sorted(task.models.items())
            for name, decision in fold.accepting
            if name not in self._answered
        }
        if self._making is None or self._making[0] not in asked:
            self._making = None
            for name, (fold, decision) in asked.items():
                self._log.info("accepted_reference_begun", model=fold.model, id=name)
                self._making = name, _answer_of(self._bus, self._tp, fold, decision, position)
                break
        return self._making

    def _answer(self, name: str, answer: Decision) -> None:
        self._making = None
        self._answered.add(name)
        self._outbox.entries.append(answer)
        keys = {"model": answer.model, "stream": answer.stream, "id": name, "digest": answer.digest}
        self._log.info("accepted_reference_made" if answer.kind == "reference" else "accept_refused", **keys)


def _answer_of(bus: Bus, tp: TopicPartition, fold: ModelFold, asked: Decision, to: int) -> Steps[Decision]:
    """Make the answer to a command: a reference decision, or a refusal."""
    command = command_of(asked)
    try:
        answer = yield from _reference_of(bus, tp, fold, command, to)
    except (StretchRefused, RecordsLost, FormatError) as error:
        why = GONE if isinstance(error, RecordsLost) else str(error)
        text = f"{command.kind} {command.id} of {command.author} for {command.model} is refused: {why}"
        content = msgspec.json.encode(Refusal(command.id, text, *tp)).decode()
        answer = new_decision(command.model, "refusal", content)
    return msgspec.structs.replace(answer, command=command.id)


def _reference_of(bus: Bus, tp: TopicPartition, fold: ModelFold, command: Command, to: int) -> Steps[Decision]:
    request, decisions = command.request, fold.decisions
    lane = lane_to_accept(fold.lanes, request.stream) if isinstance(request, Accept) else ""
    if isinstance(lane, str) or not isinstance(request, Accept) or decisions.partitions is None:
        raise StretchRefused(str(lane))
    (contract, stream), grid = decisions.lanes[lane.contract], decisions.grids[lane.contract]
    own = tuple(one for one in decisions.partitions.partitions if one.topic == stream.topic)
    if not own:
        raise StretchRefused(f"the model reads no partition of {stream.topic} any more")
    stretch = Stretch(lane.contract, contract.pane_ms, request.start, request.end, own)
    before = decisions.references[lane.contract]
    making = StretchReference(grid, stretch, before, request.columns)
    stored = _Stored(bus, tp, command.model, lane.stream, stretch, grid)
    for found in stored.read(bus.beginning(tp), to):
        if found is not None:
            making.count(*found)
        yield
    if not stored.is_whole:
        raise StretchRefused(GONE)
    making.turn(min(contract.raw_rows, before.events))
    yield
    for found in stored.read(stored.first, stored.behind):
        if found is not None:
            making.add(found[1])
        yield
    place = f"{time_text(request.start)} to {time_text(request.end)}"
    columns = f"{', '.join(request.columns)} of " if request.columns else ""
    reference = making.made(f"accepted: {columns}{place}, by {command.author}: {request.comment}")
    return new_decision(command.model, "reference", encode_reference(reference), lane.stream, lane=lane.contract)


class _Stored:
    """The panes of a stretch in a ledger partition. `is_whole`: false if some may have been deleted, once read.

    `first`, `behind`: the offsets that they stand in.
    """

    def __init__(self, bus: Bus, tp: TopicPartition, model: str, stream: str, stretch: Stretch, grid: Grid) -> None:
        self.first = self.behind = 0
        self._bus = bus
        self._tp = tp
        self._model = model
        self._stream = stream
        self._stretch = stretch
        self._grid = grid
        self._begins = bus.beginning(tp)
        self._whole_at = 0
        """The offset of the first record of what the newest one belongs to."""
        self._first_reached: dict[TopicPartition, int] = {}
        """The first watermark of each input partition in what the ledger holds."""

    @property
    def is_whole(self) -> bool:
        """Return true if all panes of the stretch stand behind what the ledger begins with."""
        own = (self._first_reached.get(tp, self._stretch.end) for tp in self._stretch.partitions)
        return self._begins == 0 or all(watermark <= self._stretch.start for watermark in own)

    def read(self, start: int, to: int) -> Iterator[tuple[int, MergedPane] | None]:
        """The panes in order, each with where it begins, ms; None for a record behind which none is whole."""
        panes, assembler, numbers = StoredPanes(self._stretch, self._grid), Assembler(), Counter[str]()
        while start < to:
            batch = self._bus.read(self._tp, start, to, PATIENCE_MS)
            for record in records_of(batch):
                writer, number = writer_and_sequence(record.headers)
                if number >= numbers[writer]:
                    numbers[writer] = number + 1
                    self._take(record, assembler, panes)
                whole = list(panes.take())
                yield from whole or (None,)
            start = batch.offsets[-1] + 1 if batch.offsets else to
        yield from panes.take(is_end=True)

    def _take(self, record: Record, assembler: Assembler, panes: StoredPanes) -> None:
        kind = kind_of(record.headers)
        is_own = kind in ("pane", "raw") and (record.key or b"").split(b"\0")[0] == self._model.encode()
        if not is_own and kind != "watermark":
            return
        self._whole_at = record.offset if assembler.is_empty else self._whole_at
        entry = read_entry(assembler, record)
        if isinstance(entry, Watermark):
            tp, reached = TopicPartition(entry.topic, entry.partition), entry.watermark_of(self._model)
            if reached is not None:
                self._first_reached.setdefault(tp, reached)
                panes.reach(tp, reached)
        elif isinstance(entry, Pane | RawPane) and entry.stream == self._stream and self._stretch.holds(entry):
            self.first = self.first or self._whole_at
            self.behind = record.offset + 1
            panes.add(entry)
