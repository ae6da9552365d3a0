"""Files by their content: formats, dialects of CSV, and what is refused."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from monitor.errors import ConfigurationError
from monitor.events import CellState
from monitor.sources.csv_dialect import CsvFlags, parse_csv_flags
from monitor.sources.table_rows import TableReader, TableRows
from monitor.sources.unusable import Unusable
from tests.unit.sources.tables import CONTRACT, STREAM, TIME, TIME_MS, Row, cells, read, write

TABLE = pa.table(
    {"event_time": [TIME] * 3, "x": [1.5, None, -2.0], "b": [1, 0, 1], "c": ["ä", "b, c", 'd"e'], "t": ["1", "22", "3"]}
)
PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "zstd": lambda raw: bytes(pa.compress(raw, "zstd", asbytes=True)),
}


def expected(tmp_path: Path) -> list[Row]:
    return cells(read(write(TABLE, tmp_path / "expected", "parquet")))


@pytest.mark.parametrize("form", ["parquet", "feather", "stream", "orc", "csv"])
@pytest.mark.parametrize("name", ["t", "t.csv", "t.parquet", "t.jsonl", "t.xlsx"])
def test_a_name_says_nothing(tmp_path: Path, form: str, name: str) -> None:
    """Every format is read under every name."""
    assert cells(read(write(TABLE, tmp_path / name, form))) == expected(tmp_path)


def csv_text(sep: str, decimal: str = ".", end: str = "\n") -> str:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if sep in cell or '"' in cell or decimal in cell else cell

    rows = [["" if cell is None else str(cell) for cell in row.values()] for row in TABLE.to_pylist()]
    for row in rows:
        row[1] = row[1].replace(".", decimal)
    return end.join(sep.join(map(quoted, row)) for row in [list(TABLE.column_names), *rows]) + end


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("pack", list(PACK))
def test_every_dialect_of_csv_is_read(tmp_path: Path, sep: str, encoding: str, pack: str) -> None:
    """Separator, encoding and compression are found; Latin-1 is said."""
    path, unusable = tmp_path / "t", Unusable()
    path.write_bytes(PACK[pack](csv_text(sep, end="\r\n").encode(encoding)))
    assert cells(read(path, unusable)) == expected(tmp_path)
    assert ("not UTF-8: read as Latin-1" in unusable.lines()) == (encoding == "latin-1")


@pytest.mark.parametrize("sep", [";", "\t", "|"])
def test_a_decimal_comma_is_found(tmp_path: Path, sep: str) -> None:
    """If the comma does not separate and no number has a point."""
    path = tmp_path / "t"
    path.write_text(csv_text(sep, decimal=","))
    assert cells(read(path)) == expected(tmp_path)
    path.write_text(csv_text(sep, decimal=",") + sep.join([TIME, "3.5", "", "", ""]))
    assert cells(read(path))[0][2][:1] == [CellState.WRONG_TYPE]  # 1,5 is no number now
    flags = TableRows(CONTRACT, STREAM, csv=CsvFlags(decimal=","))
    assert cells(read(path, rows=flags))[:3] == expected(tmp_path)


def test_one_letter_far_behind_makes_latin_1(tmp_path: Path) -> None:
    """The whole file is looked at before the first row is read."""
    path = tmp_path / "t"
    path.write_bytes(b"event_time,c\n" + f"{TIME},a\n".encode() * 100_000 + f"{TIME},\xe9\n".encode("latin-1"))
    assert cells(read(path))[-1][3] == ("é",)


def test_flags_decide(tmp_path: Path) -> None:
    """A separator that nobody would look for."""
    path = tmp_path / "t"
    path.write_text(csv_text("~"))
    assert cells(read(path, rows=TableRows(CONTRACT, STREAM, csv=parse_csv_flags("sep=~")))) == expected(tmp_path)


@pytest.mark.parametrize("text", ["sep", "sep=ab", "decimal=;", "sep=,,decimal=,", 'sep="', "quote=x"])
def test_wrong_flags_are_refused(text: str) -> None:
    """In one line that says what to write."""
    with pytest.raises(ConfigurationError, match="--csv"):
        parse_csv_flags(text)


def test_cells_may_hold_separators_quotes_and_line_ends(tmp_path: Path) -> None:
    """A quoted cell is one cell; a line with another number of cells is left out, and counted."""
    path, unusable = tmp_path / "t", Unusable()
    path.write_text(f'event_time,c,x\n{TIME},"a\nb, ""c""",1\n{TIME},too,few,cells\n\n{TIME},"",2\n')
    rows = cells(read(path, unusable))
    assert [(row[3], row[4]) for row in rows] == [(('a\nb, "c"',), [0]), (("",), [1])]
    assert any(line.startswith("1 lines left out") for line in unusable.lines())


def test_only_watched_columns_are_read(tmp_path: Path) -> None:
    """What can't be used in another column, or is of any type, costs nothing."""
    odd = pa.array([2**62] * 3).view(pa.timestamp("s"))
    for form in ("feather", "stream"):
        table = TABLE.append_column("other", odd).append_column("more", pa.array([{"a": 1}] * 3))
        assert cells(read(write(table, tmp_path / "t", form))) == expected(tmp_path)


def test_a_watched_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """Nobody can know which is meant; another one may stand twice."""
    table = pa.table([[TIME], [1.0], [2.0]], names=["event_time", "x", "x"])
    with pytest.raises(ConfigurationError, match="x more than once"):
        read(write(table, tmp_path / "t", "feather"))
    table = pa.table([[TIME], [1.0], [1], [2]], names=["event_time", "x", "y", "y"])
    for form in ("feather", "csv", "parquet"):
        assert cells(read(write(table, tmp_path / "t", form)))[0][0] == TIME_MS


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK\x03\x04rest", r"\.xlsx.*save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0", "save the sheet as CSV"),
        (b"SQLite format 3\0", "export the table"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"Obj\x01", "Avro"),
        (b"\xfd7zXZ\0", "unpack it"),
        (b"FEA1", "version 2"),
        (b"%PDF-1.7", "PDF"),
        (b"a,b\0c\n", "not Parquet"),
        (b"", "is empty"),
        (gzip.compress(b"PAR1", mtime=0), "unpack it first"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (gzip.compress(b"event_time,x\n" * 9999, mtime=0)[:60], "t.csv"),
    ],
)
def test_other_files_are_refused_with_what_to_do(tmp_path: Path, content: bytes, why: str) -> None:
    """By what they hold, in one line."""
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=why) as raised:
        read(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("form", ["parquet", "csv", "stream"])
def test_a_long_table_is_never_held(tmp_path: Path, form: str) -> None:
    """However long it is, and also if its rows are one row group: what Arrow holds meanwhile is a small part of it."""
    rows = 1_500_000
    numbers = np.random.default_rng(1).normal(size=rows)
    path = write(pa.table({"event_time": np.full(rows, TIME_MS), "x": numbers}), tmp_path / "t", form)
    reader = TableReader(path, TableRows(CONTRACT, STREAM))
    before, most = pa.total_allocated_bytes(), 0
    for _ in reader.batches():
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < rows * 16 / 2
