"""One schedule: a seed draws service, traffic and faults; then comes good traffic, in which drift is to be found."""

from __future__ import annotations

from monitor.events import TopicPartition
from tests.simulation.configurations import LABELLED_LAYOUTS, LAYOUTS, RARE, Shape
from tests.simulation.faults import FAULTS, PHASES
from tests.simulation.processes import TOPICS, Process
from tests.simulation.service import Service
from tests.simulation.world import Runs, Strike, World

LABELLED_EVERY = 8
"""One schedule in so many has labels."""
TURNS = 70
FAULTS_WANTED = 59
CALM_S, DRIFT_S, LAST_S = 5, 13, 5
IDLE_S = 25
"""So much longer where a partition is silent: the others wait until it is idle, which begins again with each start."""
SILENT_S = 8
"""Within that a partition that is silent gets its heartbeats, after the last start of a process."""
ANEW_S, SIGNALS, MOST_SIGNALS = 8, 3, 10
"""So often so much longer until lanes that start again have a reference of rows that have not drifted; at most so often
if a process warns that its file is an older one."""
TURN_S, GOOD_TURN_S = 0.3, 1.0
PATIENCE_ROUNDS, REBUILD_ROUNDS = 600, 10
"""Rounds of turns until all is folded at last, and how often an operator looks for models that stand still."""
SOON_S = 0.05
WARM, WARM_TURNS = 0.7, 24
"""How many of the schedules have their grids before anything goes wrong, and after how many turns they should."""
_RATES = {
    "idle": 0.17,
    "polling": 0.17,
    "folding": 0.17,
    "folding again": 0.2,
    "before the commit": 0.14,
    "inside the commit": 0.14,
    "after the commit": 0.14,
    "snapshot": 0.68,
    "rebalance": 0.1,
    "waiting for a grid": 0.42,
    "rebuilding": 0.68,
}
_NAMES = list(FAULTS)
_WEIGHTS = [weight for weight, _ in FAULTS.values()]


class Schedule:
    """Run one seed to its end; then `service` is what the oracle looks at."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.world = World(seed)
        layouts = LAYOUTS if seed % LABELLED_EVERY else LABELLED_LAYOUTS
        self.service = Service(self.world, self.world.rng.choice(layouts))
        self.strikes: list[Strike] = []
        self.drift_from = 0.0
        self.turns = 0

    def run(self) -> None:
        if self.world.rng.random() < WARM:
            for _ in range(WARM_TURNS):
                self._turn(GOOD_TURN_S)
        self.world.strike = self._strike
        while self.turns < TURNS or (len(self.strikes) < FAULTS_WANTED and self.turns < 3 * TURNS):
            self._turn(TURN_S)
        self.world.strike = lambda process, phase: None
        self._good_traffic()

    def _turn(self, seconds: float) -> None:
        self.turns += 1
        self.world.pass_time(seconds)
        self.service.turn()

    def _strike(self, process: Runs, phase: str) -> None:
        """Chance decides whether something goes wrong here, and what."""
        rng = self.world.rng
        if len(self.world.running) > 2 or len(self.strikes) >= FAULTS_WANTED or rng.random() >= _RATES[phase]:
            return
        assert isinstance(process, Process)
        name = rng.choices(_NAMES, _WEIGHTS)[0]
        strike = Strike(name, phase, process.name, self.world.now)
        self.strikes.append(strike)
        FAULTS[name][1](self.service, process, strike)

    # ------------------------------------------------------------------ afterwards

    def _good_traffic(self) -> None:
        """No faults any more: quiet, then drift, then a little more so that its windows close."""
        weather = self.service.bus.weather
        weather.lag_s, weather.full_until, weather.down_until, weather.tears, weather.hangs = (
            0.0,
            -1.0,
            -1.0,
            None,
            None,
        )
        for stage in ("profile", "evaluate"):
            if not self.service.of(stage):
                self.service.join(stage)
        for process in self.service.processes:
            process.start_at = 0.0
        self.service.traffic.be_good()
        self.service.rebuild()
        if self.service.changed_at >= 0:
            signals = 0  # a process may end before it has said what it took, and then wants another one
            while signals < SIGNALS or (signals < MOST_SIGNALS and self.service.wants_a_signal()):
                signals += 1
                self.service.reshape(dict.fromkeys(self.service.layout.models, Shape()))
                self._go_on(ANEW_S)
        self._go_on(CALM_S)
        self.drift_from = self.world.now
        self.service.traffic.drifting = True
        self._go_on(DRIFT_S)
        self._go_on(LAST_S + (IDLE_S if any(tp.topic == RARE for tp in self.service.traffic.rates) else 0))
        self.service.traffic.flowing = False
        rare = any(tp.topic == RARE for tp in self.service.traffic.rates)
        deaths, begun = -1, 0.0
        for patience in range(PATIENCE_ROUNDS):
            before = self._ends()
            if deaths != (deaths := sum(len(process.deaths) for process in self.service.processes)):
                begun = self.world.now
            if patience % REBUILD_ROUNDS == 0:
                self.service.rebuild()
            for process in 2 * self.service.processes:
                self.world.pass_time(SOON_S)
                process.turn()
            is_idle = not rare or self.world.now > begun + SILENT_S
            if is_idle and self.is_quiet() and self._ends() == before and not any(self.service.stopped().values()):
                return

    def _go_on(self, seconds: float) -> None:
        until = self.world.now + seconds
        while self.world.now < until:
            self._turn(GOOD_TURN_S)

    def _ends(self) -> list[int]:
        bus = self.service.bus
        return [bus.end(TopicPartition(topic, p)) for topic in bus.topics() for p in range(bus.partitions(topic) or 0)]

    def is_quiet(self) -> bool:
        """Whether every task has committed the end of its partition, and none folds again to publish more."""
        if any(process.folds_again for process in self.service.processes):
            return False
        bus = self.service.bus
        tasks = [("sd.profile", tp) for tp in self.service.traffic.partitions]
        tasks += [("sd.evaluate", TopicPartition(TOPICS.name("ledger"), p)) for p in range(TOPICS.partitions)]
        return all(bus.reached.get((group, tp), 0) >= bus.end(tp) for group, tp in tasks)


assert set(_RATES) == set(PHASES)
