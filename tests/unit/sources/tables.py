"""What tests of tables share: a model with a column of every kind, and its rows in any format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet

from monitor.codec.decode import Decoder
from monitor.contract import ColumnKind, ColumnSpec, ModelContract, StreamContract
from monitor.events import Batch, RecordBatch
from monitor.sources.table_rows import TableReader, TableRows
from monitor.sources.table_values import TableDecoder
from monitor.sources.unusable import Unusable

KINDS: dict[str, ColumnKind] = {"x": "numerical", "b": "binary", "c": "categorical", "t": "text"}
STREAM = StreamContract(
    "features", "in", "event_time", tuple(ColumnSpec(name, name, kind) for name, kind in KINDS.items())
)
CONTRACT = ModelContract("m", 10_000, 30_000, 30_000, 60_000, 100, 2048, (STREAM,))
TIME = "2026-03-01T00:00:00Z"
TIME_MS = 1772323200000

Row = tuple[int, str, list[int], tuple[str, ...], list[int]]


def read(
    path: Path, unusable: Unusable | None = None, rows: TableRows | None = None, piece: int = 1 << 30
) -> list[Batch]:
    """A table's batches, decoded as a replay does, cut into pieces."""
    rows = rows or TableRows(CONTRACT, STREAM)
    reader = TableReader(path, rows, unusable)
    reader.check()
    decoder = TableDecoder(Decoder(rows.stream.topic, [rows.contract]))
    return [
        decoder.decode(batch.cut(at, at + piece)) for batch in reader.batches() for at in range(0, len(batch), piece)
    ]


def cells(batches: Sequence[Batch]) -> list[Row]:
    """What the rows hold, comparable: NaN as text."""
    return [
        (
            int(rows.time[i]),
            str(rows.numeric[i].tolist()),
            rows.numeric_states[i].tolist(),
            tuple(texts[i] for texts in rows.categorical),
            rows.categorical_states[i].tolist(),
        )
        for batch in batches
        for rows in batch.rows
        for i in range(len(rows))
    ]


def decoded_json(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """What a topic with these rows as events gives."""
    values = [
        json.dumps({"event_id": str(i), "model": "m", "event_time": TIME, "features": dict(row)}).encode()
        for i, row in enumerate(rows)
    ]
    n = len(values)
    batch = RecordBatch("in", 0, range(n), [0] * n, [None] * n, values, [()] * n)
    return cells([Decoder("in", [CONTRACT]).decode(batch)])


def write(table: pa.Table, path: Path, form: str) -> Path:
    """Write a table in a format, under a name that says nothing of it."""
    if form == "parquet":
        pa.parquet.write_table(table, path)
    elif form == "feather":
        pa.feather.write_feather(table, str(path))
    elif form == "stream":
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    elif form == "orc":
        pa.orc.write_table(table, path)
    else:
        pa.csv.write_csv(table, path)
    return path


def column_of(array: pa.Array, kind: ColumnKind, path: Path, form: str = "parquet") -> list[Row]:
    """The rows of a table with one column `v` of that kind, and times."""
    stream = StreamContract("features", "in", "event_time", (ColumnSpec("v", "v", kind),))
    contract = ModelContract("m", 10_000, 30_000, 30_000, 60_000, 100, 2048, (stream,))
    table = pa.table({"event_time": [TIME] * len(array), "v": array})
    return cells(read(write(table, path, form), rows=TableRows(contract, stream)))
