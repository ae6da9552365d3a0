"""Files of events, and references from files."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from monitor.config import load
from monitor.contract import ColumnSpec, ModelContract, StreamContract
from monitor.errors import ConfigurationError
from monitor.sources.file_content import content_of
from monitor.sources.file_recordings import PlainRows, plain
from monitor.sources.plain_files import events_of
from monitor.sources.reference_file import read_reference_file, write_reference_file
from monitor.sources.references import reference_decisions, references_of_file

STREAM = StreamContract(
    "features", "in", "event_time", (ColumnSpec("x", "x", "numerical"), ColumnSpec("c", "c", "categorical"))
)
CONTRACT = ModelContract("m", 10_000, 30_000, 30_000, 60_000, 100, 2048, (STREAM,))


def test_files_that_can_not_be_read_are_named(tmp_path: Path) -> None:
    """Missing or damaged files are refused by name."""
    damaged = tmp_path / "d.parquet"
    damaged.write_bytes(b"PAR1 no")
    for path in (tmp_path / "no.csv", damaged, tmp_path):
        with pytest.raises(ConfigurationError, match=path.name):
            references_of_file(path, CONTRACT)


def zstd(raw: bytes) -> bytes:
    return bytes(pa.compress(raw, "zstd", asbytes=True))


EVENTS = [{"event_id": str(i), "features": {"x": [1, "é]{,"], "n": i}} for i in range(3)]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, lambda raw: pa.compress(raw, "zstd", asbytes=True)]
)
def test_events_are_lines_or_an_array(tmp_path: Path, ending: str, mark: str, pack: Callable[[bytes], bytes]) -> None:
    """Compressed or not, with a byte-order mark or not, under any name."""
    path = tmp_path / "events"
    for text in (ending.join(map(json.dumps, EVENTS)), json.dumps(EVENTS), json.dumps(EVENTS, indent=2)):
        path.write_bytes(pack((mark + text + ending).encode()))
        assert [json.loads(event) for block in events_of(content_of(path)) for event in block] == EVENTS


@pytest.mark.parametrize("n", [0, 1, 30_000])
def test_an_array_is_read_part_by_part(tmp_path: Path, n: int) -> None:
    """Whatever its length, and wherever a part of the file ends."""
    path = tmp_path / "events"
    events = [{"i": i, "text": "ü" * (i % 90)} for i in range(n)]
    path.write_text(json.dumps(events, ensure_ascii=False))
    assert [json.loads(event) for block in events_of(content_of(path)) for event in block] == events


def test_a_broken_array_gives_what_stands_before(tmp_path: Path) -> None:
    """What is broken is one record, to be a dead letter."""
    path = tmp_path / "events"
    path.write_text('[{"a": 1}, {"b": 2}, {"c": oops}, {"d": 4}]')
    assert [event for block in events_of(content_of(path)) for event in block] == [
        b'{"a": 1}',
        b'{"b": 2}',
        b'{"c": oops}, {"d": 4}]',
    ]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_without_rows_has_columns_and_makes_no_reference(tmp_path: Path, name: str) -> None:
    """It is refused by name as a reference, and by a replay."""
    path = tmp_path / name
    names = {"event_time": pa.string(), "x": pa.float64(), "c": pa.string()}
    table = pa.table({column: pa.array([], kind) for column, kind in names.items()})
    (pa.csv.write_csv if name == "t.csv" else pa.parquet.write_table)(table, path)
    with pytest.raises(ConfigurationError, match=f"{name} has no rows"):
        references_of_file(path, CONTRACT)
    with pytest.raises(ConfigurationError, match=f"{name}: has no rows"):
        plain([path], CONTRACT, PlainRows("features"))


@pytest.mark.parametrize(("name", "content"), [("t.csv", b""), ("t.parquet", b""), ("t.parquet", b"\xff" * 900)])
def test_a_damaged_table_is_named_by_whoever_reads_it(tmp_path: Path, name: str, content: bytes) -> None:
    """Replays, references and the list of its columns refuse it alike."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=name):
        references_of_file(path, CONTRACT)
    with pytest.raises(ConfigurationError, match=name):
        list(plain([path], CONTRACT, PlainRows("features", 0)).sequences(lambda _: None)[0])


def test_a_reference_file_gives_back_what_was_written(tmp_path: Path) -> None:
    """Grid and reference of a table, through a file of ours, keep their digests."""
    path, out = tmp_path / "t.csv", tmp_path / "ref.json"
    pa.csv.write_csv(pa.table({"x": [float(i) for i in range(1000)], "c": ["a", "b"] * 500}), path)
    ((grid, reference),) = references_of_file(path, CONTRACT, limit=600)
    assert reference.events == 600
    assert len(reference.slices) == 12
    out.write_bytes(write_reference_file([(grid, reference)]))
    ((again, same),) = read_reference_file(out.read_bytes()).pairs
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
