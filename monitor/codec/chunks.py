"""Values larger than a broker takes, as chunks: `sd-chunk: i/n`, with the digest of the whole in every chunk.

The chunks of a value lie one after the other among the records of their key in a partition. Chunks from the start
again, after a crash between transactions, begin the value again.

All chunks but the last have the record's key with `\\0i/n` at its end: under one key a compacted topic would keep the
last chunk only. There, chunks of values since replaced may stay behind without the rest of their value; such are
passed over (`compacted=True`), while in a log that keeps everything they mean that something is missing.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from monitor.errors import FormatError
from monitor.events import Outgoing, Record

CHUNK, DIGEST = "sd-chunk", "sd-sha256"
LIMIT = 480 * 1024


class _Chunk(NamedTuple):
    """What the headers of a chunk say; `number` counts from 0."""

    number: int
    of: int
    digest: bytes


class _Key(NamedTuple):
    """Whose chunks they are."""

    topic: str
    partition: int
    key: bytes | None


def split(outgoing: Outgoing, limit: int = LIMIT) -> list[Outgoing]:
    """The record as it is, or in chunks of at most `limit` bytes of value; these need a partition."""
    value = outgoing.value
    if value is None or len(value) <= limit:
        return [outgoing]
    digest = hashlib.sha256(value).hexdigest().encode()
    parts = [value[at : at + limit] for at in range(0, len(value), limit)]
    return [
        Outgoing(
            outgoing.topic,
            outgoing.partition,
            _chunk_key(outgoing.key, i, len(parts)),
            part,
            (*outgoing.headers, (CHUNK, _place(i, len(parts))), (DIGEST, digest)),
            outgoing.timestamp,
        )
        for i, part in enumerate(parts)
    ]


def leftovers(key: bytes, before: int, now: int, limit: int = LIMIT) -> list[bytes]:
    """The keys of chunks that compaction would keep for good, once a value of `now` bytes follows one of `before`."""
    counts = [max(1, -(-size // limit)) for size in (before, now)]
    if counts[0] == counts[1]:
        return []
    return [key + b"\0" + _place(number, counts[0]) for number in range(counts[0] - 1)]


class Assembler:
    """Puts chunks together again, for any number of partitions and keys. `compacted`: old chunks may lack others."""

    def __init__(self, *, compacted: bool = False) -> None:
        self._compacted = compacted
        self._parts: dict[_Key, tuple[bytes, list[bytes]]] = {}

    @property
    def is_empty(self) -> bool:
        """True if no value waits for the rest of its chunks."""
        return not self._parts

    def feed(self, record: Record) -> bytes | None:
        """The whole value that ends with this record, or None; raises FormatError for a missing or damaged chunk.

        A whole value's record is its last one, and has the value's own key.
        """
        headers = dict(record.headers)
        if CHUNK not in headers or record.value is None:
            self._parts.pop(_Key(record.topic, record.partition, record.key), None)
            return record.value
        chunk = _read(headers, record)
        key = _Key(record.topic, record.partition, _own_key(record.key, chunk))
        if chunk.number == 0:
            self._parts[key] = (chunk.digest, [])
        digest, parts = self._parts.get(key, (b"", []))
        if digest != chunk.digest or chunk.number != len(parts):
            if self._compacted:
                return None
            raise FormatError(f"{_where(record)}: chunk {chunk.number} of {chunk.of} came, {len(parts)} was to come")
        parts.append(record.value)
        if chunk.number + 1 < chunk.of:
            return None
        value = b"".join(self._parts.pop(key)[1])
        if hashlib.sha256(value).hexdigest().encode() != chunk.digest:
            raise FormatError(f"{_where(record)}: the chunks do not give the value that was written")
        return value


def _place(number: int, count: int) -> bytes:
    return b"%d/%d" % (number, count)


def _chunk_key(key: bytes | None, number: int, count: int) -> bytes | None:
    return key if key is None or number + 1 == count else key + b"\0" + _place(number, count)


def _own_key(key: bytes | None, chunk: _Chunk) -> bytes | None:
    return key if key is None else key.removesuffix(_chunk_key(b"", chunk.number, chunk.of) or b"")


def _read(headers: dict[str, bytes], record: Record) -> _Chunk:
    try:
        number, count = headers[CHUNK].split(b"/")
        return _Chunk(int(number), int(count), headers[DIGEST])
    except (KeyError, ValueError) as error:
        raise FormatError(f"{_where(record)}: {CHUNK} is not i/n, or {DIGEST} is missing") from error


def _where(record: Record) -> str:
    return f"{record.topic}/{record.partition}@{record.offset}"
