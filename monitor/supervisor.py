"""The supervisor: all stages as children, started again when they end, stopped and reloaded together.

A stage that ends is started again, after a pause that doubles while it keeps ending soon. What a restart can't mend
(wrong configuration, a state that diverged) ends the service with that exit code.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitor.alerts_file import Accepted
from monitor.channel import Channel
from monitor.errors import ConfigurationError
from monitor.exit_codes import is_final
from monitor.runner.status import Status, decode_status
from monitor.signals import Reloading, Stopping
from monitor.telemetry import Log


@dataclass(slots=True)
class Child:
    """One supervised process, and when it may be started again. Times: s, monotonic.

    `channel`: to the present process, or the previous one. `status`: its newest report; None before the first.
    """

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    channel: Channel | None = None
    status: Status | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause_s: float = 0.2
    starts: int = 0


class Supervisor:
    """Keeps one process a stage alive. `command`: gives the command line of a stage's process.

    `accepted`: alerts.yaml and its lock, handed to every stage. `reloads`: whether SIGHUP reads them again; if not,
    SIGHUP ends the process, as usual.
    """

    _HEALTHY_S = 30.0
    _LONGEST_PAUSE_S = 10.0
    _PATIENCE_S = 6.0

    def __init__(
        self,
        stages: Sequence[str],
        command: Callable[[str], Sequence[str]],
        accepted: Accepted,
        log: Log,
        reloads: bool = True,
    ) -> None:
        self.children = tuple(Child(name, command(name)) for name in stages)
        self.reload_failed = False
        self.reloaded_at = time.time()
        self._accepted = accepted
        self._reloads = reloads
        self._log = log

    def run(self, until: Callable[[], bool] = lambda: False) -> int:
        """Until a signal, `until`, or an end that a restart can't mend; returns the exit code."""
        stopping = Stopping()
        reloading = Reloading() if self._reloads else None
        try:
            while not stopping.asked and not until():
                if reloading is not None and reloading.take():
                    self._take_another_file()
                for child in self.children:
                    code = self._look_after(child)
                    if code is not None and is_final(code):
                        return code
                time.sleep(0.1)
            return 0
        finally:
            self._stop()

    def _take_another_file(self) -> None:
        try:
            self._accepted.reload()
        except ConfigurationError as error:
            self.reload_failed = True
            problems = [str(problem) for problem in error.problems] or [str(error)]
            self._log.error("config_reload_failed", problems=problems, kept="the previous rules")
        else:
            self.reload_failed, self.reloaded_at = False, time.time()
            for child in self.children:
                if child.channel is not None:
                    child.channel.send(self._accepted.message)
            self._log.info("config_reloaded")

    def _look_after(self, child: Child) -> int | None:
        """Start, or restart, one child; returns the exit code that it ended with just now."""
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_at:
                self._start(child, now)
            return None
        _exchange(child)
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

    def _start(self, child: Child, now: float) -> None:
        if child.channel is not None:
            child.channel.close()
        child.channel, other = Channel.pair()
        with other:
            child.process = subprocess.Popen([*child.command, "--parent", str(os.getpid())], stdin=other.fileno())
        child.channel.send(self._accepted.message)
        child.started_at, child.status = now, None
        child.starts += 1

    def _stop(self) -> None:
        living = [child for child in self.children if child.process is not None]
        for child in living:
            _process(child).send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._PATIENCE_S
        for child in living:
            try:
                code = _process(child).wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _process(child).kill()
                code = _process(child).wait()
            if code:
                self._log.warning("stage_stopped_without_commit", stage=child.name, exit_code=code)


def _exchange(child: Child) -> None:
    """Go on handing down what the process has not taken yet, and take its newest report."""
    if child.channel is not None:
        child.channel.pump()
        report = child.channel.take_newest()
        child.status = child.status if report is None else decode_status(report)


def _process(child: Child) -> subprocess.Popen[bytes]:
    if child.process is None:
        raise ValueError(f"stage {child.name} does not run")
    return child.process
