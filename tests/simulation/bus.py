"""The bus of the simulation: the one in memory, with open transactions, late markers, sessions and outages.

Generations, assignments and the refusal of stale commits are those of `monitor/bus/memory_group.py` and `memory.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from monitor.bus.memory import MemoryBus, MemoryWriter
from monitor.bus.memory_group import MemoryConsumer
from monitor.bus.port import Committed, Polled
from monitor.bus.records import choose_partition
from monitor.errors import BusError, StaleGeneration, TransactionFailed
from monitor.events import Outgoing, RecordBatch, TopicPartition
from monitor.runner.witness import MemoryWitness
from tests.simulation.logs import OFFSETS, SimulatedLog, Transaction
from tests.simulation.world import Strike, World

QUICKER = 2.5
"""All time-outs are that much shorter than the service sets them on Kafka, so that a run is short."""
SESSION_S = 10.0 / QUICKER
"""How long a silent member stays in its group."""
TRANSACTION_S = 15.0 / QUICKER
"""How long a transaction may stay open."""
MOST_OF_A_POLL = 100
"""Records."""
REQUEST_S = 10.0 / QUICKER
START_MS = 1_790_000_000_000


@dataclass
class Weather:
    """What goes wrong with the broker now. `lag_s`: how late markers land, at most.

    `refused`, `held`: calls that were refused, and reads that an undecided transaction held up.
    """

    lag_s: float = 0.0
    full_until: float = -1.0
    down_until: float = -1.0
    refused: int = 0
    held: int = 0
    redelivers: Callable[[], None] | None = None
    """Called when the next poll goes back and delivers records again."""
    tears: Callable[[Transaction], None] | None = None
    """Called with the next commit when it is decided: the broker crashes, and loses a part of it."""
    hangs: Callable[[Transaction], None] | None = None
    """Called with the next transaction when it is open: its process ends, and nobody looks after it."""


class SimulatedBus(MemoryBus):
    """One place for all processes of a run."""

    def __init__(self, world: World, compacts: bool) -> None:
        super().__init__(clock=lambda: START_MS + int(world.now * 1000), markers=True)
        self.world = world
        self.weather = Weather()
        self.reached: dict[tuple[str, TopicPartition], int] = {}
        """The newest committed position of each task."""
        self.poisoned: dict[TopicPartition, dict[int, Strike]] = {}
        """Records that end the process which folds them."""
        self.flipped: dict[int, tuple[str, int, Strike]] = {}
        """By ledger partition the part of a snapshot in which a bit has turned over, and the record's offset."""
        self.damaged: set[tuple[int, str]] = set()
        """Ledger partition and model of the snapshots in which that was; no model: the part that belongs to all."""
        self.unusable: set[int] = set()
        """Ledger partitions that were folded from the start since some process could not use their snapshot."""
        self.witnesses: dict[str, MemoryWitness] = {}
        """What the processes of each name were folding when they ended."""
        self._compacts = compacts
        self._unsettled: list[Transaction] = []

    def new_log(self, compacted: bool, stamped: bool) -> SimulatedLog:
        return SimulatedLog(compacted and self._compacts, stamped)

    def log(self, tp: TopicPartition) -> SimulatedLog:
        log = super().log(tp)
        assert isinstance(log, SimulatedLog)
        return log

    # ------------------------------------------------------------------ reading

    def logs(self, topic: str) -> list[SimulatedLog]:
        """The partitions of a topic."""
        return [self.log(TopicPartition(topic, p)) for p in range(self.partitions(topic) or 0)]

    def read(self, tp: TopicPartition, start: int, end: int | None, timeout_ms: int) -> RecordBatch:
        log = self.log(tp)
        limit = log.end if end is None else min(end, log.end)
        batch = super().read(tp, start, end, timeout_ms)
        if not batch and log.stable < limit:
            self.weather.held += 1
            shown = len(log.offsets)
            self.world.wait(lambda: len(log.offsets) > shown or log.stable >= limit, timeout_ms / 1000 / QUICKER)
            batch = super().read(tp, start, end, timeout_ms)
            if not batch and end is not None and log.stable < limit:
                raise BusError(f"an open transaction stands before offset {end} of {tp.topic}/{tp.partition}")
        return batch

    # ------------------------------------------------------------------ members

    def consumer(self, group: str, topics: Sequence[str], instance: str) -> SimulatedConsumer:
        return SimulatedConsumer(self, group, topics, instance)

    # ------------------------------------------------------------------ transactions

    def writer(self, group: str, instance: str) -> SimulatedWriter:
        name = f"{group}-{instance}"
        self.end_of(name)
        writer = SimulatedWriter(self, group, name)
        self._writers[name] = writer
        return writer

    def write(self, outgoing: Sequence[Outgoing], markers: bool) -> dict[TopicPartition, int]:
        return self.append(outgoing, None)

    def append(self, outgoing: Sequence[Outgoing], transaction: Transaction | None) -> dict[TopicPartition, int]:
        """Write records, in a transaction or without one; gives the offset behind the last of each log."""
        places = [
            TopicPartition(o.topic, choose_partition(o, self.partitions(o.topic), next(self._turn))) for o in outgoing
        ]
        logs = {tp: self.log(tp) for tp in sorted(set(places))}
        now = self._clock()
        if transaction is not None:
            transaction.logs.update(logs)
        for tp, record in zip(places, outgoing, strict=True):
            logs[tp].add(tp, record, now, transaction)
        return {tp: log.end for tp, log in logs.items()}

    def open(self, writer: str, group: str) -> Transaction:
        """A transaction begins; left open, it is aborted after its time-out."""
        transaction = Transaction(writer, group)
        self._unsettled.append(transaction)
        self.world.at(self.world.now + TRANSACTION_S, lambda: None if transaction.hangs else self.abort(transaction))
        return transaction

    def abort(self, transaction: Transaction) -> None:
        """As its coordinator does, or an administrator; once."""
        if transaction.state == "open":
            transaction.state = "aborted"
            transaction.due = dict.fromkeys([*transaction.logs, OFFSETS], self.world.now)
            self.land(transaction)

    def commit(self, transaction: Transaction) -> None:
        """Decide it; its markers land soon, or each a little later."""
        transaction.state = "committed"
        lag, rng = self.weather.lag_s, self.world.rng
        places = [*transaction.logs, OFFSETS]
        transaction.due = {tp: self.world.now + (rng.uniform(0, lag) if lag else 0.0) for tp in places}
        for due in sorted(set(transaction.due.values())):
            self.world.at(due, lambda: self.land(transaction))

    def land(self, transaction: Transaction, everything: bool = False) -> None:
        """Markers arrive at their partitions; with the last of them the transaction is over."""
        for tp in [tp for tp, due in transaction.due.items() if everything or due <= self.world.now]:
            del transaction.due[tp]
            counts = transaction.state == "committed" and tp not in transaction.torn
            transaction.fates[tp] = counts
            if tp != OFFSETS:
                transaction.logs[tp].mark()
            elif counts:
                self.group(transaction.group).committed.update(transaction.offsets)
                self.reached.update({(transaction.group, at): p for at, p in transaction.positions.items()})
        if not transaction.due and transaction in self._unsettled:
            self._unsettled.remove(transaction)

    def end_of(self, writer: str) -> None:
        """The transactions of a name end before its next one begins: decided ones land, an open one is fenced."""
        for transaction in [t for t in self._unsettled if t.writer == writer and not t.hangs]:
            self.abort(transaction)
            self.land(transaction, everything=True)

    def unsettled(self, group: str, tp: TopicPartition) -> bool:
        """Whether a transaction that is not over yet says where the group stands in that partition."""
        return any(t.group == group and tp in t.offsets and OFFSETS not in t.fates for t in self._unsettled)


class SimulatedConsumer(MemoryConsumer):
    """A static member: who comes back under its name in time keeps its place."""

    def __init__(self, bus: SimulatedBus, group: str, topics: Sequence[str], instance: str) -> None:
        held = bus.group(group)
        generation, replaces = held.generation, instance in held.members
        super().__init__(bus, held, topics, instance)
        self._name = group
        self._place = bus
        if replaces:
            held.generation = generation

    def poll(self, timeout_ms: int, max_records: int) -> Polled:
        world, weather = self._place.world, self._place.weather
        if world.now < weather.down_until:
            weather.refused += 1
            return self._polled((), frozenset())
        before = self._generation
        stays = before == self._group.generation
        if stays and weather.redelivers is not None and (back := self._gone_back()):
            self._positions |= back
            weather.redelivers()
            weather.redelivers = None
        polled = super().poll(timeout_ms, min(max_records, MOST_OF_A_POLL))
        world.phase("polling" if self._generation == before else "rebalance")
        return polled

    def _gone_back(self) -> dict[TopicPartition, int]:
        """Positions before records that were delivered already."""
        most = {tp: self._place.world.rng.randint(1, MOST_OF_A_POLL) for tp in sorted(self._positions)}
        back = {tp: max(0, self._positions[tp] - most[tp]) for tp in most if tp not in self._paused}
        return {tp: at for tp, at in back.items() if self._place.log(tp).batch(tp, at, self._positions[tp], 1)}

    def committed(self, tp: TopicPartition) -> Committed | None:
        place = self._place
        if place.unsettled(self._name, tp):
            place.weather.held += 1
            if not place.world.wait(lambda: not place.unsettled(self._name, tp), REQUEST_S):
                raise BusError(f"the committed offset of {tp.topic}/{tp.partition} is not stable yet")
        return super().committed(tp)

    def leave(self) -> None:
        """Its session is over."""
        self.close()

    def _join(self) -> frozenset[TopicPartition]:
        if self._instance not in self._group.members:  # the session was over: it joins again
            self._group.members[self._instance] = self
            self._group.generation += 1
        return super()._join()

    def _start(self, tp: TopicPartition) -> int:
        committed = self.committed(tp)
        return self._place.beginning(tp) if committed is None else committed.offset


class SimulatedWriter(MemoryWriter):
    """Transactions step by step, so that something may strike between the steps."""

    def __init__(self, bus: SimulatedBus, group: str, name: str) -> None:
        super().__init__(bus, name, bus.group(group))
        self._place = bus
        self._group_name = group

    def commit(
        self, outgoing: Sequence[Outgoing], offsets: Mapping[TopicPartition, Committed], polled: Polled | None
    ) -> dict[TopicPartition, int]:
        place, weather = self._place, self._place.weather
        if place.world.now < max(weather.full_until, weather.down_until):
            weather.refused += 1
            raise TransactionFailed("the broker takes nothing now")
        if not place.owns(self._name, self):
            raise TransactionFailed(f"a newer writer {self._name!r} has fenced this one")
        place.end_of(self._name)
        transaction = place.open(self._name, self._group_name)
        ends = place.append(outgoing, transaction)
        during = "snapshot" if any(o.topic.endswith(".state") for o in outgoing) else "before the commit"
        if weather.hangs is not None and outgoing:
            hangs, weather.hangs = weather.hangs, None
            hangs(transaction)
        early = place.world.rng.random() < 0.5
        if early:
            place.world.phase(during)
        try:
            self.check(polled)
        except (StaleGeneration, TransactionFailed):
            place.abort(transaction)
            raise
        transaction.offsets, transaction.positions = dict(offsets), self._positions(outgoing, offsets)
        if not early:
            place.world.phase(during)
        if transaction.state != "open":
            raise TransactionFailed("the transaction took too long, or a newer writer has fenced it")
        place.commit(transaction)
        if weather.tears is not None and during != "snapshot" and offsets:
            tears, weather.tears = weather.tears, None
            tears(transaction)
            raise TransactionFailed("the broker crashed")
        place.world.phase("inside the commit")
        place.land(transaction)
        place.world.phase("after the commit")
        return ends

    def _positions(
        self, outgoing: Sequence[Outgoing], offsets: Mapping[TopicPartition, Committed]
    ) -> dict[TopicPartition, int]:
        """The positions that position records say."""
        keys = {f"{self._group_name}/{tp.topic}/{tp.partition}".encode(): tp for tp in offsets}
        records = [o for o in outgoing if o.key in keys and o.topic.endswith("positions")]
        return {keys[o.key or b""]: msgspec.json.decode(o.value or b"{}")["position"] for o in records}
