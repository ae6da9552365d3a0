"""Time, chance and faults of one simulated run.

One thread plays all processes. Whoever waits or is frozen inside a call lets the others take turns meanwhile, so a
process can be overtaken at any place of its code. All chance comes from one generator: a seed gives one history.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Protocol

STEP_S = 0.5
MOST_NESTED = 3


class Killed(BaseException):
    """The process ends here, as by SIGKILL: nothing of its code runs any more."""


@dataclass(eq=False)
class Strike:
    """One fault: what, which process in which phase, when (s). `seen`: it has changed what somebody could observe."""

    fault: str
    phase: str
    process: str
    at: float
    seen: bool = False


class Runs(Protocol):
    """A process, as the world sees it."""

    name: str
    stage: str


class World:
    """`traffic`: called with the time whenever it has passed; `others`: lets one process take a turn;
    `strikes`: called with the phase that the running process is in, and may strike it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.running: list[Runs] = []
        self.traffic: Callable[[float], None] = lambda now: None
        self.others: Callable[[], None] = lambda: None
        self.strike: Callable[[Runs, str], None] = lambda process, phase: None
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, due: float, action: Callable[[], None]) -> None:
        """Have something happen when that time has come."""
        heapq.heappush(self._timers, (due, next(self._numbers), action))

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            due, _, action = heapq.heappop(self._timers)
            self.now = max(self.now, due)
            action()
        self.now = max(self.now, until)
        self.traffic(self.now)

    def wait(self, done: Callable[[], bool], seconds: float) -> bool:
        """Time passes, and others run, until `done` or as long as that; the answer is whether it was done."""
        until = self.now + seconds
        while not done() and self.now < until:
            self.pass_time(STEP_S)
            if len(self.running) < MOST_NESTED:
                self.others()
        return done()

    def phase(self, name: str) -> None:
        """The running process is at a place of its code where something may strike."""
        if self.running:
            self.strike(self.running[-1], name)
