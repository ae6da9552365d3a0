"""Files through `replay` as users have them: one table with predictions, monthly files, folders, odd formats."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from monitor.cli.reference import build
from monitor.cli.replay import Options, Outcome, replay
from monitor.errors import ConfigurationError
from tests.unit.cli.test_tables import config_of, numbers, run, times, words, write_csv

BOTH = """
version: 1
defaults: {window: {events: 300, every: 100}, lateness: 10s, no_data: off}
models:
  m:
    task: classification_binary
    streams: {features: {topic: f}, predictions: {topic: p}}
    columns: {prediction: y_pred, probability: proba, numerical: [x]}
    reference: {first: 500}
groups: [{name: g, model: m, rules: [{alert: Drift, expr: psi > 0.25}]}]
"""


def replayed(config: Path, *sources: Path | str, **options: Any) -> tuple[set[str], Outcome]:
    """The columns that drift, and the outcome."""
    out = config.parent / "alerts.jsonl"
    outcome = replay(Options(tuple(map(str, sources)), config, alerts_out=out, **options))
    return {json.loads(line)["data"]["labels"]["column"] for line in out.read_text().splitlines()}, outcome


def test_a_table_of_features_and_predictions_is_replayed_in_one_run(tmp_path: Path) -> None:
    """Named twice it is read once; `--stream` takes one of them; two tables say the same as one."""
    (config := tmp_path / "alerts.yaml").write_text(BOTH)
    features: dict[str, Any] = {"event_time": times(), "x": numbers(50, 50)}
    predictions: dict[str, Any] = {
        "event_time": times(),
        "y_pred": words([0, 0, 1], [1, 1, 0]),
        "proba": numbers(50, 90),
    }
    for writer in (write_csv, lambda path, columns: pa.parquet.write_table(pa.table(columns), path) or path):
        both = writer(tmp_path / "both", {**features, **predictions})
        for sources in ([both], [both, both], [writer(tmp_path / "f", features), writer(tmp_path / "p", predictions)]):
            drifted, outcome = replayed(config, *sources)
            assert (drifted, outcome.records) == ({"prediction", "probability"}, 2400)
    assert replayed(config, both, stream="features") == (set(), Outcome(1200, 0, 0, 0))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_files_of_one_stream_are_one_log(tmp_path: Path, order: tuple[int, ...]) -> None:
    """By name in any order, as a folder, as a pattern; also if one is out of order in itself."""
    config = config_of(tmp_path, "{numerical: [x]}")
    stamps, values = times(), numbers(50, 80)
    (tmp_path / "parts").mkdir()
    paths = []
    for k in range(3):
        rows = [*zip(stamps, values, strict=True)][400 * k : 400 * k + 400]
        columns = [*zip(*(rows[::-1] if k == 1 else rows), strict=True)]
        table = {"event_time": columns[0], "x": columns[1]}
        paths.append(write_csv(tmp_path / "parts" / f"{k}", table))
    expected = run(write_csv(tmp_path / "whole", {"event_time": stamps, "x": values}), config)
    text = (tmp_path / "alerts.jsonl").read_bytes()
    assert expected[0] == {("Drift", "x")}
    for sources in ([paths[k] for k in order], [tmp_path / "parts"], [tmp_path / "parts" / "[0-9]"]):
        assert replayed(config, *sources)[1] == expected[1]
        assert (tmp_path / "alerts.jsonl").read_bytes() == text


def test_what_is_taken_for_granted_is_printed_once_for_all_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a bad value with its file and row."""
    config = config_of(tmp_path, "{numerical: [x]}")
    (tmp_path / "parts").mkdir()
    for k in range(3):
        stamps = [stamp.removesuffix("Z") for stamp in times()[400 * k : 400 * k + 400]]
        write_csv(tmp_path / "parts" / f"{k}.csv", {"event_time": stamps, "x": ["?", *numbers(50, 50)[:399]]})
    assert replayed(config, tmp_path / "parts")[1].records == 1200
    error = capsys.readouterr().err
    assert error.count("taken as UTC") == 1
    assert "column x: 3 of 1200 values not used (3 of a wrong type; " in error
    assert "parts/1.csv row 1: '?'" in error


def parquet(path: Path) -> None:
    pa.parquet.write_table(pa.table({"event_time": pa.array([], pa.string()), "x": pa.array([], pa.float64())}), path)


EMPTY: dict[str, Callable[[Path], object]] = {
    "header": lambda path: path.write_text("event_time,x\n"),
    "header without end": lambda path: path.write_text("x;event_time"),
    "gzip": lambda path: path.write_bytes(gzip.compress(b"event_time,x\n", mtime=0)),
    "parquet": parquet,
    "array": lambda path: path.write_text("[]"),
    "spaces": lambda path: path.write_text(" \n\n"),
    "nothing": lambda path: path.write_bytes(b""),
    "mark": lambda path: path.write_bytes(b"\xef\xbb\xbf"),
}


@pytest.mark.parametrize("form", list(EMPTY))
def test_a_table_without_rows_is_refused_everywhere(tmp_path: Path, form: str) -> None:
    """By `replay`, by `reference build` and as a reference: in one line with its name."""
    EMPTY[form](path := tmp_path / "t")
    config = config_of(tmp_path, "{numerical: [x]}", f"{{path: {path}}}")
    stream = write_csv(tmp_path / "stream", {"event_time": times(), "x": numbers(50, 50)})
    for act in (
        lambda: run(path, config),
        lambda: run(stream, config),
        lambda: build(path, tmp_path / "r.json", config, None, None, None),
    ):
        with pytest.raises(ConfigurationError, match=r"/t:? (has no rows|is empty)") as raised:
            act()
        assert "\n" not in str(raised.value)


def test_an_empty_part_among_others_costs_nothing(tmp_path: Path) -> None:
    """Programs that write parts leave some without rows."""
    config = config_of(tmp_path, "{numerical: [x]}")
    (tmp_path / "parts").mkdir()
    write_csv(tmp_path / "parts" / "1", {"event_time": times(), "x": numbers(50, 80)})
    parquet(tmp_path / "parts" / "0")
    assert replayed(config, tmp_path / "parts") == ({"x"}, Outcome(1200, 1, 0, 0))


def test_the_same_rows_fire_the_same_alerts_in_every_form(tmp_path: Path) -> None:
    """Separators, compression, Parquet under another name and an array of JSON; a workbook is refused by name."""
    config = config_of(tmp_path, "{numerical: [x], categorical: [k]}")
    table: dict[str, Any] = {"event_time": times(), "x": numbers(50, 80), "k": words("aab", "bbc")}
    write_csv(tmp_path / "semicolon.csv", table, ";")
    write_csv(tmp_path / "tab.tsv", table, "\t")
    raw = write_csv(tmp_path / "plain", table).read_bytes()
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(raw, mtime=0))
    (tmp_path / "t.csv.zst").write_bytes(pa.compress(raw, "zstd", asbytes=True))
    pa.parquet.write_table(pa.table(table), tmp_path / "x.parq")
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    (tmp_path / "array.json").write_text(json.dumps(rows, indent=1))
    expected = {("Drift", "x"), ("Drift", "k"), ("New", "k")}
    for name in ("semicolon.csv", "tab.tsv", "t.csv.gz", "t.csv.zst", "x.parq", "array.json"):
        assert run(tmp_path / name, config)[0] == expected, name
    (tmp_path / "x.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(ConfigurationError, match=r"x\.xlsx: is .* Excel .*save the sheet as CSV"):
        run(tmp_path / "x.xlsx", config)


def test_what_is_odd_about_the_times_of_a_reference_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Times without offset are read as UTC, in a compressed table, too; rows without a usable time are counted."""
    naive = [stamp.removesuffix("Z").replace("T", " ") for stamp in times()]
    raw = write_csv(tmp_path / "r", {"event_time": naive, "x": numbers(50, 50)}).read_bytes()
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(raw, mtime=0))
    some = ["unknown" if i % 3 == 0 else stamp for i, stamp in enumerate(times())]
    write_csv(tmp_path / "bad", {"event_time": some, "x": numbers(50, 50)})
    backwards: dict[str, Any] = {"event_time": times()[::-1], "x": numbers(50, 50)}
    stream = write_csv(tmp_path / "t", {"event_time": times(), "x": numbers(50, 50)})
    for table, said, rows in (
        (tmp_path / "r", "taken as UTC", 1200),
        (tmp_path / "r.csv.gz", "taken as UTC", 1200),
        (tmp_path / "bad", "400 of 1200 values not used (400 invalid_time; row 1: 'unknown', row 4", 800),
        (write_csv(tmp_path / "backwards", backwards), "", 1200),
    ):
        config = config_of(tmp_path, "{numerical: [x]}", f"{{path: {table}}}")
        assert run(stream, config)[0] == set()
        assert said in capsys.readouterr().err
        build(table, tmp_path / "r.json", config, None, None, None)
        printed = capsys.readouterr()
        assert said in printed.err
        assert f"m/features, {rows} rows" in printed.out
