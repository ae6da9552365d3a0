"""Tables and JSONL files as native events, and references from them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from monitor.config import load
from monitor.contract import ColumnSpec, ModelContract, StreamContract
from monitor.errors import ConfigurationError
from monitor.sources.plain_files import TableRows, columns_of_table, events_of_table, lines_of
from monitor.sources.recordings import plain
from monitor.sources.references import (
    read_reference_file,
    reference_decisions,
    references_of_file,
    write_reference_file,
)

STREAM = StreamContract(
    "features", "in", "event_time", (ColumnSpec("x", "x", "numerical"), ColumnSpec("c", "c", "categorical"))
)
CONTRACT = ModelContract("m", 10_000, 30_000, 30_000, 60_000, 100, 2048, (STREAM,))


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_rows_become_events(tmp_path: Path, ending: str) -> None:
    """Columns are features, the row's number is the id, NaN is null, time goes on by steps."""
    path = tmp_path / f"table{ending}"
    table = pa.table({"x": [1.5, float("nan"), None], "c": ["a", "b", "c"], "other": [1, 2, 3]})
    (pa.parquet.write_table if ending == ".parquet" else pa.csv.write_csv)(table, path)
    events = [json.loads(e) for block in events_of_table(path, TableRows("m", STREAM, step_ms=1500)) for e in block]
    assert [event["features"] for event in events] == [
        {"x": 1.5, "c": "a"},
        {"x": None, "c": "b"},
        {"x": None, "c": "c"},
    ]
    assert [event["event_time"] for event in events] == [
        "2000-01-01T00:00:00Z",
        "2000-01-01T00:00:01.500Z",
        "2000-01-01T00:00:03Z",
    ]
    assert [(event["event_id"], event["model"]) for event in events] == [("0", "m"), ("1", "m"), ("2", "m")]


def test_a_table_may_have_its_own_times(tmp_path: Path) -> None:
    """A column named as the time field is the time; without a zone it is UTC."""
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(pa.table({"event_time": [datetime(2026, 1, 1, 2, 3, 4, 5000)], "x": [1.0]}), path)
    (block,) = events_of_table(path, TableRows("m", STREAM))
    assert json.loads(block[0])["event_time"] == "2026-01-01T02:03:04.005Z"


def test_files_that_can_not_be_read_are_named(tmp_path: Path) -> None:
    """Missing or damaged files are refused by name."""
    damaged = tmp_path / "d.parquet"
    damaged.write_bytes(b"PAR1 no")
    for path in (tmp_path / "no.csv", damaged):
        with pytest.raises(ConfigurationError, match=path.name):
            list(events_of_table(path, TableRows("m", STREAM)))
    with pytest.raises(ConfigurationError, match=r"no\.jsonl"):
        list(lines_of(tmp_path / "no.jsonl"))


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_without_rows_has_columns_and_makes_no_reference(tmp_path: Path, name: str) -> None:
    """It ends neither the command nor the thread that reads references."""
    path = tmp_path / name
    table = pa.table({"x": pa.array([], pa.float64()), "c": pa.array([], pa.string())})
    (pa.csv.write_csv if name == "t.csv" else pa.parquet.write_table)(table, path)
    assert columns_of_table(path) == ("x", "c")
    assert list(events_of_table(path, TableRows("m", STREAM))) == []
    assert references_of_file(path, CONTRACT) == []
    assert plain(path, CONTRACT, "features", 0, 1000).size == 0


@pytest.mark.parametrize(
    ("name", "content"), [("t.csv", b""), ("t.parquet", b""), ("t.parquet", b"\xff" * 900), ("t.csv", b'x,c\n"1')]
)
def test_a_damaged_table_is_named_by_whoever_reads_it(tmp_path: Path, name: str, content: bytes) -> None:
    """Replays, references and the list of its columns refuse it alike."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=name):
        references_of_file(path, CONTRACT)
    with pytest.raises(ConfigurationError, match=name):
        list(plain(path, CONTRACT, "features", 0, 1000).sequences(lambda _: None)[0])


def test_a_reference_file_gives_back_what_was_written(tmp_path: Path) -> None:
    """Grid and reference of a table, through a file of ours, keep their digests."""
    path, out = tmp_path / "t.csv", tmp_path / "ref.json"
    pa.csv.write_csv(pa.table({"x": [float(i) for i in range(1000)], "c": ["a", "b"] * 500}), path)
    ((grid, reference),) = references_of_file(path, CONTRACT, limit=600)
    assert reference.events == 600
    assert len(reference.slices) == 12
    out.write_bytes(write_reference_file([(grid, reference)]))
    ((again, same),) = read_reference_file(out.read_bytes())
    assert (again.digest, same.digest) == (grid.digest, reference.digest)
    ((ready, _),) = references_of_file(out, CONTRACT)
    assert ready.digest == grid.digest


def test_a_reference_without_any_column_of_the_model_is_refused(tmp_path: Path) -> None:
    """A file of other columns makes no reference."""
    path = tmp_path / "t.csv"
    pa.csv.write_csv(pa.table({"z": [1.0]}), path)
    config = load(
        f"version: 1\nmodels:\n  m:\n    task: regression\n    streams: {{features: {{topic: in}}}}\n"
        f"    columns: {{numerical: [x]}}\n    reference: {{path: {path}}}\n"
        "groups:\n  - {name: g, models: [m], rules: [{alert: A, expr: psi > 0.2}]}\n",
        "alerts.yaml",
    )
    with pytest.raises(ConfigurationError, match="no column"):
        reference_decisions(None, config.models[0])
