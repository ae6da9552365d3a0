"""Tables through `replay` and `reference build`: situations from public bug reports, each with its neighbours."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from monitor.cli.reference import build
from monitor.cli.replay import Options, Outcome, replay
from monitor.errors import ConfigurationError

ROWS, CHANGE = 1200, 800
CONFIG = """
version: 1
defaults: {{window: {{events: 300, every: 100}}, lateness: 10s, no_data: off}}
models:
  m:
    task: {task}
    streams: {{{stream}: {{topic: f}}}}
    columns: {columns}
    reference: {reference}
groups:
  - name: g
    model: m
    rules:
      - {{alert: Drift, expr: psi > 0.25}}
      - {{alert: Invalid, expr: invalid_rate > 0.01}}
      - {{alert: Missing, expr: missing_rate > 0.01}}
"""
NEW = "      - {alert: New, expr: new_category_rate > 0.01}\n"


def config_of(
    folder: Path,
    columns: str,
    reference: str = "{first: 500}",
    stream: str = "features",
    task: str = "regression",
) -> Path:
    path = folder / "alerts.yaml"
    text = CONFIG.format(columns=columns, reference=reference, stream=stream, task=task)
    path.write_text(text + NEW if "categorical" in columns else text)
    return path


def times(n: int = ROWS) -> list[str]:
    return [f"2026-03-01T00:{i // 60:02}:{i % 60:02}Z" for i in range(n)]


def numbers(before: float, after: float, n: int = ROWS) -> list[float]:
    rng = random.Random(1)
    return [round(rng.gauss(before if i < CHANGE else after, 5), 2) for i in range(n)]


def words(before: Sequence[Any], after: Sequence[Any], n: int = ROWS) -> list[Any]:
    rng = random.Random(2)
    return [rng.choice(before if i < CHANGE else after) for i in range(n)]


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]], sep: str = ",") -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=sep)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def run(table: Path, config: Path, **options: Any) -> tuple[set[tuple[str, str]], Outcome]:
    """What fired, by alert and column, and the outcome."""
    out = table.parent / "alerts.jsonl"
    outcome = replay(Options((str(table),), config, alerts_out=out, **options))
    labels = [json.loads(line)["data"]["labels"] for line in out.read_text().splitlines()]
    return {(label["alertname"], label.get("column", "")) for label in labels}, outcome


def test_an_empty_cell_is_missing_and_no_category(tmp_path: Path) -> None:
    """A column that becomes empty is missing; empty cells in both are no drift."""
    config = config_of(tmp_path, "{numerical: [x], categorical: [k]}")
    emptied = words(["a", "b", "c"], [""])
    table = write_csv(tmp_path / "t", {"event_time": times(), "x": numbers(50, 50), "k": emptied})
    assert run(table, config)[0] == {("Missing", "k")}
    with_gaps = words(["a", "b", "c", "a", ""], ["a", "b", "c", "a", ""])
    table = write_csv(tmp_path / "t", {"event_time": times(), "x": numbers(50, 50), "k": with_gaps})
    assert run(table, config)[0] == {("Missing", "k")}


@pytest.mark.parametrize("text", ["-", "n/a", "#DIV/0!", "NULL", "1,234", "NaN", "-inf"])
def test_a_text_among_numbers_costs_its_cell(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Two in a hundred are invalid, and the drift of the others is found; three are shown with their rows."""
    values: list[Any] = [text if i % 50 == 3 else value for i, value in enumerate(numbers(50, 80))]
    table = write_csv(tmp_path / "t", {"event_time": times(), "x": values})
    fired, _ = run(table, config_of(tmp_path, "{numerical: [x]}"))
    assert fired == {("Drift", "x"), ("Invalid", "x")}
    assert f"row 4: {text!r}, row 54: {text!r}, row 104: {text!r}" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [pa.decimal128(10, 2), pa.decimal64(10, 2), pa.float32(), pa.int16(), pa.float16()])
def test_a_reference_of_any_number_type_sees_the_drift_of_a_stream(tmp_path: Path, kind: pa.DataType) -> None:
    """And no drift if the numbers are the same, whatever they are stored as."""
    made = [Decimal(round(value)) for value in numbers(50, 50)]
    array = pa.array(made if pa.types.is_decimal(kind) else np.array([float(value) for value in made], "f2")).cast(kind)
    pa.parquet.write_table(pa.table({"x": array}), tmp_path / "reference")
    config = config_of(tmp_path, "{numerical: [x]}", f"{{path: {tmp_path / 'reference'}}}")
    for level, expected in ((50, set()), (90, {("Drift", "x")})):
        table = write_csv(tmp_path / "t", {"event_time": times(), "x": [round(v) for v in numbers(level, level)]})
        assert run(table, config)[0] == expected


def test_tenths_of_a_float32_reference_are_those_of_the_stream(tmp_path: Path) -> None:
    """Ten prices with the same shares: no drift."""
    prices = words([0.1, 0.2, 1.3, 9.9, 49.9], [0.1, 0.2, 1.3, 9.9, 49.9])
    pa.parquet.write_table(pa.table({"x": pa.array(prices, pa.float32())}), tmp_path / "reference")
    config = config_of(tmp_path, "{numerical: [x]}", f"{{path: {tmp_path / 'reference'}}}")
    assert run(write_csv(tmp_path / "t", {"event_time": times(), "x": prices[::-1]}), config)[0] == set()


@pytest.mark.parametrize(
    "kind", [pa.float64(), pa.float32(), pa.int8(), pa.uint64(), pa.decimal128(20, 1), pa.string()]
)
def test_codes_are_categories_and_classes_whatever_they_are_stored_as(tmp_path: Path, kind: pa.DataType) -> None:
    """Whole floats with gaps, as data frames write them, too; a change of shares is drift."""
    codes = words([1, 1, 1, 2, None], [1, 2, 2, 2, None])
    array = pa.array([None if c is None else str(c) for c in codes]) if kind == pa.string() else pa.array(codes)
    pa.parquet.write_table(pa.table({"event_time": times(), "k": array.cast(kind)}), tmp_path / "t")
    config = config_of(tmp_path, "{categorical: [k]}")
    assert run(tmp_path / "t", config)[0] == {("Drift", "k"), ("Missing", "k")}
    config = config_of(tmp_path, "{prediction: k}", stream="predictions", task="classification_binary")
    assert run(tmp_path / "t", config)[0] == {("Drift", "prediction"), ("Missing", "prediction")}


@pytest.mark.parametrize("pair", [("yes", "no"), ("Y", "N"), ("True", "False"), ("t", "f"), ("1", "0"), ("1.0", "0.0")])
def test_words_are_values_of_a_binary_column(tmp_path: Path, pair: tuple[str, str]) -> None:
    """Their shares are judged."""
    yes, no = pair
    table = write_csv(tmp_path / "t", {"event_time": times(), "k": words([yes] * 4 + [no], [yes] + [no] * 4)})
    assert run(table, config_of(tmp_path, "{binary: [k]}"))[0] == {("Drift", "k")}


def test_other_words_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not one value can be used: that is printed."""
    table = write_csv(tmp_path / "t", {"event_time": times(), "k": words(["on", "off"], ["on"])})
    run(table, config_of(tmp_path, "{binary: [k]}"))
    assert "column k: 1200 of 1200 values not used (1200 of a wrong type" in capsys.readouterr().err


@pytest.mark.parametrize("names", [("X", "Kind"), (" x", " k"), ("x1", "k_"), ("amount", "type")])
def test_a_table_of_other_names_is_refused_everywhere(tmp_path: Path, names: tuple[str, str]) -> None:
    """By `replay`, as a reference and by `reference build`, with the names that it has."""
    first, second = names
    columns: dict[str, Any] = {"event_time": times(), first: numbers(50, 80), second: words("ab", "bc")}
    table, config = write_csv(tmp_path / "t", columns), config_of(tmp_path, "{numerical: [x], categorical: [k]}")
    with pytest.raises(ConfigurationError, match=f"no column of model m: k, x.*it has 'event_time', '{first}'"):
        run(table, config)
    with pytest.raises(ConfigurationError, match="no column of model m"):
        build(table, tmp_path / "r.json", config, None, None, None)
    other = write_csv(tmp_path / "other", {"event_time": times(), "x": numbers(50, 50), "k": words("ab", "ab")})
    config = config_of(tmp_path, "{numerical: [x], categorical: [k]}", f"{{path: {table}}}")
    with pytest.raises(ConfigurationError, match="no column of model m"):
        run(other, config)


def test_a_reference_without_rows_is_refused(tmp_path: Path) -> None:
    """As Parquet and as a header alone."""
    pa.parquet.write_table(pa.table({"x": pa.array([], pa.float64())}), tmp_path / "zero.parquet")
    (tmp_path / "header.csv").write_text("x,y\n")
    stream = write_csv(tmp_path / "t", {"event_time": times(), "x": numbers(50, 50)})
    for name in ("zero.parquet", "header.csv"):
        config = config_of(tmp_path, "{numerical: [x]}", f"{{path: {tmp_path / name}}}")
        with pytest.raises(ConfigurationError, match=f"{name} has no rows"):
            run(stream, config)
        with pytest.raises(ConfigurationError, match=f"{name} has no rows"):
            build(tmp_path / name, tmp_path / "r.json", config, None, None, None)


def test_what_a_reference_can_not_use_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By `replay`, and by `reference build`; once, although a long table is read twice."""
    values = ["\x1b[31m" if i % 3 == 0 else 1.5 for i in range(150_000)]
    table = write_csv(tmp_path / "r", {"x": values, "y": values})
    config = config_of(tmp_path, "{numerical: [x]}", f"{{path: {table}}}")
    expected = "r: column x: 50000 of 150000 values not used (50000 of a wrong type; row 1: '\\x1b[31m', row 4"
    run(write_csv(tmp_path / "t", {"event_time": times(), "x": numbers(50, 50)}), config)
    assert capsys.readouterr().err.count(expected) == 1
    build(table, tmp_path / "r.json", config, None, None, None)
    assert capsys.readouterr().err.count(expected) == 1


def test_a_column_that_nobody_watches_costs_nothing(tmp_path: Path) -> None:
    """Nanoseconds, the year 10000, structs."""
    odd = {
        "ns": pa.array(range(ROWS)).cast(pa.timestamp("ns")),
        "far": pa.array([3_000_000] * ROWS, pa.int32()).view(pa.date32()),
        "struct": pa.array([{"a": 1}] * ROWS),
    }
    pa.parquet.write_table(pa.table({"event_time": times(), "x": numbers(50, 80), **odd}), tmp_path / "t")
    assert run(tmp_path / "t", config_of(tmp_path, "{numerical: [x]}"))[0] == {("Drift", "x")}


def test_no_time_is_made_up(tmp_path: Path) -> None:
    """Without a column of times a start is needed; a row without a time is a dead letter."""
    config = config_of(tmp_path, "{numerical: [x]}")
    table = write_csv(tmp_path / "t", {"ts": times(), "x": numbers(50, 80)})
    with pytest.raises(ConfigurationError, match=r"no column event_time.*it has 'ts', 'x'.*--start"):
        run(table, config)
    assert run(table, config, start="2026-03-01T00:00:00Z")[0] == {("Drift", "x")}
    some = ["" if i % 50 == 7 else time for i, time in enumerate(times())]
    fired, outcome = run(write_csv(tmp_path / "t", {"event_time": some, "x": numbers(50, 80)}), config)
    assert (fired, outcome.records, outcome.dead_letters) == ({("Drift", "x")}, 1200, 24)


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_a_dialect_changes_nothing(tmp_path: Path, sep: str) -> None:
    """The same table fires the same alerts."""
    columns: dict[str, Any] = {"event_time": times(), "x": numbers(50, 80), "k": words("aab", "bbc")}
    config = config_of(tmp_path, "{numerical: [x], categorical: [k]}")
    expected = {("Drift", "x"), ("Drift", "k"), ("New", "k")}
    assert run(write_csv(tmp_path / "t", columns, sep), config)[0] == expected
    commas = {**columns, "x": [str(value).replace(".", ",") for value in columns["x"]]}
    assert run(write_csv(tmp_path / "t", commas, sep), config, csv="decimal=," if sep == "," else None)[0] == expected
