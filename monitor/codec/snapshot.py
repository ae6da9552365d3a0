"""A part of a snapshot as bytes: one line that says what it is, and msgpack behind it.

The line is JSON with a SHA-256 over itself and the payload, so a changed bit, a cut end and a part under another name
are told before anything of the payload is read. It names this codec's version and River's, where the part holds
River's detectors: a part of another version is refused unless a migration is registered, for a state that loads but
means something else is the worst of all. The version of numpy does not matter: no array is written but as its bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

import msgspec

from monitor.errors import FormatError

FORMAT = "streamdrift.snapshot"
VERSION = "1"
Kind = Literal["model", "shared"]
Component = Literal["snapshot", "river"]

MIGRATIONS: Mapping[tuple[Component, str], Callable[[bytes], bytes]] = {}
"""(component, version that a part was written by) -> the payload as this version writes it."""


class Header(msgspec.Struct, frozen=True):
    """The first line. `name`: the model's; empty for the shared part. `river`: empty where there is nothing of River.

    `size`: bytes of the payload. `sha256`: of the line without it, and the payload.
    """

    format: str
    version: str
    river: str
    kind: Kind
    name: str
    size: int
    sha256: str


def encode_part(kind: Kind, name: str, river: str, payload: bytes) -> bytes:
    """The part. `river`: the version of River that the payload's detectors are of, or empty."""
    header = Header(FORMAT, VERSION, river, kind, name, len(payload), "")
    return _line(msgspec.structs.replace(header, sha256=_checksum(header, payload))) + payload


def decode_part(part: bytes, kind: Kind, name: str, river: Callable[[], str]) -> tuple[bytes, str]:
    """The payload of the part and the version of River that it names; raises FormatError.

    `river`: gives the version of River that is installed; asked only where the part names one.
    """
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
    payload = _migrated(payload, name, "snapshot", header.version, VERSION)
    if header.river:
        payload = _migrated(payload, name, "river", header.river, river())
    return payload, header.river


def digest_of_part(part: bytes) -> str:
    """What names these very bytes elsewhere: 64 hex digits."""
    return hashlib.sha256(part).hexdigest()


def _migrated(payload: bytes, name: str, component: Component, written: str, ours: str) -> bytes:
    if written == ours:
        return payload
    migration = MIGRATIONS.get((component, written))
    if migration is None:
        what = "River" if component == "river" else "the snapshot format"
        raise FormatError(
            f"the snapshot of {name or 'the ledger partition'} was written by version {written} of {what}, and this is "
            f"{ours}; rebuild it from the ledger: {remedy(name)}"
        )
    return migration(payload)


def remedy(name: str) -> str:
    """The command that makes a model's state anew."""
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
