"""The captured log: a JSONL file of records as they were, from which a replay gives the same answers.

A header line (format, topics with partitions and offset ranges, contracts, and what messages say of their place), one
line a record, and a trailer with the counts. Keys and values are exact: as text where they are UTF-8, else in base64. A
file without its trailer was cut off, and is refused after its last good line.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from monitor.contract import ModelContract
from monitor.errors import FormatError
from monitor.events import Record

FORMAT: Final = "streamdrift.captured/2"


class CapturedRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Offsets [start, end) of a partition that the capture has read; the log may have gaps in them."""

    partition: int
    start: int
    end: int


class CapturedTopic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One topic: its number of partitions, and what was captured of it."""

    partitions: int
    ranges: tuple[CapturedRange, ...]


class CapturedHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line. `source` to `cluster_id`: of the service whose messages a replay repeats.

    `prefix`: of the topics that hold its control records (grids, sets, rules, heartbeats).
    """

    topics: dict[str, CapturedTopic]
    contracts: tuple[ModelContract, ...]
    source: str
    version: str
    links_url: str
    cluster_id: str = ""
    prefix: str = "streamdrift."
    ledger_partitions: int = 8
    format: str = FORMAT


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record's line. A key or value is null or text, unless its base64 is there.

    `log_append_time`: there, and true, if the broker stamped the record itself.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: str | msgspec.UnsetType | None = msgspec.UNSET
    key_base64: str | msgspec.UnsetType = msgspec.UNSET
    headers: tuple[tuple[str, str | dict[str, str]], ...] | msgspec.UnsetType = msgspec.UNSET
    value: str | msgspec.UnsetType | None = msgspec.UNSET
    value_base64: str | msgspec.UnsetType = msgspec.UNSET
    log_append_time: bool | msgspec.UnsetType = msgspec.UNSET


class _Trailer(msgspec.Struct, forbid_unknown_fields=True):
    """The last line: records a topic."""

    records: dict[str, int]


_ENCODE = msgspec.json.Encoder().encode
_HEADER = msgspec.json.Decoder(CapturedHeader).decode
_LINE = msgspec.json.Decoder(_Line).decode
_TRAILER = msgspec.json.Decoder(_Trailer).decode


def header_line(header: CapturedHeader) -> bytes:
    """The first line, with its end."""
    return _ENCODE(header) + b"\n"


def record_line(record: Record) -> bytes:
    """A record's line, with its end."""
    key, key_base64 = _text_or_base64(record.key)
    value, value_base64 = _text_or_base64(record.value)
    headers = tuple((name, _header_value(content)) for name, content in record.headers)
    where = (record.topic, record.partition, record.offset, record.timestamp)
    stamped = record.log_append_time or msgspec.UNSET
    return _ENCODE(_Line(*where, key, key_base64, headers, value, value_base64, stamped)) + b"\n"


def trailer_line(counts: Counter[str]) -> bytes:
    """The last line, with its end. `counts`: records by topic."""
    return _ENCODE(_Trailer(dict(sorted(counts.items())))) + b"\n"


def is_captured(first_line: bytes) -> bool:
    """Return true if a file that begins with this line claims to be a captured log, of whatever version."""
    try:
        found = msgspec.json.decode(first_line)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and str(found.get("format")).startswith(FORMAT.partition("/")[0] + "/")


class CapturedLog:
    """Reads a captured log from its lines: `header` at once, `records()` once, as a stream."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self.header = _read_header(next(self._lines, b""))

    def records(self) -> Iterator[Record]:
        """The records in the file's order; raises FormatError, naming the line, where the file is not whole."""
        counts: Counter[str] = Counter()
        number = 1
        for line in self._lines:
            number += 1
            try:
                record = _record(_LINE(line))
            except (ValueError, RecursionError) as error:
                self._end(line, number, counts, error)
                return
            counts[record.topic] += 1
            yield record
        raise FormatError(f"the captured log is cut off: it ends after line {number} without the trailer")

    def some_records(self) -> Iterator[Record]:
        """Records of a part of the file's lines: what is not a record is passed over, and no count is checked."""
        for line in self._lines:
            try:
                yield _record(_LINE(line))
            except (ValueError, RecursionError):
                continue  # `records()` over the whole file names it

    def _end(self, line: bytes, number: int, counts: Counter[str], problem: Exception) -> None:
        """Takes a line that is no record: the trailer, or the flaw of the file."""
        try:
            trailer = _TRAILER(line)
        except (ValueError, RecursionError):
            raise FormatError(
                f"line {number} of the captured log is not a record ({problem}); the last good line is {number - 1}"
            ) from problem
        if trailer.records != dict(counts):
            raise FormatError(
                f"line {number}: the trailer counts {trailer.records} records, and the file has {dict(counts)}"
            )
        if any(rest.strip() for rest in self._lines):
            raise FormatError(f"the captured log goes on after its trailer in line {number}")


def _read_header(line: bytes) -> CapturedHeader:
    if not is_captured(line):
        raise FormatError("line 1 is not the header of a captured log")
    found = msgspec.json.decode(line)["format"]
    if found != FORMAT:
        raise FormatError(f"the captured log has format {found!r}; this version reads {FORMAT!r}: capture it again")
    try:
        return _HEADER(line)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"line 1, the header of the captured log: {error}") from error


def _text_or_base64(content: bytes | None) -> tuple[Any, Any]:
    if content is None:
        return None, msgspec.UNSET
    try:
        return content.decode(), msgspec.UNSET
    except UnicodeDecodeError:
        return msgspec.UNSET, base64.b64encode(content).decode()


def _header_value(content: bytes) -> str | dict[str, str]:
    text, encoded = _text_or_base64(content)
    return {"base64": encoded} if text is msgspec.UNSET else text


def _record(line: _Line) -> Record:
    headers = () if line.headers is msgspec.UNSET else tuple((name, _header(value)) for name, value in line.headers)
    key, value = _bytes(line.key, line.key_base64), _bytes(line.value, line.value_base64)
    stamped = line.log_append_time is True
    return Record(line.topic, line.partition, line.offset, line.timestamp, key, value, headers, stamped)


def _bytes(text: str | msgspec.UnsetType | None, encoded: str | msgspec.UnsetType) -> bytes | None:
    if isinstance(encoded, str):
        return base64.b64decode(encoded, validate=True)
    return text.encode() if isinstance(text, str) else None


def _header(value: str | dict[str, str]) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if set(value) != {"base64"}:
        raise msgspec.DecodeError('a header\'s value is a text or {"base64": ...}')
    return base64.b64decode(value["base64"], validate=True)
