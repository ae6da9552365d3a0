"""What init proposes: the right roles on fifteen tables, and a file that check and replay take unedited."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
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


@pytest.mark.parametrize(
    ("others", "share", "role"),
    [(["ERR"], 0.14, "numerical"), (["n/a", "-", "?"], 0.4, "numerical"), (["a", "b", "c", "d"], 0.3, "left out")],
)
def test_a_few_texts_among_many_numbers_are_no_categories(others: list[str], share: float, role: str) -> None:
    """One to three of them, in up to half of the rows; somebody is asked, because it may be otherwise."""
    values = [others[n % len(others)] if n % 100 < 100 * share else str(n * 37 % 1000 / 8) for n in range(1000)]
    if role == "left out":  # many texts
        values = [value if value[0].isdigit() else f"{value}{n}" for n, value in enumerate(values)]
    (decision,) = roles_of(Sample("t", {"x": values}, 1000))
    assert decision.role == role
    assert (decision.unsure == "categorical") == (role == "numerical")
    few = ["1", "2", "3", "A"] * 50
    assert roles_of(Sample("t", {"x": few}, 200))[0].role == "categorical"


def test_a_name_that_two_columns_have_is_left_out_with_the_reason(tmp_path: Path) -> None:
    """The same in a CSV file and in a Parquet file; `replay` would refuse it."""
    lines = [f"{n * 37 % 100 / 8},{n},{'ab'[n % 2]}" for n in range(300)]
    (tmp_path / "t.csv").write_text("x,x,k\n" + "\n".join(lines) + "\n")
    numbers, letters = pa.array([float(line.split(",")[0]) for line in lines]), pa.array([line[-1] for line in lines])
    table = pa.Table.from_arrays([numbers, numbers, letters], names=["x", "x", "k"])
    pq.write_table(table, tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        found = {decision.name: decision for decision in roles_of(sample_of_files(str(tmp_path / name)))}
        assert (found["x"].role, found["x"].why) == ("left out", "more than one column has this name")
        assert found["k"].role == "categorical"


@pytest.mark.parametrize(
    ("header", "is_told"),
    [("t,x,k", False), ("2019,2020,k", False), ("2026-03-01T00:00:00Z,1,k", True), ("a,61.59,b", True)],
)
def test_a_header_that_seems_to_be_a_row_is_told(tmp_path: Path, header: str, is_told: bool) -> None:
    """Years and other whole numbers are names."""
    lines = [f"2026-03-01T{n // 60:02}:{n % 60:02}:00Z,{n * 37 % 100 / 8},{'ab'[n % 2]}" for n in range(300)]
    source = tmp_path / "t.csv"
    source.write_text(header + "\n" + "\n".join(lines) + "\n")
    made = CliRunner().invoke(app, ["init", str(source), "--out", str(tmp_path / "a.yaml"), "--yes"])
    assert made.exit_code == 0, made.output
    assert ("the first line seems to be a row" in made.output) == is_told


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
