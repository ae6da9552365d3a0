"""Brokers of a chaos run that go away, killed or stopped cleanly, and come back: one at a time, beside all else."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

from tests.broker import Broker, Cluster
from tests.chaos.plan import Fault

AWAY_S = 5.0
BETWEEN_BROKERS_S = 6.0
"""From a broker's return to the next fault of a broker: a partition is never short of two copies for long."""


class Absences:
    """Of the brokers of a cluster that is started. `failed`: why a broker did not come back."""

    def __init__(self, cluster: Broker | Cluster) -> None:
        self.failed: BaseException | None = None
        self._brokers = cluster.brokers if isinstance(cluster, Cluster) else [cluster]
        # One thread for the whole run: the kernel ends a broker with the very thread that has started it.
        self._thread = ThreadPoolExecutor(1)
        self._absence: Future[None] | None = None
        self._gone_at = self._back_at = 0.0

    @property
    def none_answers(self) -> bool:
        """Whether the only broker is away."""
        return len(self._brokers) == 1 and self._absence is not None and not self._absence.done()

    @property
    def all_stand_still(self) -> bool:
        """Whether it has been away for so long that nobody does anything a kill could disturb."""
        return self.none_answers and time.monotonic() > self._gone_at + AWAY_S

    def begin(self, number: int, fault: Fault) -> bool:
        """Take a broker away, chosen by the number of the fault; False where another one has just been."""
        if self._absence is not None and not self._absence.done():
            return False
        if time.monotonic() < self._back_at + (BETWEEN_BROKERS_S if len(self._brokers) > 1 else 0):
            return False
        self._gone_at = time.monotonic()
        self._absence = self._thread.submit(self._take_away, self._brokers[number * 31 % len(self._brokers)], fault)
        return True

    def _take_away(self, broker: Broker, fault: Fault) -> None:
        try:
            (broker.kill if fault.kind == "broker_kill" else broker.stop)()
            time.sleep(fault.lasts_s)
            broker.start()
            self._back_at = time.monotonic()
        except BaseException as error:  # told by the main thread
            self.failed = error
