"""Several files as one log: order, formats, streams, and what is held meanwhile."""

from __future__ import annotations

import gzip
import json
import random
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from monitor.codec.canonical import time_text
from monitor.codec.decode import Decoder
from monitor.contract import ColumnSpec, ModelContract, StreamContract
from monitor.errors import ConfigurationError
from monitor.sources.file_content import content_of
from monitor.sources.file_recordings import PlainRows, plain
from monitor.sources.references import references_of_file
from monitor.sources.sort_commands import sort_command
from monitor.sources.source_paths import paths_of
from monitor.sources.table_values import TableDecoder
from monitor.sources.unusable import Unusable
from tests.unit.sources.tables import TIME_MS, write

FEATURES = StreamContract(
    "features", "in", "event_time", (ColumnSpec("x", "x", "numerical"), ColumnSpec("c", "c", "categorical"))
)
PREDICTIONS = StreamContract("predictions", "out", "event_time", (ColumnSpec("prediction", "p", "numerical"),))
CONTRACT = ModelContract("m", 10_000, 30_000, 30_000, 60_000, 100, 2048, (FEATURES, PREDICTIONS))
Row = dict[str, Any]
TABLES = ("parquet", "feather", "stream", "orc", "csv")


def rows_of(n: int, seed: int = 1) -> list[Row]:
    """Rows in order of time, some at the same time; `x` is the number of the row."""
    rng = random.Random(seed)
    times = sorted(TIME_MS + 500 * rng.randrange(n) for _ in range(n))
    return [{"event_time": time_text(time), "x": float(i), "c": rng.choice("ab")} for i, time in enumerate(times)]


def write_rows(rows: Sequence[Row], path: Path, form: str) -> Path:
    if form in TABLES:
        table = pa.Table.from_pylist(list(rows))
        if form != "csv" and pa.types.is_string(table.schema[0].type):
            table = table.set_column(0, "event_time", table["event_time"].cast(pa.timestamp("ms", "UTC")))
        return write(table, path, form)
    lines = [json.dumps(row) for row in rows]
    path.write_text("[" + ",".join(lines) + "]" if form == "array" else "\n".join(lines))
    return path


def read(paths: Sequence[Path], how: PlainRows | None = None, unusable: Unusable | None = None) -> dict[str, list[Row]]:
    """The rows of a replay by topic, in its order; offsets have no gaps."""
    found: dict[str, list[Row]] = {}
    recording = plain(paths, CONTRACT, how or PlainRows(), unusable)
    decoders = {s.topic: TableDecoder(Decoder(s.topic, [CONTRACT])) for s in CONTRACT.streams}
    for sequence in recording.sequences(lambda _: None):
        for batch in sequence:
            own = found.setdefault(batch.topic, [])
            decoded = decoders[batch.topic].decode(batch)
            at = len(own)
            own += [{} for _ in range(len(batch))]
            assert list(batch.offsets) == list(range(at, at + len(batch)))
            for rows in decoded.rows:
                for i, offset in enumerate(rows.offset.tolist()):
                    own[offset] = {
                        "time": int(rows.time[i]),
                        "numbers": rows.numeric[i].tolist(),
                        "texts": tuple(texts[i] for texts in rows.categorical),
                    }
    return found


@pytest.mark.parametrize("seed", range(6))
def test_files_of_one_stream_are_merged_by_time(tmp_path: Path, seed: int) -> None:
    """However rows are dealt out to files, in whatever formats and order: the log is that of one sorted file."""
    rng = random.Random(seed)
    rows = rows_of(3000)
    whole = read([write_rows(rows, tmp_path / "whole", "parquet")])
    files: list[list[Row]] = [[] for _ in range(rng.randint(2, 7))]
    k = 0
    for row in rows:  # pieces of any length, so that files overlap a little or much
        k = k if rng.random() < 0.95 else rng.randrange(len(files))
        files[k].append(row)
    paths = []
    for number, own in enumerate(files):
        if own:
            if rng.random() < 0.5:
                rng.shuffle(own)
            path = tmp_path / f"part-{number}"
            paths.append(write_rows(own, path, rng.choice((*TABLES, "lines", "array"))))
    merged = read(paths)["in"]

    def in_ties(found: list[Row]) -> list[Row]:
        return sorted(found, key=lambda row: (row["time"], row["numbers"]))

    assert [row["time"] for row in merged] == [row["time"] for row in whole["in"]]
    assert in_ties(merged) == in_ties(whole["in"])


@pytest.mark.parametrize("forms", [("csv",), ("parquet", "csv"), ("lines", "feather")])
def test_rows_of_the_same_time_come_in_the_order_of_the_files(tmp_path: Path, forms: tuple[str, ...]) -> None:
    """And in one file as they stand, also across its batches."""
    rows = [{"event_time": time_text(TIME_MS), "x": float(i), "c": "a"} for i in range(18_000)]
    paths = [write_rows(rows[k::3], tmp_path / f"{k}", forms[k % len(forms)]) for k in range(3)]
    expected = [row["x"] for k in range(3) for row in rows[k::3]]
    assert [row["numbers"][0] for row in read(paths)["in"]] == expected


@pytest.mark.parametrize("form", [*TABLES, "lines", "array"])
def test_a_table_out_of_order_is_sorted_and_it_is_reported(tmp_path: Path, form: str) -> None:
    """The rows are those of the sorted table, ties as they stand, examples with their rows in the file."""
    rows = rows_of(8000)
    for i in (5, 7000):
        rows[i]["c"] = None
    shuffled = rows[:]
    random.Random(3).shuffle(shuffled)
    ordered = sorted(shuffled, key=lambda row: row["event_time"].rstrip("Z"))
    unusable = Unusable()
    found = read([write_rows(shuffled, tmp_path / "t", form)], unusable=unusable)["in"]
    assert [row["numbers"][0] for row in found] == [row["x"] for row in ordered]
    assert any("sorted by event_time, because " in line for line in unusable.lines())
    unusable = Unusable()
    read([write_rows(rows, tmp_path / "t", form)], unusable=unusable)
    assert not unusable.lines()


def test_rows_of_many_batches_are_sorted_and_merged_as_one(tmp_path: Path) -> None:
    """Ties stay as they stand across batches, too; and nothing is told of what was in order."""
    n = 70_000
    rng = np.random.default_rng(1)
    times, numbers = np.sort(rng.integers(0, 1000, n)) * 100 + TIME_MS, np.arange(n, dtype=float)
    shuffled = rng.permutation(n)
    for name, order in (("sorted", np.arange(n)), ("shuffled", shuffled), ("again", shuffled)):
        table = pa.table({"event_time": times[order], "x": numbers[order], "c": ["a"] * n})
        write(table, tmp_path / name, "parquet")

    def numbers_of(*names: str) -> list[float]:
        rows = read([tmp_path / name for name in names])["in"]
        return [row["numbers"][0] for row in rows]

    place = np.empty(n)
    place[shuffled] = np.arange(n)
    expected = np.lexsort((place, times))
    assert numbers_of("shuffled") == expected.tolist()
    both = np.lexsort((np.tile(place, 2), np.repeat([0, 1], n), np.tile(times, 2))) % n
    assert numbers_of("shuffled", "again") == both.tolist()
    assert numbers_of("sorted") == numbers.tolist()


def test_a_row_without_a_time_keeps_its_place(tmp_path: Path) -> None:
    """It is a dead letter behind the row before it, and makes no table be sorted."""
    rows = rows_of(1000)
    for i in (0, 1, 17, 999):
        rows[i]["event_time"] = None
    unusable = Unusable()
    found = read([write_rows(rows, tmp_path / "t", "parquet")], unusable=unusable)["in"]
    assert [i for i, row in enumerate(found) if not row] == [0, 1, 17, 999]
    assert not any("sorted" in line for line in unusable.lines())
    rows[500], rows[300] = rows[300], rows[500]
    rows[301]["event_time"] = None
    unusable = Unusable()
    found = read([write_rows(rows, tmp_path / "t", "parquet")], unusable=unusable)["in"]
    assert sum(not row for row in found) == 5
    assert "row 1: 'None', row 2: 'None', row 18: 'None'" in " ".join(unusable.lines())


def unsorted(n: int) -> list[Row]:
    return sorted(rows_of(n), key=lambda row: -row["x"])


@pytest.mark.parametrize("form", [*TABLES, "lines", "array"])
def test_what_is_too_large_to_be_sorted_is_refused_with_the_command_that_does(tmp_path: Path, form: str) -> None:
    """In one line; the command, in a shell, gives a file that is read."""
    path = write_rows(unsorted(3000), tmp_path / "it's a table", form)
    with pytest.raises(ConfigurationError, match=r"too large to be sorted.*sort them with: ") as raised:
        read([path], PlainRows(sorted_bytes=20_000))
    assert "\n" not in str(raised.value)
    assert sort_and_read(str(raised.value).partition("sort them with: ")[2], tmp_path) == read([path])


def sort_and_read(command: str, folder: Path) -> dict[str, list[Row]]:
    before = set(folder.iterdir())
    own = command.replace("python -c", f"{shlex.quote(sys.executable)} -c")
    subprocess.run(["sh", "-c", own], check=True, cwd=folder)
    (made,) = set(folder.iterdir()) - before
    unusable = Unusable()
    found = read([made], unusable=unusable)
    assert not any("sorted" in line for line in unusable.lines())
    return found


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("form", ["plain", "quoted", "utf-16", "epochs", "decimals"])
def test_the_command_sorts_every_dialect_of_csv(
    tmp_path: Path, sep: str, pack: Callable[[bytes], bytes], form: str
) -> None:
    """Compressed, quoted, in UTF-16, with times as numbers."""
    lines = [sep.join(["c", "event_time", "x"])]
    for row in unsorted(500):
        time = row["event_time"] if form == "decimals" else time_text(TIME_MS + 1000 * int(row["x"]))
        time = str(TIME_MS // 1000 + int(row["x"])) if form == "epochs" else time
        lines.append(sep.join([f'"{sep}\n"' if form == "quoted" else row["c"], time, str(row["x"])]))
    path = tmp_path / "t"
    path.write_bytes(pack("\n".join([*lines, ""]).encode("utf-16" if form == "utf-16" else "utf-8")))
    assert sort_and_read(sort_command(content_of(path), "event_time", sep), tmp_path) == read([path])


def test_sorting_holds_what_it_needs_and_gives_it_back(tmp_path: Path) -> None:
    """Files that do not overlap are held one after the other; together they would be too much."""
    rows = rows_of(8000)
    paths = [write_rows(rows[k : k + 1000][::-1], tmp_path / f"{k}", "parquet") for k in range(0, 8000, 1000)]
    most = 1000 * (24 + 8 + 24 + 28 + 16)
    assert len(read(paths, PlainRows(sorted_bytes=most))["in"]) == 8000
    with pytest.raises(ConfigurationError, match="too large"):
        read([write_rows(rows[::-1], tmp_path / "t", "parquet")], PlainRows(sorted_bytes=most))


def test_one_table_feeds_both_streams(tmp_path: Path) -> None:
    """In one run, each with its own columns; `--stream` chooses one."""
    rows = [{**row, "p": row["x"] / 2} for row in rows_of(1000)]
    for form in (*TABLES, "lines"):
        path = write_rows(rows, tmp_path / form, form)
        found = read([path])
        assert [row["numbers"] for row in found["in"]] == [[row["x"]] for row in rows]
        assert [row["numbers"] for row in found["out"]] == [[row["x"] / 2] for row in rows]
        assert set(read([path], PlainRows("predictions"))) == {"out"}
        pairs = {grid.stream: reference.events for grid, reference in references_of_file(path, CONTRACT)}
        assert pairs == {"features": 1000, "predictions": 1000}


def test_files_of_different_streams_feed_each_its_own(tmp_path: Path) -> None:
    """Features in one file, predictions in another; one without any column is refused by name."""
    rows = rows_of(100)
    write_rows(rows, tmp_path / "a", "csv")
    write_rows([{"event_time": row["event_time"], "p": 1.0} for row in rows], tmp_path / "b", "parquet")
    found = read(paths_of(tmp_path))
    assert (len(found["in"]), len(found["out"])) == (100, 100)
    write_rows([{"event_time": row["event_time"], "q": 1.0} for row in rows], tmp_path / "odd", "orc")
    with pytest.raises(ConfigurationError, match=r"odd has no column of model m: c, p, x; it has 'event_time', 'q'"):
        read(paths_of(tmp_path))


def test_rows_without_times_are_counted_on_through_the_files(tmp_path: Path) -> None:
    """From `--start` on, in the order of the files."""
    paths = [write_rows([{"x": float(i), "c": "a"} for i in range(10)], tmp_path / f"{k}", "csv") for k in range(3)]
    found = read(paths, PlainRows(start_ms=TIME_MS))["in"]
    assert [row["time"] for row in found] == [TIME_MS + 1000 * i for i in range(30)]
    lines = [write_rows([{"x": float(i), "c": "a"} for i in range(10)], tmp_path / f"l{k}", "lines") for k in range(3)]
    assert read(lines, PlainRows(start_ms=TIME_MS)) == read(paths, PlainRows(start_ms=TIME_MS))


def test_files_of_events_are_merged_and_keep_their_own_order(tmp_path: Path) -> None:
    """A log may hold late events: they stay late."""

    def event(at: int) -> bytes:
        fields = {"event_id": str(at), "model": "m", "event_time": time_text(TIME_MS + 1000 * at)}
        return json.dumps({**fields, "features": {"x": float(at)}}).encode()

    (tmp_path / "a").write_bytes(b"\n".join(map(event, [0, 4, 1, 8])))
    (tmp_path / "b").write_bytes(b"\n".join(map(event, [2, 3, 6, 7])))
    assert [row["numbers"] for row in read([tmp_path / "a", tmp_path / "b"])["in"]] == [
        [float(at)] for at in (0, 2, 3, 4, 1, 6, 7, 8)
    ]
    table = write_rows(rows_of(10), tmp_path / "t", "csv")
    with pytest.raises(ConfigurationError, match=r"holds events, and .* rows"):
        read([tmp_path / "a", table])


def test_folders_and_patterns_name_files(tmp_path: Path) -> None:
    """In any depth, sorted; marks of programs are passed over, and a file of such a name is itself."""
    for name in ("b/2.csv", "b/1.csv", "a.csv", "_SUCCESS", "b/.1.csv.crc", "_temporary/x.csv", "odd[1].csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = ["a.csv", "b/1.csv", "b/2.csv", "odd[1].csv"]
    assert paths_of(tmp_path) == [tmp_path / name for name in names]
    assert paths_of(str(tmp_path / "b" / "*.csv")) == [tmp_path / "b/1.csv", tmp_path / "b/2.csv"]
    assert paths_of(str(tmp_path / "**" / "[12].csv")) == [tmp_path / "b/1.csv", tmp_path / "b/2.csv"]
    assert paths_of(tmp_path / "odd[1].csv") == [tmp_path / "odd[1].csv"]
    (tmp_path / "empty").mkdir()
    for source in ("no.csv", "*.no", "empty", "no\0"):
        with pytest.raises(ConfigurationError, match=r"no such file|without files|null"):
            paths_of(str(tmp_path / source))


def test_a_reference_of_several_files_is_that_of_one(tmp_path: Path) -> None:
    """A folder or a pattern; what can't be used is counted once, and shown with its file."""
    rows = rows_of(1000)
    rows[700]["x"] = None
    whole = write_rows(rows, tmp_path / "whole", "parquet")
    (tmp_path / "parts").mkdir()
    for k in range(4):
        write_rows(rows[250 * k : 250 * k + 250], tmp_path / "parts" / f"{k}.any", TABLES[k])
    ((grid, reference),) = references_of_file(whole, CONTRACT)
    for source in (tmp_path / "parts", tmp_path / "parts" / "*.any"):
        ((own, same),) = references_of_file(source, CONTRACT)
        assert own.digest == grid.digest
        assert (same.events, same.total.tolist()) == (1000, reference.total.tolist())
    (tmp_path / "parts" / "5.any").write_text("x,event_time,c\n-,2026-03-01T00:00:00Z,a\n")
    unusable = Unusable()
    references_of_file(tmp_path / "parts", CONTRACT, unusable=unusable)
    assert f"column x: 1 of 1001 values not used (1 of a wrong type; {tmp_path}/parts/5.any row 1: '-')" in (
        unusable.lines()
    )


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_year_of_files_is_never_held(tmp_path: Path, form: str) -> None:
    """What Arrow holds while forty files are merged is a small part of them."""
    rows = [{"event_time": TIME_MS + 1000 * i, "x": float(i), "c": "a"} for i in range(200_000)]
    paths = [write_rows(rows[k : k + 5000], tmp_path / f"{k:06}", form) for k in range(0, len(rows), 5000)]
    before, most, n = pa.total_allocated_bytes(), 0, 0
    for batch in plain(paths, CONTRACT, PlainRows()).sequences(lambda _: None)[0]:
        n += len(batch)
        most = max(most, pa.total_allocated_bytes() - before)
    assert n == len(rows)
    assert most < len(rows) * 24 / 4
