"""Tables on the disk, whatever their format: which columns they have, and batches of those that are wanted.

pyarrow reads, batch by batch, so that memory is bounded. A CSV file is read as text: what a cell is follows from the
role of its column, never from the cells around it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.orc
import pyarrow.parquet

from monitor.errors import ConfigurationError
from monitor.events import Int64s
from monitor.sources.csv_dialect import FOUND, CsvFlags, dialect_of
from monitor.sources.file_content import Content, content_of, named, opened

_CELLS: Final = 400_000
"""Cells of a batch: enough that the calls for a batch weigh little, and few enough to bound its memory."""
_FEWEST, _MOST = 500, 50_000
"""Rows of a batch."""
_PARQUET_BUFFER: Final = 1 << 18
"""Bytes of a column that are held at once: else a row group would be, which may be all of a file."""
_CSV_BLOCK: Final = 1 << 21
"""Bytes that are parsed at once: a row must not be longer."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A table that can be read. `rows`: 0 if only reading tells. `notes`: what was taken for granted.

    `blocks`: gives the named columns, batch by batch; called with what is to be done with a line that is no row.
    """

    path: Path
    names: tuple[str, ...]
    rows: int
    is_csv: bool
    decimal: str = "."
    sep: str = ","
    notes: tuple[str, ...] = ()
    blocks: Callable[[list[str], Callable[[], None]], Iterator[pa.RecordBatch]] = field(repr=False, kw_only=True)

    def batches(self, wanted: Collection[str], on_bad_line: Callable[[], None]) -> Iterator[pa.RecordBatch]:
        """The wanted columns that the table has, in batches of bounded size."""
        twice = sorted(name for name in set(wanted) if self.names.count(name) > 1)
        if twice:
            raise ConfigurationError(f"{self.path}: has column {twice[0]} more than once")
        held = [name for name in dict.fromkeys(self.names) if name in wanted]
        with named(self.path):
            for raw in self.blocks(held, on_bad_line):
                block = raw if self.is_csv else _sound(raw)
                for start in range(0, block.num_rows, rows_of(held)):
                    yield block.slice(start, rows_of(held))


def _sound(block: pa.RecordBatch) -> pa.RecordBatch:
    """The block, its texts as bytes if there is one that is not UTF-8; raises ArrowException if it is damaged.

    What reads cells trusts lengths and texts, and would end the process.
    """
    try:
        block.validate(full=True)
    except pa.ArrowInvalid:
        columns = [_as_bytes(column) for column in block.columns]
        block = pa.RecordBatch.from_arrays(columns, block.schema.names)
        block.validate(full=True)
    return block


def _as_bytes(array: pa.Array) -> pa.Array:
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        return array
    array.validate()
    return array.cast(pa.large_binary() if pa.types.is_large_string(kind) else pa.binary(), safe=False)


class Room:
    """Bytes that may be held of rows which have to be sorted, by all files of a run together."""

    def __init__(self, size: int = 1 << 62) -> None:
        self.size = size
        self._held = 0

    def take(self, size: int) -> None:
        """Hold as much more; raises NoRoom if that is too much."""
        self._held += size
        if self._held > self.size:
            raise NoRoom

    def give(self, size: int) -> None:
        """Give back what was taken."""
        self._held -= size


class NoRoom(Exception):
    """A table that has to be sorted is larger than what may be held."""


def reordered(tables: Iterable[pa.RecordBatch], order: Int64s, room: Room) -> Iterator[pa.RecordBatch]:
    """The rows of a table in another order, in batches of bounded size; all are held meanwhile."""
    held, size = [], 0
    try:
        for table in tables:
            held.append(table)
            size += table.nbytes
            room.take(table.nbytes)
        if not held:
            return
        # permissive: a batch may hold as bytes what others hold as text
        whole = pa.concat_tables(map(pa.table, held), promote_options="permissive")
        held.clear()
        for at, name in enumerate(whole.column_names):  # one after the other, because each is there twice meanwhile
            whole = whole.set_column(at, name, whole.column(at).combine_chunks())
        rows = rows_of(whole.column_names)
        for start in range(0, whole.num_rows, rows):
            yield from whole.take(pa.array(order[start : start + rows])).combine_chunks().to_batches()
    finally:
        room.give(size)


def rows_of(held: Sequence[str]) -> int:
    """Return how many rows of that number of columns make a batch."""
    return min(_MOST, max(_FEWEST, _CELLS // max(1, len(held))))


def open_table(path: Path, wanted: Collection[str], flags: CsvFlags = FOUND) -> TableFile:
    """Open a table. `wanted`: names of columns by which the separator of a CSV file is found."""
    content = content_of(path)
    with named(path):
        return _OPEN[content.kind](content, wanted, flags)


def _parquet(content: Content, _wanted: Collection[str], _flags: CsvFlags) -> TableFile:
    file = pa.parquet.ParquetFile(content.path, pre_buffer=False, buffer_size=_PARQUET_BUFFER)

    def blocks(held: list[str], _on_bad_line: Callable[[], None]) -> Iterator[pa.RecordBatch]:
        yield from file.iter_batches(batch_size=rows_of(held), columns=held, use_threads=False)

    names = tuple(file.schema_arrow.names)
    return TableFile(content.path, names, int(file.metadata.num_rows), is_csv=False, blocks=blocks)


def _orc(content: Content, _wanted: Collection[str], _flags: CsvFlags) -> TableFile:
    file = pa.orc.ORCFile(content.path)

    def blocks(held: list[str], _on_bad_line: Callable[[], None]) -> Iterator[pa.RecordBatch]:
        for stripe in range(file.nstripes):
            yield file.read_stripe(stripe, columns=held)

    return TableFile(content.path, tuple(file.schema.names), int(file.nrows), is_csv=False, blocks=blocks)


def _arrow_file(content: Content, _wanted: Collection[str], _flags: CsvFlags) -> TableFile:
    return _ipc(content, pa.ipc.open_file, lambda reader: map(reader.get_batch, range(reader.num_record_batches)))


def _arrow_stream(content: Content, _wanted: Collection[str], _flags: CsvFlags) -> TableFile:
    return _ipc(content, pa.ipc.open_stream, iter)


def _ipc(content: Content, opener: Callable[..., Any], each: Callable[[Any], Iterator[pa.RecordBatch]]) -> TableFile:
    """A file in Arrow's own format. `opener`: makes its reader; `each`: gives a reader's batches."""
    with opener(pa.memory_map(str(content.path))) as reader:
        names = tuple(reader.schema.names)

    def blocks(held: list[str], _on_bad_line: Callable[[], None]) -> Iterator[pa.RecordBatch]:
        chosen = pa.ipc.IpcReadOptions(included_fields=[names.index(name) for name in held])
        with opener(pa.memory_map(str(content.path)), options=chosen) as reader:
            yield from each(reader)

    return TableFile(content.path, names, 0, is_csv=False, blocks=blocks)


def _csv(content: Content, wanted: Collection[str], flags: CsvFlags) -> TableFile:
    dialect = dialect_of(content, wanted, flags)

    def blocks(held: list[str], on_bad_line: Callable[[], None]) -> Iterator[pa.RecordBatch]:
        if dialect.is_empty:
            return

        def skip(_row: object) -> str:
            on_bad_line()
            return "skip"

        with (
            opened(content.path, content.compression) as file,
            pa.csv.open_csv(
                file,
                pa.csv.ReadOptions(use_threads=False, block_size=_CSV_BLOCK, encoding=_ENCODINGS[dialect.encoding]),
                pa.csv.ParseOptions(
                    delimiter=dialect.sep,
                    newlines_in_values=True,
                    ignore_empty_lines=len(dialect.names) > 1,
                    invalid_row_handler=skip,
                ),
                pa.csv.ConvertOptions(
                    check_utf8=False,  # the dialect says that it is
                    column_types=dict.fromkeys(held, pa.string()),
                    include_columns=held,
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                ),
            ) as reader,
        ):
            yield from reader

    return TableFile(
        content.path,
        dialect.names,
        0,
        is_csv=True,
        decimal=dialect.decimal,
        sep=dialect.sep,
        notes=dialect.notes,
        blocks=blocks,
    )


_ENCODINGS: Final = {"utf-8": "utf8", "utf-16": "utf16", "latin-1": "latin-1"}
_OPEN: Final[dict[str, Callable[[Content, Collection[str], CsvFlags], TableFile]]] = {
    "parquet": _parquet,
    "orc": _orc,
    "arrow file": _arrow_file,
    "arrow stream": _arrow_stream,
    "csv": _csv,
}
