"""Plain files: tables (Parquet, CSV) and JSONL files of native events, as native events in blocks.

A table's row becomes an event of one model and stream: its columns are the features (or the prediction's fields), its
id the number of the row, its time the column of that name, or start + number * step if there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from monitor.codec.canonical import time_text
from monitor.contract import StreamContract
from monitor.errors import ConfigurationError
from monitor.events import StreamName

TABLES = (".parquet", ".csv")
BLOCK = 5000
DEFAULT_START_MS = 946_684_800_000
"""2000-01-01T00:00:00Z: of tables without times."""


@dataclass(frozen=True, slots=True)
class TableRows:
    """How the rows of a table become events. `step_ms` apart from `start_ms` on, unless the table has times."""

    model: str
    stream: StreamContract
    start_ms: int = DEFAULT_START_MS
    step_ms: int = 1000


def is_table(path: Path) -> bool:
    return path.suffix.lower() in TABLES


def events_of_table(path: Path, rows: TableRows) -> Iterator[list[bytes]]:
    """The table's rows as native events, in blocks."""
    number = 0
    for block in _blocks(path):
        values = block.to_pylist()
        yield [_event(rows, row, number + i) for i, row in enumerate(values)]
        number += len(values)


def columns_of_table(path: Path) -> tuple[str, ...]:
    """Names of the table's columns."""
    with _named(path):
        if _is_parquet(path):
            return tuple(pa.parquet.ParquetFile(path).schema_arrow.names)
        with pa.csv.open_csv(path) as reader:
            return tuple(reader.schema.names)


def rows_of_table(path: Path) -> int:
    """The number of rows, if the file says it without being read; else 0."""
    with _named(path):
        return int(pa.parquet.ParquetFile(path).metadata.num_rows) if _is_parquet(path) else 0


def _blocks(path: Path) -> Iterator[pa.RecordBatch]:
    with _named(path):
        if _is_parquet(path):
            yield from pa.parquet.ParquetFile(path).iter_batches(batch_size=BLOCK)
            return
        with pa.csv.open_csv(path) as reader:
            for block in reader:
                for start in range(0, block.num_rows, BLOCK):
                    yield block.slice(start, BLOCK)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What can't be read raises a ConfigurationError that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _event(rows: TableRows, row: dict[str, object], number: int) -> bytes:
    """One native event; NaN becomes null."""
    stream = rows.stream
    event: dict[str, object] = {"event_id": str(number), "prediction_id": str(number), "model": rows.model}
    event[stream.time_field] = _time(row.get(stream.time_field), rows.start_ms + number * rows.step_ms)
    values = {column.field: row[column.field] for column in stream.columns if column.field in row}
    if stream.stream == "features":
        event["features"] = values
    else:
        event.update(values)
    return msgspec.json.encode(event)


def _time(value: object, instead: int) -> object:
    if value is None:
        return time_text(instead)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "") + ("" if _has_zone(value) else "Z")
    return value


def _has_zone(value: datetime) -> bool:
    offset = value.utcoffset()
    return offset is not None and bool(offset)


def lines_of(path: Path) -> Iterator[list[bytes]]:
    """The lines of a text file in blocks, without their ends; empty lines are left out."""
    try:
        with path.open("rb") as file:
            block = []
            for line in file:
                if line.strip():
                    block.append(line.rstrip(b"\r\n"))
                if len(block) == BLOCK:
                    yield block
                    block = []
            if block:
                yield block
    except OSError as error:
        raise ConfigurationError(f"{path}: {error}") from error


class _Shape(msgspec.Struct):
    """What tells a feature event from a prediction."""

    features: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def by_topic(lines: Sequence[bytes], streams: Sequence[StreamContract]) -> dict[str, list[bytes]]:
    """Native events by the topic of their stream; what can't be read goes to the first, to be named there."""
    topic_of = {stream.stream: stream.topic for stream in streams}
    first = streams[0].stream
    found: dict[str, list[bytes]] = {}
    decode = msgspec.json.Decoder(_Shape).decode
    for line in lines:  # each line says by itself what it is
        try:
            stream: StreamName = "predictions" if decode(line).features is msgspec.UNSET else "features"
        except msgspec.DecodeError:
            stream = first
        found.setdefault(topic_of.get(stream, topic_of[first]), []).append(line)
    return found
