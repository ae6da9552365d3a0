"""The profile stage on a bus: one task an input partition, its outputs to the ledger and to dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from monitor.bus.port import Bus, Committed
from monitor.codec.chunks import Assembler
from monitor.codec.dead_letters import SUFFIX, dead_letter
from monitor.codec.decode import Decoder
from monitor.config.resolved import Config
from monitor.contract import ModelContract
from monitor.events import Outgoing, RecordBatch, Rejected, TopicPartition
from monitor.panes import position as positions
from monitor.panes.grid import Grid, decode_grid
from monitor.panes.ledger import Activation, Entry, Heartbeat, LedgerTopics, Notice, decode_activation, encode_entry
from monitor.panes.position import ProfilePosition
from monitor.profile.accounting import Account
from monitor.profile.partition import PartitionFold
from monitor.profile.task import ProfileTask
from monitor.runner.heartbeats import heartbeat, is_worth_it
from monitor.runner.loop import Work
from monitor.runner.numbers import Standing, account_numbers, input_numbers
from monitor.runner.pacing import Pace, readers_of
from monitor.runner.positions import Positions
from monitor.runner.reconcile import Present, look_up
from monitor.runner.reloading import refuse_reload
from monitor.runner.sequences import Sequencer
from monitor.runner.topics import read_whole, whole_values
from monitor.telemetry import Log, Sample


class _Input:
    """One input partition: its task, the numbers of its outputs, and what it has to say."""

    def __init__(
        self, task: ProfileTask, sequencer: Sequencer, models: tuple[str, ...], dead_letter_partitions: int
    ) -> None:
        self.task = task
        self.sequencer = sequencer
        self.models = models
        self.dead_letter_partitions = dead_letter_partitions
        self.heartbeats: list[Heartbeat] = []
        self.notices: list[Notice] = []
        self.committed = -1
        self.joined = True
        self.present = Present()
        self.tails: dict[str, int] = {}
        self.before: ProfilePosition | None = None


class ProfileStage:
    """Profile over the topics of all models of a configuration.

    `clock`: seconds, monotonic. `is_crowded`: asked once a turn whether memory is short.
    """

    def __init__(
        self,
        bus: Bus,
        config: Config,
        topics: LedgerTopics,
        clock: Callable[[], float],
        log: Log,
        is_crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        self.group = f"{topics.prefix}profile"
        self._bus = bus
        self._config = config
        self._ledger = topics
        self._clock = clock
        self._log = log
        self._is_crowded = is_crowded
        self.positions = Positions(bus, topics, self.group)
        self._inputs: dict[TopicPartition, _Input] = {}
        self._pace = Pace(bus, config, self.positions)
        self._paused: frozenset[TopicPartition] = frozenset()
        self._again: frozenset[TopicPartition] = frozenset()
        self._decided = Decided(bus, topics)
        self._handed: tuple[TopicPartition, ...] = ()

    @property
    def topics(self) -> tuple[str, ...]:
        return input_topics(self._config)

    # ------------------------------------------------------------------ partitions come and go

    def begin(self, tp: TopicPartition, committed: Committed | None) -> int:
        value = self.positions.of(tp, committed)  # first: where it raises, nothing has begun
        contracts = contracts_of(self._config, tp.topic)
        fold = PartitionFold(tp, contracts, self._bus.log_append_time(tp.topic))
        task = ProfileTask(fold, Decoder(tp.topic, contracts))
        sequencer = Sequencer(f"{self.group}/{tp.topic}/{tp.partition}")
        dead_letter_partitions = self._bus.partitions(tp.topic + SUFFIX) or 1
        held = _Input(task, sequencer, tuple(contract.model for contract in contracts), dead_letter_partitions)
        self._decided.read()
        self._use_grids(held)
        self._inputs[tp] = held
        self._pace.begin(tp, self._clock())
        if value is None:
            held.tails = {f"{p.topic}/{p.partition}": self._bus.end(p) for p in self._places(tp, held)}
            start = self._first_start(tp)
            fold.position = start
            held.joined = fold.join(self._decided.sets)
            if not held.joined:
                # evaluate, which owns the set, writes it when it starts
                self._log.warning("partition_waits_for_its_set", topic=tp.topic, partition=tp.partition)
            self._log.info("partition_started", topic=tp.topic, partition=tp.partition, offset=start)
            return start
        position = positions.decode_profile(value)
        position, later = self._reconciled(tp, held, position)
        held.committed = position.position
        self._pace.see(tp, position.natural, position.watermark, position.first_watermark, self._clock())
        beginning = self._bus.beginning(tp)
        task.restore(position, is_whole=beginning <= position.low.offset, later=later)
        self._again = restoring(self._inputs)
        if beginning > position.low.offset:
            self._log.warning(
                "data_lost", topic=tp.topic, partition=tp.partition, start=position.low.offset, end=beginning
            )
            held.notices.append(data_lost(tp, position, beginning))
        self._log.info(
            "partition_restored", topic=tp.topic, partition=tp.partition, low=position.low.offset, to=position.position
        )
        return max(position.low.offset, beginning)

    def _reconciled(
        self, tp: TopicPartition, held: _Input, position: ProfilePosition
    ) -> tuple[ProfilePosition, set[tuple[int, int]]]:
        """The commit to go on from, and heartbeats behind it: as the output topics say, not as the record hopes."""
        held.present = look_up(self._bus, held.sequencer.name, self._places(tp, held), position)
        held.sequencer.go_on(held.present.sequences)
        known, held.tails, held.before = position, dict(position.tails), msgspec.structs.replace(position, before=None)
        if held.present.lacks(position) and position.before is not None:
            self._log.warning(
                "outputs_lost", topic=tp.topic, partition=tp.partition, again_from=position.before.position
            )
            known, held.before = position.before, position.before
        later = {beat for beat in held.present.heartbeats if beat[0] >= known.position} - set(known.heartbeats)
        if known is not position:
            later |= {beat for beat in position.heartbeats if beat[0] >= known.position} - set(known.heartbeats)
        return known, later

    def _places(self, tp: TopicPartition, held: _Input) -> list[TopicPartition]:
        """The output partitions of an input partition."""
        ledger = self._ledger.name("ledger")
        numbers = sorted({self._ledger.partition_of(model) for model in held.models})
        dead = TopicPartition(tp.topic + SUFFIX, tp.partition % held.dead_letter_partitions)
        return [*(TopicPartition(ledger, n) for n in numbers), dead]

    def _first_start(self, tp: TopicPartition) -> int:
        starts = {model.start for model in readers_of(self._config.models, tp.topic)}
        if "earliest" in starts:
            return self._bus.beginning(tp)
        times = [start for start in starts if isinstance(start, int)]
        return self._bus.offset_at(tp, min(times)) if times else self._bus.end(tp)

    def position(self, tp: TopicPartition) -> int:
        held = self._inputs[tp]
        return held.committed if held.committed >= 0 else held.task.fold.position

    def drop(self, tp: TopicPartition) -> None:
        del self._inputs[tp]
        self._again -= {tp}
        self._pace.drop(tp)

    # ------------------------------------------------------------------ folding

    def feed(self, records: RecordBatch) -> None:
        self._inputs[records.tp].task.feed(records)

    def quarantine(self, record: RecordBatch) -> None:
        held = self._inputs[record.tp]
        held.task.quarantine(record)
        held.notices.append(record_quarantined(record.tp, record.offsets[0], held.task.fold.watermark))
        self._log.error("record_quarantined", topic=record.topic, partition=record.partition, offset=record.offsets[0])

    def reached(self, tp: TopicPartition, position: int) -> None:
        held = self._inputs[tp]
        held.task.reached(position)
        if not held.task.restoring:
            fold = held.task.fold
            fold.skip_to(position)
            self._pace.see(tp, fold.natural_watermark, fold.watermark, fold.first_watermark, self._clock())

    def tick(self) -> None:
        """Grids and sets that came, how far the others are, and heartbeats of partitions that stand still."""
        if any(held.task.fold.lacks_grid or not held.joined for held in self._inputs.values()):
            self._decided.read()
            for held in self._inputs.values():
                self._use_grids(held)
                held.joined = held.joined or held.task.fold.join(self._decided.sets)
        self._again = restoring(self._inputs)
        now = self._clock()
        self._pace.follow(now)
        self._pace.is_crowded = self._is_crowded()
        waiting = {tp for tp, held in self._inputs.items() if not held.joined or held.task.fold.waiting}
        ahead = self._pace.ahead(now)
        self._pace.hold(ahead | waiting | self._again)
        flowing = {tp for tp in self._again if self._inputs[tp].task.restoring}
        self._paused = frozenset((waiting | ahead | self._again) & self._inputs.keys() - flowing)
        for tp in self._pace.idle(now, self._paused | flowing):
            self._beat(tp, now)

    def _use_grids(self, held: _Input) -> None:
        for grid in self._decided.grids:
            if held.task.fold.fits(grid):
                held.task.use_grid(grid)

    def _beat(self, tp: TopicPartition, now: float) -> None:
        held = self._inputs[tp]
        fold = held.task.fold
        watermark = heartbeat(tp, self._pace.pulses, now)
        if watermark is None or not is_worth_it(watermark, fold.watermark, self._pace.pulses[tp].step_ms):
            return
        if fold.position < self._bus.end(tp):
            return  # there is something to read yet
        held.heartbeats.append(Heartbeat(tp.topic, tp.partition, fold.position, watermark))
        fold.heartbeat(watermark)

    def accounts(self) -> dict[TopicPartition, Account]:
        """Of each partition that is not folded again, where its offsets have gone."""
        return {tp: held.task.fold.account() for tp, held in self._inputs.items() if not held.task.restoring}

    def standings(self) -> dict[TopicPartition, Standing]:
        """Where each partition stands."""
        return {
            tp: Standing(held.task.fold.position, tp in self._again, held.task.fold.watermark, tp in self._paused)
            for tp, held in self._inputs.items()
        }

    def numbers(self) -> Iterator[Sample]:
        """What is shown of all that."""
        yield from input_numbers(self.standings())
        yield from account_numbers(self.accounts())

    def paused(self) -> frozenset[TopicPartition]:
        return self._paused

    def limits(self) -> Mapping[TopicPartition, int]:
        """Partitions of the same models restore as one: none passes its position before all have reached theirs."""
        return {tp: self._inputs[tp].task.committed for tp in self._again}

    def reload(self, config: Config) -> None:
        refuse_reload(self._config, config)
        self._config = config
        self._pace.use(config)

    # ------------------------------------------------------------------ what to commit

    def work(self) -> Work | None:
        outgoing: list[Outgoing] = []
        offsets: dict[TopicPartition, Committed] = {}
        for tp, held in sorted(self._inputs.items()):
            if tp in self._again or not held.joined:
                continue
            outputs = held.sequencer.number(held.present.without(self._outputs(tp, held)))
            if not outputs and held.task.fold.position <= held.committed:
                continue
            position = held.task.snapshot(held.sequencer.sequences)
            value = positions.encode(msgspec.structs.replace(position, tails=held.tails, before=held.before))
            held.before = position
            held.committed = held.task.fold.position
            outgoing += [*outputs, self.positions.outgoing(tp, value)]
            offsets[tp] = Committed(held.task.fold.low().offset, positions.digest(value))
        self._handed = tuple(offsets)
        return Work(outgoing, offsets) if offsets else None

    def confirm(self, ends: Mapping[TopicPartition, int]) -> None:
        for tp in self._handed:
            held = self._inputs[tp]
            held.tails |= {f"{p.topic}/{p.partition}": ends[p] for p in self._places(tp, held) if p in ends}

    def _outputs(self, tp: TopicPartition, held: _Input) -> list[Outgoing]:
        drained = held.task.drain()
        ledger = self._ledger.name("ledger")
        partitions = sorted({self._ledger.partition_of(model) for model in held.models})
        outputs = [encode_entry(pane, ledger, self._ledger.partition_of(pane.model)) for pane in drained.panes]
        shared: list[Entry] = [*held.heartbeats, *([drained.watermark] if drained.watermark else [])]
        held.heartbeats = []
        notices, held.notices = held.notices, []
        outputs += [encode_entry(n, ledger, self._ledger.partition_of(n.model or held.models[0])) for n in notices]
        outputs += [encode_entry(entry, ledger, partition) for partition in partitions for entry in shared]
        outputs += [dead_letter(rejected, held.dead_letter_partitions) for rejected in drained.rejected]
        self._tell_rejected(tp, drained.rejected)
        return outputs

    def _tell_rejected(self, tp: TopicPartition, rejected: Sequence[Rejected]) -> None:
        counts = Counter(record.reason for record in rejected)
        for reason, records in sorted(counts.items()):
            first = next(record.offset for record in rejected if record.reason == reason)
            place = {"topic": tp.topic, "partition": tp.partition, "first_offset": first}
            self._log.warning("records_rejected", reason=reason, records=records, **place)


class Decided:
    """Follows what evaluate has decided and profile needs: grids, and sets of partitions."""

    def __init__(self, bus: Bus, topics: LedgerTopics) -> None:
        self.grids: list[Grid] = []
        self.sets: list[Activation] = []
        self._bus = bus
        self._tp = TopicPartition(topics.name("grid"), 0)
        self._read_to = 0
        self._assembler = Assembler(compacted=True)

    def read(self) -> None:
        """Take what has come to the grid topic since the last time."""
        for batch in read_whole(self._bus, self._tp, self._read_to):
            self._read_to = batch.offsets[-1] + 1
            for _record, value in whole_values(self._assembler, batch):
                activation = decode_activation(value)
                if activation.change.kind == "grid":
                    self.grids.append(decode_grid(activation.change.content.encode()))
                elif activation.change.kind == "set":
                    self.sets.append(activation)


def restoring(inputs: Mapping[TopicPartition, _Input]) -> frozenset[TopicPartition]:
    """Partitions that fold again, and all that share a model with them, over however many others."""
    found = {tp for tp, held in inputs.items() if held.task.restoring}
    models = {model for tp in found for model in inputs[tp].models}
    while more := [tp for tp, held in inputs.items() if tp not in found and models.intersection(held.models)]:
        found.update(more)
        models.update(model for tp in more for model in inputs[tp].models)
    return frozenset(found)


def data_lost(tp: TopicPartition, position: ProfilePosition, beginning: int) -> Notice:
    """Retention has taken records that were still needed: those from the low-water mark to the log's start."""
    start = position.low.offset
    text = f"{tp.topic}/{tp.partition}: offsets {start} to {beginning} were deleted before they were folded for good"
    labels = (("from_offset", str(start)), ("partition", str(tp.partition)), ("topic", tp.topic))
    return Notice("", "DataLost", position.told or 0, *tp, labels, text)


def record_quarantined(tp: TopicPartition, offset: int, watermark: int | None) -> Notice:
    """A record has ended the process again and again, and is left out."""
    text = f"{tp.topic}/{tp.partition}: the record at offset {offset} ended the process three times; see {tp.topic}.dlq"
    labels = (("offset", str(offset)), ("partition", str(tp.partition)), ("topic", tp.topic))
    return Notice("", "RecordQuarantined", watermark or 0, *tp, labels, text)


def input_topics(config: Config) -> tuple[str, ...]:
    """The topics that models of the configuration read, sorted."""
    return tuple(sorted({stream.topic for model in config.models for stream in model.contract.streams}))


def contracts_of(config: Config, topic: str) -> list[ModelContract]:
    """Their contracts."""
    return [model.contract for model in readers_of(config.models, topic)]
