"""The service: one stage in this process, or all stages as supervised children.

A stage that ends is started again, after a pause that doubles while it keeps ending soon. What a restart can't mend
(wrong configuration, a state that diverged) ends the service with that exit code.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

from monitor import __version__
from monitor.bus.port import Bus
from monitor.config.resolved import Config
from monitor.errors import LeaseTaken
from monitor.evaluate.alerts import Place
from monitor.panes.ledger import LedgerTopics
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop, Stage
from monitor.runner.profile import ProfileStage, input_topics
from monitor.runner.topics import create_topics
from monitor.settings import Settings
from monitor.sources.references import reference_changes
from monitor.telemetry import Log

STAGES = ("profile", "evaluate")
USAGE, UNREACHABLE, DIVERGED = 2, 3, 4
_HOPELESS = (USAGE, DIVERGED)
_LEASE_PATIENCE_S = 12.0
"""A little longer than a lease outlives its process."""
_PR_SET_PDEATHSIG = 1


def place_of(bus: Bus, settings: Settings) -> Place:
    """What messages say of where they come from."""
    return Place(settings.source, settings.web_url, __version__, bus.cluster_id())


def ledger_topics(settings: Settings) -> LedgerTopics:
    """Names of our topics under the settings' prefix."""
    return LedgerTopics(settings.prefix, settings.ledger_partitions)


def prepare(bus: Bus, config: Config, settings: Settings) -> None:
    """Create our topics where they are missing, and check those that are there."""
    create_topics(bus, ledger_topics(settings), input_topics(config))


def run_stage(name: str, bus: Bus, config: Config, settings: Settings, log: Log) -> None:
    """One stage in this process, until SIGTERM or SIGINT."""
    stopping = _Stopping()
    loop = _opened(name, bus, config, settings, log)
    log.info("stage_started", stage=name, bus=bus.name)
    loop.run(lambda: stopping.asked)
    log.info("stage_stopped", stage=name)


def _opened(name: str, bus: Bus, config: Config, settings: Settings, log: Log) -> Loop:
    """The stage's loop. A lease may be that of a process just killed: it is waited for until that must have run out."""
    stage, instance = _stage(name, bus, config, settings, log), f"{settings.instance}-{name}"
    deadline = time.monotonic() + _LEASE_PATIENCE_S
    while True:
        try:
            return Loop(bus, stage, instance, time.monotonic, settings.commit_interval_ms / 1000)
        except LeaseTaken as taken:
            if time.monotonic() > deadline:
                raise
            log.info("lease_waited_for", stage=name, why=str(taken))
            time.sleep(1)


def _stage(name: str, bus: Bus, config: Config, settings: Settings, log: Log) -> Stage:
    topics = ledger_topics(settings)
    if name == "profile":
        return ProfileStage(bus, config, topics, time.monotonic, log)
    place = place_of(bus, settings)
    return EvaluateStage(bus, config, topics, place, lambda model: reference_changes(bus, model), log)


class _Stopping:
    """Whether somebody asked this process to stop."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


@dataclass(slots=True)
class _Child:
    """One supervised process, and when it may be started again."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause_s: float = field(default=0.2)


class Supervisor:
    """Keeps one process a stage alive. `command`: gives the command line of a stage's process."""

    _HEALTHY_S = 30.0
    _LONGEST_PAUSE_S = 10.0
    _PATIENCE_S = 5.0

    def __init__(self, stages: Sequence[str], command: Callable[[str], Sequence[str]], log: Log) -> None:
        self._children = [_Child(name, command(name)) for name in stages]
        self._log = log

    def run(self, until: Callable[[], bool] = lambda: False) -> int:
        """Until a signal, `until`, or an end that a restart can't mend; returns the exit code."""
        stopping = _Stopping()
        try:
            while not stopping.asked and not until():
                for child in self._children:
                    code = self._look_after(child)
                    if code in _HOPELESS:
                        return code
                time.sleep(0.1)
            return 0
        finally:
            self._stop()

    def _look_after(self, child: _Child) -> int | None:
        """Start, or restart, one child; returns the exit code that it ended with just now."""
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_at:
                child.process = subprocess.Popen(
                    child.command, preexec_fn=_die_with_parent
                )  # this process has one thread
                child.started_at = now
            return None
        code = child.process.poll()
        if code is None:
            return None
        child.process = None
        child.pause_s = (
            0.2 if now - child.started_at > self._HEALTHY_S else min(2 * child.pause_s, self._LONGEST_PAUSE_S)
        )
        child.start_at = now + child.pause_s
        self._log.warning("stage_ended", stage=child.name, exit_code=code, again_in_s=round(child.pause_s, 1))
        return code

    def _stop(self) -> None:
        living = [child.process for child in self._children if child.process is not None]
        for process in living:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._PATIENCE_S
        for process in living:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _die_with_parent() -> None:
    """In the child, before it runs: the kernel ends it when its parent is gone, even by SIGKILL."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
