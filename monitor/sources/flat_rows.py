"""Rows as JSON without an envelope, `{"event_time": ..., "amount": 1}`, as native events of one model and stream.

A file is one of rows if its first object has neither `features` nor `model` nor `event_id`. Their bytes stay as they
are and get an envelope: the row's number as id, and its time as tables have it, or start + number * step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from monitor.codec.canonical import time_text
from monitor.codec.event_times import read_values
from monitor.codec.lenient import read_lenient
from monitor.codec.shapes import value_at
from monitor.codec.times import UNREADABLE
from monitor.contract import path_of
from monitor.sources.file_content import Content
from monitor.sources.plain_files import events_of
from monitor.sources.table_rows import TableRows
from monitor.sources.unusable import Unusable

_ENVELOPE: Final = frozenset({"features", "model", "event_id"})
_LOOKED_AT: Final = 100
"""Objects at the beginning whose names are those of the columns."""


def is_flat(content: Content) -> bool:
    """Return true if a file of JSON holds rows, and not native events."""
    first = next((row for line in _first_lines(content, 1) if (row := _object(line)) is not None), None)
    return first is not None and not _ENVELOPE & first.keys()


def names_of(content: Content) -> tuple[str, ...]:
    """Return the names of the columns, as far as the first rows have them."""
    rows = (_object(line) or {} for line in _first_lines(content, _LOOKED_AT))
    return tuple(dict.fromkeys(name for row in rows for name in row))


def flat_events(content: Content, rows: TableRows, unusable: Unusable, first: int = 0) -> Iterator[list[bytes]]:
    """Return the rows as native events, in blocks; of labels, the rows that have one. `first`: number of the first."""
    row = 0
    for lines in events_of(content):
        yield _events(lines, rows, (first, row), unusable)
        row += len(lines)


def _first_lines(content: Content, most: int) -> list[bytes]:
    return list(islice((line for block in events_of(content) for line in block), most))


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = read_lenient(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _events(lines: Sequence[bytes], rows: TableRows, begin: tuple[int, int], unusable: Unusable) -> list[bytes]:
    """The events of some rows. `begin`: number of the first row of the file, and of the first of these in it."""
    stream = rows.stream
    field, *rest = path_of(stream.time_field)
    label = path_of(stream.columns[0].field) if stream.stream == "labels" else None
    take = _taker([field] if label is None else [field, label[0]])
    events = []
    for row, line in enumerate(lines, begin[1]):  # each line is an object of its own
        cells = take(line)
        if label is not None and cells is not None and _is_empty(value_at(cells[1], label[1:])):
            continue
        number, time = begin[0] + row, msgspec.UNSET if cells is None else cells[0]
        if time is msgspec.UNSET and rows.start_ms is not None:
            time = time_text(rows.start_ms + number * rows.step_ms)
        read = read_values([value_at(time, rest)], stream.times)
        unusable.notes.update(dict.fromkeys(f"{field}: {note}" for note in read.notes))
        if read.times[0] != UNREADABLE:
            time = time_text(int(read.times[0]) + rows.delay_ms)
            for name in reversed(rest):
                time = {name: time}
        events.append(_event(line, rows, (number, row), time))
    return events


def _taker(names: Sequence[str]) -> Callable[[bytes], tuple[Any, ...] | None]:
    """Return what takes the values of these names out of a line; it gives None for what is no object."""
    attributes = [f"a{i}" for i in range(len(names))]
    rename = dict(zip(attributes, names, strict=True))
    shape = msgspec.defstruct("Row", [(name, Any, msgspec.UNSET) for name in attributes], rename=rename)
    decode = msgspec.json.Decoder(shape).decode

    def take(line: bytes) -> tuple[Any, ...] | None:
        try:
            return msgspec.structs.astuple(decode(line))
        except (ValueError, RecursionError):
            found = _object(line)
            return None if found is None else tuple(found.get(name, msgspec.UNSET) for name in names)

    return take


def _is_empty(value: Any) -> bool:
    """Return true for a label that is not there; NaN is what some write for it."""
    return value is None or value is msgspec.UNSET or value != value or (isinstance(value, str) and not value.strip())


def _event(line: bytes, rows: TableRows, place: tuple[int, int], time: Any) -> bytes:
    """The row within an envelope; what is no object stays as it is, to be a dead letter. `place`: its numbers."""
    text = line.strip()
    if not (text.startswith(b"{") and text.endswith(b"}")):
        return line
    number, row = place
    envelope: dict[str, Any] = {"event_id": str(number), "model": rows.contract.model}
    if rows.row_ids is not None and rows.stream.keys is not None:
        envelope[path_of(rows.stream.keys.id_field)[0]] = f"{rows.row_ids}{row}"
    if time is not msgspec.UNSET:
        envelope[path_of(rows.stream.time_field)[0]] = time
    head = json.dumps(envelope).encode()[:-1]  # escapes half a surrogate pair, which is no UTF-8
    if rows.stream.stream == "features":
        return head + b',"features":' + text + b"}"
    # behind the row, because the last of two values of one name counts
    return text[:-1] + (b"," if text[1:-1].strip() else b"") + head[1:] + b"}"
