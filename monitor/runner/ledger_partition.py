"""One ledger partition of an evaluate process: its task, what it publishes, and how far folding again has to go.

It is restored from its newest snapshots and the ledger behind the lowest of them. A model whose snapshot can't be used
is stopped: a notice in the ledger raises its alert, the other models go on, and the decision `rebuild` has it folded
again from the ledger's start (`stopped_models.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from monitor.bus.port import Bus, Committed
from monitor.bus.reading import records_of
from monitor.codec.chunks import Assembler
from monitor.errors import FormatError, NewerRelease, StateDivergence
from monitor.evaluate.alerts import Place
from monitor.evaluate.task import EvaluateTask
from monitor.events import Outgoing, Record, RecordBatch, TopicPartition
from monitor.ledger.entries import Decision, Entry, Notice
from monitor.ledger.entry_codec import DECISION, OF_A_MODEL, kind_of, read_entry
from monitor.ledger.position_records import (
    EvaluatePosition,
    Stopped,
)
from monitor.panes.keyed import KeyedRows
from monitor.panes.pane import Pane, RawPane
from monitor.runner.accepted import AcceptedReferences
from monitor.runner.activations import Activations
from monitor.runner.announced_decisions import AnnouncedDecisions
from monitor.runner.command_desk import CommandDesk
from monitor.runner.commands import Commands
from monitor.runner.ledger_commits import Fold, LedgerCommits
from monitor.runner.ledger_restore import LedgerRestore, Restored
from monitor.runner.outbox import Outbox
from monitor.runner.rebuild import stop_notice
from monitor.runner.sequences import writer_and_sequence
from monitor.runner.snapshots import Snapshots
from monitor.runner.stopped_models import StoppedModels
from monitor.telemetry import Log


class Beside(NamedTuple):
    """What is read beside the ledger; `commands`: of this partition alone."""

    activations: Activations
    snapshots: Snapshots
    commands: Commands


class LedgerPartition:
    """A task and its outbox, at an offset of the ledger. `bus`: where the ledger is."""

    def __init__(
        self,
        bus: Bus,
        tp: TopicPartition,
        place: Place,
        outbox: Outbox,
        beside: Beside,
        log: Log,
    ) -> None:
        activations, snapshots, commands = beside
        self.tp = tp
        self.task = EvaluateTask(place)
        self.position = 0
        self.last: Committed | None = None
        """The offset and metadata that were committed last."""
        self.announced = False
        """True if it has come to where the ledger ended at its start, and has what alerts.yaml says."""
        self.commits = LedgerCommits(tp, outbox, snapshots, commands, place.version, log)
        self.still = StoppedModels(bus, tp, place, activations, outbox, self.commits, log)
        self.desk = CommandDesk(tp, outbox, self.still, log)
        self.accepted = AcceptedReferences(bus, tp, outbox, log)
        self.decisions = AnnouncedDecisions(tp, outbox, log)
        self._bus = bus
        self._place = place
        self._outbox = outbox
        self._activations = activations
        self._snapshots = snapshots
        self._log = log
        self._restore: LedgerRestore | None = None
        """Until the ledger is folded again up to the commit that this process goes on from."""
        self._ended_at = bus.end(tp)
        self._assembler = Assembler()

    # ------------------------------------------------------------------ restoring

    @property
    def restoring(self) -> bool:
        """Return true if the ledger is folded again, and nothing is to be committed."""
        return self._restore is not None

    def restore(self, target: EvaluatePosition, records: Mapping[str, bytes]) -> None:
        """Go on from a committed position, with the newest snapshots that can be used. `records`: of the models."""
        parts = Restored(self._outbox, self.commits, self.still, self._activations, self._snapshots)
        self._restore = LedgerRestore(self._bus, self.tp, self._place, parts, target, records, self._log)
        self.task, unusable = self._restore.begin(self.task)
        self._stop(unusable)
        self._restore.look_up()

    def start(self) -> int:
        """The offset to read from; raises StateDivergence if the ledger has lost what is to be folded again."""
        beginning = self._bus.beginning(self.tp)
        needed = self.commits.low.position
        if self._restore is not None and beginning > needed:
            raise StateDivergence(
                f"{self.tp.topic}/{self.tp.partition}: the ledger begins at {beginning} and has to be folded again "
                f"from {needed} on; keep the ledger longer"
            )
        self.position = max(beginning, needed)
        self._log.info("ledger_opened", partition=self.tp.partition, offset=self.position, fold_again_to=self.committed)
        return self.position

    def _arrive(self) -> None:
        """End folding again: what was put out until here has been published before."""
        if self._restore is not None:
            self._restore.arrive()
            self._restore = None

    # ------------------------------------------------------------------ folding

    def feed(self, records: RecordBatch) -> None:
        """Fold the next records of the ledger."""
        at = 0
        if self._restore is not None:
            if not self._restore.is_comparable:
                at = sum(1 for offset in records.offsets if offset < self._restore.last_commit)
                self._fold(records.cut(0, at))
                self._restore.come_to(records.offsets[at] if at < len(records) else 0)
            known = sum(1 for offset in records.offsets if offset < self.committed)
            self._fold(records.cut(at, known))
            at = known
            if at < len(records):
                self._arrive()
        self._fold(records.cut(at, len(records)))

    def reach(self, position: int) -> bool:
        """Go on to `position`: all records below were fed. Return true once, when it knows what the ledger holds."""
        self.position = max(self.position, position)
        if self._restore is not None:
            self._restore.report()
        if self._restore is not None and position >= self.committed:
            self._arrive()
        if self.announced or self._restore is not None or position < self._ended_at:
            return False
        self.announced = True
        return True

    def _fold(self, records: RecordBatch) -> None:
        if not records.offsets:
            return
        outputs = []
        for record in records_of(records):
            self.task.reach(record.offset)
            kind = kind_of(record.headers)
            if not self.task.count(*writer_and_sequence(record.headers)):
                continue  # it was there before
            if kind in OF_A_MODEL and self.task.passes_over(_model_of(record)):
                if kind == DECISION:
                    self._look_for_rebuild(record)
                continue
            entry = self._entry(record)
            if entry is not None:
                self._meet(entry, record.offset)
                outputs += self.task.read(entry)
        outputs += self.task.advance()
        self._outbox.publish(outputs, self._activations.newest)
        self._stop(self.task.take_broken())
        self.position = records.offsets[-1] + 1
        self.commits.is_fresh = False
        if self._assembler.is_empty and self.commits.low.asks(self.position):
            self.commits.remember(self.task, self.position)

    def _meet(self, entry: Entry, offset: int) -> None:
        """Let a model begin with its first entry; what belongs to none does not count."""
        model = entry.model if isinstance(entry, Pane | RawPane | KeyedRows | Decision | Notice) else ""
        if model and not self.task.passes_over(model):
            self.commits.parts.meet(model, offset)
            if isinstance(entry, Decision) and entry.kind == "gone":
                self.commits.parts.want(model)  # its state goes from `state`, too

    def _entry(self, record: Record) -> Entry | None:
        """The entry that a record completes; None if more chunks follow, or it is damaged: that stops its model."""
        try:
            return read_entry(self._assembler, record)
        except FormatError as error:
            model = _model_of(record)
            if model not in self.task.models and model not in self.task.stopped:
                raise NewerRelease(f"{error}; it belongs to no model") from error
            self.task.stop_for(model, str(error))
            return None

    def _look_for_rebuild(self, record: Record) -> None:
        """Look into a decision of a model that stands still, because it may ask for its rebuild."""
        if self._restore is not None or _model_of(record) not in self.stopped:
            return
        try:
            decision = read_entry(self._assembler, record)
        except FormatError:
            return  # its rebuild will report that
        if isinstance(decision, Decision) and decision.kind == "rebuild":
            self.still.obey(decision)

    def quarantine(self, record: RecordBatch) -> None:
        """Stop the model of a ledger record that ends the process; a record of no model can't be left out."""
        (found,) = records_of(record)
        self.position = found.offset + 1
        model = _model_of(found)
        if model not in self.task.models:
            raise StateDivergence(
                f"{found.topic}/{found.partition}@{found.offset} ends the process, and is of no model"
            )
        self.task.count(*writer_and_sequence(found.headers))
        self.task.stop(model)
        self._stop({model: f"the ledger record at offset {found.offset} ended the process 3 times"})

    def _stop(self, why: Mapping[str, str]) -> None:
        """Stop evaluating these models, and raise an alert for each, once."""
        for model in sorted(why.keys() - self.stopped.keys()):
            known = None if self._restore is None else self._restore.numbers_of(model)
            numbers = self._outbox.numbers(model) if known is None else known
            self.still.stopped[model] = Stopped(self.committed, why[model], numbers)
            self.task.stop(model)
            self.commits.parts.drop(model)
            self.commits.moved.add(model)
            self._outbox.entries.append(stop_notice(model, why[model], self.tp, self.task.watermarks))
            self._log.error("model_stopped", model=model, why=why[model], remedy=f"streamdrift rebuild {model}")

    # ------------------------------------------------------------------ rebuilds

    @property
    def stopped(self) -> Mapping[str, Stopped]:
        """The models that stand still."""
        return self.still.stopped

    def take_commands(self) -> None:
        """Answer the commands that have come, once it is known what the ledger says."""
        if not self.announced or self._restore is not None:
            return
        for found in self.commits.commands.read():
            self.desk.answer(found, self.task)

    def rebuild(self, is_over: Callable[[], bool]) -> None:
        """Fold a slice of the models that are rebuilt, between two turns. `is_over`: asked after each step."""
        if self._restore is None and self.still.go_on(self.task, self.position, is_over):
            self.announced = False  # alerts.yaml may have changed meanwhile

    @property
    def is_asked_for_references(self) -> bool:
        """Return true if people have accepted what is still to be made a reference."""
        return self.announced and self._restore is None and self.accepted.is_asked(self.task)

    def make_accepted(self, is_over: Callable[[], bool]) -> None:
        """Go on with references that people have accepted, between two turns. `is_over`: asked after each step."""
        self.accepted.go_on(self.task, self.position, is_over)

    # ------------------------------------------------------------------ what it commits

    @property
    def committed(self) -> int:
        """The committed position; records before it are folded again."""
        return self.commits.committed

    @property
    def has_work(self) -> bool:
        """Return true if a commit would publish or move something."""
        return self.commits.has_work(self.position)

    def take_early_outputs(self, most_bytes: int) -> list[Outgoing]:
        """Outputs to be written before the next commit, because together they are larger than that."""
        return [] if self.last is None else self._outbox.take_early(most_bytes)

    def take_outputs(self) -> list[Outgoing]:
        """All that was published since the last commit."""
        return self.commits.take_outputs()

    @property
    def is_due(self) -> bool:
        """Return true if parts of a snapshot are to be written."""
        return self._assembler.is_empty and self.commits.is_due(self.task, self.position)

    def snapshot(self) -> list[Outgoing]:
        """The parts that are due at the position, and the shared one of where folding again is to begin."""
        return self.commits.snapshot(self.task, self.position)

    def commit(self) -> tuple[EvaluatePosition, dict[str, bytes]]:
        """The position to commit with the outputs taken or the snapshots made; and the records of models that moved."""
        return self.commits.commit(Fold(self.task, self.position, self.stopped))

    def confirm(self, ends: Mapping[TopicPartition, int]) -> None:
        """The commit is done. `ends`: of the output partitions that it wrote to, the offset behind its records."""
        self.commits.confirm(ends)
        self.still.confirm()


def _model_of(record: Record) -> str:
    """The model whose key a ledger record has, a chunk of a larger value too."""
    return (record.key or b"").split(b"\0")[0].decode("utf-8", "replace")
