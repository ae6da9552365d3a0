"""A part of a snapshot as bytes: one line that says what it is, and msgpack behind it.

The line is JSON with a SHA-256 over itself and the payload, so a changed bit, a cut end and a part under another name
are refused before anything of the payload is read. It names this codec's version: a part of another one is refused,
because a state that loads but means something else is the worst of all. Versions of libraries do not matter: no array
is written but as its bytes, and of which River the detectors are stands with them (`evaluate/detection.py`).
"""

from __future__ import annotations

import hashlib
from typing import Literal, TypeVar

import msgspec

from monitor.errors import FormatError

FORMAT = "streamdrift.snapshot"
VERSION = "4"
Kind = Literal["model", "shared"]


class Header(msgspec.Struct, frozen=True):
    """The first line. `name`: the model's; empty for the shared part.

    `size`: bytes of the payload. `sha256`: of the line without it, and the payload.
    """

    format: str
    version: str
    kind: Kind
    name: str
    size: int
    sha256: str


def encode_part(kind: Kind, name: str, payload: bytes) -> bytes:
    """The part of a payload."""
    header = Header(FORMAT, VERSION, kind, name, len(payload), "")
    return _line(msgspec.structs.replace(header, sha256=_checksum(header, payload))) + payload


def decode_part(part: bytes, kind: Kind, name: str) -> bytes:
    """The payload of the part; raises FormatError."""
    line, newline, payload = part.partition(b"\n")
    header = _header(line + newline)
    if header.format != FORMAT:
        raise FormatError(f"not a snapshot: it calls itself {header.format!r}")
    if len(payload) != header.size:
        raise FormatError(f"a snapshot is cut: {len(payload)} of {header.size} bytes are there")
    if _checksum(header, payload) != header.sha256:
        raise FormatError("a snapshot is damaged: its checksum does not agree")
    if (header.kind, header.name) != (kind, name):
        raise FormatError(f"a snapshot is that of {header.kind} {header.name!r}, not of {kind} {name!r}")
    if header.version != VERSION:
        raise FormatError(
            f"the snapshot of {name or 'the ledger partition'} was written in version {header.version} of its format, "
            f"and this is {VERSION}; rebuild it from the ledger: {remedy(name)}"
        )
    return payload


def digest_of_part(part: bytes) -> str:
    """What names these very bytes elsewhere: 64 hex digits."""
    return hashlib.sha256(part).hexdigest()


def remedy(name: str) -> str:
    """Return the command that computes a model's state from the ledger again."""
    return f"streamdrift rebuild {name}" if name else "streamdrift rebuild"


def _line(header: Header) -> bytes:
    return msgspec.json.encode(header) + b"\n"


def _checksum(header: Header, payload: bytes) -> str:
    digest = hashlib.sha256(_line(msgspec.structs.replace(header, sha256="")))
    digest.update(payload)
    return digest.hexdigest()


def _header(line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.DecodeError, ValueError) as error:
        raise FormatError(f"not a snapshot: {error}") from error
    if _line(header) != line:
        raise FormatError("not a snapshot: its first line is not as it is written")
    return header


T = TypeVar("T")


def decode_payload(payload: bytes, decoder: msgspec.msgpack.Decoder[T]) -> T:
    """The payload's value; raises FormatError."""
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # a text that is no UTF-8 is a ValueError
        raise FormatError(f"a snapshot does not hold what it should: {error}") from error
