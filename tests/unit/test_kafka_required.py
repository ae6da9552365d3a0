"""The rules of tests/conftest.py: a run that must show Kafka can't pass without it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INI = "[pytest]\ntestpaths = checks\naddopts = --import-mode=importlib\nmarkers = kafka: needs a broker\n"
PLAIN = "def test_plain(): pass\n"
EXECUTED = "import pytest\n@pytest.mark.kafka\ndef test_kafka(): pass\n"
NEEDS_BROKER = "import pytest\n@pytest.mark.kafka\ndef test_kafka(kafka_address): pass\n"


Run = Callable[..., tuple[int, str]]


@pytest.fixture(params=[(), ("-n", "2")], ids=["in one process", "shared out"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """`run(tests, environment, *arguments)` runs pytest over `tests` with our conftest, on a machine without Java.

    It returns the exit code and the last line.
    """

    def run(tests: str, environment: dict[str, str], *arguments: str) -> tuple[int, str]:
        (tmp_path / "checks").mkdir()
        (tmp_path / "pytest.ini").write_text(INI)
        (tmp_path / "checks" / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
        (tmp_path / "checks" / "test_it.py").write_text(tests)
        nothing = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/none"}
        outer = ("CI", "STREAMDRIFT_", "PYTEST_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *request.param, *arguments],
            cwd=tmp_path,
            env=inherited | nothing | {"PYTHONPATH": str(ROOT)} | environment,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout.strip().splitlines()[-1]

    return run


@pytest.mark.parametrize("required", [{"CI": "true"}, {"STREAMDRIFT_REQUIRE_KAFKA": "1"}])
def test_a_whole_run_without_a_kafka_test_fails_where_kafka_is_required(run: Run, required: dict[str, str]) -> None:
    """Green tests alone don't do."""
    code, last = run(PLAIN, required)
    assert (code, last) == (1, "!!! Kafka is required here: this run FAILS: no test marked kafka was executed")


def test_a_run_that_was_narrowed_by_hand_may_leave_kafka_out(run: Run) -> None:
    """Somebody who asks for a few tests means them."""
    code, _ = run(PLAIN + EXECUTED, {"CI": "true"}, "-k", "plain")
    assert code == 0


def test_a_kafka_test_that_was_executed_is_enough(run: Run) -> None:
    """The run passes."""
    code, _ = run(PLAIN + EXECUTED, {"CI": "true"})
    assert code == 0


def test_without_a_broker_kafka_tests_are_skipped_loudly(run: Run) -> None:
    """The very last line says so, and why."""
    code, last = run(PLAIN + NEEDS_BROKER, {})
    assert (code, last) == (0, "!!! Kafka tests were SKIPPED: no java on the path")


def test_without_a_broker_kafka_tests_fail_where_kafka_is_required(run: Run) -> None:
    """They are not skipped."""
    code, last = run(PLAIN + NEEDS_BROKER, {"STREAMDRIFT_REQUIRE_KAFKA": "1"})
    assert (code, last) == (1, "!!! Kafka is required here: this run FAILS: no java on the path")
