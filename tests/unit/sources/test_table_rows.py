"""Rows of tables: the same cells as from a topic, times in all their forms, and what can't be used."""

from __future__ import annotations

import csv
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.codec import reasons
from monitor.codec.event_times import read_texts
from monitor.contract import TimeForm
from monitor.errors import ConfigurationError
from monitor.events import CellState
from monitor.sources.arrow_times import times_of
from monitor.sources.table_rows import TableRows
from monitor.sources.unusable import Unusable
from tests.unit.sources.tables import CONTRACT, STREAM, TIME, TIME_MS, cells, decoded_json, read, write

NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53).map(float)
FLAGS = st.none() | st.sampled_from([0, 1, 2])
WORDS = st.none() | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=6)
ROWS = st.lists(st.fixed_dictionaries({"x": NUMBERS, "b": FLAGS, "c": WORDS, "t": WORDS}), min_size=1, max_size=20)
TYPES = {"x": pa.float64(), "b": pa.int8(), "c": pa.string(), "t": pa.string()}


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()}
    return pa.table({"event_time": [TIME] * len(rows), **columns})


def write_csv(rows: list[dict[str, Any]], path: Path, **form: Any) -> Path:
    with path.open("w", encoding=form.pop("encoding", "utf-8"), newline="") as file:
        writer = csv.writer(file, **form)
        writer.writerow(["event_time", *TYPES])
        writer.writerows([TIME, *("" if row[name] is None else row[name] for name in TYPES)] for row in rows)
    return path


@settings(max_examples=40, derandomize=True)
@given(ROWS, st.integers(1, 7))
def test_the_same_rows_give_the_same_cells_in_every_format(rows: list[dict[str, Any]], piece: int) -> None:
    """From a topic, Parquet, Feather, ORC and CSV, however the rows are cut into pieces."""
    expected = decoded_json(rows)
    with tempfile.TemporaryDirectory() as folder:
        for form in ("parquet", "feather", "stream", "orc"):
            assert cells(read(write(table_of(rows), Path(folder) / "file", form), piece=piece)) == expected
        assert cells(read(write_csv(rows, Path(folder) / "t"), piece=piece)) == expected
        assert cells(read(write_csv(rows, Path(folder) / "t", delimiter=";", quoting=csv.QUOTE_ALL))) == expected


def test_the_bytes_of_a_row_are_the_event_that_gives_its_cells(tmp_path: Path) -> None:
    """So a dead letter quotes what a topic would have carried."""
    rows: list[dict[str, Any]] = [{"x": 1.5, "b": 1, "c": "a", "t": "abc"}, {"x": None, "b": 2, "c": None, "t": ""}]
    path = write(table_of(rows), tmp_path / "t", "parquet")
    from monitor.codec.decode import Decoder
    from monitor.sources.table_rows import TableReader

    (batch,) = TableReader(path, TableRows(CONTRACT, STREAM)).batches()
    assert cells([Decoder("in", [CONTRACT]).decode(batch_of_bytes(batch))]) == cells(read(path))


def batch_of_bytes(batch: Any) -> Any:
    return type(batch)(
        batch.topic, batch.partition, batch.offsets, batch.timestamps, batch.keys, list(batch.values), batch.headers
    )


@pytest.mark.parametrize(
    ("times", "note"),
    [
        (pa.array(["2026-03-01T00:00:00Z"]), ""),
        (pa.array(["2026-03-01T01:00:00+01:00"]), ""),
        (pa.array(["2026-03-01T00:00:00"]), "without offset"),
        (pa.array(["2026-03-01 00:00:00.000123"]), "without offset"),
        (pa.array(["2026-03-01 00:00"]), "without offset"),
        (pa.array([" 2026-03-01 "]), "midnight"),
        (pa.array(["2026-03-01"]).dictionary_encode(), "midnight"),
        (pa.array([b"2026-03-01"]), "midnight"),
        (pa.array(["1772323200"]), "read as s"),
        (pa.array(["1772323200000"]), "read as ms"),
        (pa.array(["1772323200.0"]), "read as s"),
        (pa.array([1772323200], pa.uint32()), "read as s"),
        (pa.array([1772323200000]), "read as ms"),
        (pa.array([1772323200000000]), "read as us"),
        (pa.array([1772323200000000000]), "read as ns"),
        (pa.array([1772323200.0]), "read as s"),
        (pa.array([1772323200]).cast(pa.decimal128(20, 0)), "read as s"),
        (pa.array([date(2026, 3, 1)]), "midnight"),
        (pa.array([date(2026, 3, 1)], pa.date64()), "midnight"),
        *[(pa.array([datetime(2026, 3, 1)], pa.timestamp(unit)), "without offset") for unit in ("s", "ms", "us", "ns")],
        *[
            (pa.array([datetime(2026, 3, 1, tzinfo=UTC)], pa.timestamp(unit, zone)), "")
            for unit, zone in (("s", "UTC"), ("ns", "Europe/Berlin"))
        ],
        (pa.array([TIME_MS * 10**6 + 999_999]).cast(pa.timestamp("ns", "UTC")), ""),
    ],
    ids=str,
)
def test_a_time_is_read_in_every_form(tmp_path: Path, times: pa.Array, note: str) -> None:
    """What is taken for granted is said; digits past the millisecond are cut."""
    unusable = Unusable()
    (batch,) = read(write(pa.table({"event_time": times, "x": [1.0]}), tmp_path / "t", "parquet"), unusable)
    assert [rows.time.tolist() for rows in batch.rows] == [[TIME_MS]]
    lines = [line for line in unusable.lines() if "no column" not in line]
    assert [note in line for line in lines] == [True] * bool(note)


ALMOST = st.text("0123456789-:.TZtz +", min_size=20, max_size=20) | st.builds(
    lambda text, place, letter: text[:place] + letter + text[place + 1 :],
    st.sampled_from(["2026-03-01T00:00:00Z", "2024-02-29 23:59:59Z", "2026-03-01T00:00:00.999Z"]),
    st.integers(0, 23),
    st.sampled_from([*"0123456789", *"-:.TZtz +"]),
)


@settings(derandomize=True)
@given(st.lists(ALMOST, min_size=1, max_size=4))
def test_a_time_is_the_same_whatever_stands_beside_it(texts: list[str]) -> None:
    """Arrow reads a column of usual times; what one alone gives is what it gives among others."""
    assert times_of(pa.array(texts), TimeForm()).times.tolist() == [
        int(read_texts([text], TimeForm()).times[0]) for text in texts
    ]


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        (pa.array([None, None], pa.string()), reasons.MISSING_TIME),
        (pa.array([None], pa.timestamp("us")), reasons.MISSING_TIME),
        (pa.nulls(1), reasons.MISSING_TIME),
        (pa.array(["01.03.2026"]), reasons.INVALID_TIME),
        (pa.array(["2026-02-30"]), reasons.INVALID_TIME),
        (pa.array(["99999999999999999999"]), reasons.INVALID_TIME),
        (pa.array([12]), reasons.INVALID_TIME),
        (pa.array([float("nan")]), reasons.INVALID_TIME),
        (pa.array([True]), reasons.INVALID_TIME),
        (pa.array([[1]]), reasons.INVALID_TIME),
        (pa.array([1], pa.time32("s")), reasons.INVALID_TIME),
        (pa.array(["1999-12-31T23:59:59Z"]), reasons.TIME_OUT_OF_RANGE),
        (pa.array([2**62]).view(pa.timestamp("s")), reasons.TIME_OUT_OF_RANGE),
        (pa.array([2**62]).view(pa.timestamp("ns")), reasons.TIME_OUT_OF_RANGE),
        (pa.array([3_000_000], pa.int32()).view(pa.date32()), reasons.TIME_OUT_OF_RANGE),
    ],
    ids=str,
)
def test_a_row_without_a_time_is_a_dead_letter(tmp_path: Path, times: pa.Array, reason: str) -> None:
    """No time is made up; the others of the block keep theirs."""
    unusable = Unusable()
    table = pa.table({"event_time": times, "x": [1.0] * len(times)})
    batches = read(write(table, tmp_path / "t", "feather"), unusable)
    assert [rejected.reason for batch in batches for rejected in batch.rejected] == [reason] * len(times)
    assert not any(batch.rows for batch in batches)
    assert any(f"column event_time: {len(times)} of {len(times)}" in line for line in unusable.lines())


def test_some_rows_without_a_time_cost_only_themselves(tmp_path: Path) -> None:
    """Their offsets are rejected, and the others keep theirs, in whatever pieces."""
    table = pa.table({"event_time": [TIME, None, "?", TIME], "x": [1.0, 2.0, 3.0, 4.0], "c": ["a", "b", "c", "d"]})
    path = write(table, tmp_path / "t", "parquet")
    for piece in (1, 3, 100):
        batches = read(path, piece=piece)
        assert [r.offset for batch in batches for r in batch.rejected] == [1, 2]
        assert [o for batch in batches for rows in batch.rows for o in rows.offset.tolist()] == [0, 3]
        assert [c for batch in batches for rows in batch.rows for c in rows.categorical[0]] == ["a", "d"]


def test_a_table_without_times_needs_a_start(tmp_path: Path) -> None:
    """It is refused with the names that it has; with a start its rows are a step apart."""
    path = write(pa.table({"Event_Time": [TIME] * 2, "x": [1.0, 2.0]}), tmp_path / "t", "parquet")
    with pytest.raises(ConfigurationError, match=r"no column event_time.*did you mean 'Event_Time'.*--start"):
        read(path)
    (batch,) = read(path, rows=TableRows(CONTRACT, STREAM, 5_000, 1_500))
    assert batch.rows[0].time.tolist() == [5_000, 6_500]


def test_a_table_with_none_of_the_columns_is_refused(tmp_path: Path) -> None:
    """With what it has, and what was probably meant; one column that is missing is absent, and said."""
    with pytest.raises(ConfigurationError, match=r"did you mean ' x'.*it has 'event_time', ' x'"):
        read(write(pa.table({"event_time": [TIME], " x": [1.0]}), tmp_path / "t", "csv"))
    unusable = Unusable()
    (batch,) = read(write(pa.table({"event_time": [TIME], "x": [1.0], "C": ["a"]}), tmp_path / "t", "csv"), unusable)
    assert batch.rows[0].categorical_states.tolist() == [[CellState.ABSENT]]
    assert any("has no column c; did you mean 'C'?" in line for line in unusable.lines())


@pytest.mark.parametrize("place", [0, 59_990])
def test_one_dash_costs_its_cell_alone(tmp_path: Path, place: int) -> None:
    """Also far behind the first megabyte; and it is named by its row."""
    path = tmp_path / "t"
    lines = [f"{TIME},{'-' if i == place else i % 50 + 0.5},a{'b' * 20}" for i in range(60_000)]
    path.write_text("\n".join(["event_time,x,c", *lines]))
    unusable = Unusable()
    states = [state for batch in read(path, unusable) for rows in batch.rows for state in rows.numeric_states[:, 0]]
    assert [i for i, state in enumerate(states) if state] == [place]
    assert f"column x: 1 of 60000 values not used (1 of a wrong type; row {place + 1}: '-')" in unusable.lines()


def test_three_examples_are_kept_and_shown_whole(tmp_path: Path) -> None:
    """A hostile value is quoted, and cut."""
    table = pa.table({"event_time": [TIME] * 9, "x": ["\x1b[31m", "y" * 99, "n", *"abcdef"]})
    unusable = Unusable()
    read(write(table, tmp_path / "t", "parquet"), unusable)
    (line,) = [line for line in unusable.lines() if line.startswith("column x")]
    assert line.startswith("column x: 9 of 9 values not used (9 of a wrong type; row 1: '\\x1b[31m', row 2: 'yyyy")
    assert line.endswith("...', row 3: 'n')")
