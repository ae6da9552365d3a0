"""What init proposes: the right roles on fifteen tables, and a file that check and replay take unedited."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.inference.roles import roles_of
from monitor.inference.sample import Sample, sample_of_files
from tests.unit.inference.tables import TABLES, Table


def right(table: Table, folder: Path) -> dict[str, bool]:
    """Whether each column has the role that was written down."""
    found = {decision.name: decision.role for decision in roles_of(sample_of_files(str(table.file(folder))))}
    assert list(found) == list(table.roles)
    return {name: found[name] == role for name, role in table.roles.items()}


def test_roles_are_right_on_fifteen_tables(tmp_path: Path) -> None:
    """Of all columns 95 % at least; those that are not are named."""
    found = {f"{table.name}: {name}": is_right for table in TABLES for name, is_right in right(table, tmp_path).items()}
    assert len(TABLES) == 15
    wrong = [name for name, is_right in found.items() if not is_right]
    assert len(wrong) <= 0.05 * len(found), wrong


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_check_and_replay_take_the_file_unedited(table: Table, tmp_path: Path) -> None:
    """Nothing fires, and every rule has judged; the command that it names is the one that is run."""
    source, out = table.file(tmp_path), tmp_path / "alerts.yaml"
    made = CliRunner().invoke(app, ["init", str(source), "--out", str(out), "--yes"])
    assert made.exit_code == 0, made.output
    assert CliRunner().invoke(app, ["check", "--config", str(out)]).exit_code == 0
    named = made.output.splitlines()[-1].partition("streamdrift ")[2].split()
    assert named[:2] == ["replay", str(source)]
    replayed = CliRunner().invoke(app, named)
    assert replayed.exit_code == 0, replayed.output
    never = [line for line in replayed.output.splitlines() if "never judged" in line]
    assert [line for line in never if "embedding.length" not in line] == []  # of four numbers each: one bin
    assert "FeatureDrift" in replayed.output
    assert "FeatureDrift" not in replayed.output.partition("alert messages")[0]


@pytest.mark.parametrize(("first", "step", "role"), [(1_789_000_000, 600, "timestamp"), (1, 1, "left out")])
def test_numbers_that_go_up_evenly_are_times_or_count_the_rows(first: int, step: int, role: str) -> None:
    """Under any name: epochs lie between 2000 and 2100, a row's number does not."""
    sample = Sample("t", {"when": [first + step * n for n in range(100)], "x": [0.5 * n % 7 for n in range(100)]}, 100)
    assert roles_of(sample)[0].role == role


@pytest.mark.parametrize("stream", ["features", "predictions"])
def test_a_topic_of_events_is_taken(stream: str, tmp_path: Path) -> None:
    """Both topics that a table was sent to; the keys of the envelope are no columns."""
    source, out, bus = TABLES[0].file(tmp_path), tmp_path / "alerts.yaml", f"sqlite:///{tmp_path}/bus.db"
    for arguments in (
        ["init", str(source), "--out", str(out), "--yes"],
        ["produce", "file", str(source), "--config", str(out), "--bus", bus],
        ["init", f"topic:fraud.{stream}", "--bus", bus, "--out", str(tmp_path / "own.yaml"), "--yes"],
        ["check", "--config", str(tmp_path / "own.yaml")],
    ):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
    assert "prediction_id" not in (tmp_path / "own.yaml").read_text()


def test_a_file_is_overwritten_only_with_force(tmp_path: Path) -> None:
    """And stays as it is otherwise."""
    source, out = TABLES[0].file(tmp_path), tmp_path / "alerts.yaml"
    out.write_text("mine")
    refused = CliRunner().invoke(app, ["init", str(source), "--out", str(out), "--yes"])
    assert (refused.exit_code != 0, out.read_text()) == (True, "mine")
    assert CliRunner().invoke(app, ["init", str(source), "--out", str(out), "--yes", "--force"]).exit_code == 0
    assert out.read_text().startswith("# Proposed by")


@pytest.mark.parametrize("missing", [0, 10, 4])
def test_a_small_table_gets_a_reference_with_enough_values(missing: int, tmp_path: Path) -> None:
    """Of 100 rows with gaps fewer than 100 values are left, on which no divergence stands."""
    values = ["" if missing and n % missing == 0 else n * 37 % 101 for n in range(420)]
    rows = [f"2026-03-01T00:{n // 60:02}:{n % 60:02}Z,{value}" for n, value in enumerate(values)]
    source, out = tmp_path / "small.csv", tmp_path / "alerts.yaml"
    source.write_text("\n".join(["event_time,x", *rows]))
    made = CliRunner().invoke(app, ["init", str(source), "--out", str(out), "--yes"])
    assert f"reference of {200 if missing else 100} rows" in made.output
    replayed = CliRunner().invoke(app, ["replay", str(source), "--config", str(out), "--fail-on", "not-judged"])
    assert replayed.exit_code == 0, replayed.output


def test_a_table_that_is_too_small_is_said_to_be(tmp_path: Path) -> None:
    """It has fewer rows than reference and window take."""
    source, out = tmp_path / "few.csv", tmp_path / "alerts.yaml"
    source.write_text("event_time,x\n" + "".join(f"2026-03-01T00:00:{n:02}Z,{n * 37 % 101}\n" for n in range(60)))
    made = CliRunner().invoke(app, ["init", str(source), "--out", str(out), "--yes"])
    assert "60 rows are too few to judge: a reference of 100 and a window of 100 take 200" in made.output
