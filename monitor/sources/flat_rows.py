"""Rows as JSON without an envelope, `{"event_time": ..., "amount": 1}`, as native events of one model and stream.

A file is one of rows if its first object has neither `features` nor `model` nor `event_id`. Their bytes stay as they
are and get an envelope: the row's number as id, and its time as tables have it, or start + number * step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import attrgetter
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
    """Return the rows as native events, in blocks. `first`: number of the first row."""
    for lines in events_of(content):
        yield _events(lines, rows, first, unusable)
        first += len(lines)


def _first_lines(content: Content, most: int) -> list[bytes]:
    return list(islice((line for block in events_of(content) for line in block), most))


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = read_lenient(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _events(lines: Sequence[bytes], rows: TableRows, first: int, unusable: Unusable) -> list[bytes]:
    field, *rest = path_of(rows.stream.time_field)
    shape = msgspec.defstruct("Row", [("time", Any, msgspec.UNSET)], rename={"time": field})
    decode, time_of = msgspec.json.Decoder(shape).decode, attrgetter("time")
    events = []
    for number, line in enumerate(lines, first):  # each line is an object of its own
        try:
            time = time_of(decode(line))
        except (ValueError, RecursionError):
            time = (_object(line) or {}).get(field, msgspec.UNSET)
        if time is msgspec.UNSET and rows.start_ms is not None:
            time = time_text(rows.start_ms + number * rows.step_ms)
        read = read_values([value_at(time, rest)], rows.stream.times)
        unusable.notes.update(dict.fromkeys(f"{field}: {note}" for note in read.notes))
        if read.times[0] != UNREADABLE:
            time = time_text(int(read.times[0]))
            for name in reversed(rest):
                time = {name: time}
        events.append(_event(line, rows, number, time))
    return events


def _event(line: bytes, rows: TableRows, number: int, time: Any) -> bytes:
    """The row within an envelope; what is no object stays as it is, to be a dead letter."""
    text = line.strip()
    if not (text.startswith(b"{") and text.endswith(b"}")):
        return line
    envelope: dict[str, Any] = {"event_id": str(number), "model": rows.contract.model}
    if time is not msgspec.UNSET:
        envelope[path_of(rows.stream.time_field)[0]] = time
    head = json.dumps(envelope).encode()[:-1]  # escapes half a surrogate pair, which is no UTF-8
    if rows.stream.stream == "features":
        return head + b',"features":' + text + b"}"
    # behind the row, because the last of two values of one name counts
    return text[:-1] + (b"," if text[1:-1].strip() else b"") + head[1:] + b"}"
