"""One ledger partition of an evaluate process: its task, what it has to say, and how far folding again has to go.

It is restored from its newest snapshots and the ledger behind the lowest of them. A model whose snapshot can't be used
is stopped: a notice in the ledger raises its alert, the other models go on, and the command `rebuild` folds it again
from the ledger's start.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from monitor.bus.port import Bus, Committed
from monitor.codec.chunks import Assembler
from monitor.codec.snapshot import digest_of_part
from monitor.errors import FormatError, NewerRelease, StateDivergence
from monitor.evaluate.alerts import Place
from monitor.evaluate.messages import MESSAGES
from monitor.evaluate.snapshots import SavedModel, committed_part, encode_shared
from monitor.evaluate.task import EvaluateTask
from monitor.events import Outgoing, Record, RecordBatch, TopicPartition
from monitor.ledger.entries import Command, Decision, Entry, Notice
from monitor.ledger.entry_codec import COMMAND, OF_A_MODEL, decode_entry, kind_of
from monitor.ledger.position_records import (
    FORMAT,
    EvaluatedModel,
    EvaluatePosition,
    Snapshot,
    Stopped,
    decode_model,
)
from monitor.panes.pane import Pane, RawPane
from monitor.runner.activations import Activations
from monitor.runner.announce import refusal
from monitor.runner.low_water import LowWater, Memory
from monitor.runner.memory import uncollected
from monitor.runner.model_records import ModelRecords
from monitor.runner.outbox import Outbox
from monitor.runner.parts import DUE_BYTES, Parts
from monitor.runner.rebuild import rebuilt, stop_notice
from monitor.runner.river_release import begun_anew, reset_notices
from monitor.runner.sequences import writer_and_sequence
from monitor.runner.snapshots import Snapshots, block_name, too_large
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
        self.last: Committed | None = None
        """The offset and metadata that were committed last."""
        self.announced = False
        """Whether it has come to where the ledger ended at its start, and been told what alerts.yaml says."""
        self.parts = Parts(snapshots.rhythm)
        self.low = LowWater(snapshots.rhythm.records)
        self._bus = bus
        self._place = place
        self._outbox = outbox
        self._activations = activations
        self._snapshots = snapshots
        self._log = log
        self._target: EvaluatePosition | None = None
        """The commit up to which the ledger is folded again."""
        self._models: Mapping[str, EvaluatedModel] = {}
        """The records of the models there."""
        self._records = ModelRecords()
        self._commits = 0
        self._messages = f"{MESSAGES}/{place.version}"
        """The version in which this process writes messages."""
        self._settles_at: int | None = None
        """From where on all snapshots have to be before messages can be compared: below, others wrote some."""
        self._previous = 0
        """The position committed with the outputs that are confirmed."""
        self._is_fresh = True
        """Whether it has neither committed nor folded anything, ever."""
        self._rebuilt: dict[str, Stopped] = {}
        """Models that run again: as long as they have no snapshot, a restart finds them stopped."""
        self._moved: set[str] = set()
        """Models whose records the next commit writes, whether they say something or not."""
        self._unsettled: set[str] = set()
        """Models whose detectors began anew: until a snapshot has them, their messages can't be compared."""
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

    def restore(self, target: EvaluatePosition, records: Mapping[str, bytes]) -> None:
        """Go on from a committed position, with the newest snapshots that can be used. `records`: of the models."""
        self._is_fresh = False
        self._models = {name: decode_model(value) for name, value in records.items()}
        self._records = ModelRecords(records)
        if self._records.digest != target.models:
            raise StateDivergence(f"{self.tp.topic}/{self.tp.partition}: records of models are not those committed")
        self.committed, self._commits = target.position, target.commit
        self.stopped = {name: r.stopped for name, r in sorted(self._models.items()) if r.stopped is not None}
        snapshots = {name: r.snapshot for name, r in self._models.items() if r.snapshot is not None}
        wanted = snapshots if target.low is None else {**snapshots, "": target.low}
        parts = self._snapshots.read(self.tp.partition, wanted)
        self._target = self._restore_shared(target, parts.get(""))
        for name in self.stopped:
            self.task.stop(name)
        with uncollected():
            self._stop(dict(self._take_up(snapshots, parts)))
        self._outbox.restore(self._target, self._models, self._bus, self._is_comparable)
        self._previous = target.previous
        self._come_to(self.low.position)

    @property
    def _is_comparable(self) -> bool:
        """Whether all messages since the snapshots are of the version that this process writes."""
        return self._target is None or self._target.messages == self._messages

    def _come_to(self, offset: int) -> None:
        if self._target is not None and not self._is_comparable and offset >= self._target.previous:
            self._outbox.come_to_last_commit()

    def _restore_shared(self, target: EvaluatePosition, part: bytes | None) -> EvaluatePosition:
        """Begin at the shared part; if it can't be used, what belongs to no model can be had from the ledger alone."""
        if target.low is None:
            return target
        try:
            part = committed_part("", part, target.low.digest)
            self.task = EvaluateTask.restored(self._place, part, target.low.outputs)
        except FormatError as error:
            self._log.warning("snapshot_unusable", partition=self.tp.partition, why=str(error))
            return msgspec.structs.replace(target, low=None)
        self.low.take(target.low, len(part))
        return target

    def _take_up(self, snapshots: Mapping[str, Snapshot], parts: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
        """Have the models go on from their parts; gives those that can't, and why."""
        for name, snapshot in sorted(snapshots.items()):
            try:
                part = committed_part(name, parts.get(name), snapshot.digest)
                blocks = {block: parts[key] for block in snapshot.blocks if (key := block_name(name, block)) in parts}
                saved = SavedModel(part, snapshot.outputs, blocks)
                self.task.take_up(name, saved, snapshot.position, self._activations.decisions)
                self.parts.take(name, snapshot, len(part))
            except FormatError as error:
                yield name, str(error)

    def start(self) -> int:
        """The offset to read from; raises StateDivergence where the ledger has lost what is to be folded again."""
        beginning = self._bus.beginning(self.tp)
        needed = self.low.position
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
        self.task.reach(target.position)
        anew = begun_anew(self.task, {name: record.releases for name, record in self._models.items()})
        others = {*self.stopped, *anew}
        if target.messages != self._messages:
            others |= self._models.keys() | self.task.models.keys()
            self._take_over(target, others)
        known = {name: record.outputs for name, record in self._models.items() if name not in others}
        if target.messages == self._messages:
            known[""] = target.outputs
            self._outbox.go_on_behind(others)
        same = self._outbox.has_reached(self._models, others)
        if not same or any(self.task.digest_of(name) != digest for name, digest in known.items()):
            raise StateDivergence(
                f"{self.tp.topic}/{self.tp.partition}: folding the ledger again to {target.position} gave other "
                "messages than those published"
            )
        self._report_reset(anew)
        self._log.info("ledger_restored", partition=self.tp.partition, to=target.position)

    def _take_over(self, target: EvaluatePosition, names: Collection[str]) -> None:
        """Go on from a commit of another version of messages, and snapshot every model in this one."""
        self._outbox.complete({"", *names})
        self._settles_at = target.position
        self.low.hurry()
        for name in self.task.models:
            self.parts.want(name)
        self._log.warning(
            "messages_not_compared", partition=self.tp.partition, committed=target.messages, running=self._messages
        )

    @property
    def _is_settled(self) -> bool:
        """Whether all snapshots stand where this version of messages began, or behind, and are of this version.

        One that another version wrote at that very offset has the numbers of what that had published.
        """
        lowest = min(self.parts.lowest(self.position), self.low.position)
        if self._settles_at is not None and lowest >= self._settles_at and not self.parts.are_wanted:
            self._settles_at = None
        return self._settles_at is None

    def _report_reset(self, anew: Mapping[str, frozenset[str]]) -> None:
        """One alert for each model whose detectors began anew under another River, and a snapshot by this one."""
        for model, kinds in anew.items():
            self.parts.want(model)
            self._unsettled.add(model)
            self._log.warning("detectors_reset", model=model, detectors=sorted(kinds))
        self._outbox.entries += reset_notices(anew, self.task, self.tp)

    # ------------------------------------------------------------------ folding

    def feed(self, records: RecordBatch) -> None:
        """Fold the next records of the ledger."""
        at = 0
        if self._target is not None:
            if not self._is_comparable:
                at = sum(1 for offset in records.offsets if offset < self._target.previous)
                self._fold(records.cut(0, at))
                self._come_to(records.offsets[at] if at < len(records) else 0)
            known = sum(1 for offset in records.offsets if offset < self.committed)
            self._fold(records.cut(at, known))
            at = known
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
            self.task.reach(record.offset)
            kind = kind_of(record.headers)
            if kind == COMMAND:
                said += self.task.advance()  # what is read before the command is folded before it
                self._outbox.say(said, self._activations.newest)
                said = []
                self._obey(record)
                continue
            is_new = self.task.count(*writer_and_sequence(record.headers))
            if not is_new or (kind in OF_A_MODEL and self.task.passes_over(_model_of(record))):
                continue
            entry = self._entry(record)
            if entry is not None:
                self._meet(entry, record.offset)
                said += self.task.read(entry)
        said += self.task.advance()
        self._outbox.say(said, self._activations.newest)
        self._stop(self.task.take_broken())
        self.position = records.offsets[-1] + 1
        self._is_fresh = False
        if self._assembler.is_empty and self.low.asks(self.position):
            self._remember()

    def _meet(self, entry: Entry, offset: int) -> None:
        """A model begins with its first entry; what belongs to none does not count."""
        model = entry.model if isinstance(entry, Pane | RawPane | Decision | Notice) else ""
        if model and not self.task.passes_over(model):
            self.parts.meet(model, offset)

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
        self._rebuilt[model] = self.stopped.pop(model)
        self.parts.meet(model, record.offset + 1)
        self.parts.want(model)
        self.task.adopt(again.fold, model, again.digest)
        self._outbox.say_again(model, stopped.numbers, again, self._activations.newest)
        self.announced = False  # alerts.yaml may have changed meanwhile
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
        self.task.count(*writer_and_sequence(found.headers))
        self.task.stop(model)
        self._stop({model: f"the ledger record at offset {found.offset} ended the process 3 times"})

    def _stop(self, why: Mapping[str, str]) -> None:
        """These models are not evaluated any more, and an alert says so, once."""
        for model in sorted(why.keys() - self.stopped.keys()):
            known = self._models[model].numbers if self._target is not None and model in self._models else None
            numbers = self._outbox.numbers(model) if known is None else known
            self.stopped[model] = Stopped(self.committed, why[model], numbers)
            self.task.stop(model)
            self.parts.drop(model)
            self._moved.add(model)
            self._outbox.entries.append(stop_notice(model, why[model], self.tp, self.task.watermarks))
            self._log.error("model_stopped", model=model, why=why[model], remedy=f"streamdrift rebuild {model}")

    # ------------------------------------------------------------------ what people say

    def tell(self, decisions: Iterable[Decision]) -> None:
        """Write decisions into the ledger; they count from where they are read back."""
        for decision in decisions:
            self._outbox.entries.append(decision)
            ends = (decision.model, "gone", "")
            self._told = {
                key: digest
                for key, digest in self._told.items()
                if key[0] != decision.model or (decision.kind != "gone" and key != ends)
            }
            self._told[decision.model, decision.kind, decision.stream] = decision.digest
            self._log.info("decision_announced", model=decision.model, kind=decision.kind, digest=decision.digest)

    def is_leaving(self, model: str) -> bool:
        """Whether the model is gone, or that is on its way into the ledger, and nothing is that brings it back."""
        is_gone = model in self.task.models and self.task.models[model].is_gone
        return (model, "gone", "") in self._told or (is_gone and not self.is_told_of(model))

    def is_told_of(self, model: str) -> bool:
        """Whether anything was announced of a model since the task began."""
        return any(name == model for name, _, _ in self._told)

    def refuse(self, model: str, why: str) -> None:
        """Report that a model is not taken as alerts.yaml has it."""
        at = max((watermark.watermark for watermark in self.task.watermarks.values()), default=0)
        self._outbox.entries.append(refusal(model, why, self.tp, at))
        self._log.error(
            "model_refused", model=model, why=why, remedy="mend alerts.yaml or what it names, and send SIGHUP"
        )

    def knows(self, decision: Decision) -> bool:
        """Whether that is the newest of its kind, read back or on its way."""
        if decision.model in self.stopped:
            return True  # announced when the model is back
        if self.is_leaving(decision.model):
            return decision.kind == "gone"
        active = self.task.model(decision.model).decisions.newest.get((decision.kind, decision.stream))
        return self._told.get((decision.model, decision.kind, decision.stream), active) == decision.digest

    # ------------------------------------------------------------------ what it commits

    @property
    def has_work(self) -> bool:
        """Whether a commit would say or move something."""
        return self._is_fresh or self.position > self.committed or not self._outbox.is_empty

    def early_outputs(self, most_bytes: int) -> list[Outgoing]:
        """Outputs to be written before the next commit, because together they are larger than that."""
        return [] if self.last is None else self._outbox.take_early(most_bytes)

    def outputs(self) -> list[Outgoing]:
        """All that was said since the last commit."""
        # a first start says where its outputs will begin before there are any, so that they can be looked up
        outgoing = [] if self._is_fresh else self._outbox.take()
        self._is_fresh = False
        return outgoing

    @property
    def is_due(self) -> bool:
        """Whether parts of a snapshot are to be written."""
        if not self._assembler.is_empty:
            return False
        return bool(self._due()) or self.low.next(self.parts.lowest(self.position), self.position, 0) is not None

    def _due(self) -> list[str]:
        return self.parts.due(self.task.models, self.position)

    def snapshot(self) -> list[Outgoing]:
        """The parts that are due at the position, and the shared one of where folding again is to begin."""
        self._remember()
        start, parts, blocks = self._snapshots.end(self.tp.partition), dict[str, bytes](), dict[str, bytes | None]()
        for name in self._due():
            part = parts[name] = self.task.part(name)
            held, written = self.task.blocks(name), self.parts.blocks_of(name)
            blocks |= {block_name(name, block): held[block] for block in held.keys() - written.keys()}
            blocks |= {block_name(name, block): None for block in written.keys() - held.keys()}
            snapshot = Snapshot(
                position=self.position,
                start=start,
                digest=digest_of_part(part),
                outputs=self.task.digest_of(name),
                numbers=self._outbox.numbers(name),
                blocks={block: written.get(block, start) for block in sorted(held)},
            )
            self.parts.take(name, snapshot, len(part), self.task.models[name])
            self._rebuilt.pop(name, None)
            self._unsettled.discard(name)
            if sum(map(len, parts.values())) > DUE_BYTES:
                break
        self._moved |= parts.keys()
        self._warn_of_size(parts)
        size = sum(map(len, parts.values()))
        memory = self.low.next(self.parts.lowest(self.position), self.position, size)
        self.low.add(size)
        if memory is not None:
            part = parts[""] = encode_shared(memory.state)
            snapshot = Snapshot(memory.position, start, digest_of_part(part), memory.outputs, memory.numbers)
            self.low.take(snapshot, len(part))
        return self._snapshots.outgoing(self.tp.partition, {**parts, **blocks})

    def _remember(self) -> None:
        shared, said, numbers = self.task.shared(), self.task.digest_of(""), self._outbox.numbers("")
        self.low.remember(Memory(self.position, shared, said, numbers))

    def _warn_of_size(self, parts: Mapping[str, bytes]) -> None:
        """One alert for a model whose snapshot is too large; said once by a process."""
        judged_to = {name: fold.judged_to for name, fold in self.task.models.items() if name not in self._large}
        for notice in too_large(parts, {name: at for name, at in judged_to.items() if at is not None}, self.tp):
            self._large.add(notice.model)
            self._outbox.entries.append(notice)
            self._log.warning("snapshot_large", model=notice.model, bytes=len(parts[notice.model]))

    def commit(self) -> tuple[EvaluatePosition, dict[str, bytes]]:
        """The position to commit with the outputs taken or the snapshots made; and the records of models that moved."""
        self.committed = self.position
        self._commits += 1
        moved, self._moved = self._moved | self._outbox.take_spoken(), set()
        models = self._records.write({name: self._record(name) for name in sorted(moved) if name})
        standing = self._outbox.commit("")
        position = EvaluatePosition(
            format=FORMAT,
            commit=self._commits,
            low=self.low.snapshot,
            position=self.position,
            outputs=self.task.digest_of(""),
            numbers=standing.numbers,
            before=standing.before,
            tails=dict(sorted(self._outbox.tails.items())),
            models=self._records.digest,
            messages=self._messages if self._is_settled else "",
            previous=self._previous,
            skipped=self._outbox.skipped,
        )
        return position, models

    def _record(self, name: str) -> EvaluatedModel:
        return EvaluatedModel(
            format=FORMAT,
            commit=self._commits,
            snapshot=self.parts.snapshot_of(name),
            outputs=self.task.digest_of(name),
            stopped=self.stopped.get(name) or self._rebuilt.get(name),
            releases=self._releases(name),
            **self._outbox.commit(name)._asdict(),
        )

    def _releases(self, name: str) -> dict[str, str]:
        """Of River's classes that a model uses the release whose answers each gives; empty if not to be compared."""
        fold = self.task.models.get(name)
        found = sorted(fold.releases.items()) if fold is not None else ()
        return {kind: "" if name in self._unsettled else release for kind, release in found}

    def confirm(self, ends: Mapping[TopicPartition, int]) -> None:
        """The commit is done. `ends`: of the output partitions that it wrote to, the offset behind its records."""
        self._outbox.confirm(ends)
        self._previous = self.committed


def _model_of(record: Record) -> str:
    """The model whose key a ledger record has, a chunk of a larger value too."""
    return (record.key or b"").split(b"\0")[0].decode("utf-8", "replace")
