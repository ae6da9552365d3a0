"""Records of a table: rows that are decoded already, and native events only if somebody asks for their bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, overload

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from monitor.codec.canonical import time_text
from monitor.codec.dead_letters import reject
from monitor.codec.decode import EARLIEST, TOO_LATE, Decoder
from monitor.contract import Field, StreamContract, path_of
from monitor.events import Batch, CellState, Int64s, RecordBatch, Rows
from monitor.panes.rows import concat, take
from monitor.sources.arrow_cells import value_in
from monitor.sources.table_keys import RowIds
from monitor.sources.unusable import python_value

_NO_OFFSETS: Final = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of rows. `faults`: places of rows that can't be used, with the reason; `event`: a row as native event."""

    rows: Rows
    faults: dict[int, str]
    event: Callable[[int], bytes]


class TableValues(Sequence[bytes | None]):
    """The values of a table's records: places `start` to `stop` of a block."""

    def __init__(self, block: Block, start: int = 0, stop: int | None = None) -> None:
        self.block = block
        self.start = start
        self.stop = len(block.rows) if stop is None else stop

    def __len__(self) -> int:
        return self.stop - self.start

    @overload
    def __getitem__(self, place: int) -> bytes | None: ...

    @overload
    def __getitem__(self, place: slice) -> TableValues: ...

    def __getitem__(self, place: int | slice) -> bytes | TableValues | None:
        if isinstance(place, slice):
            start, stop, _ = place.indices(len(self))
            return TableValues(self.block, self.start + start, self.start + max(start, stop))
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return self.block.event(self.start + place % len(self))

    def decode(self, batch: RecordBatch) -> Batch:
        """The batch that these are the values of, decoded."""
        start, stop, faults = self.start, self.stop, self.block.faults
        offsets = np.arange(batch.offsets[0], batch.offsets[0] + len(batch), dtype=np.int64)  # theirs have no gaps
        rows = replace(_cut(self.block.rows, start, stop), offset=offsets)
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

    def times(self, before: int) -> Int64s:
        """The times that order the rows: of one that can't be used that of the row before, at first `before`."""
        rows, start, stop = self.block.rows, self.start, self.stop
        if not self.block.faults:
            return rows.time[start:stop]
        sound = np.ones(len(rows), dtype=bool)
        sound[list(self.block.faults)] = False
        return carried(rows.time[start:stop], sound[start:stop], before)


def carried(times: Int64s, sound: NDArray[np.bool_], before: int) -> Int64s:
    """Times in which one that is not sound is that of the row before; of the first rows it is `before`."""
    last = np.maximum.accumulate(np.where(sound, np.arange(len(times)), -1))
    return np.where(last >= 0, times[last], before)


def joined(parts: Sequence[TableValues], order: Int64s) -> TableValues:
    """The values of tables of one stream, one part behind the other, in another order."""
    starts = np.cumsum([0, *map(len, parts)])

    def origin(at: int) -> tuple[Block, int]:
        place = int(order[at])
        k = int(np.searchsorted(starts, place, side="right")) - 1
        return parts[k].block, parts[k].start + place - int(starts[k])

    def event(at: int) -> bytes:
        block, place = origin(at)
        return block.event(place)

    faults: dict[int, str] = {}
    if any(part.block.faults for part in parts):
        found = ((at, origin(at)) for at in range(len(order)))  # few tables have any
        faults = {at: block.faults[place] for at, (block, place) in found if place in block.faults}
    rows = concat([_cut(part.block.rows, part.start, part.stop) for part in parts])
    return TableValues(Block(take(rows, order), faults, event))


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
        ids=None if rows.ids is None else rows.ids[part],
    )


def event_of(stream: StreamContract, rows: Rows, held: dict[str, pa.Array], ids: RowIds | None, i: int) -> bytes:
    """One row as native event: what can be used as it was read, what can't as its text."""
    number = str(int(rows.offset[i]))
    event: dict[str, Any] = {"event_id": number}
    _put(event, "prediction_id" if ids is None else ids.field, number if ids is None else ids.of(i))
    event["model"] = rows.model
    time = int(rows.time[i])
    if EARLIEST <= time < TOO_LATE:
        _put(event, stream.time_field, time_text(time))
    elif (times := value_in(held, stream.time_field)) is not None:
        _put(event, stream.time_field, _as_json(python_value(times[i])))
    cells: dict[str, Any] = event.setdefault("features", {}) if stream.stream == "features" else event
    numbers, labels = iter(range(rows.numeric.shape[1])), iter(range(len(rows.categorical)))
    for column in stream.columns:
        width = {"categorical": 0, "array": 3}.get(column.kind, 1)
        k = next(labels) if width == 0 else min([next(numbers) for _ in range(width)])
        state = (rows.categorical_states if width == 0 else rows.numeric_states)[i, k]
        if state == CellState.VALID and column.kind in ("numerical", "binary") and not column.true:
            _put(cells, column.field, float(rows.numeric[i, k]))
        elif state == CellState.VALID and width == 0:
            _put(cells, column.field, rows.categorical[k][i])
        elif (array := value_in(held, column.field)) is not None:
            _put(cells, column.field, _as_json(python_value(array[i])))
    return msgspec.json.encode(event)


def _put(cells: dict[str, Any], field: Field, value: Any) -> None:
    *way, last = path_of(field)
    for name in way:
        cells = cells.setdefault(name, {})
    cells[last] = value


def _as_json(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    return [_as_json(one) for one in value] if isinstance(value, list) else str(value)
