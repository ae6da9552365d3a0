"""The rows of one file for one stream, in order of time: as they stand if they are, else sorted in memory.

Whether they are is found in a first reading, of the times alone. A row without a usable time keeps its place behind the
row before it. What would have to be sorted and is too large for that is refused with the command that sorts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.codec.decode import Decoder
from monitor.contract import StreamContract, field_text
from monitor.errors import ConfigurationError
from monitor.events import Int64s, RecordBatch, TopicPartition
from monitor.sources.file_content import Content
from monitor.sources.flat_rows import flat_events, names_of
from monitor.sources.plain_files import BLOCK, by_topic, events_of, plain_batch
from monitor.sources.sort_commands import sort_command
from monitor.sources.table_files import NoRoom, Room, TableFile, open_table
from monitor.sources.table_rows import TableReader, TableRows, check_names, missing_ids, no_column
from monitor.sources.table_values import TableValues, carried
from monitor.sources.unusable import Unusable

NEVER: Final = -(1 << 62)
"""Before all times: of rows at the beginning without one."""
_ROW_BYTES: Final = 24
"""Bytes of each row that is sorted: its time, its place, and one more while they are sorted."""
_LINE_BYTES: Final = 64
"""Bytes of each line that is held, beside its text."""

Times = Iterator[tuple[Int64s, NDArray[np.bool_]]]
"""Times of rows, and whether each can be used, block by block."""


class Timed(NamedTuple):
    """Records, and the times by which they are ordered: ms, shape (n,), ascending."""

    records: RecordBatch
    times: Int64s


class Look(NamedTuple):
    """What the first reading of a file found. `first`: the earliest time; `misplaced`: rows before an earlier one."""

    rows: int
    first: int
    misplaced: int


NOT_SEEN: Final = Look(0, NEVER, 0)


def look(times: Times) -> Look:
    """Return what there is to know of the order of rows."""
    rows, first, last, misplaced, before = 0, 1 << 62, NEVER, 0, NEVER
    for own, sound in times:
        keys = carried(own, sound, before)
        if not len(keys):
            continue
        highest = np.maximum(np.maximum.accumulate(keys), last)
        misplaced += int((keys < highest).sum())
        rows, first, last, before = rows + len(keys), min(first, int(keys.min())), int(highest[-1]), int(keys[-1])
    return Look(rows, first if rows else NEVER, misplaced)


def order_of(times: Times, room: Room) -> Int64s:
    """Return the order by time; ties stay as they stand."""
    parts, before = [], NEVER
    for own, sound in times:
        room.take(_ROW_BYTES * len(own))
        parts.append(carried(own, sound, before))
        before = int(parts[-1][-1]) if len(own) else before
    return np.argsort(np.concatenate(parts), kind="stable").astype(np.int64, copy=False)


@dataclass(slots=True)
class RowFile:
    """Rows of one file for one stream.

    `times`: reads their times. `records`: reads them, the number of the first one given; in another order if one is
    given. `is_timed`: whether rows have times of their own.
    """

    content: Content
    rows: TableRows
    unusable: Unusable
    times: Callable[[], Times]
    records: Callable[[int, Int64s | None, Room], Iterator[RecordBatch]]
    sep: str = ","
    is_timed: bool = True
    number: int = 0
    seen: Look = NOT_SEEN

    def look(self, number: int) -> int:
        """Read the times. `number`: of the first row among those of all files; returns that behind the last row."""
        self.number, self.seen = number, look(self.times())
        if self.seen.misplaced and self.rows.stream.has_lane:  # labels come in any order
            field = field_text(self.rows.stream.time_field)
            self.unusable.notes[
                f"{self.content.path}: sorted by {field}, because {self.seen.misplaced} of "
                f"{self.seen.rows} rows come after a later one"
            ] = None
        return number + self.seen.rows

    def timed(self, room: Room) -> Iterator[Timed]:
        """The records in order of time."""
        before, order = NEVER, None
        try:
            if self.seen.misplaced:
                order = order_of(self.times(), room)
            for records in self.records(self.number, order, room):
                times = times_of(records, self.rows, before)
                before = int(times[-1])
                yield Timed(records, times)
        except NoRoom:
            raise ConfigurationError(self._too_large(room)) from None
        if order is not None:
            room.give(_ROW_BYTES * len(order))

    def _too_large(self, room: Room) -> str:
        field = self.rows.stream.time_field
        return (
            f"{self.content.path}: its rows are not in order of {field_text(field)}, and too large to be sorted here, "
            f"in {room.size >> 20} MiB (half of STREAMDRIFT_MEMORY_MB); sort them with: "
            f"{sort_command(self.content, field, self.sep)}"
        )


def times_of(records: RecordBatch, rows: TableRows, before: int) -> Int64s:
    """The times by which records are ordered. `before`: that of the record before them."""
    if isinstance(records.values, TableValues):
        return records.values.times(before)
    return carried(*event_times(list(records.values), rows), before)


def event_times(events: Sequence[bytes | None], rows: TableRows) -> tuple[Int64s, NDArray[np.bool_]]:
    """Times of native events, and whether each can be used."""
    # as predictions without columns, because then nothing but the envelope is read
    stream = msgspec.structs.replace(rows.stream, stream="predictions", columns=(), keys=None)
    contract = msgspec.structs.replace(rows.contract, streams=(stream,))
    records = plain_batch(TopicPartition(stream.topic, 0), events, 0)
    times, sound = np.zeros(len(events), dtype=np.int64), np.zeros(len(events), dtype=bool)
    for found in Decoder(stream.topic, [contract]).decode(records).rows:
        times[found.offset], sound[found.offset] = found.time, True
    return times, sound


def row_files(
    content: Content, rows: TableRows, wanted: Sequence[StreamContract], unusable: Unusable, name: str = ""
) -> list[RowFile]:
    """A file of rows for each of the wanted streams that it has columns of; refused if there is none.

    `name`: of the file, if what of several can't be used is counted together.
    """
    if content.is_table:
        fields = {name for stream in wanted for name in stream.names}
        table = open_table(content.path, fields, rows.csv)
        names, make = table.names, partial(_table_file, content, table)
    else:
        names, make = names_of(content), partial(_flat_file, content)
    streams = streams_of(content.path, names, rows.contract.model, wanted)
    rows = _with_labels(rows, names)
    if len(streams) > 1 and rows.row_ids is None:
        for stream in [stream for stream in streams if stream.stream == "labels" and stream.id_root not in names]:
            streams.remove(stream)
            unusable.notes[missing_ids(content.path, stream, names)] = None
    return [make(replace(rows, stream=stream), unusable.of(stream.stream, name)) for stream in streams]


def _with_labels(rows: TableRows, names: Sequence[str]) -> TableRows:
    """How the rows of a file with these columns become events: where labels stand alone their times are their own.

    Where they stand beside their predictions, the ids may be missing: then the row is the id.
    """
    held = {stream.stream for stream in rows.contract.streams if not stream.roots.isdisjoint(names)}
    has_ids = any(stream.id_root in names for stream in rows.contract.streams)
    return replace(
        rows,
        label_delay_ms=0 if held == {"labels"} else rows.label_delay_ms,
        row_ids=rows.row_ids if held >= {"labels", "predictions"} and not has_ids else None,
    )


def streams_of(path: Path, names: Sequence[str], model: str, wanted: Sequence[StreamContract]) -> list[StreamContract]:
    """The streams that a file with these columns may have rows of; refused if there is none."""
    held = [stream for stream in wanted if not stream.roots.isdisjoint(names)]
    if not held:
        fields = sorted({name for stream in wanted for name in stream.roots})
        raise ConfigurationError(no_column(path, model, fields, names))
    return held


def _table_file(content: Content, table: TableFile, rows: TableRows, unusable: Unusable) -> RowFile:
    reader = TableReader(content.path, rows, unusable, table)
    reader.check()

    def records(number: int, order: Int64s | None, room: Room) -> Iterator[RecordBatch]:
        reader.first = number
        return reader.batches(order, room)

    return RowFile(content, rows, unusable, reader.times, records, table.sep, reader.is_timed)


def _flat_file(content: Content, rows: TableRows, unusable: Unusable) -> RowFile:
    names = names_of(content)
    check_names(content.path, rows, names, unusable)
    tp = TopicPartition(rows.stream.topic, 0)

    def times() -> Times:
        return (event_times(block, rows) for block in flat_events(content, rows, Unusable()))

    def records(number: int, order: Int64s | None, room: Room) -> Iterator[RecordBatch]:
        blocks = flat_events(content, rows, unusable, number)
        return _numbered(tp, blocks if order is None else _reordered(blocks, order, room), number)

    return RowFile(content, rows, unusable, times, records, is_timed=rows.stream.time_root in names)


def event_files(
    content: Content, rows: TableRows, wanted: Sequence[StreamContract], unusable: Unusable
) -> list[RowFile]:
    """A file of native events for each of the wanted streams, whose events come as they stand or in an order."""
    streams = rows.contract.streams
    return [event_file(content, replace(rows, stream=stream), streams, unusable.of(stream.stream)) for stream in wanted]


def event_file(content: Content, rows: TableRows, streams: Sequence[StreamContract], unusable: Unusable) -> RowFile:
    """A file of native events, for one of the streams that it may hold: what can't be read is of their first."""
    topic = rows.stream.topic

    def events() -> Iterator[list[bytes]]:
        return (by_topic(block, streams).get(topic, []) for block in events_of(content))

    def records(number: int, order: Int64s | None, room: Room) -> Iterator[RecordBatch]:
        blocks = events() if order is None else _reordered(events(), order, room)
        return _numbered(TopicPartition(topic, 0), blocks, number)

    return RowFile(content, rows, unusable, lambda: (event_times(block, rows) for block in events() if block), records)


def _numbered(tp: TopicPartition, blocks: Iterator[list[bytes]], number: int) -> Iterator[RecordBatch]:
    for block in blocks:
        if block:
            yield plain_batch(tp, block, number)
        number += len(block)


def _reordered(blocks: Iterator[list[bytes]], order: Int64s, room: Room) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    size = 0
    for block in blocks:
        held = sum(map(len, block)) + _LINE_BYTES * len(block)
        size += held
        room.take(held)
        lines += block
    for start in range(0, len(order), BLOCK):
        yield [lines[i] for i in order[start : start + BLOCK].tolist()]
    room.give(size)
