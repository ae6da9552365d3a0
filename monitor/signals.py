"""What signals ask of a process: to stop, or to read alerts.yaml again. A handler only marks; the loop looks."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

LEAVE_S = 4.5
"""A stage that was asked to stop has left within 5 s, its last commit done or not: the log is the store."""
_PR_SET_PDEATHSIG = 1


class Stopping:
    """A request to stop this process. `leave_s`: after this time the kernel ends it, whatever it does."""

    def __init__(self, leave_s: float = 0.0) -> None:
        self.asked = False
        self._leave_s = leave_s
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if not self.asked and self._leave_s:
            # SIGALRM has no handler, so it ends the process even in the midst of a restore, or of a commit that the
            # broker does not answer; what would have been committed is folded again
            signal.setitimer(signal.ITIMER_REAL, self._leave_s)
        self.asked = True


@contextmanager
def stopping_meanwhile(leave_s: float = LEAVE_S) -> Iterator[Stopping]:
    """A request to stop what is done meanwhile; then signals do again what they did before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield Stopping(leave_s)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


class Reloading:
    """A SIGHUP that came since the last look."""

    def __init__(self) -> None:
        self._asked = False
        signal.signal(signal.SIGHUP, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def take(self) -> bool:
        """True once for all signals since the last call."""
        asked, self._asked = self._asked, False
        return asked


def ignore_hangups() -> None:
    """A terminal that goes sends SIGHUP to all; a stage follows its supervisor instead."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def die_with(parent: int) -> None:
    """From now on the kernel ends this process when its parent is gone, even by SIGKILL (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
