"""The watchdog: a call that hangs ends the process, one that comes back does not."""

from __future__ import annotations

import subprocess
import sys

from monitor.exit_codes import ExitCode

HANGS = """
import threading
from monitor.bus.watchdog import watchdog
with watchdog("a commit of 'profile-a'", 0.05):
    threading.Event().wait(60)
"""

RETURNS = """
import threading
from monitor.bus.watchdog import watchdog
with watchdog("a commit", 0.2):
    pass
threading.Event().wait(0.4)
"""


def test_a_hanging_call_ends_the_process_and_is_named() -> None:
    """Exit code 7, and the last line on standard error says what hung."""
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=30)
    assert done.returncode == ExitCode.HUNG
    assert "watchdog_expired: a commit of 'profile-a' did not return within 0.05 s" in done.stderr


def test_a_call_that_returns_is_left_alone() -> None:
    """Its time-out does not fire later."""
    done = subprocess.run([sys.executable, "-c", RETURNS], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
