"""The evaluate stage on a bus: one task a ledger partition, restored from its snapshot and the ledger behind it.

A commit is one transaction of outputs, offsets and position records. Every so many panes another one follows, which
writes a snapshot of all models at that position and moves the low-water mark there; it writes no message, so all that
was said up to a snapshot can be looked up, and what was said behind it be folded again.

A model whose snapshot can't be used is stopped: a notice in the ledger raises its alert, the other models go on, and
the command `rebuild` folds it again from the ledger's start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from monitor.bus.port import Bus, Committed
from monitor.codec.chunks import Assembler
from monitor.codec.snapshot import digest_of_part
from monitor.config.resolved import Config, ModelConfig
from monitor.errors import FormatError, StateDivergence
from monitor.evaluate.alerts import Place
from monitor.evaluate.task import EvaluateTask
from monitor.events import Outgoing, Record, RecordBatch, TopicPartition
from monitor.panes import position as positions
from monitor.panes.ledger import COMMAND, Change, LedgerTopics, decode_command, decode_entry, kind_of
from monitor.panes.position import EvaluatePosition, Snapshot, Stopped
from monitor.runner.activations import Activations
from monitor.runner.announce import ReferenceChanges, changes_of, rules_change
from monitor.runner.loop import Work
from monitor.runner.memory import uncollected
from monitor.runner.numbers import Standing, ledger_numbers, model_numbers, stopped_numbers
from monitor.runner.outbox import Outbox
from monitor.runner.positions import Positions
from monitor.runner.rebuild import rebuilt, stop_notice
from monitor.runner.reloading import refuse_reload
from monitor.runner.sequences import writer_and_sequence
from monitor.runner.snapshots import Since, Snapshots, is_due, too_large
from monitor.runner.topics import records_of
from monitor.telemetry import Log, Sample

MAX_RECORDS = 200
"""Ledger records of a turn: a pane of a model with thousands of detectors takes seconds."""
SNAPSHOT_PANES = 60
"""Panes of all models of a ledger partition together between two snapshots of it."""


@dataclass
class _Partition:
    """One ledger partition: its task, what it has to say, and how far folding again has to go.

    `folded`, `fed`, `read`: panes folded and values fed by the task at the last snapshot, and records since.
    """

    task: EvaluateTask
    outbox: Outbox
    target: EvaluatePosition | None
    caught_up_at: int
    low: Snapshot | None = None
    position: int = 0
    committed: int = 0
    stopped: dict[str, Stopped] = field(default_factory=dict)
    assembler: Assembler = field(default_factory=Assembler)
    announced: bool = False
    told: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """Digests of the changes announced since the task began, by (model, kind, stream), read back yet or not."""
    folded: int = 0
    fed: int = 0
    read: int = 0
    size: int = 0
    """Bytes of the last snapshot."""
    large: set[str] = field(default_factory=set)
    """Models of which an alert was asked for, since their snapshot is too large."""
    is_fresh: bool = False
    """Whether it has neither committed nor folded anything, ever."""


class EvaluateStage:
    """Evaluate over the ledger, for the models of a configuration. `snapshot_panes`: see SNAPSHOT_PANES."""

    def __init__(
        self,
        bus: Bus,
        config: Config,
        topics: LedgerTopics,
        place: Place,
        references: ReferenceChanges,
        log: Log,
        snapshot_panes: int = SNAPSHOT_PANES,
    ) -> None:
        self.group = f"{topics.prefix}evaluate"
        self.max_records = MAX_RECORDS
        self.positions = Positions(bus, topics, self.group)
        self._bus = bus
        self._config = config
        self._ledger = topics
        self._place = place
        self._references = references
        self._log = log
        self._snapshot_panes = snapshot_panes
        self._activations = Activations(bus, topics)
        self._snapshots = Snapshots(bus, topics)
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._handed: tuple[TopicPartition, ...] = ()

    @property
    def topics(self) -> tuple[str, ...]:
        return (self._ledger.name("ledger"),)

    # ------------------------------------------------------------------ partitions come and go

    def begin(self, tp: TopicPartition, committed: Committed | None) -> int:
        value = self.positions.of(tp, committed)
        target = positions.decode_evaluate(value) if value is not None else None
        outbox = Outbox(self.group, tp, self._ledger)
        self._activations.read()
        held = _Partition(EvaluateTask(self._place), outbox, target, self._bus.end(tp))
        if target is not None:
            held.committed, held.stopped = target.position, dict(target.stopped)
            self._restore(tp, held, target)
        self._partitions[tp] = held
        start = self._bus.beginning(tp) if held.low is None else held.low.position
        if target is not None and self._bus.beginning(tp) > (0 if held.low is None else start):
            raise StateDivergence(
                f"{tp.topic}/{tp.partition}: the ledger begins at {self._bus.beginning(tp)} and has to be folded again "
                f"from {0 if held.low is None else start} on; keep the ledger longer"
            )
        held.position = start
        held.is_fresh = value is None
        self._log.info("ledger_opened", partition=tp.partition, offset=start, fold_again_to=held.committed)
        return start

    def _restore(self, tp: TopicPartition, held: _Partition, target: EvaluatePosition) -> None:
        """Take up the newest snapshot, where there is one that can be used."""
        if target.low is not None:
            parts = self._snapshots.read(tp.partition, target.low.start)
            changes, digests = self._activations.changes, target.low.parts
            try:
                with uncollected():
                    held.task, corrupt = EvaluateTask.restored(self._place, parts, changes, digests)
                held.low, held.size = target.low, sum(map(len, parts.values()))
                self._stop(tp, held, {model: str(error) for model, error in corrupt.items()})
            except FormatError as error:
                # what belongs to no model can be had from the ledger alone, and so can the models
                self._log.warning("snapshot_unusable", partition=tp.partition, why=str(error))
                target = held.target = msgspec.structs.replace(target, low=None)
        for model in held.stopped if held.low is None else ():
            held.task.stop(model)
        held.outbox.restore(target, self._bus)

    def _stop(self, tp: TopicPartition, held: _Partition, why: Mapping[str, str]) -> None:
        """These models are not evaluated any more, and an alert says so, once."""
        for model in sorted(why.keys() - held.stopped.keys()):
            numbers = held.outbox.numbers() if held.target is None else held.target.numbers
            held.stopped[model] = Stopped(held.committed, why[model], numbers.get(model, {}))
            held.outbox.entries.append(stop_notice(model, why[model], tp, held.task.watermarks))
            self._log.error("model_stopped", model=model, why=why[model], remedy=f"streamdrift rebuild --model {model}")

    def position(self, tp: TopicPartition) -> int:
        return self._partitions[tp].committed

    def drop(self, tp: TopicPartition) -> None:
        del self._partitions[tp]

    # ------------------------------------------------------------------ folding

    def feed(self, records: RecordBatch) -> None:
        held = self._partitions[records.tp]
        at = 0
        if held.target is not None:
            at = sum(1 for offset in records.offsets if offset < held.target.position)
            self._fold(held, records.cut(0, at))
            if at < len(records):
                self._arrive(records.tp, held)
        self._fold(held, records.cut(at, len(records)))

    def _fold(self, held: _Partition, records: RecordBatch) -> None:
        if not records.offsets:
            return
        said = []
        for record in records_of(records):
            kind = kind_of(record.headers)
            if kind == COMMAND:
                said += held.task.advance()  # what is read before the command is folded before it
                held.outbox.say(said, self._activations.newest)
                said = []
                self._obey(held, record)
                continue
            if held.task.is_repeat(*writer_and_sequence(record.headers)):
                continue
            value = held.assembler.feed(record)
            if value is not None:
                said += held.task.read(decode_entry(kind, value))
        said += held.task.advance()
        held.outbox.say(said, self._activations.newest)
        held.position = records.offsets[-1] + 1
        held.is_fresh = False
        held.read += len(records)

    def reached(self, tp: TopicPartition, position: int) -> None:
        held = self._partitions[tp]
        held.position = max(held.position, position)
        if held.target is not None and position >= held.target.position:
            self._arrive(tp, held)
        if held.target is None and not held.announced and position >= held.caught_up_at:
            held.announced = True
            self._announce(tp, held)

    def _arrive(self, tp: TopicPartition, held: _Partition) -> None:
        """End of folding again: what was said until here has been published before."""
        target, held.target = held.target, None
        if target is None:
            return
        same = held.outbox.has_reached(target, held.stopped)
        outputs = {model: held.task.digest_of(model) for model in target.outputs if model not in held.stopped}
        if not same or any(target.outputs[model] != digest for model, digest in outputs.items()):
            raise StateDivergence(
                f"{tp.topic}/{tp.partition}: folding the ledger again to {target.position} gave other messages than "
                "those published"
            )
        self._log.info("ledger_restored", partition=tp.partition, to=target.position)

    def quarantine(self, record: RecordBatch) -> None:
        """The model of a ledger record that ends the process is stopped; a record of no model can't be left out."""
        held, (found,) = self._partitions[record.tp], records_of(record)
        held.position = found.offset + 1
        if kind_of(found.headers) == COMMAND:
            self._log.error("command_ignored", partition=found.partition, offset=found.offset)
            return
        model = (found.key or b"").split(b"\0")[0].decode("utf-8", "replace")
        if model not in held.task.models:
            raise StateDivergence(
                f"{found.topic}/{found.partition}@{found.offset} ends the process, and is of no model"
            )
        held.task.is_repeat(*writer_and_sequence(found.headers))
        held.task.stop(model)
        self._stop(record.tp, held, {model: f"the ledger record at offset {found.offset} ended the process 3 times"})

    def tick(self) -> None:
        """Nothing: evaluate knows no clock."""

    def paused(self) -> frozenset[TopicPartition]:
        return frozenset()

    def standings(self) -> dict[TopicPartition, Standing]:
        """Where each ledger partition stands."""
        return {tp: Standing(held.position, not held.announced) for tp, held in self._partitions.items()}

    def numbers(self) -> Iterator[Sample]:
        """What is shown of them and of the models."""
        yield from ledger_numbers(self.standings())
        for _, held in sorted(self._partitions.items()):
            yield from model_numbers(held.task.models.values())
            yield from stopped_numbers(held.task.models, held.stopped)

    def anew(self) -> frozenset[TopicPartition]:
        """None: evaluate forgets nothing that it needs."""
        return frozenset()

    def limits(self) -> Mapping[TopicPartition, int]:
        return {}

    # ------------------------------------------------------------------ what people say

    def _announce(self, tp: TopicPartition, held: _Partition) -> None:
        """Write what alerts.yaml says and the ledger does not."""
        for model in self._config.models:
            name = model.contract.model
            if self._ledger.partition_of(name) == tp.partition and name not in held.stopped:
                self._tell(held, changes_of(model, held.task.model(name), self._bus, self._references))

    def reload(self, config: Config) -> None:
        """Rules count from the first pane not yet folded when they are read back; references stay as they are."""
        refuse_reload(self._config, config)
        self._config = config
        for tp, held in self._partitions.items():
            mine = [m for m in config.models if self._ledger.partition_of(m.contract.model) == tp.partition]
            for model in mine if held.announced else ():  # else they are announced when the ledger has been read
                changes = self._changes(model, held)
                self._tell(held, [change for change in changes if not self._is_known(held, change)])

    def _changes(self, model: ModelConfig, held: _Partition) -> list[Change]:
        """Of a model that is new, all that alerts.yaml says; of one that runs the rules."""
        name = model.contract.model
        if name in held.stopped or held.task.model(name).changes.rules is not None:
            return [rules_change(model)]
        return changes_of(model, held.task.model(name), self._bus, self._references)

    def _is_known(self, held: _Partition, change: Change) -> bool:
        """Whether that is the newest of its kind, read back or on its way."""
        if change.model in held.stopped:
            return True  # announced when the model is back
        active = held.task.model(change.model).changes.newest.get((change.kind, change.stream))
        return held.told.get((change.model, change.kind, change.stream), active) == change.digest

    def _tell(self, held: _Partition, changes: Iterable[Change]) -> None:
        for change in changes:
            held.outbox.entries.append(change)
            held.told[change.model, change.kind, change.stream] = change.digest
            self._log.info("change_announced", model=change.model, kind=change.kind, digest=change.digest)

    def _obey(self, held: _Partition, record: Record) -> None:
        """A command: carried out once, when it is read first."""
        command = decode_command(record.value or b"")
        stopped = held.stopped.get(command.model)
        if held.target is not None:
            return
        if stopped is None:
            self._log.warning("rebuild_ignored", model=command.model, why="the model is not stopped")
            return
        tp = TopicPartition(record.topic, record.partition)
        self._activations.read()
        activations = [a for a in self._activations.all if a.change.model == command.model]
        again = rebuilt(self._bus, tp, command.model, self._place, activations, (stopped.position, record.offset))
        del held.stopped[command.model]
        held.task.adopt(again.fold, command.model, again.digest)
        held.outbox.say_again(command.model, stopped.numbers, again, self._activations.newest)
        held.announced = False  # alerts.yaml may have changed meanwhile
        held.folded = -self._snapshot_panes  # the next commit is followed by a snapshot that has the model
        self._log.info("model_rebuilt", model=command.model, messages=len(again.after))

    # ------------------------------------------------------------------ what to commit

    def work(self) -> Work | None:
        return self._outputs() or self._snapshot()

    def confirm(self, ends: Mapping[TopicPartition, int]) -> None:
        for tp in self._handed:
            self._partitions[tp].outbox.confirm(ends)

    def _outputs(self) -> Work | None:
        """All that was said and folded since the last commit."""
        outgoing: list[Outgoing] = []
        offsets: dict[TopicPartition, Committed] = {}
        for tp, held in sorted(self._partitions.items()):
            has_work = held.is_fresh or held.position > held.committed or not held.outbox.is_empty
            if held.target is None and has_work:
                # a first start says where its outputs will begin before there are any, so that they can be looked up
                outgoing += held.outbox.take() if not held.is_fresh else []
                held.is_fresh = False
                self._put(tp, held, outgoing, offsets)
        self._handed = tuple(offsets)
        return Work(outgoing, offsets) if offsets else None

    def _snapshot(self) -> Work | None:
        """The snapshot of one ledger partition that is due, with the position it stands at."""
        for tp, held in sorted(self._partitions.items()):
            if held.target is None and self._is_due(held):
                parts = held.task.snapshot()
                digests = {name: digest_of_part(part) for name, part in sorted(parts.items())}
                self._warn_of_size(tp, held, parts)
                start = self._snapshots.end(tp.partition)
                held.low = Snapshot(held.position, start, digests, held.outbox.numbers())
                held.folded, held.fed, held.read = held.task.folded, held.task.fed, 0
                held.size = sum(map(len, parts.values()))
                outgoing = self._snapshots.outgoing(tp.partition, parts)
                offsets: dict[TopicPartition, Committed] = {}
                self._put(tp, held, outgoing, offsets)
                self._handed = (tp,)
                return Work(outgoing, offsets)
        return None

    def _warn_of_size(self, tp: TopicPartition, held: _Partition, parts: Mapping[str, bytes]) -> None:
        """One alert for a model whose snapshot is too large; said once by a process."""
        judged_to = {name: fold.judged_to for name, fold in held.task.models.items() if name not in held.large}
        for notice in too_large(parts, {name: at for name, at in judged_to.items() if at is not None}, tp):
            held.large.add(notice.model)
            held.outbox.entries.append(notice)
            self._log.warning("snapshot_large", model=notice.model, bytes=len(parts[notice.model]))

    def _is_due(self, held: _Partition) -> bool:
        since = Since(held.task.folded - held.folded, held.read, held.task.fed - held.fed)
        return held.assembler.is_empty and is_due(since, self._snapshot_panes, held.size)

    def _put(
        self, tp: TopicPartition, held: _Partition, outgoing: list[Outgoing], offsets: dict[TopicPartition, Committed]
    ) -> None:
        """The position record and the offset that go with the outputs."""
        record = EvaluatePosition(
            format=positions.FORMAT,
            low=held.low,
            position=held.position,
            outputs={model: held.task.digest_of(model) for model in sorted({"", *held.task.models, *held.stopped})},
            tails=dict(sorted(held.outbox.tails.items())),
            before=held.outbox.before(),
            numbers=held.outbox.numbers(),
            stopped=dict(sorted(held.stopped.items())),
        )
        value = positions.encode(record)
        held.committed = held.position
        outgoing.append(self.positions.outgoing(tp, value))
        offsets[tp] = Committed(held.low.position if held.low is not None else 0, positions.digest(value))
