"""Rows of a table as records of a topic: already decoded, and as native events only if somebody asks for their bytes.

A row is of one model and stream: its columns are the features (or the prediction's fields), its id and offset the
number of the row, its time the column of that name, or start + number * step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, overload

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.codec import reasons
from monitor.codec.canonical import time_text
from monitor.codec.dead_letters import reject
from monitor.codec.decode import EARLIEST, TOO_LATE, Decoder
from monitor.codec.table_times import DATES, LOCAL, TableTimes, read_numbers, read_texts
from monitor.codec.times import UNREADABLE
from monitor.config.suggest import did_you_mean
from monitor.contract import ColumnSpec, ModelContract, StreamContract, lane_contract
from monitor.errors import ConfigurationError
from monitor.events import Batch, CellState, Int64s, RecordBatch, Rows, TopicPartition
from monitor.panes.rows import take
from monitor.sources.arrow_cells import Role, family_of, label_cells, number_cells, plain
from monitor.sources.csv_dialect import FOUND, CsvFlags
from monitor.sources.table_files import open_table

DEFAULT_START_MS: Final = 946_684_800_000
"""2000-01-01T00:00:00Z: of a reference without times."""
EXAMPLES: Final = 3
_IN_MS: Final = pa.timestamp("ms", "UTC")
_USUAL: Final = (len("2026-03-01T00:00:00Z"), len("2026-03-01T00:00:00.000Z"))
_MOST_NAMES: Final = 30
_UNITS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_NO_OFFSETS: Final = np.zeros(0, dtype=np.int64)
_UNUSABLE: Final = {
    CellState.WRONG_TYPE: "of a wrong type",
    CellState.NAN: "NaN",
    CellState.INFINITE: "infinite",
    CellState.OUT_OF_RANGE: "out of range",
}


@dataclass(frozen=True, slots=True)
class TableRows:
    """How the rows of a table become events.

    `start_ms`, `step_ms`: times of a table without; None: it must have them.
    """

    contract: ModelContract
    stream: StreamContract
    start_ms: int | None = None
    step_ms: int = 1000
    csv: CsvFlags = FOUND


class Unusable:
    """What of a table can't be used, and what was taken for granted, for people: counts, and a few examples."""

    def __init__(self) -> None:
        self.notes: dict[str, None] = {}
        self._rows = 0
        self._bad_lines = 0
        self._counts: dict[str, Counter[str]] = {}
        self._examples: dict[str, list[tuple[int, str]]] = {}

    def add_bad_line(self) -> None:
        """Count a line of a CSV file that has not the header's number of cells."""
        self._bad_lines += 1

    def add_rows(self, n: int) -> None:
        """Count rows that were read."""
        self._rows += n

    def add(self, column: str, why: str, places: Int64s, first: int, values: pa.Array) -> None:
        """Count cells of a block that begins with row `first`. `places`: theirs in the block; `values`: the block's."""
        self._counts.setdefault(column, Counter())[why] += len(places)
        examples = self._examples.setdefault(column, [])
        for place in places[: EXAMPLES - len(examples)].tolist():
            examples.append((first + place + 1, _shown(values[place])))

    def lines(self) -> list[str]:
        """What to print, a line each; rows are counted from 1."""
        lines = list(self.notes)
        if self._bad_lines:
            lines.append(f"{self._bad_lines} lines left out: they have not as many cells as the header")
        for column, counts in self._counts.items():
            what = ", ".join(f"{n} {why}" for why, n in sorted(counts.items()))
            some = ", ".join(f"row {row}: {value}" for row, value in self._examples[column])
            lines.append(f"column {column}: {sum(counts.values())} of {self._rows} values not used ({what}; {some})")
        return lines


class TableReader:
    """Reads one table as records of one topic. `unusable`: is given what of it can't be used."""

    def __init__(self, path: Path, rows: TableRows, unusable: Unusable | None = None) -> None:
        self._spec = rows
        self._unusable = unusable or Unusable()
        self._path = path
        stream = rows.stream
        self._wanted = {column.field for column in stream.columns} | {stream.time_field}
        self._file = open_table(path, self._wanted, rows.csv)
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

    def check(self) -> None:
        """Refuse a table that can't be used; note the columns that it has not."""
        check_names(self._path, self._spec, self._file.names, self._unusable)

    def batches(self) -> Iterator[RecordBatch]:
        """The rows as records of partition 0, their offsets from 0 on."""
        first = 0
        tp = TopicPartition(self._spec.stream.topic, 0)
        for table in self._file.batches(self._wanted, self._unusable.add_bad_line):
            n = table.num_rows
            if n:
                values = TableValues(self._block(table, first))
                yield RecordBatch(*tp, range(first, first + n), [0] * n, [None] * n, values, [()] * n)
            first += n

    def _block(self, table: pa.RecordBatch, first: int) -> _Block:
        n, stream, file = table.num_rows, self._spec.stream, self._file
        held = {name: plain(table.column(i)) for i, name in enumerate(table.schema.names)}
        self._unusable.add_rows(n)
        times, faults = self._times(held.get(stream.time_field), first, n)
        numeric = np.full((n, len(stream.numeric_series)), np.nan)
        states = np.full(numeric.shape, CellState.ABSENT, dtype=np.uint8)
        labels: list[list[str]] = []
        label_states: list[np.ndarray] = []
        at = 0
        for column in stream.columns:
            width = {"categorical": 0, "array": 3}.get(column.kind, 1)
            array = held.get(column.field)
            if column.kind == "categorical":
                absent = [""] * n, np.full(n, CellState.ABSENT, dtype=np.uint8)
                texts, own = absent if array is None else label_cells(array, self._role(column))
                labels.append(texts)
                label_states.append(own)
            elif array is not None:
                cells, own = number_cells(array, self._role(column), is_csv=file.is_csv, decimal=file.decimal)
                numeric[:, at : at + width], states[:, at : at + width] = cells.reshape(n, -1), own.reshape(n, -1)
            if array is not None:
                self._tell(column.field, own if own.ndim == 1 else own.max(axis=1), first, array)
            at += width
        rows = Rows(
            model=self._spec.contract.model,
            stream=stream.stream,
            contract=self._lane,
            offset=np.arange(first, first + n, dtype=np.int64),
            part=np.zeros(n, dtype=np.int32),
            time=times,
            numeric=numeric,
            numeric_states=states,
            categorical=tuple(labels),
            categorical_states=np.stack(label_states, axis=1) if labels else np.zeros((n, 0), dtype=np.uint8),
        )
        return _Block(rows, faults, first, lambda i: _event(stream, rows, held, i))

    def _role(self, column: ColumnSpec) -> Role:
        if column.kind == "categorical" and self._spec.stream.stream == "predictions":
            return "class"
        return column.kind

    def _times(self, array: pa.Array | None, first: int, n: int) -> tuple[Int64s, dict[int, str]]:
        """Times, and the reason of each row that has none, by its place."""
        if array is None:
            start = DEFAULT_START_MS if self._spec.start_ms is None else self._spec.start_ms
            return start + np.arange(first, first + n, dtype=np.int64) * self._spec.step_ms, {}
        read = times_of(array)
        field = self._spec.stream.time_field
        self._unusable.notes.update(dict.fromkeys(f"{field}: {note}" for note in read.notes))
        sound = (read.times >= EARLIEST) & (read.times < TOO_LATE)
        if bool(sound.all()):
            return read.times, {}
        missing = array.is_null().to_numpy(zero_copy_only=False)
        if self._file.is_csv:
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
                self._unusable.add(field, reason, places, first, array)
        return read.times, faults

    def _tell(self, field: str, states: np.ndarray, first: int, array: pa.Array) -> None:
        if not bool((states > CellState.ABSENT).any()):
            return
        for state, why in _UNUSABLE.items():
            places = np.flatnonzero(states == state)
            if len(places):
                self._unusable.add(field, why, places, first, array)


def times_of(array: pa.Array) -> TableTimes:
    """Times of a column, whatever its type; UNREADABLE for what is none."""
    family = family_of(array.type)
    times = np.full(len(array), UNREADABLE, dtype=np.int64)
    held = array.is_valid().to_numpy(zero_copy_only=False)
    if not held.any():
        return TableTimes(times, ())
    array = array.drop_null() if array.null_count else array
    read = _READ_TIMES[family](array) if family in _READ_TIMES else TableTimes(times[held], ())
    times[held] = read.times
    return TableTimes(times, read.notes)


def _of_timestamps(array: pa.Array) -> TableTimes:
    kind = array.type
    none = np.full(len(array), UNREADABLE, dtype=np.int64)
    if pa.types.is_time(kind):
        return TableTimes(none, ())
    if pa.types.is_date(kind):
        days = array.view(pa.int32() if pa.types.is_date32(kind) else pa.int64()).to_numpy().astype(np.int64)
        return TableTimes(days * 86_400_000 if pa.types.is_date32(kind) else days, (DATES,))
    values, per_second = array.view(pa.int64()).to_numpy(), _UNITS[kind.unit]
    if per_second < 1000:  # seconds of years that no event is from would overflow
        values = np.clip(values, -TOO_LATE, TOO_LATE) * 1000
    else:
        values = np.floor_divide(values, per_second // 1000)
    return TableTimes(values, () if kind.tz else (LOCAL,))


def _of_texts(array: pa.Array) -> TableTimes:
    if family_of(array.type) == "text" and _are_usual(array):
        try:
            return TableTimes(pc.cast(array, _IN_MS).view(pa.int64()).to_numpy(), ())
        except pa.ArrowInvalid:
            pass  # one at least is another form, or no time
    texts = array.to_pylist()
    if family_of(array.type) == "bytes":
        texts = [text.decode("utf-8", "replace") for text in texts]
    return read_texts([text.strip() for text in texts])


def _are_usual(array: pa.Array) -> bool:
    """Return true if all texts are as long as 2026-03-01T00:00:00Z, or with milliseconds, and end so.

    Only of these Arrow and events mean the same by each text, and Arrow reads them fifty times as fast.
    """
    shortest, longest = pc.min_max(pc.binary_length(array)).as_py().values()
    return shortest == longest and longest in _USUAL and bool(pc.all(pc.ends_with(array, "Z")).as_py())


_READ_TIMES: Final[dict[str, Callable[[pa.Array], TableTimes]]] = {
    "time": _of_timestamps,
    "integer": lambda array: read_numbers(_as_numpy(array, pa.int64())),
    "float": lambda array: read_numbers(_as_numpy(array, pa.float64())),
    "decimal": lambda array: read_numbers(_as_numpy(array, pa.float64())),
    "text": _of_texts,
    "bytes": _of_texts,
}


def _as_numpy(array: pa.Array, kind: pa.DataType) -> Any:
    return pc.cast(array, kind, safe=False).to_numpy(zero_copy_only=False)


def check_names(path: Path, rows: TableRows, names: Sequence[str], unusable: Unusable) -> None:
    """Refuse rows of such names that can't be used; note the columns that they have not."""
    stream = rows.stream
    missing = sorted({column.field for column in stream.columns} - set(names))
    if len(missing) == len({column.field for column in stream.columns}):
        raise ConfigurationError(no_column(path, rows.contract.model, missing, names))
    for field in missing:
        unusable.notes[f"{path} has no column {field}{did_you_mean(field, names)}"] = None
    if rows.start_ms is None and stream.time_field not in names:
        raise ConfigurationError(
            f"{path} has no column {stream.time_field}, the time of a row"
            f"{did_you_mean(stream.time_field, names)}; it has {shown_names(names)}; name one as "
            "columns: {timestamp: ...} in alerts.yaml, or count from a time on with --start 2026-01-01T00:00:00Z"
        )


def no_column(path: Path, model: str, missing: Sequence[str], names: Sequence[str]) -> str:
    """Return the refusal of a table that has none of a model's columns."""
    wanted = ", ".join(missing[:_MOST_NAMES])
    hint = next((hint for field in missing if (hint := did_you_mean(field, names))), "")
    return f"{path} has no column of model {model}: {wanted}{hint}; it has {shown_names(names)}"


def shown_names(names: Sequence[str]) -> str:
    """Return the first names of a table's columns, quoted, because spaces at their ends matter."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(repr, names[:_MOST_NAMES])) + more


@dataclass(frozen=True, slots=True)
class _Block:
    """A block of rows. `faults`: places of rows that can't be used, with the reason; `event`: a row as native event."""

    rows: Rows
    faults: dict[int, str]
    first: int
    event: Callable[[int], bytes]


class TableValues(Sequence[bytes | None]):
    """The values of a table's records: places `start` to `stop` of a block."""

    def __init__(self, block: _Block, start: int = 0, stop: int | None = None) -> None:
        self._block = block
        self._start = start
        self._stop = len(block.rows) if stop is None else stop

    def __len__(self) -> int:
        return self._stop - self._start

    @overload
    def __getitem__(self, place: int) -> bytes | None: ...

    @overload
    def __getitem__(self, place: slice) -> TableValues: ...

    def __getitem__(self, place: int | slice) -> bytes | TableValues | None:
        if isinstance(place, slice):
            start, stop, _ = place.indices(len(self))
            return TableValues(self._block, self._start + start, self._start + max(start, stop))
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return self._block.event(self._start + place % len(self))

    def decode(self, batch: RecordBatch) -> Batch:
        """The batch that these are the values of, decoded."""
        start, stop, faults = self._start, self._stop, self._block.faults
        rows = _cut(self._block.rows, start, stop)
        refused = [place for place in range(start, stop) if place in faults] if faults else []
        if refused:
            keep = np.ones(len(rows), dtype=bool)
            keep[np.array(refused) - start] = False
            rows = take(rows, keep)
        return Batch(
            topic=batch.topic,
            partition=batch.partition,
            first=batch.offsets[0],
            last=batch.offsets[-1],
            rows=(rows,) if len(rows) else (),
            rejected=tuple(reject(batch, place - start, faults[place]) for place in refused),
            tombstones=_NO_OFFSETS,
            filtered=_NO_OFFSETS,
            timestamp_offset=_NO_OFFSETS,
            timestamp=_NO_OFFSETS,
        )


class TableDecoder:
    """Decodes records of a topic, those of a table among them."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def decode(self, batch: RecordBatch) -> Batch:
        return batch.values.decode(batch) if isinstance(batch.values, TableValues) else self._decoder.decode(batch)


def _cut(rows: Rows, start: int, stop: int) -> Rows:
    if (start, stop) == (0, len(rows)):
        return rows
    part = slice(start, stop)
    return replace(
        rows,
        offset=rows.offset[part],
        part=rows.part[part],
        time=rows.time[part],
        numeric=rows.numeric[part],
        numeric_states=rows.numeric_states[part],
        categorical=tuple(texts[part] for texts in rows.categorical),
        categorical_states=rows.categorical_states[part],
    )


def _event(stream: StreamContract, rows: Rows, held: dict[str, pa.Array], i: int) -> bytes:
    """One row as native event: what can be used as it was read, what can't as its text."""
    number = str(int(rows.offset[i]))
    event: dict[str, Any] = {"event_id": number, "prediction_id": number, "model": rows.model}
    time = int(rows.time[i])
    if EARLIEST <= time < TOO_LATE:
        event[stream.time_field] = time_text(time)
    elif stream.time_field in held:
        event[stream.time_field] = _as_json(_python(held[stream.time_field][i]))
    cells: dict[str, Any] = {}
    numbers, labels = iter(range(rows.numeric.shape[1])), iter(range(len(rows.categorical)))
    for column in stream.columns:
        width = {"categorical": 0, "array": 3}.get(column.kind, 1)
        k = next(labels) if width == 0 else min([next(numbers) for _ in range(width)])
        state = (rows.categorical_states if width == 0 else rows.numeric_states)[i, k]
        if state == CellState.VALID and column.kind in ("numerical", "binary"):
            cells[column.field] = float(rows.numeric[i, k])
        elif state == CellState.VALID and width == 0:
            cells[column.field] = rows.categorical[k][i]
        elif column.field in held:
            cells[column.field] = _as_json(_python(held[column.field][i]))
    event.update({"features": cells} if stream.stream == "features" else cells)
    return msgspec.json.encode(event)


def _as_json(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    return [_as_json(one) for one in value] if isinstance(value, list) else str(value)


def _python(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError, ImportError, pa.ArrowException):
        return value.cast(pa.string()).as_py()  # a time that Python has no value for


def _shown(value: pa.Scalar) -> str:
    """A cell for a terminal: its beginning, quoted."""
    text = str(_python(value))
    return repr(text if len(text) <= 40 else text[:40] + "...")
