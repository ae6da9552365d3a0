"""Exit codes: which error ends with which, and what the supervisor does about each."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from monitor import errors
from monitor.alerts_file import Accepted
from monitor.cli.demo import shipped_config
from monitor.errors import StreamdriftError
from monitor.exit_codes import ExitCode, exit_code, is_final
from monitor.supervisor import Supervisor
from monitor.telemetry import get_log

CODES = {
    "ConfigurationError": 2,
    "FormatError": 2,
    "NewerRelease": 5,
    "BusError": 3,
    "BusUnreachable": 3,
    "LeaseTaken": 2,
    "NotSupported": 2,
    "StaleGeneration": 3,
    "TransactionFailed": 3,
    "StateDivergence": 4,
    "RecordsLost": 3,
    "StreamdriftError": 2,
}


def test_every_error_of_ours_has_its_code() -> None:
    """No more and no fewer than there are."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StreamdriftError)]
    arguments: dict[str, tuple[object, ...]] = {"RecordsLost": ("gone", 7)}
    found = {kind.__name__: exit_code(kind(*arguments.get(kind.__name__, ("why",)))) for kind in kinds}
    assert found == CODES


def test_only_what_no_restart_mends_is_final() -> None:
    """A newer release's entry is retried: a process that knows it may have been started meanwhile."""
    assert {code for code in range(-64, 256) if is_final(code)} == {ExitCode.USAGE, ExitCode.DIVERGED}
    assert not is_final(None)


@pytest.fixture
def supervised() -> Iterator[Callable[[int], tuple[int, int]]]:
    """Supervises a process that ends with a code, until its third start; gives the exit code, and the starts."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(code: int) -> tuple[int, int]:
        command = [sys.executable, "-S", "-c", f"raise SystemExit({code})"]
        log = get_log("test")
        supervisor = Supervisor(["one"], lambda _: command, Accepted(shipped_config()), log, reloads=False)
        (child,) = supervisor.children
        return supervisor.run(lambda: child.starts >= 3), child.starts

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("code", [0, 3, 5, 7])
def test_a_stage_that_a_restart_may_mend_is_started_again(
    code: int, supervised: Callable[[int], tuple[int, int]]
) -> None:
    assert supervised(code) == (0, 3)


@pytest.mark.parametrize("code", [2, 4])
def test_a_stage_that_no_restart_mends_ends_the_service(
    code: int, supervised: Callable[[int], tuple[int, int]]
) -> None:
    assert supervised(code) == (code, 1)
