"""The memory budget of a process: resident size, interpreter and clients' buffers included, measured once a turn.

Above it the profile stage reads no further ahead than it has to, and drops nothing: a partition waits for the slowest
one of its models. That is a matter of pace, so no answer depends on it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.telemetry import Log

_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


def resident_bytes() -> int:
    """Resident bytes of this process now; where the system does not tell, the most that it ever had."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT


def give_back() -> None:
    """Ask the C library for pages that it keeps free: without that, resident size never falls on Linux."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@contextmanager
def uncollected() -> Iterator[None]:
    """Switch off the search for cyclic garbage while hundreds of thousands of objects are made that stay.

    The search begins after a number of new objects, and in a restore it looked through all of them in vain, again and
    again, for a quarter of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Budget:
    """The memory budget of this process. `resident`, `relieve`: measure, and give back what is free."""

    ENOUGH = 0.9
    """Memory is short until it is below this part of the budget: it shall not change its mind every turn."""

    def __init__(
        self,
        budget_bytes: int,
        log: Log,
        resident: Callable[[], int] = resident_bytes,
        relieve: Callable[[], None] = give_back,
    ) -> None:
        self.budget_bytes = budget_bytes
        self.resident_bytes = 0
        self.is_short = False
        self._log = log
        self._resident = resident
        self._relieve = relieve

    def measure(self) -> bool:
        """Measure, and say whether memory is short."""
        limit = self.budget_bytes * (self.ENOUGH if self.is_short else 1)
        self.resident_bytes = self._resident()
        if self.resident_bytes > limit:
            self._relieve()
            self.resident_bytes = self._resident()
        before, self.is_short = self.is_short, self.resident_bytes > limit
        if self.is_short != before:
            tell = self._log.warning if self.is_short else self._log.info
            event = "memory_short" if self.is_short else "memory_enough"
            tell(event, resident_mb=self.resident_bytes >> 20, budget_mb=self.budget_bytes >> 20)
        return self.is_short
