"""The watchdog ends the process if a call that may block for good has not come back in time.

`commit_transaction()` of kafka-python can hang for good when the broker dies under it, and no time-out of the
client helps. A process that ends is started again by its supervisor; one that hangs is not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from monitor.exit_codes import ExitCode


@contextmanager
def watchdog(what: str, seconds: float) -> Iterator[None]:
    """Gives the block `seconds`; then says on standard error what hung, and exits with code 7."""
    timer = Timer(seconds, _end, (what, seconds))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(what: str, seconds: float) -> None:
    os.write(2, f"watchdog_expired: {what} did not return within {seconds:g} s; the process ends\n".encode())
    os._exit(ExitCode.HUNG)
