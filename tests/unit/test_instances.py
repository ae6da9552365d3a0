"""Names of processes: no two at once on a host, none that outlives its process; and their files, which are private."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.errors import ConfigurationError
from monitor.instances import file_of, held, instance_of, private_folder
from monitor.runner.witness import FileWitness


@contextmanager
def another_process(folder: Path, stage: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the name `blue` for a stage until it is ended."""
    code = (
        f"from monitor.instances import held\nwith held('cluster/sd.', 'blue', ['{stage}']):\n"
        "    print('held', flush=True)\n    input()\n"
    )
    environment = {"XDG_RUNTIME_DIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[2])}
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
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
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


# ---------------------------------------------------------------------- where their files lie


def test_files_lie_in_the_folder_of_this_users_run_time(tmp_path: Path) -> None:
    """Nobody else may enter it, whatever the umask says."""
    before = os.umask(0)
    try:
        folder = private_folder("kafka://broker:9092")
    finally:
        os.umask(before)
    assert folder == tmp_path / "streamdrift"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with held("cluster/sd.", "blue", ["profile"]):
        assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]


@pytest.mark.parametrize("runtime", ["", "relative", "/proc/nowhere"])
def test_without_such_a_folder_they_lie_beside_the_bus(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Kafka, which is no file, in a folder under the user's number."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    assert private_folder(f"sqlite:///{tmp_path}/drift.db") == tmp_path / "drift.db.run"
    assert private_folder("kafka://broker:9092") == tmp_path / f"streamdrift-{os.geteuid()}"
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in tmp_path.iterdir()} == {0o700}


def test_a_folder_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    """One of ours is made private again."""
    (tmp_path / "streamdrift").mkdir()
    (tmp_path / "streamdrift").chmod(0o777)
    assert stat.S_IMODE(private_folder("").stat().st_mode) == 0o700


@pytest.mark.parametrize("found", ["link", "file", "another's"])
def test_a_folder_that_is_not_ours_alone_is_refused(
    found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever made it first could put links into it. The message names the remedy."""
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    folder, elsewhere = tmp_path / f"streamdrift-{os.geteuid()}", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if found == "link":
        folder.symlink_to(elsewhere)
    elif found == "file":
        folder.touch()
    else:
        folder.mkdir()
        monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
        folder.rename(tmp_path / f"streamdrift-{os.geteuid()}")
    with pytest.raises(ConfigurationError, match=r"no place for lock files \(.*XDG_RUNTIME_DIR"):
        private_folder("kafka://broker:9092")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("to", ["victim", "nothing", "loop"])
def test_a_symbolic_link_in_the_place_of_a_file_is_not_followed(to: str, tmp_path: Path) -> None:
    """Neither for a lock nor for a witness: what it leads to stays as it is, be it there or not."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for what in ("lock", "witness"):
        path = file_of("cluster/sd.", instance_of("blue", "profile"), what)
        path.symlink_to(path if to == "loop" else tmp_path / to)
    with pytest.raises(ConfigurationError, match=r"symbolic link.*remove it"), held("cluster/sd.", "blue", ["profile"]):
        pass
    with pytest.raises(OSError, match="symbolic link"):
        FileWitness(file_of("cluster/sd.", instance_of("blue", "profile"), "witness"))
    assert victim.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["streamdrift", "victim"]
