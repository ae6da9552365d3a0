"""What init asks on a terminal, which here is a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[3]
QUESTION = re.compile(r"\w+: [^:]*\? \[y/N\]: ")
CTRL_D = "\x04"


def on_a_terminal(arguments: list[str], typed: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """Run the command on a terminal of its own; type each answer when its question is there. `typed`: by question."""
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "monitor.cli.main", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "dumb", "COLUMNS": "160"}
    process = subprocess.Popen(command, cwd=folder, env=environment, preexec_fn=lambda: os.login_tty(end))
    os.close(end)
    shown, answers = "", iter(typed.items())
    waiting = next(answers, None)
    while True:
        try:
            read = os.read(terminal, 4096).decode()
        except OSError:  # the other end is closed
            break
        shown += read
        if waiting is not None and waiting[0] in shown:
            os.write(terminal, waiting[1].encode())
            waiting = next(answers, None)
    os.close(terminal)
    return process.wait(timeout=60), shown


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that holds a table with three columns that are asked about."""
    at = (f"2026-03-01T00:{n // 60:02}:{n % 60:02}Z" for n in range(600))
    rows = (f"{time},{n % 3},{n * 7 % 4},{n % 2},{n * 0.37 % 5:.2f}" for n, time in enumerate(at))
    (tmp_path / "flats.csv").write_text("\n".join(["event_time,rooms,floor,is_fraud,amount", *rows]))
    return tmp_path


def columns(folder: Path) -> dict[str, list[str]]:
    written = YAML(typ="safe").load((folder / "alerts.yaml").read_text())
    return dict(written["models"]["flats"]["columns"])


ROOMS = "rooms: 3 whole numbers. Is it categorical rather than numerical? [y/N]: "
FLOOR = "floor: 4 whole numbers. Is it categorical rather than numerical? [y/N]: "
FRAUD = "is_fraud: 0 and 1. Is it label rather than binary? [y/N]: "


def test_answers_decide_on_what_is_unsure(folder: Path) -> None:
    """In the order of the columns; Enter keeps what was proposed, and nothing is asked twice or without doubt."""
    code, shown = on_a_terminal(["init", "flats.csv"], {ROOMS: "y\n", FLOOR: "\n", FRAUD: "y\n"}, folder)
    assert code == 0, shown
    assert QUESTION.findall(shown) == [ROOMS, FLOOR, FRAUD]
    assert columns(folder) == {"numerical": ["floor", "amount"], "categorical": ["rooms"]}
    assert shown.count("as answered") == 3
    assert "next: streamdrift replay flats.csv" in shown


def test_an_answer_that_is_none_is_asked_for_again(folder: Path) -> None:
    """Until there is one."""
    typed = {ROOMS: "perhaps\n", "invalid input\r\n" + ROOMS: "n\n", FLOOR: "Y\n", FRAUD: "n\n"}
    code, shown = on_a_terminal(["init", "flats.csv"], typed, folder)
    assert code == 0, shown
    assert columns(folder) == {"numerical": ["rooms", "amount"], "binary": ["is_fraud"], "categorical": ["floor"]}


def test_who_leaves_a_question_has_nothing_written(folder: Path) -> None:
    """In one line, as wrong usage."""
    code, shown = on_a_terminal(["init", "flats.csv"], {ROOMS: "y\n", FLOOR: CTRL_D}, folder)
    assert code == 2
    assert "alerts.yaml: not written, for a question has no answer; --yes asks none" in shown
    assert not (folder / "alerts.yaml").exists()


def test_nothing_is_asked_with_yes(folder: Path) -> None:
    """And what is in doubt is said."""
    code, shown = on_a_terminal(["init", "flats.csv", "--yes"], {}, folder)
    assert (code, QUESTION.findall(shown)) == (0, [])
    assert shown.count("or categorical?") == 2
    assert shown.count("or label?") == 1
