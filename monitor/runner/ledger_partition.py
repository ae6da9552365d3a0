"""One ledger partition of an evaluate process: its task, what it has to say, and how far folding again has to go.

It is restored from its newest snapshot and the ledger behind that. A model whose part of the snapshot can't be used is
stopped: a notice in the ledger raises its alert, the other models go on, and the command `rebuild` folds it again from
the ledger's start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from monitor.bus.port import Bus
from monitor.codec.chunks import Assembler
from monitor.codec.snapshot import digest_of_part
from monitor.errors import FormatError, NewerRelease, StateDivergence
from monitor.evaluate.alerts import Place
from monitor.evaluate.task import EvaluateTask
from monitor.events import Outgoing, Record, RecordBatch, TopicPartition
from monitor.ledger.entries import Command, Decision, Entry
from monitor.ledger.entry_codec import COMMAND, decode_entry, kind_of
from monitor.ledger.position_records import FORMAT, EvaluatePosition, Snapshot, Stopped
from monitor.runner.activations import Activations
from monitor.runner.memory import uncollected
from monitor.runner.outbox import Outbox
from monitor.runner.rebuild import rebuilt, stop_notice
from monitor.runner.river_release import begun_anew, reset_notices
from monitor.runner.sequences import writer_and_sequence
from monitor.runner.snapshots import Since, Snapshots, is_due, too_large
from monitor.runner.topics import records_of
from monitor.telemetry import Log


class LedgerPartition:
    """A task and its outbox, at an offset of the ledger. `bus`: where the ledger is."""

    def __init__(
        self,
        bus: Bus,
        tp: TopicPartition,
        place: Place,
        outbox: Outbox,
        activations: Activations,
        snapshots: Snapshots,
        log: Log,
    ) -> None:
        self.tp = tp
        self.task = EvaluateTask(place)
        self.position = 0
        self.committed = 0
        self.stopped: dict[str, Stopped] = {}
        self.announced = False
        """Whether it has come to where the ledger ended at its start, and been told what alerts.yaml says."""
        self._bus = bus
        self._place = place
        self._outbox = outbox
        self._activations = activations
        self._snapshots = snapshots
        self._log = log
        self._target: EvaluatePosition | None = None
        """The commit up to which the ledger is folded again."""
        self._is_fresh = True
        """Whether it has neither committed nor folded anything, ever."""
        self._low: Snapshot | None = None
        self._size = 0
        """Bytes of the last snapshot."""
        self._folded = self._fed = self._read = 0
        """Panes folded and values fed by the task at the last snapshot, and records since."""
        self._wants_snapshot = False
        self._unsettled = frozenset[str]()
        """River's classes whose detectors began anew: until a snapshot has them, their messages can't be compared."""
        self._large: set[str] = set()
        """Models of which an alert was asked for, since their snapshot is too large."""
        self._ended_at = bus.end(tp)
        self._assembler = Assembler()
        self._told: dict[tuple[str, str, str], str] = {}
        """Digests of the decisions announced since the task began, by (model, kind, stream), read back yet or not."""

    # ------------------------------------------------------------------ restoring

    @property
    def restoring(self) -> bool:
        """Whether the ledger is folded again, and nothing is to be committed."""
        return self._target is not None

    def restore(self, target: EvaluatePosition) -> None:
        """Go on from a committed position, with the newest snapshot where there is one that can be used."""
        self._target, self._is_fresh = target, False
        self.committed, self.stopped = target.position, dict(target.stopped)
        if target.low is not None:
            self._restore_snapshot(target, target.low)
        for model in self.stopped if self._low is None else ():
            self.task.stop(model)
        self._outbox.restore(self._target, self._bus)

    def _restore_snapshot(self, target: EvaluatePosition, low: Snapshot) -> None:
        parts = self._snapshots.read(self.tp.partition, low.start)
        try:
            with uncollected():
                self.task, corrupt = EvaluateTask.restored(self._place, parts, self._activations.decisions, low.parts)
            self._low, self._size = low, sum(map(len, parts.values()))
            self._stop({model: str(error) for model, error in corrupt.items()})
        except FormatError as error:
            # what belongs to no model can be had from the ledger alone, and so can the models
            self._log.warning("snapshot_unusable", partition=self.tp.partition, why=str(error))
            self._target = msgspec.structs.replace(target, low=None)

    def start(self) -> int:
        """The offset to read from; raises StateDivergence where the ledger has lost what is to be folded again."""
        beginning = self._bus.beginning(self.tp)
        needed = 0 if self._low is None else self._low.position
        if self._target is not None and beginning > needed:
            raise StateDivergence(
                f"{self.tp.topic}/{self.tp.partition}: the ledger begins at {beginning} and has to be folded again "
                f"from {needed} on; keep the ledger longer"
            )
        self.position = max(beginning, needed)
        self._log.info("ledger_opened", partition=self.tp.partition, offset=self.position, fold_again_to=self.committed)
        return self.position

    def _arrive(self) -> None:
        """End of folding again: what was said until here has been published before."""
        target, self._target = self._target, None
        if target is None:
            return
        anew = begun_anew(self.task, target.releases)
        others = {*self.stopped, *anew}
        self._outbox.go_on_behind(others)
        same = self._outbox.has_reached(target, others)
        outputs = {model: self.task.digest_of(model) for model in target.outputs if model not in others}
        if not same or any(target.outputs[model] != digest for model, digest in outputs.items()):
            raise StateDivergence(
                f"{self.tp.topic}/{self.tp.partition}: folding the ledger again to {target.position} gave other "
                "messages than those published"
            )
        self._report_reset(anew)
        self._log.info("ledger_restored", partition=self.tp.partition, to=target.position)

    def _report_reset(self, anew: Mapping[str, frozenset[str]]) -> None:
        """One alert for each model whose detectors began anew under another River, and a snapshot by this one."""
        for model, kinds in anew.items():
            self._wants_snapshot, self._unsettled = True, self._unsettled | kinds
            self._log.warning("detectors_reset", model=model, detectors=sorted(kinds))
        self._outbox.entries += reset_notices(anew, self.task, self.tp)

    # ------------------------------------------------------------------ folding

    def feed(self, records: RecordBatch) -> None:
        """Fold the next records of the ledger."""
        at = 0
        if self._target is not None:
            at = sum(1 for offset in records.offsets if offset < self.committed)
            self._fold(records.cut(0, at))
            if at < len(records):
                self._arrive()
        self._fold(records.cut(at, len(records)))

    def reached(self, position: int) -> bool:
        """All records below `position` have been fed; True once, where it knows by then what the ledger says."""
        self.position = max(self.position, position)
        if self._target is not None and position >= self.committed:
            self._arrive()
        if self.announced or self._target is not None or position < self._ended_at:
            return False
        self.announced = True
        return True

    def _fold(self, records: RecordBatch) -> None:
        if not records.offsets:
            return
        said = []
        for record in records_of(records):
            kind = kind_of(record.headers)
            if kind == COMMAND:
                said += self.task.advance()  # what is read before the command is folded before it
                self._outbox.say(said, self._activations.newest)
                said = []
                self._obey(record)
                continue
            if self.task.is_repeat(*writer_and_sequence(record.headers)):
                continue
            entry = self._entry(record)
            said += self.task.read(entry) if entry is not None else []
        said += self.task.advance()
        self._outbox.say(said, self._activations.newest)
        self._stop(self.task.take_broken())
        self.position = records.offsets[-1] + 1
        self._is_fresh = False
        self._read += len(records)

    def _entry(self, record: Record) -> Entry | None:
        """The entry that a record completes; None if more chunks follow, or it is damaged: that stops its model."""
        try:
            value = self._assembler.feed(record)
            return None if value is None else decode_entry(record.headers, value)
        except FormatError as error:
            model = _model_of(record)
            place = f"{record.topic}/{record.partition}@{record.offset}"
            if model not in self.task.models and model not in self.task.stopped:
                raise NewerRelease(f"{place} belongs to no model and can't be read: {error}") from error
            self.task.stop_for(model, f"the ledger entry {place} is damaged: {error}")
            return None

    def _obey(self, record: Record) -> None:
        """A command: carried out once, when it is read first."""
        command = self._entry(record)
        if self._target is not None or not isinstance(command, Command):
            return
        model = command.model
        stopped = self.stopped.get(model)
        if stopped is None:
            self._log.warning("rebuild_ignored", model=model, why="the model is not stopped")
            return
        self._activations.read()
        activations = [a for a in self._activations.all if a.decision.model == model]
        try:
            again = rebuilt(self._bus, self.tp, model, self._place, activations, (stopped.position, record.offset))
        except FormatError as error:
            self._log.error("rebuild_failed", model=model, why=str(error))
            return
        del self.stopped[model]
        self.task.adopt(again.fold, model, again.digest)
        self._outbox.say_again(model, stopped.numbers, again, self._activations.newest)
        self.announced = False  # alerts.yaml may have changed meanwhile
        self._wants_snapshot = True  # one that has the model
        self._log.info("model_rebuilt", model=model, messages=len(again.after))

    def quarantine(self, record: RecordBatch) -> None:
        """The model of a ledger record that ends the process is stopped; a record of no model can't be left out."""
        (found,) = records_of(record)
        self.position = found.offset + 1
        if kind_of(found.headers) == COMMAND:
            self._log.error("command_ignored", partition=found.partition, offset=found.offset)
            return
        model = _model_of(found)
        if model not in self.task.models:
            raise StateDivergence(
                f"{found.topic}/{found.partition}@{found.offset} ends the process, and is of no model"
            )
        self.task.is_repeat(*writer_and_sequence(found.headers))
        self.task.stop(model)
        self._stop({model: f"the ledger record at offset {found.offset} ended the process 3 times"})

    def _stop(self, why: Mapping[str, str]) -> None:
        """These models are not evaluated any more, and an alert says so, once."""
        for model in sorted(why.keys() - self.stopped.keys()):
            numbers = self._outbox.numbers() if self._target is None else self._target.numbers
            self.stopped[model] = Stopped(self.committed, why[model], numbers.get(model, {}))
            self._outbox.entries.append(stop_notice(model, why[model], self.tp, self.task.watermarks))
            self._log.error("model_stopped", model=model, why=why[model], remedy=f"streamdrift rebuild {model}")

    # ------------------------------------------------------------------ what people say

    def tell(self, decisions: Iterable[Decision]) -> None:
        """Write decisions into the ledger; they count from where they are read back."""
        for decision in decisions:
            self._outbox.entries.append(decision)
            self._told[decision.model, decision.kind, decision.stream] = decision.digest
            self._log.info("decision_announced", model=decision.model, kind=decision.kind, digest=decision.digest)

    def knows(self, decision: Decision) -> bool:
        """Whether that is the newest of its kind, read back or on its way."""
        if decision.model in self.stopped:
            return True  # announced when the model is back
        active = self.task.model(decision.model).decisions.newest.get((decision.kind, decision.stream))
        return self._told.get((decision.model, decision.kind, decision.stream), active) == decision.digest

    # ------------------------------------------------------------------ what it commits

    @property
    def has_work(self) -> bool:
        """Whether a commit would say or move something."""
        return self._is_fresh or self.position > self.committed or not self._outbox.is_empty

    def outputs(self) -> list[Outgoing]:
        """All that was said since the last commit."""
        # a first start says where its outputs will begin before there are any, so that they can be looked up
        outgoing = [] if self._is_fresh else self._outbox.take()
        self._is_fresh = False
        return outgoing

    def is_due(self, panes: int) -> bool:
        """Whether the next snapshot is to be written. `panes`: most between two."""
        since = Since(self.task.folded - self._folded, self._read, self.task.fed - self._fed)
        return self._assembler.is_empty and (self._wants_snapshot or is_due(since, panes, self._size))

    def snapshot(self) -> list[Outgoing]:
        """A snapshot at the position, from which on the next restart folds again."""
        parts = self.task.snapshot()
        digests = {name: digest_of_part(part) for name, part in sorted(parts.items())}
        self._warn_of_size(parts)
        start = self._snapshots.end(self.tp.partition)
        self._low = Snapshot(self.position, start, digests, self._outbox.numbers())
        self._folded, self._fed, self._read = self.task.folded, self.task.fed, 0
        self._wants_snapshot, self._unsettled = False, frozenset()
        self._size = sum(map(len, parts.values()))
        return self._snapshots.outgoing(self.tp.partition, parts)

    def _warn_of_size(self, parts: Mapping[str, bytes]) -> None:
        """One alert for a model whose snapshot is too large; said once by a process."""
        judged_to = {name: fold.judged_to for name, fold in self.task.models.items() if name not in self._large}
        for notice in too_large(parts, {name: at for name, at in judged_to.items() if at is not None}, self.tp):
            self._large.add(notice.model)
            self._outbox.entries.append(notice)
            self._log.warning("snapshot_large", model=notice.model, bytes=len(parts[notice.model]))

    def commit(self) -> EvaluatePosition:
        """The position to commit with the outputs taken or the snapshot made."""
        self.committed = self.position
        return EvaluatePosition(
            format=FORMAT,
            low=self._low,
            position=self.position,
            outputs={model: self.task.digest_of(model) for model in sorted({"", *self.task.models, *self.stopped})},
            tails=dict(sorted(self._outbox.tails.items())),
            before=self._outbox.before(),
            numbers=self._outbox.numbers(),
            stopped=dict(sorted(self.stopped.items())),
            releases=self._releases(),
        )

    def _releases(self) -> dict[str, str]:
        """Of River's classes in use the release whose answers each gives; empty if that is not to be compared."""
        found = {kind: release for fold in self.task.models.values() for kind, release in fold.releases.items()}
        return {kind: "" if kind in self._unsettled else release for kind, release in sorted(found.items())}

    def confirm(self, ends: Mapping[TopicPartition, int]) -> None:
        """The commit is done. `ends`: of the output partitions that it wrote to, the offset behind its records."""
        self._outbox.confirm(ends)


def _model_of(record: Record) -> str:
    """The model whose key a ledger record has, a chunk of a larger value too."""
    return (record.key or b"").split(b"\0")[0].decode("utf-8", "replace")
