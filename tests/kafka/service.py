"""`streamdrift run` as a process of its own, killed or stopped at will, and how far it has come on its bus."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from monitor.bus.port import Bus
from monitor.events import TopicPartition
from monitor.ledger import position_records as positions
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import ProfilePosition
from monitor.runner.positions import Positions

COMMAND = (sys.executable, "-m", "monitor.cli.main")
LEDGER_PARTITIONS = 4
PAUSE_S = 0.3


def environment(bus: str, prefix: str) -> dict[str, str]:
    """The environment of a process of ours: without what the shell of the tests has set for Streamdrift."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMDRIFT_")}
    own = {
        "BUS": bus,
        "PREFIX": prefix,
        "LEDGER_PARTITIONS": str(LEDGER_PARTITIONS),
        "COMMIT_INTERVAL_MS": "500",
        "LOG_FORMAT": "json",
    }
    return kept | {f"STREAMDRIFT_{name}": value for name, value in own.items()}


class Service:
    """The service in a process group of its own. `log`: where its standard error goes. `flags`: more of `run`'s.

    `tree`: the folder with the packages that it runs; None: those of this checkout.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        config: Path,
        log: Path,
        flags: Sequence[str] = ("--instance", "acceptance"),
        tree: Path | None = None,
    ) -> None:
        self._env = dict(env)
        self._config = config
        self.log = log
        self._flags = flags
        self._tree = tree
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "run", "--config", str(self._config), *self._flags],
                cwd=self._tree,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Until the condition holds; fails when the service ends before, or time is over."""
        until = time.monotonic() + seconds
        while not condition():
            if self._ended():
                raise AssertionError(f"the service ended before {what}:\n{self.tail()}")
            if time.monotonic() > until:
                raise AssertionError(f"not within {seconds:g} s: {what}\n{self.tail()}")

    def _ended(self) -> bool:
        """Whether the process has ended; lets a little time pass."""
        assert self._process is not None
        try:
            self._process.wait(PAUSE_S)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL to all its processes at once, as when the machine goes."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(30)
        self._process = None
        return code

    def signal(self, number: signal.Signals) -> None:
        """To the supervisor."""
        assert self._process is not None
        self._process.send_signal(number)

    def children(self) -> list[int]:
        """Process ids of the stages (Linux)."""
        assert self._process is not None
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def pause(self, seconds: float) -> None:
        """Let it run; fails when it ends."""
        until = time.monotonic() + seconds
        self.wait_until(lambda: time.monotonic() > until, "a while passed", seconds + 10)

    def wait_for_end(self, seconds: float) -> int:
        """The exit code, when it ends by itself."""
        assert self._process is not None
        code = self._process.wait(seconds)
        self._process = None
        return code

    def tail(self) -> str:
        """The end of what it said."""
        return self.log.read_text()[-4000:]


class Reached:
    """How far a service has come, by its position records."""

    def __init__(self, bus: Bus, topic: str, prefix: str) -> None:
        self._bus = bus
        self.topics = LedgerTopics(prefix, LEDGER_PARTITIONS)
        self._profile = Positions(bus, self.topics, f"{prefix}profile")
        self._evaluate = Positions(bus, self.topics, f"{prefix}evaluate")
        self.inputs = [TopicPartition(topic, p) for p in range(bus.partitions(topic) or 0)]

    def position(self, tp: TopicPartition) -> ProfilePosition | None:
        """The newest position record of an input partition; None before the service has committed one."""
        if self._bus.partitions(self.topics.name("positions")) is None:
            return None
        value = self._profile.of(tp, None)
        return None if value is None else positions.decode_profile(value)

    def events(self) -> int:
        """Records that have been folded and committed."""
        found = [self.position(tp) for tp in self.inputs]
        return sum(position.position for position in found if position is not None)

    def has_read_all(self) -> bool:
        """Whether all records that are there now have been folded and committed."""
        found = {tp: self.position(tp) for tp in self.inputs}
        return all(position is not None and position.position >= self._bus.end(tp) for tp, position in found.items())

    def has_sealed(self, tp: TopicPartition, time: int) -> bool:
        """Whether the partition's watermark has been told to be at or after `time`."""
        found = self.position(tp)
        return found is not None and found.published_to is not None and found.published_to >= time

    def has_sealed_all(self, time: int) -> bool:
        """Whether all watermarks are at or after `time`."""
        return all(self.has_sealed(tp, time) for tp in self.inputs)

    def ledger(self) -> dict[TopicPartition, int]:
        """The ledger's ends of now. Later they move on: a partition that stands still gets heartbeats for ever."""
        tps = [TopicPartition(self.topics.name("ledger"), p) for p in range(LEDGER_PARTITIONS)]
        return {tp: self._bus.end(tp) for tp in tps}

    def has_judged(self, ledger: Mapping[TopicPartition, int]) -> bool:
        """Whether evaluate has folded the ledger up to these ends."""
        for tp, end in ledger.items():
            value = self._evaluate.of(tp, None)
            if (0 if value is None else positions.decode_evaluate(value).position) < end:
                return False
        return True

    def has_alerts(self) -> bool:
        """Whether an alert has been written."""
        alerts = self.topics.name("alerts")
        if self._bus.partitions(alerts) is None:
            return False
        return any(self._bus.end(TopicPartition(alerts, p)) for p in range(LEDGER_PARTITIONS))
