"""The processes of a chaos run: each under its own handle, started again when it ends, killed and frozen at will."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monitor.alerts_file import Accepted
from monitor.channel import Channel
from monitor.exit_codes import is_final
from tests.chaos.stage import JOINED, phases

COMMAND = (sys.executable, "-m", "tests.chaos.stage")
AGAIN_S = 0.2
"""From the end of a process to its start."""
LEFT = (0, -signal.SIGALRM)
"""Exit codes of a process that was asked to leave: done, or what it held was cut off after its time."""
SOON_S, OFTEN = 10.0, 10
"""A process that ends by itself so soon, so often, will not do better."""
LEAVING_S = 15.0


class RunFailed(Exception):
    """The run cannot go on; the message says why."""


@dataclass
class Member:
    """One process of one stage, and the one that follows it. `stays_s`: it joins for a while."""

    stage: str
    instance: str
    stays_s: float | None = None
    process: subprocess.Popen[bytes] | None = None
    channel: Channel | None = None
    start_at: float = 0.0
    frozen_until: float = 0.0
    leaves_at: float = 0.0
    leaving_since: float = 0.0
    started_at: float = 0.0
    soon_ended: int = 0
    """How often in a row it has ended by itself soon after its start."""

    @property
    def extra(self) -> bool:
        return self.stays_s is not None

    @property
    def running(self) -> bool:
        return self.process is not None and not self.frozen_until and not self.leaving_since

    @property
    def phases(self) -> str:
        return "" if self.process is None else phases(self.process.pid)


@dataclass
class Crew:
    """All processes. `env`: of each. `counts`: what was done to them and how they ended by themselves."""

    env: Mapping[str, str]
    config: Path
    folder: Path
    counts: dict[str, int] = field(default_factory=Counter)
    members: list[Member] = field(default_factory=list)

    def hire(self, stage: str, instance: str, stays_s: float | None = None) -> None:
        """A process that is kept up, or one that joins and leaves after `stays_s`."""
        self.members.append(Member(stage, instance, stays_s))

    def look_after(self) -> None:
        """Starts who is due, thaws, sends away, and counts who has ended by himself."""
        now = time.monotonic()
        for member in list(self.members):
            if member.process is None:
                if now >= member.start_at:
                    self._start(member)
            elif (code := member.process.poll()) is not None:
                self._ended(member, code, now)
            elif member.frozen_until and now >= member.frozen_until:
                member.process.send_signal(signal.SIGCONT)
                member.frozen_until = 0.0
            elif member.stays_s is not None and not member.leaves_at and JOINED in member.phases:
                self.counts["join"] += 1
                member.leaves_at = now + member.stays_s
            elif member.leaves_at and now >= member.leaves_at and not member.leaving_since:
                member.process.terminate()
                member.leaving_since = now
            elif member.leaving_since and now >= member.leaving_since + LEAVING_S:
                self.counts["left only when killed"] += 1
                member.process.kill()
                member.leaving_since = now

    def _start(self, member: Member) -> None:
        member.started_at = time.monotonic()
        if member.channel is not None:
            member.channel.close()
        member.channel, other = Channel.pair()
        with self.log(member).open("ab") as log, other:
            member.process = subprocess.Popen(
                [*COMMAND, member.stage, *self._flags(member)],
                env=dict(self.env),
                stdin=other.fileno(),
                stdout=log,
                stderr=log,
            )
        member.channel.send(Accepted(self.config).message)

    def _flags(self, member: Member) -> tuple[str, ...]:
        return "--config", str(self.config), "--instance", member.instance, "--parent", str(os.getpid())

    def log(self, member: Member) -> Path:
        """Where a member's standard error goes."""
        return self.folder / f"{member.stage}-{member.instance}.log"

    def _ended(self, member: Member, code: int, now: float) -> None:
        if member.leaving_since:
            self.counts["leave"] += 1
            if code != 0:
                self.counts[f"exit {code} on leaving"] += 1
            self.members.remove(member)
            return
        self.counts[f"self exit {code} {member.stage}"] += 1
        member.soon_ended = member.soon_ended + 1 if now < member.started_at + SOON_S else 0
        if is_final(code) or member.soon_ended > OFTEN:
            tail = self.log(member).read_text(errors="replace")[-3000:]
            raise RunFailed(f"{member.stage} {member.instance} ended with exit code {code}:\n{tail}")
        member.process = None
        member.frozen_until = 0.0
        member.start_at = now + AGAIN_S

    def targets(self) -> list[Member]:
        """Whom a fault may hit: the permanent ones that are past their start."""
        return [member for member in self.members if member.running and not member.extra and member.phases]

    def all_joined(self) -> bool:
        return all(JOINED in member.phases for member in self.members)

    def hold(self, flag: str, patience_s: float) -> Member | None:
        """Stop the first process that is met in a phase within a time; it stands still until it is killed."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            for member in self.targets():
                if flag in member.phases and self._stands_still_in(flag, member):
                    return member
            time.sleep(0.001)
        return None

    @staticmethod
    def _stands_still_in(flag: str, member: Member) -> bool:
        """Stop a process, and let it go on if it has left the phase meanwhile: a commit takes some milliseconds."""
        process = member.process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if flag in member.phases:
            return True
        os.kill(process.pid, signal.SIGCONT)
        return False

    def kill(self, member: Member) -> str | None:
        """SIGKILL; returns the phases in which it struck, or None where the process had just ended by itself."""
        process = member.process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        struck_at = member.phases
        code = process.wait()
        if code != -signal.SIGKILL:
            self._ended(member, code, time.monotonic())
            return None
        member.process, member.soon_ended = None, 0
        member.start_at = time.monotonic() + AGAIN_S
        return struck_at

    def freeze(self, member: Member, seconds: float) -> None:
        """SIGSTOP for a time."""
        assert member.process is not None
        member.process.send_signal(signal.SIGSTOP)
        member.frozen_until = time.monotonic() + seconds

    def thaw(self) -> None:
        for member in self.members:
            if member.frozen_until and member.process is not None:
                member.process.send_signal(signal.SIGCONT)
                member.frozen_until = 0.0

    def stop(self, stage: str, patience_s: float = 30.0) -> None:
        """SIGTERM to all of a stage, and waits; who does not end in time, or not with 0, fails the run."""
        leaving = [m for m in self.members if m.stage == stage and m.process is not None]
        for member in leaving:
            assert member.process is not None
            member.process.terminate()
        for member in leaving:
            assert member.process is not None
            try:
                code = member.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                raise RunFailed(f"{stage} {member.instance} did not end within {patience_s:g} s of SIGTERM") from None
            if code not in LEFT:
                raise RunFailed(f"{stage} {member.instance} ended with {code} on SIGTERM")
        self.members = [m for m in self.members if m not in leaving]

    def close(self) -> None:
        """SIGKILL to all."""
        for process in self._processes():
            process.kill()
            process.wait()

    def _processes(self) -> Iterator[subprocess.Popen[bytes]]:
        for member in self.members:
            if member.process is not None:
                yield member.process
