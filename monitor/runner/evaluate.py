"""The evaluate stage on a bus: one task a ledger partition, restored by folding the ledger from its start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from monitor.bus.port import Bus, Committed
from monitor.codec.chunks import Assembler
from monitor.config.resolved import Config, ModelConfig, ModelRules
from monitor.errors import ConfigurationError, StateDivergence
from monitor.evaluate.alerts import Place
from monitor.evaluate.messages import Message
from monitor.evaluate.model import Output, RulesContent
from monitor.evaluate.task import EvaluateTask
from monitor.events import Outgoing, RecordBatch, StreamName, TopicPartition
from monitor.panes import position as positions
from monitor.panes.ledger import (
    Change,
    LedgerTopics,
    PartitionSet,
    decode_entry,
    encode_activation,
    encode_entry,
    kind_of,
    new_change,
)
from monitor.panes.position import EvaluatePosition
from monitor.runner.loop import Work
from monitor.runner.positions import Positions
from monitor.runner.reloading import refuse_reload
from monitor.runner.sequences import Sequencer, writer_and_sequence
from monitor.runner.topics import records_of
from monitor.telemetry import Log

_CLOUD_EVENT = (("content-type", b"application/cloudevents+json"),)
"""By this header the readers of CloudEvents over Kafka know a message in structured JSON."""

Streams = dict[StreamName, tuple[str, int]]
"""Topic and number of partitions of each stream."""
ReferenceChanges = Callable[[ModelConfig], list[Change]]
"""Gives grid and reference changes of a model whose configuration names a file or a topic's range."""


class _Partition:
    """One ledger partition: its task, what it has to say, and how far folding again has to go."""

    def __init__(self, task: EvaluateTask, sequencer: Sequencer, target: EvaluatePosition | None, end: int) -> None:
        self.task = task
        self.sequencer = sequencer
        self.target = target
        self.caught_up_at = end
        self.assembler = Assembler()
        self.position = 0
        self.committed = 0
        self.announced = False
        self.said: list[Output] = []
        self.changes: list[Change] = []
        self.told: dict[tuple[str, str, str], str] = {}
        """Digests of the changes announced since the task began, by (model, kind, stream), read back yet or not."""


class EvaluateStage:
    """Evaluate over the ledger, for the models of a configuration."""

    def __init__(
        self, bus: Bus, config: Config, topics: LedgerTopics, place: Place, references: ReferenceChanges, log: Log
    ) -> None:
        self.group = f"{topics.prefix}evaluate"
        self._bus = bus
        self._config = config
        self._ledger = topics
        self._place = place
        self._references = references
        self._log = log
        self.positions = Positions(bus, topics, self.group)
        self._partitions: dict[TopicPartition, _Partition] = {}

    @property
    def topics(self) -> tuple[str, ...]:
        return (self._ledger.name("ledger"),)

    def begin(self, tp: TopicPartition, committed: Committed | None) -> int:
        value = self.positions.of(tp, committed)
        target = positions.decode_evaluate(value) if value is not None else None
        sequencer = Sequencer(f"{self.group}/{tp.topic}/{tp.partition}")
        held = _Partition(EvaluateTask(self._place), sequencer, target, self._bus.end(tp))
        self._partitions[tp] = held
        start = self._bus.beginning(tp)
        if target is not None and start > 0:
            raise StateDivergence(
                f"{tp.topic}/{tp.partition} begins at {start}: evaluate restores itself from the ledger's start, and "
                "that has been deleted; keep the ledger longer"
            )
        held.committed = target.position if target is not None else 0
        self._log.info("ledger_opened", partition=tp.partition, offset=start, fold_again_to=held.committed)
        return start

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
        for record in records_of(records):
            if held.task.is_repeat(*writer_and_sequence(record.headers)):
                continue
            value = held.assembler.feed(record)
            if value is not None:
                held.said += held.task.read(decode_entry(kind_of(record.headers), value))
        held.said += held.task.advance()
        held.position = records.offsets[-1] + 1

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
        if held.task.outputs_digest() != target.outputs:
            raise StateDivergence(
                f"{tp.topic}/{tp.partition}: folding the ledger again to {target.position} gave other messages than "
                "those published"
            )
        held.sequencer.go_on(target.sequences)
        held.said = []
        self._log.info("ledger_restored", partition=tp.partition, to=target.position)

    def quarantine(self, record: RecordBatch) -> None:
        raise StateDivergence(f"{record.topic}/{record.partition}@{record.offsets[0]} ends the process")

    def confirm(self, ends: Mapping[TopicPartition, int]) -> None:
        """Nothing yet."""

    def tick(self) -> None:
        """Nothing: evaluate knows no clock."""

    def paused(self) -> frozenset[TopicPartition]:
        return frozenset()

    def limits(self) -> Mapping[TopicPartition, int]:
        return {}

    # ------------------------------------------------------------------ configuration

    def _announce(self, tp: TopicPartition, held: _Partition) -> None:
        """Write what alerts.yaml says and the ledger does not: partitions, references, and last the rules."""
        for model in self._config.models:
            if self._ledger.partition_of(model.contract.model) == tp.partition:
                fold = held.task.model(model.contract.model)
                partitions = self._partition_set(model, fold.active_set)
                wanted = [
                    new_change(model.contract.model, "set", msgspec.json.encode(partitions).decode()),
                    *self._references(model),
                    rules_change(model),
                ]
                changes = [c for c in wanted if fold.active.get((c.kind, c.stream)) != c.digest]
                if fold.rules is not None:
                    _refuse_another_reference(model, fold.rules, changes)
                self._tell(held, changes)

    def reload(self, config: Config) -> None:
        """Rules count from the first pane not yet folded when they are read back; references stay as they are."""
        refuse_reload(self._config, config)
        self._config = config
        for tp, held in self._partitions.items():
            mine = [m for m in config.models if self._ledger.partition_of(m.contract.model) == tp.partition]
            if held.announced:  # else they are announced when the ledger has been read
                self._tell(held, [change for change in map(rules_change, mine) if not self._is_known(held, change)])

    def _is_known(self, held: _Partition, change: Change) -> bool:
        """Whether that is the newest of its kind, read back or on its way."""
        active = held.task.model(change.model).active.get((change.kind, change.stream))
        return held.told.get((change.model, change.kind, change.stream), active) == change.digest

    def _tell(self, held: _Partition, changes: Iterable[Change]) -> None:
        for change in changes:
            held.changes.append(change)
            held.told[change.model, change.kind, change.stream] = change.digest
            self._log.info("change_announced", model=change.model, kind=change.kind, digest=change.digest)

    def _partition_set(self, model: ModelConfig, active: PartitionSet | None) -> PartitionSet:
        streams: Streams = {
            stream.stream: (stream.topic, self._bus.partitions(stream.topic) or 0) for stream in model.contract.streams
        }
        if active is not None and not _only_grown(active.streams, streams):
            raise ConfigurationError(
                f"model {model.contract.model}: its topics have changed from {_spelled(active.streams)} to "
                f"{_spelled(streams)}; only adding partitions is supported"
            )
        return PartitionSet(streams)

    # ------------------------------------------------------------------ what to commit

    def work(self) -> Work | None:
        outgoing: list[Outgoing] = []
        offsets: dict[TopicPartition, Committed] = {}
        for tp, held in sorted(self._partitions.items()):
            if held.target is not None or (held.position <= held.committed and not held.changes):
                continue
            outputs = held.sequencer.number(self._outputs(tp, held))
            record = EvaluatePosition(
                positions.FORMAT,
                held.position,
                held.task.outputs_digest(),
                dict(sorted(held.sequencer.sequences.items())),
            )
            value = positions.encode(record)
            held.committed = held.position
            outgoing += [*outputs, self.positions.outgoing(tp, value)]
            offsets[tp] = Committed(held.position, positions.digest(value))
        return Work(outgoing, offsets) if offsets else None

    def _outputs(self, tp: TopicPartition, held: _Partition) -> Iterable[Outgoing]:
        said, held.said = held.said, []
        changes, held.changes = held.changes, []
        for output in said:
            if isinstance(output, Message):
                topic = self._ledger.name(output.topic)
                yield Outgoing(topic, tp.partition, output.key.encode(), output.value, _CLOUD_EVENT)
            else:
                yield encode_activation(output, self._ledger.name("grid"))
        for change in changes:
            yield encode_entry(change, tp.topic, tp.partition)


def _refuse_another_reference(model: ModelConfig, active: ModelRules, changes: Iterable[Change]) -> None:
    """A running model keeps its grids and references: what it has written stands on them."""
    spec = model.rules.reference
    if spec != active.reference or any(change.kind in ("grid", "reference") for change in changes):
        raise ConfigurationError(
            f"model {model.contract.model}: `reference` (or what the file holds) has changed since the model was first "
            "seen, which is not supported yet; go back to it, or start anew under another STREAMDRIFT_PREFIX"
        )


def rules_change(model: ModelConfig) -> Change:
    """The model's rules and contract as a change."""
    content = RulesContent(model.rules.model_dump_json(by_alias=True), model.contract)
    return new_change(model.contract.model, "rules", msgspec.json.encode(content).decode())


def _only_grown(before: Streams, after: Streams) -> bool:
    """The same topics, none with fewer partitions."""
    return before.keys() == after.keys() and all(
        before[s][0] == after[s][0] and before[s][1] <= after[s][1] for s in before
    )


def _spelled(streams: Streams) -> str:
    return ", ".join(f"{topic} ({partitions} partitions)" for topic, partitions in streams.values())
