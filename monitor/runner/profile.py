"""The profile stage on a bus: one task an input partition, its outputs to the ledger and to dead letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from monitor.bus.port import Bus, Committed
from monitor.codec.dead_letters import dead_letters_of
from monitor.codec.decode import Decoder
from monitor.config.resolved import Config
from monitor.contract import TopicContract
from monitor.errors import StateDivergence
from monitor.events import OffsetRange, Outgoing, RecordBatch, TopicPartition
from monitor.ledger import position_records as positions
from monitor.ledger.entry_codec import encode_entry
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import ProfilePosition, decode_profile
from monitor.profile.accounting import Account
from monitor.profile.partition import PartitionFold
from monitor.profile.task import Mark, ProfileTask, mark_of
from monitor.runner.contracts import Contracts, input_topics
from monitor.runner.decisions_topic import DecisionsTopic
from monitor.runner.heartbeats import Reached, heartbeat
from monitor.runner.input_partition import InputPartition
from monitor.runner.loop import MAX_RECORDS, Work
from monitor.runner.numbers import PartitionStanding, account_numbers, input_numbers
from monitor.runner.pacing import Pace, reached_by
from monitor.runner.positions import Positions
from monitor.runner.reconcile import Known, to_go_on_from
from monitor.runner.reloading import refuse_reload
from monitor.runner.sequences import Sequencer
from monitor.telemetry import Log, Sample


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
        self.max_records = MAX_RECORDS
        self.positions = Positions(bus, topics, self.group)
        self._inputs: dict[TopicPartition, InputPartition] = {}
        self._pace = Pace(bus, self.positions)
        self._older: list[str] = []
        self._contracts = Contracts(config)
        self._decided = DecisionsTopic(bus, topics, self._contracts)
        self._pace.use(self._contracts.all, config)
        self._ahead: frozenset[TopicPartition] = frozenset()
        """Partitions, of whatever process, that were too far ahead of others at the last turn."""
        self._handed: tuple[TopicPartition, ...] = ()
        self._dead_letters: dict[str, int] = {}
        """Partitions of each dead-letter topic, as of the newest start of a partition."""

    @property
    def topics(self) -> tuple[str, ...]:
        return input_topics(self._config)

    # ------------------------------------------------------------------ partitions come and go

    def begin(self, tp: TopicPartition, committed: Committed | None) -> int:
        value = self.positions.of(tp, committed)  # first: where it raises, nothing has begun
        self._decided.read()
        self._agree()
        dead_letters = dead_letters_of(self._ledger.prefix, tp.topic)
        self._dead_letters[tp.topic] = self._bus.partitions(dead_letters) or 1
        writer, position = f"{self.group}/{tp.topic}/{tp.partition}", None if value is None else decode_profile(value)
        start = self._first_start(tp) if position is None else position.start
        if position is not None and self._has_lost_its_beginning(position):
            self._log.warning("outputs_lost", topic=tp.topic, partition=tp.partition, again_from=start)
            position = None
        known = None if position is None else to_go_on_from(self._bus, writer, self._places(tp), position)
        contract = self._contracts.begin(tp.topic) if known is None else self._contract(known.position.contract)
        fold = PartitionFold(tp, contract.models, self._decided.grids, may_cut=True)
        task = ProfileTask(fold, lambda contract: Decoder(contract.topic, contract.models))
        held = self._inputs[tp] = InputPartition(task, Sequencer(writer), self._log)
        self._pace.begin(tp, self._clock())
        try:
            return self._started(tp, held, start) if known is None else self._restored(tp, held, known)
        except StateDivergence:  # perhaps it is somebody else's by now, and then this process goes on
            self.drop(tp)
            raise

    def _has_lost_its_beginning(self, position: ProfilePosition) -> bool:
        """Return true if a broker has lost the contract of a first commit; the first output comes after that."""
        return self._contracts.get(position.contract) is None and not any(position.sequences.values())

    def _started(self, tp: TopicPartition, held: InputPartition, start: int) -> int:
        fold = held.task.fold
        fold.position = start
        held.begin_contract()
        if fold.join(self._decided.sets):
            held.life.meet("named")
        else:
            # evaluate, which owns the sets, writes them when it starts: at a first start that is a matter of moments
            is_new = all(named.decision.model not in fold.lanes.models for named in self._decided.sets)
            tell = self._log.info if is_new else self._log.warning
            tell("partition_waits_for_its_set", topic=tp.topic, partition=tp.partition)
        self._log.info("partition_started", topic=tp.topic, partition=tp.partition, offset=start)
        return start

    def _restored(self, tp: TopicPartition, held: InputPartition, known: Known) -> int:
        position, low = known.position, known.position.low.offset
        if known.is_again:
            self._log.warning("outputs_lost", topic=tp.topic, partition=tp.partition, again_from=position.position)
        held.go_on_from(known)
        self._pace.see(tp, reached_by(position), self._clock())
        later = [Mark(beat.offset, heartbeat=beat) for beat in known.heartbeats]
        later += [mark_of(switch, self._contract(switch.digest)) for switch in known.switches]
        contracts = {switch.digest: self._contract(switch.digest) for switch in position.switches}
        held.task.restore(position, contracts, later)
        fold = held.task.fold
        fold.quarantined |= {offset for offset in known.present.quarantined if offset >= position.position}
        self._look_round()
        self._log.info("partition_restored", topic=tp.topic, partition=tp.partition, low=low, to=position.position)
        return low

    def _contract(self, digest: str) -> TopicContract:
        """A contract that something was folded under."""
        found = self._contracts.get(digest)
        if found is None:
            grid = self._ledger.name("decisions")
            raise StateDivergence(f"the contract {digest} that was folded under is not in {grid}; was that deleted?")
        return found

    def _agree(self) -> None:
        """Compare the own contracts with those that were published."""
        self._pace.use(self._contracts.all, self._config)
        if (older := self._contracts.older) and older != self._older:
            self._log.warning("contract_older", topics=older, remedy="send SIGHUP to take what alerts.yaml says")
        self._older = older

    def _places(self, tp: TopicPartition) -> list[TopicPartition]:
        """The output partitions of an input partition, whatever models have read it."""
        ledger = self._ledger.name("ledger")
        numbers = sorted({self._ledger.partition_of(model) for model in self._contracts.models_of(tp.topic)})
        return [*(TopicPartition(ledger, n) for n in numbers), self._dead_letters_of(tp)]

    def _dead_letters_of(self, tp: TopicPartition) -> TopicPartition:
        """Return where rejected records go: to the partition of the same number, if there is one."""
        topic = dead_letters_of(self._ledger.prefix, tp.topic)
        return TopicPartition(topic, tp.partition % self._dead_letters[tp.topic])

    def _first_start(self, tp: TopicPartition) -> int:
        readers = [m for m in self._config.models if any(stream.topic == tp.topic for stream in m.contract.streams)]
        starts = {model.start for model in readers}
        if "earliest" in starts:
            return self._bus.beginning(tp)
        times = [start for start in starts if isinstance(start, int)]
        return self._bus.offset_at(tp, min(times)) if times else self._bus.end(tp)

    def position(self, tp: TopicPartition) -> int:
        held = self._inputs[tp]
        return held.committed if held.committed >= 0 else held.task.fold.position

    def drop(self, tp: TopicPartition) -> None:
        del self._inputs[tp]
        self._pace.drop(tp)

    # ------------------------------------------------------------------ folding

    def feed(self, records: RecordBatch) -> None:
        self._inputs[records.tp].task.feed(records)

    def lose(self, lost: OffsetRange, end: int) -> None:
        if self._inputs[TopicPartition(lost.topic, lost.partition)].lose(lost, end):
            self._log.warning("data_lost", **lost._asdict())

    def quarantine(self, record: RecordBatch) -> None:
        held = self._inputs[record.tp]
        held.task.quarantine(record)
        self._log.error("record_quarantined", topic=record.topic, partition=record.partition, offset=record.offsets[0])

    def reach(self, tp: TopicPartition, position: int) -> None:
        held = self._inputs[tp]
        held.task.reach(position)
        if not held.task.restoring:
            fold = held.task.fold
            fold.skip_to(position)
            self._see(tp, fold)

    @property
    def hurries(self) -> bool:
        return False

    def tick(self) -> None:
        """Take grids and sets that came, see how far the others are, and give still partitions their heartbeats."""
        unnamed = [held for held in self._inputs.values() if held.life.state == "unnamed"]
        if unnamed or any(held.task.fold.lanes.lacks_grid for held in self._inputs.values()):
            self._decided.read()
            for held in self._inputs.values():
                held.task.fold.use_grids()
        for held in unnamed:
            if held.task.fold.join(self._decided.sets):
                held.life.meet("named")
        now = self._clock()
        if self._pace.is_due(now):
            self._pace.follow(now)
            self._follow_contracts()
        self._pace.is_crowded = self._is_crowded()
        self._ahead = self._pace.ahead(now)
        self._look_round()
        beating = {tp for tp, held in self._inputs.items() if held.life.may.beat}
        self._pace.hold(self._ahead | (self._inputs.keys() - beating))
        for tp in self._pace.idle(now):
            if tp in beating:
                self._beat(tp, now)

    def _look_round(self) -> None:
        """Every partition meets what has become of it and of the others."""
        apart = restoring(self._inputs)
        for tp, held in self._inputs.items():
            held.look_round(tp in apart, tp in self._ahead)

    def _follow_contracts(self) -> None:
        """Partitions take the newest contract of their topic, wherever they are; the place goes into the ledger."""
        newest = self._contracts.all
        self._decided.glance()
        if self._contracts.all != newest:
            self._agree()
        for tp, held in self._inputs.items():
            contract = self._contracts.newest(tp.topic)
            is_newer = contract.digest in self._contracts.by_digest and contract != held.task.fold.contract
            if is_newer and held.may_take(contract):
                held.switch(contract)
                self._log.info("contract_taken", topic=tp.topic, partition=tp.partition, digest=contract.digest)

    def _beat(self, tp: TopicPartition, now: float) -> None:
        held = self._inputs[tp]
        fold = held.task.fold
        given = heartbeat(tp, self._pace.pulses, now)
        if given is None or not self._is_read(tp, held):
            return
        held.take_heartbeat(given.watermark, given.silent_to)
        self._pace.pulses[tp].note_heartbeat(given, now)
        self._see(tp, fold)

    def _is_read(self, tp: TopicPartition, held: InputPartition) -> bool:
        """Return true if all is read that is there: up to the high watermark.

        Labels may come faster than one can look, and are never late: of them, all that was there when it was first
        asked for.
        """
        if held.to_read is None or not held.task.fold.contract.is_labels:
            held.to_read = self._bus.end(tp)
        is_read = held.task.fold.position >= held.to_read
        held.to_read = None if is_read else held.to_read
        return is_read

    def _see(self, tp: TopicPartition, fold: PartitionFold) -> None:
        reached = Reached(
            fold.natural_watermark, fold.watermark, fold.first_watermark, fold.intake.highest, fold.silent_to
        )
        self._pace.see(tp, reached, self._clock())

    def accounts(self) -> dict[TopicPartition, Account]:
        """The buckets of the offsets of each partition that is not folded again."""
        return {tp: held.task.fold.account() for tp, held in self._inputs.items() if not held.task.restoring}

    def standings(self) -> dict[TopicPartition, PartitionStanding]:
        """The standing of each partition."""
        return {
            tp: PartitionStanding(
                held.task.fold.position,
                held.life.state in ("again", "held"),
                held.task.fold.watermark,
                not held.life.may.read,
            )
            for tp, held in self._inputs.items()
        }

    def numbers(self) -> Iterator[Sample]:
        """The numbers that are shown of the stage."""
        yield from input_numbers(self.standings())
        yield from account_numbers(self.accounts())

    def paused(self) -> frozenset[TopicPartition]:
        return frozenset(tp for tp, held in self._inputs.items() if not held.life.may.read)

    def limits(self) -> Mapping[TopicPartition, int]:
        """Partitions of the same models restore as one: none passes its position before all have reached theirs."""
        return {tp: held.task.committed for tp, held in self._inputs.items() if held.life.state in ("again", "held")}

    def begin_again(self) -> frozenset[TopicPartition]:
        return frozenset(tp for tp, held in self._inputs.items() if held.life.state == "stale")

    def reload(self, config: Config) -> None:
        refuse_reload(self._config, config)
        self._config = config
        self._contracts.use(config)
        self._pace.use(self._contracts.all, config)

    # ------------------------------------------------------------------ what to commit

    def take_work(self) -> Work | None:
        outgoing: list[Outgoing] = []
        offsets: dict[TopicPartition, Committed] = {}
        for tp, held in sorted(self._inputs.items()):
            if not held.life.may.commit:
                continue
            outputs = held.take_outputs(self._ledger, self._dead_letters_of(tp))
            if not outputs and held.is_committed:
                continue
            position = held.commit(self._places(tp), self._bus.end)
            value = positions.encode(position)
            outgoing += [*outputs, self.positions.outgoing(tp, value)]
            offsets[tp] = Committed(position.low.offset, positions.digest(value))
        self._handed = tuple(offsets)
        new, known = self._contracts.to_publish, self._contracts.to_repeat
        if not outgoing and not new:
            return None
        agreed = [*(contract for contract in known if contract not in new), *new]  # the last one is the newest
        outgoing += [encode_entry(contract, self._ledger.name("decisions"), 0) for contract in agreed]
        return Work(outgoing, offsets)

    def confirm(self, ends: Mapping[TopicPartition, int]) -> None:
        self._contracts.note_published()
        for tp in self._handed:
            self._inputs[tp].confirm(ends, self._places(tp))
        self._look_round()


def restoring(inputs: Mapping[TopicPartition, InputPartition]) -> frozenset[TopicPartition]:
    """Partitions that fold again, and all that share a model with them, over however many others."""
    found = {tp for tp, held in inputs.items() if held.task.restoring}
    models = {model for tp in found for model in inputs[tp].models}
    while more := [tp for tp, held in inputs.items() if tp not in found and models.intersection(held.models)]:
        found.update(more)
        models.update(model for tp in more for model in inputs[tp].models)
    return frozenset(found)
