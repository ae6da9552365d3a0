"""One process of one stage: it is started, takes turns, dies, is started again; and may be struck while it folds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import cast

from monitor.bus.memory_group import MemoryConsumer
from monitor.bus.port import Committed
from monitor.config.resolved import Config
from monitor.errors import BusError, ConfigurationError, TransactionFailed
from monitor.evaluate.alerts import Place
from monitor.events import RecordBatch, TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import decode_evaluate, decode_model
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop, Stage
from monitor.runner.parts import Rhythm
from monitor.runner.profile import ProfileStage
from monitor.runner.witness import MemoryWitness
from monitor.telemetry import Log
from tests.references import AtOnce
from tests.simulation.bus import MOST_OF_A_POLL, SESSION_S, SimulatedBus
from tests.simulation.world import Killed

TOPICS = LedgerTopics("sd.", 2)
PLACE = Place("/s", "http://localhost", "0", "memory")
COMMIT_S = 0.6
RHYTHM = Rhythm(panes=2, records=40, commit_bytes=4_000)
"""An alert and its observation: most commits are closed early."""
TICK_S = 0.05
"""What each look at its clock takes an evaluate process: a rebuild goes some steps a turn."""
ALONE = MOST_OF_A_POLL
"""Records that are folded one by one where a process has ended twice."""


class Quiet:
    """A logger that says nothing, and keeps in mind what nobody would see but by the time it takes."""

    def __init__(self, bus: SimulatedBus) -> None:
        self._bus = bus

    def warning(self, event: str, **values: int) -> None:
        if event == "snapshot_unusable":
            self._bus.unusable.add(values["partition"])

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **values: None


class Watched:
    """A stage that something may strike whenever its loop calls it."""

    def __init__(self, stage: Stage, bus: SimulatedBus) -> None:
        self._stage = stage
        self._bus = bus

    def begin(self, tp: TopicPartition, committed: Committed | None) -> int:
        self._bus.world.phase("rebalance")
        if isinstance(self._stage, EvaluateStage):
            self._see_flipped(tp, committed)
        return self._stage.begin(tp, committed)

    def _see_flipped(self, tp: TopicPartition, committed: Committed | None) -> None:
        """Whether the snapshot that is read now has a bit turned over."""
        value = self._stage.positions.of(tp, committed)
        if value is None or tp.partition not in self._bus.flipped:
            return
        name, offset, strike = self._bus.flipped[tp.partition]
        records = self._stage.positions.models(tp)
        model = decode_model(records[name]) if name in records else None
        read = decode_evaluate(value).low if model is None else model.snapshot
        strike.seen = strike.seen or (read is not None and offset >= read.start)

    def feed(self, records: RecordBatch) -> None:
        poisoned = self._bus.poisoned.get(records.tp, {})
        for offset in records.offsets if poisoned else ():
            if offset in poisoned:
                poisoned[offset].seen = True
                raise Killed
        again = records.offsets[0] < self._bus.reached.get((self._stage.group, records.tp), 0)
        self._bus.world.phase("folding again" if again else "folding")
        self._stage.feed(records)

    def tick(self) -> None:
        if self._stage.hurries:
            self._bus.world.phase("rebuilding")
        self._stage.tick()

    def quarantine(self, record: RecordBatch) -> None:
        self._bus.poisoned.get(record.tp, {}).pop(record.offsets[0], None)  # from now on it is left out
        self._stage.quarantine(record)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stage, name)


class Process:
    """`instance`: what it is called on the bus; a second one of that name is the same process to the bus."""

    def __init__(
        self, bus: SimulatedBus, stage: str, instance: str, config: Callable[[], Config], place: Callable[[], Place]
    ) -> None:
        self.stage = stage
        self.name = instance
        self.loop: Loop | None = None
        self.start_at = 0.0
        self.deaths: list[BaseException] = []
        self.retired = False
        self._bus = bus
        self._config = config
        self._place = place
        self._offered: list[Config] = []
        self.refused = 0
        """Configurations that it did not take."""
        self._stage: Stage | None = None
        self._member: MemoryConsumer | None = None

    @property
    def idle_phase(self) -> str:
        """What it is doing between two turns."""
        waits = self._stage is not None and self._stage.paused()
        return "waiting for a grid" if waits else "idle"

    @property
    def folds_again(self) -> bool:
        """Whether it has yet to come to where it was, or makes a reference, and may publish more behind that."""
        if self.loop is None or not isinstance(self._stage, ProfileStage | EvaluateStage):
            return False
        makes = isinstance(self._stage, EvaluateStage) and self._stage.hurries
        return makes or any(standing.folding_again for standing in self._stage.standings().values())

    def offer(self, config: Config) -> None:
        """Another configuration before the next turn, as SIGHUP does; one that can't be taken changes nothing."""
        self._offered.append(config)

    def _reload(self, loop: Loop) -> None:
        while self._offered:
            try:
                loop.reload(self._offered.pop(0))
            except ConfigurationError:
                self.refused += 1

    def turn(self) -> None:
        """One turn of the loop, or the start when it is time for it."""
        world = self._bus.world
        if self.loop is None and (self.retired or world.now < self.start_at):
            return
        world.running.append(self)
        try:
            if self.loop is None:
                self._start()
            else:
                world.phase(self.idle_phase)
                self._reload(self.loop)
                self.loop.turn(wait_ms=0)
        except (Killed, TransactionFailed, BusError) as end:
            self._die(end)
        finally:
            world.running.pop()
        if self.retired:
            self.lose_session()

    def stop(self) -> None:
        """End it as SIGTERM does: what is folded is committed, and the group is left."""
        self.retired = True
        if self.loop is not None:
            self._bus.world.running.append(self)
            try:
                self.loop.run(lambda: True)
            except (Killed, TransactionFailed, BusError) as end:
                self._die(end)
            finally:
                self._bus.world.running.pop()
            self.loop = None

    def _start(self) -> None:
        bus = self._bus

        def clock() -> float:
            return bus.world.now

        log = cast(Log, Quiet(bus))
        if self.stage == "profile":
            stage: Stage = ProfileStage(bus, self._config(), TOPICS, clock, log)
        else:
            place, ticks = self._place(), count()

            def ticking() -> float:
                return bus.world.now + next(ticks) * TICK_S

            stage = EvaluateStage(bus, self._config(), TOPICS, place, AtOnce(), ticking, log, RHYTHM)
        self._stage = stage
        self._offered = self._offered[-1:]  # whoever has sent SIGHUP to a process that just ended sends it again
        witness = bus.witnesses.setdefault(self.name, MemoryWitness())
        witness.begin()
        self.loop = Loop(bus, cast(Stage, Watched(stage, bus)), self.name, clock, COMMIT_S, ALONE, witness)
        self._member = bus.group(stage.group).members[self.name]

    def _die(self, end: BaseException) -> None:
        """Nothing is closed: the group learns of it when the session is over."""
        self.loop = None
        self.deaths.append(end)
        self.lose_session()

    def lose_session(self) -> None:
        """From now on nothing is heard of it."""
        if self._member is not None:
            self._bus.world.at(self._bus.world.now + SESSION_S, self._member.close)
