"""The rules of tests/conftest.py: a run that must show Kafka can't pass without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INI = "[pytest]\ntestpaths = checks\naddopts = --import-mode=importlib\nmarkers = kafka: needs a broker\n"
PLAIN = "def test_plain(): pass\n"
EXECUTED = "import pytest\n@pytest.mark.kafka\ndef test_kafka(): pass\n"
NEEDS_BROKER = "import pytest\n@pytest.mark.kafka\ndef test_kafka(kafka_address): pass\n"


def run(folder: Path, tests: str, environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """A run of pytest over `tests` with our conftest, on a machine without Java: exit code and last line."""
    (folder / "checks").mkdir()
    (folder / "pytest.ini").write_text(INI)
    (folder / "checks" / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "checks" / "test_it.py").write_text(tests)
    nothing = {"PATH": str(folder), "XDG_CACHE_HOME": str(folder), "DOCKER_HOST": f"unix://{folder}/none"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CI", "STREAMDRIFT_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments],
        cwd=folder,
        env=inherited | nothing | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("required", [{"CI": "true"}, {"STREAMDRIFT_REQUIRE_KAFKA": "1"}])
def test_a_whole_run_without_a_kafka_test_fails_where_kafka_is_required(
    tmp_path: Path, required: dict[str, str]
) -> None:
    """Green tests alone don't do."""
    code, last = run(tmp_path, PLAIN, required)
    assert (code, last) == (1, "!!! Kafka is required here: this run FAILS: no test marked kafka was executed")


def test_a_run_that_was_narrowed_by_hand_may_leave_kafka_out(tmp_path: Path) -> None:
    """Somebody who asks for a few tests means them."""
    code, _ = run(tmp_path, PLAIN + EXECUTED, {"CI": "true"}, "-k", "plain")
    assert code == 0


def test_a_kafka_test_that_was_executed_is_enough(tmp_path: Path) -> None:
    """The run passes."""
    code, _ = run(tmp_path, PLAIN + EXECUTED, {"CI": "true"})
    assert code == 0


def test_without_a_broker_kafka_tests_are_skipped_loudly(tmp_path: Path) -> None:
    """The very last line says so, and why."""
    code, last = run(tmp_path, PLAIN + NEEDS_BROKER, {})
    assert (code, last) == (0, "!!! Kafka tests were SKIPPED: no java on the path")


def test_without_a_broker_kafka_tests_fail_where_kafka_is_required(tmp_path: Path) -> None:
    """They are not skipped."""
    code, last = run(tmp_path, PLAIN + NEEDS_BROKER, {"STREAMDRIFT_REQUIRE_KAFKA": "1"})
    assert (code, last) == (1, "!!! Kafka is required here: this run FAILS: no java on the path")
