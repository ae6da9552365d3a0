"""Rows of a table as records of a topic: already decoded, and as native events only if somebody asks for their bytes.

A row is of one model and stream: its columns are the features (or the prediction's fields), its id and offset the
number of the row, its time the column of that name, or start + number * step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitor.codec import reasons
from monitor.codec.decode import EARLIEST, TOO_LATE
from monitor.codec.times import UNREADABLE
from monitor.config.suggest import did_you_mean
from monitor.contract import ModelContract, StreamContract, field_text, lane_contract, path_of
from monitor.errors import ConfigurationError
from monitor.events import CellState, Int64s, RecordBatch, Rows, TopicPartition
from monitor.sources.arrow_cells import CsvCells, family_of, label_cells, number_cells, plain, value_in
from monitor.sources.arrow_times import times_of
from monitor.sources.csv_dialect import FOUND, CsvFlags
from monitor.sources.table_files import Room, TableFile, open_table, reordered
from monitor.sources.table_keys import RowIds, is_labelled, label_faults
from monitor.sources.table_values import Block, TableValues, event_of, joined
from monitor.sources.unusable import Unusable

DEFAULT_START_MS: Final = 946_684_800_000
"""2000-01-01T00:00:00Z: of a reference without times."""
_MOST_NAMES: Final = 30
_UNUSABLE: Final = {
    CellState.WRONG_TYPE: "of a wrong type",
    CellState.NAN: "NaN",
    CellState.INFINITE: "infinite",
    CellState.OUT_OF_RANGE: "out of range",
}


@dataclass(frozen=True, slots=True)
class TableRows:
    """How the rows of a table become events.

    `start_ms`, `step_ms`: times of a table without; None: it must have them. `label_delay_ms`: from the time of a row
    to that of its label. `row_ids`: how the ids of a table without begin, before the number of the row; None: they are
    needed.
    """

    contract: ModelContract
    stream: StreamContract
    start_ms: int | None = None
    step_ms: int = 1000
    csv: CsvFlags = FOUND
    label_delay_ms: int = 0
    row_ids: str | None = None

    @property
    def delay_ms(self) -> int:
        """From the time of a row to that of the event made of it."""
        return self.label_delay_ms if self.stream.stream == "labels" else 0


class TableReader:
    """Reads one table as records of one topic. `unusable`: is given what of it can't be used.

    `table`: the same one, if it has been opened. `first`: the number that its first row has among the records.
    """

    def __init__(
        self, path: Path, rows: TableRows, unusable: Unusable | None = None, table: TableFile | None = None
    ) -> None:
        self._spec = rows
        self._unusable = unusable or Unusable()
        self._path = path
        self.first = 0
        stream = rows.stream
        self._id = next((own.keys.id_field for own in rows.contract.streams if own.keys is not None), None)
        self._wanted = stream.names if self._id is None else stream.names | {path_of(self._id)[0]}
        self._file = table or open_table(path, self._wanted, rows.csv)
        self._unusable.notes.update(dict.fromkeys(self._file.notes))
        self._lane = lane_contract(rows.contract, stream)

    @property
    def size(self) -> int:
        """The number of rows, or 0 if only reading tells."""
        return self._file.rows

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the table's columns."""
        return self._file.names

    @property
    def is_timed(self) -> bool:
        """Return true if the rows have times of their own."""
        return self._spec.stream.time_root in self._file.names

    def check(self) -> None:
        """Refuse a table that can't be used; note the columns that it has not."""
        check_names(self._path, self._spec, self._file.names, self._unusable)

    def times(self) -> Iterator[tuple[Int64s, NDArray[np.bool_]]]:
        """The rows' times, block by block, and whether each can be used; no other column is read, nothing counted."""
        stream, row = self._spec.stream, 0
        for table in self._file.batches({stream.time_root} if self.is_timed else self._wanted, lambda: None):
            n = table.num_rows
            times, faults = self._times(value_in(_held(table), stream.time_field), row, n, Unusable())
            sound = np.ones(n, dtype=bool)
            sound[list(faults)] = False
            yield times, sound
            row += n

    def batches(self, order: Int64s | None = None, room: Room | None = None) -> Iterator[RecordBatch]:
        """The rows as records of partition 0, their offsets from `first` on.

        `order`: in which the rows come; then all are held, within `room`.
        """
        tables = self._file.batches(self._wanted, self._unusable.add_bad_line)
        if order is not None:
            self._unusable.order = order
            tables = reordered(tables, order, room or Room())
        tp, row, first = TopicPartition(self._spec.stream.topic, 0), 0, self.first
        for table in tables:
            if table.num_rows:
                values = self._values(self._block(table, row))
                if n := len(values):
                    yield RecordBatch(*tp, range(first, first + n), [0] * n, [None] * n, values, [()] * n)
                first += n
            row += table.num_rows

    def _values(self, block: Block) -> TableValues:
        """The records of a block: all of its rows, or those with a label."""
        values = TableValues(block)
        if self._spec.stream.stream != "labels":
            return values
        labelled = np.flatnonzero(is_labelled(block.rows))
        return values if len(labelled) == len(values) else joined([values], labelled)

    def _block(self, table: pa.RecordBatch, row: int) -> Block:
        n, stream, file = table.num_rows, self._spec.stream, self._file
        held = _held(table)
        is_class = stream.stream in ("predictions", "labels")
        csv = CsvCells(file.decimal) if file.is_csv else None
        self._unusable.add_rows(n)
        times, faults = self._times(value_in(held, stream.time_field), row, n, self._unusable)
        numeric = np.full((n, len(stream.numeric_series)), np.nan)
        states = np.full(numeric.shape, CellState.ABSENT, dtype=np.uint8)
        labels: list[list[str]] = []
        label_states: list[np.ndarray] = []
        at = 0
        for column in stream.columns:
            width = {"categorical": 0, "array": 3}.get(column.kind, 1)
            array = value_in(held, column.field)
            if column.kind == "categorical":
                absent = [""] * n, np.full(n, CellState.ABSENT, dtype=np.uint8)
                texts, own = absent if array is None else label_cells(array, column, csv, is_class=is_class)
                labels.append(texts)
                label_states.append(own)
            elif array is not None:
                cells, own = number_cells(array, column, csv)
                numeric[:, at : at + width], states[:, at : at + width] = cells.reshape(n, -1), own.reshape(n, -1)
            if array is not None:
                self._tell(field_text(column.field), own if own.ndim == 1 else own.max(axis=1), row, array)
            at += width
        ids = None
        if self._id is not None:
            ids = RowIds(self._id, value_in(held, self._id), self._spec.row_ids, row)
        rows = Rows(
            model=self._spec.contract.model,
            stream=stream.stream,
            contract=self._lane,
            offset=np.arange(self.first + row, self.first + row + n, dtype=np.int64),
            part=np.zeros(n, dtype=np.int32),
            time=times,
            numeric=numeric,
            numeric_states=states,
            categorical=tuple(labels),
            categorical_states=np.stack(label_states, axis=1) if labels else np.zeros((n, 0), dtype=np.uint8),
            ids=None if ids is None or stream.keys is None else ids.digests(n),
        )
        if stream.stream == "labels":
            faults = label_faults(rows) | faults
        return Block(rows, faults, lambda i: event_of(stream, rows, held, ids, i))

    def _times(self, array: pa.Array | None, row: int, n: int, unusable: Unusable) -> tuple[Int64s, dict[int, str]]:
        """Times, and the reason of each row that has none, by its place."""
        if array is None and self.is_timed:
            return np.full(n, UNREADABLE, dtype=np.int64), dict.fromkeys(range(n), reasons.MISSING_TIME)
        if array is None:
            start = (DEFAULT_START_MS if self._spec.start_ms is None else self._spec.start_ms) + self._spec.delay_ms
            number = self.first + row
            return start + np.arange(number, number + n, dtype=np.int64) * self._spec.step_ms, {}
        read = times_of(array, self._spec.stream.times)
        field = field_text(self._spec.stream.time_field)
        unusable.notes.update(dict.fromkeys(f"{field}: {note}" for note in read.notes))
        sound = (read.times >= EARLIEST) & (read.times < TOO_LATE)
        times = read.times + self._spec.delay_ms
        if bool(sound.all()):
            return times, {}
        missing = array.is_null().to_numpy(zero_copy_only=False)
        if family_of(array.type) == "text":
            missing |= pc.fill_null(pc.equal(pc.utf8_trim_whitespace(array), ""), False).to_numpy(zero_copy_only=False)
        unread = ~missing & (read.times == UNREADABLE)
        faults: dict[int, str] = {}
        for mask, reason in (
            (missing, reasons.MISSING_TIME),
            (unread, reasons.INVALID_TIME),
            (~sound & ~missing & ~unread, reasons.TIME_OUT_OF_RANGE),
        ):
            places = np.flatnonzero(mask)
            faults.update(dict.fromkeys(places.tolist(), reason))
            if len(places):
                unusable.add(field, reason, places, row, array)
        return times, faults

    def _tell(self, field: str, states: np.ndarray, row: int, array: pa.Array) -> None:
        if not bool((states > CellState.ABSENT).any()):
            return
        for state, why in _UNUSABLE.items():
            places = np.flatnonzero(states == state)
            if len(places):
                self._unusable.add(field, why, places, row, array)


def _held(table: pa.RecordBatch) -> dict[str, pa.Array]:
    return {name: plain(table.column(i)) for i, name in enumerate(table.schema.names)}


def check_names(path: Path, rows: TableRows, names: Sequence[str], unusable: Unusable) -> None:
    """Refuse rows of such names that can't be used; note the columns that they have not."""
    stream = rows.stream
    missing = sorted(stream.roots - set(names))
    if len(missing) == len(stream.roots):
        raise ConfigurationError(no_column(path, rows.contract.model, missing, names))
    if stream.id_root is not None and stream.id_root not in names and rows.row_ids is None:
        without = missing_ids(path, stream, names)
        if stream.stream == "labels":
            raise ConfigurationError(f"{without}; it has {shown_names(names)}")
        unusable.notes[without] = None
    for field in missing:
        unusable.notes[f"{path} has no column {field}{did_you_mean(field, names)}"] = None
    if rows.start_ms is None and stream.time_root not in names:
        raise ConfigurationError(
            f"{path} has no column {stream.time_root}, the time of a row"
            f"{did_you_mean(stream.time_root, names)}; it has {shown_names(names)}; name one as "
            "columns: {timestamp: ...} in alerts.yaml, or count from a time on with --start 2026-01-01T00:00:00Z"
        )


def missing_ids(path: Path, stream: StreamContract, names: Sequence[str]) -> str:
    """Return the note that rows have no ids, and so are joined with nothing."""
    field = stream.id_root or ""
    return f"{path} has no column {field}{did_you_mean(field, names)}, the id by which labels meet predictions"


def no_column(path: Path, model: str, missing: Sequence[str], names: Sequence[str]) -> str:
    """Return the refusal of a table that has none of a model's columns."""
    wanted = ", ".join(missing[:_MOST_NAMES])
    hint = next((hint for field in missing if (hint := did_you_mean(field, names))), "")
    return f"{path} has no column of model {model}: {wanted}{hint}; it has {shown_names(names)}"


def shown_names(names: Sequence[str]) -> str:
    """Return the first names of a table's columns, quoted, because spaces at their ends matter."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(repr, names[:_MOST_NAMES])) + more
