"""The evaluate stage on a bus: one task a ledger partition, restored from its snapshots and the ledger behind them.

A commit is one transaction of outputs, offsets and position records. At times, counted in panes of a model, another one
follows, which writes a snapshot of that model, and moves the low-water mark up to the lowest snapshot; it writes no
message, so all that was published up to a snapshot can be looked up, and what came behind it be folded again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from monitor.bus.port import Bus, Committed
from monitor.config.resolved import Config, ModelConfig
from monitor.errors import StateDivergence
from monitor.evaluate.alerts import Place
from monitor.evaluate.model import ModelFold
from monitor.events import OffsetRange, Outgoing, RecordBatch, TopicPartition
from monitor.ledger import position_records as positions
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.activations import Activations
from monitor.runner.announce import References, gone_decision, grown_set, wanted_of
from monitor.runner.commands import FOLLOW_S, Commands, Gate
from monitor.runner.lanes import LaneLog
from monitor.runner.ledger_partition import Beside, LedgerPartition
from monitor.runner.loop import Work
from monitor.runner.numbers import (
    PartitionStanding,
    command_numbers,
    ledger_numbers,
    model_numbers,
    rebuild_numbers,
    stopped_numbers,
)
from monitor.runner.outbox import Outbox
from monitor.runner.parts import USUAL, Rhythm
from monitor.runner.positions import Positions
from monitor.runner.rebuild import TurnSlice
from monitor.runner.reloading import refuse_reload
from monitor.runner.restore_order import RestoreOrder
from monitor.runner.snapshots import Snapshots
from monitor.telemetry import Log, Sample

MAX_RECORDS = 200
"""Ledger records of a turn: a pane of a model with thousands of detectors takes seconds."""


class EvaluateStage:
    """Evaluate over the ledger, for the models of a configuration. `rhythm`: of commits and snapshots.

    `clock`: s, monotonic; it says how long a slice of a rebuild lasts, and how often commands are looked for. `key`:
    commands have to be signed with it; None: they need not be.
    """

    def __init__(  # noqa: PLR0913 - what it works on, as for the other stage, and where it gets references from
        self,
        bus: Bus,
        config: Config,
        topics: LedgerTopics,
        place: Place,
        references: References,
        clock: Callable[[], float],
        log: Log,
        rhythm: Rhythm = USUAL,
        key: str | None = None,
    ) -> None:
        self.group = f"{topics.prefix}evaluate"
        self.max_records = MAX_RECORDS
        self.positions = Positions(bus, topics, self.group)
        self._bus = bus
        self._config = config
        self._ledger = topics
        self._place = place
        self._references = references
        self._clock = clock
        self._log = log
        self._gate = Gate(bus.cluster_id(), topics.prefix, key)
        self._looked_at = float("-inf")
        """When commands were looked for last."""
        self._activations = Activations(bus, topics)
        self._snapshots = Snapshots(bus, topics, rhythm)
        self._lane_log = LaneLog(log)
        self._order = RestoreOrder()
        self._is_asked = False
        """True if somebody has let this process take its alerts.yaml by SIGHUP."""
        self._partitions: dict[TopicPartition, LedgerPartition] = {}
        self._handed: tuple[TopicPartition, ...] = ()

    @property
    def topics(self) -> tuple[str, ...]:
        return (self._ledger.name("ledger"),)

    # ------------------------------------------------------------------ partitions come and go

    def begin(self, tp: TopicPartition, committed: Committed | None) -> int:
        value = self.positions.of(tp, committed)
        self._activations.read()
        outbox = Outbox(self.group, tp, self._ledger)
        commands = Commands(self._bus, TopicPartition(self._ledger.name("commands"), tp.partition), self._gate)
        beside = Beside(self._activations, self._snapshots, commands)
        held = LedgerPartition(self._bus, tp, self._place, outbox, beside, self._log)
        held.last = committed
        if value is not None:
            held.restore(positions.decode_evaluate(value), self.positions.models(tp))
        start = held.start()
        self._partitions[tp] = held
        return start

    def position(self, tp: TopicPartition) -> int:
        return self._partitions[tp].committed

    def drop(self, tp: TopicPartition) -> None:
        del self._partitions[tp]

    # ------------------------------------------------------------------ folding

    def feed(self, records: RecordBatch) -> None:
        self._partitions[records.tp].feed(records)

    def lose(self, lost: OffsetRange, end: int) -> None:
        raise StateDivergence(
            f"{lost.topic}/{lost.partition}: the ledger's offsets {lost.start} to {lost.end} were deleted before they "
            "were folded; keep the ledger longer"
        )

    def reach(self, tp: TopicPartition, position: int) -> None:
        held = self._partitions[tp]
        if held.reach(position):
            self._announce(held)

    def quarantine(self, record: RecordBatch) -> None:
        self._partitions[record.tp].quarantine(record)

    def tick(self) -> None:
        """Take commands and references that are made, log how the lanes stand, and do a slice of what takes longer.

        That is models being rebuilt, and references that people have accepted.
        """
        self._take_references()
        partitions = [held for _, held in sorted(self._partitions.items())]
        now = self._clock()
        looks = now - self._looked_at >= FOLLOW_S
        if looks:
            self._looked_at = now
        part = TurnSlice(self._clock)
        for held in partitions:
            if not held.restoring:
                self._lane_log.look(held.task.models.values())
            if looks:
                held.take_commands()
            if held.still.is_rebuilding:
                held.rebuild(part.end_step)
            if held.is_asked_for_references:
                held.make_accepted(part.end_step)

    @property
    def hurries(self) -> bool:
        return any(held.still.is_rebuilding or held.is_asked_for_references for held in self._partitions.values())

    def paused(self) -> frozenset[TopicPartition]:
        return self._order.waiting({tp: held.position for tp, held in self._partitions.items() if held.restoring})

    def standings(self) -> dict[TopicPartition, PartitionStanding]:
        """The standing of each ledger partition."""
        return {tp: PartitionStanding(held.position, not held.announced) for tp, held in self._partitions.items()}

    def numbers(self) -> Iterator[Sample]:
        """What is shown of them and of the models."""
        yield from ledger_numbers(self.standings())
        for _, held in sorted(self._partitions.items()):
            yield from model_numbers(held.task.models.values())
            yield from stopped_numbers(held.task.models, held.stopped)
            yield from rebuild_numbers(held.still.progress(held.position))
            yield from command_numbers(held.tp.partition, held.desk.outcomes)

    def begin_again(self) -> frozenset[TopicPartition]:
        """Return no partition, because evaluate forgets nothing that it needs."""
        return frozenset()

    def limits(self) -> Mapping[TopicPartition, int]:
        return {}

    # ------------------------------------------------------------------ what alerts.yaml says

    def _announce(self, held: LedgerPartition) -> None:
        """Write what alerts.yaml says and the ledger does not; nothing if the file is older than the newest one."""
        if self._is_older():
            self._log.warning("alerts_yaml_older", remedy="send SIGHUP to take what alerts.yaml says")
            for model in self._models_of(held):
                if model.contract.model not in held.stopped:
                    held.decisions.announce(grown_set(self._open_fold(model, held), self._bus))
            return
        for model in self._models_of(held):
            name = model.contract.model
            if name not in held.stopped:
                self._announce_model(model, held)
        self._let_go(held)

    def _is_older(self) -> bool:
        """Return true if another alerts.yaml has decided since this one did: a stale file leads nobody back."""
        self._activations.read()
        files, own = self._activations.files, self._config.alerts_yaml_sha256
        return not self._is_asked and own in files and files[-1] != own

    def _take_references(self) -> None:
        """Announce models whose references have been made meanwhile."""
        arrived = set(self._references.take_arrived())
        if not arrived or self._is_older():
            return
        for held in self._partitions.values():
            for model in self._models_of(held) if held.announced else ():  # else when the ledger has been read
                if model.contract.model in arrived - held.stopped.keys():
                    self._announce_model(model, held)

    def reload(self, config: Config) -> None:
        """What is other counts from the first pane not yet folded when it is read back."""
        refuse_reload(self._config, config)
        self._config, self._is_asked = config, True
        for held in self._partitions.values():
            for model in self._models_of(held) if held.announced else ():  # else when the ledger has been read
                if model.contract.model not in held.stopped:
                    self._announce_model(model, held)
            if held.announced:
                self._let_go(held)

    def _let_go(self, held: LedgerPartition) -> None:
        """Announce which models of the ledger partition are not in alerts.yaml any more."""
        kept = {model.contract.model for model in self._config.models}
        for name, fold in sorted(held.task.models.items()):
            is_there = bool(fold.decisions.newest) or held.decisions.has_any(name)
            if name not in kept and is_there and not held.decisions.is_leaving(held.task, name):
                held.decisions.announce([gone_decision(name, self._config.alerts_yaml_sha256)])
        for name in sorted(held.stopped.keys() - kept):
            why = "it has left alerts.yaml and stands still, so its alerts are not resolved before it is rebuilt"
            self._log.warning("stopped_model_not_let_go", model=name, why=why, remedy=f"streamdrift rebuild {name}")

    def _open_fold(self, model: ModelConfig, held: LedgerPartition) -> ModelFold:
        """Return what is known of a model; nothing of one that is gone, or about to be."""
        name = model.contract.model
        is_leaving = held.decisions.is_leaving(held.task, name)
        return ModelFold(name, self._place) if is_leaving else held.task.open_model(name)

    def _models_of(self, held: LedgerPartition) -> list[ModelConfig]:
        of = self._ledger.partition_of
        return [model for model in self._config.models if of(model.contract.model) == held.tp.partition]

    def _announce_model(self, model: ModelConfig, held: LedgerPartition) -> None:
        """Write what alerts.yaml says of a model and the ledger does not; one that can't be taken leaves others alone.

        Rules are written last: with them the lanes begin whose references come before.
        """
        wanted = wanted_of(model, self._open_fold(model, held), self._bus, self._references)
        if wanted.refusal is not None:
            held.decisions.refuse(held.task, model.contract.model, wanted.refusal)
        # asked before any is written: what brings a model back is news as a whole
        held.decisions.announce([one for one in wanted.decisions if held.decisions.is_news(held.task, one)])

    # ------------------------------------------------------------------ what to commit

    def take_work(self) -> Work | None:
        return self._take_early() or self._take_outputs() or self._take_snapshot()

    def confirm(self, ends: Mapping[TopicPartition, int]) -> None:
        for tp in self._handed:
            self._partitions[tp].confirm(ends)

    def _take_early(self) -> Work | None:
        """A part of what is too large for one commit. Nothing moves: the offset is committed again, as a fence."""
        for tp, held in sorted(self._partitions.items()):
            outgoing = [] if held.restoring else held.take_early_outputs(self._snapshots.rhythm.commit_bytes)
            if outgoing and held.last is not None:
                self._handed = ()  # tails stay where they are, so that a restart finds these outputs
                return Work(outgoing, {tp: held.last})
        return None

    def _take_outputs(self) -> Work | None:
        """All that was published and folded since the last commit."""
        outgoing: list[Outgoing] = []
        offsets: dict[TopicPartition, Committed] = {}
        for _, held in sorted(self._partitions.items()):
            if not held.restoring and held.has_work:
                outgoing += held.take_outputs()
                self._commit(held, outgoing, offsets)
        self._handed = tuple(offsets)
        return Work(outgoing, offsets) if offsets else None

    def _take_snapshot(self) -> Work | None:
        """The snapshots of one ledger partition that are due, with the position they stand at."""
        for tp, held in sorted(self._partitions.items()):
            if not held.restoring and held.is_due:
                outgoing = held.snapshot()
                offsets: dict[TopicPartition, Committed] = {}
                self._commit(held, outgoing, offsets)
                self._handed = (tp,)
                return Work(outgoing, offsets)
        return None

    def _commit(
        self, held: LedgerPartition, outgoing: list[Outgoing], offsets: dict[TopicPartition, Committed]
    ) -> None:
        """The position records and the offset that go with the outputs."""
        position, models = held.commit()
        value = positions.encode(position)
        outgoing += self.positions.of_models(held.tp, models)
        outgoing.append(self.positions.outgoing(held.tp, value))
        low = position.low.position if position.low is not None else 0
        held.last = offsets[held.tp] = Committed(low, positions.digest(value))
