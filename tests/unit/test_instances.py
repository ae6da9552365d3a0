"""Names of processes: no two at once on a host, and none that outlives its process."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.errors import ConfigurationError
from monitor.instances import held, instance_of


@contextmanager
def another_process(folder: Path, stage: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the name `blue` for a stage until it is ended."""
    code = (
        f"from monitor.instances import held\nwith held('cluster/sd.', 'blue', ['{stage}']):\n"
        "    print('held', flush=True)\n    input()\n"
    )
    environment = {"TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_a_second_of_the_same_name_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """Before it touches the broker, where the two would fence each other for ever."""
    with another_process(tmp_path, "profile"):
        with (
            pytest.raises(ConfigurationError, match="'blue'; name it with --instance"),
            held("cluster/sd.", "blue", ["profile"]),
        ):
            pass
        with pytest.raises(ConfigurationError, match="profile"), held("cluster/sd.", "blue", ["evaluate", "profile"]):
            pass
        for place, name, stage in (
            ("cluster/sd.", "green", "profile"),
            ("cluster/other.", "blue", "profile"),
            ("cluster/sd.", "blue", "evaluate"),
        ):
            with held(place, name, [stage]):
                pass


def test_a_name_is_free_again_when_its_process_was_killed(tmp_path: Path) -> None:
    """A restart under the same name is what static membership is for."""
    with another_process(tmp_path, "profile") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with held("cluster/sd.", "blue", ["profile"]):
            pass


def test_each_stage_has_a_name_of_its_own() -> None:
    """The name on the broker is the instance's and the stage's."""
    assert instance_of("host", "profile") == "host-profile"
