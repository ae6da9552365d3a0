"""The bytes of entries: one record each, whose headers name its kind (`sd-kind`) and version (`sd-version`).

Panes are msgpack, all else JSON. A kind or a higher version that this release does not know is a newer release's
(`NewerRelease`); bytes of a known version that do not decode are damaged (`FormatError`). Optional fields may be added
without another version: readers pass over fields that they do not know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from monitor.codec.chunks import Assembler
from monitor.contract import TopicContract
from monitor.errors import FormatError, NewerRelease
from monitor.events import Headers, Outgoing, Record
from monitor.ledger.commands import Command
from monitor.ledger.entries import (
    Activation,
    Agreement,
    ContractSwitch,
    Decision,
    Entry,
    Heartbeat,
    Notice,
    Watermark,
)
from monitor.panes.keyed import KeyedRows, decode_keyed, encode_keyed
from monitor.panes.pane import Pane, RawPane, decode_pane, decode_raw, encode_pane, encode_raw

KIND: Final = "sd-kind"
VERSION_HEADER: Final = "sd-version"
VERSION: Final = 1
"""The version of all entries that this release writes, and the highest that it reads."""

KIND_OF: Final[dict[type[Entry | Agreement | Command], str]] = {
    Pane: "pane",
    RawPane: "raw",
    KeyedRows: "keyed",
    Watermark: "watermark",
    Heartbeat: "heartbeat",
    ContractSwitch: "contractswitch",
    Notice: "notice",
    Decision: "decision",
    Command: "command",
    Activation: "activation",
    TopicContract: "contract",
}
DECISION, CONTRACT = KIND_OF[Decision], KIND_OF[TopicContract]
OF_A_MODEL: Final = frozenset(KIND_OF[kind] for kind in (Pane, RawPane, KeyedRows, Decision))
"""Kinds of ledger records whose key is the model that alone they are for."""
_TYPES: Final = {kind: type_ for type_, kind in KIND_OF.items()}
_READ: Final[dict[str, Callable[[bytes], Pane | RawPane | KeyedRows]]] = {
    "pane": decode_pane,
    "raw": decode_raw,
    "keyed": decode_keyed,
}


def encode_entry(entry: Entry | Agreement | Command, topic: str, partition: int) -> Outgoing:
    """One record of the ledger, of `decisions` or of `commands`."""
    kind = KIND_OF[type(entry)]
    headers = ((KIND, kind.encode()), (VERSION_HEADER, b"%d" % VERSION))
    return Outgoing(topic, partition, key_of(entry).encode(), _value(entry), headers)


def key_of(entry: Entry | Agreement | Command) -> str:
    """A record's key: the model; of what belongs to none its input partition; in `decisions` what names it there.

    The newest contract of a topic by offset is the one to take.
    """
    match entry:
        case Watermark() | Heartbeat() | ContractSwitch() | Notice():
            return f"{entry.topic}/{entry.partition}"
        case Activation(decision, at):
            lane = f"{decision.stream}/{decision.lane}" if decision.lane else decision.stream
            place = f"{'' if at is None else at}/{decision.life}"
            return f"{decision.model}/{decision.kind}/{lane}/{decision.digest}/{place}"
        case TopicContract():
            return f"{CONTRACT}/{entry.topic}/{entry.digest}"
        case _:
            return entry.model


def _value(entry: Entry | Agreement | Command) -> bytes:
    match entry:
        case Pane():
            return encode_pane(entry)
        case RawPane():
            return encode_raw(entry)
        case KeyedRows():
            return encode_keyed(entry)
        case _:
            return msgspec.json.encode(entry)


def kind_of(headers: Headers) -> str:
    """The `sd-kind` of a record of ours."""
    return _header(headers, KIND)


def _header(headers: Headers, wanted: str) -> str:
    for name, value in headers:
        if name == wanted:
            return value.decode("ascii", "replace")
    raise FormatError(f"a record of ours has no {wanted} header")


def read_entry(assembler: Assembler, record: Record) -> Entry | None:
    """Return the entry that a ledger record completes, or None if more chunks follow; raises as `decode_entry` does.

    The ledger is not compacted, so a record without a value is damaged like any other.
    """
    try:
        if record.value is None:
            raise FormatError("it has no value")
        value = assembler.feed(record)
        return None if value is None else decode_entry(record.headers, value)
    except FormatError as error:
        place = f"{record.topic}/{record.partition}@{record.offset}"
        raise FormatError(f"the ledger entry {place} is damaged: {error}") from error


def decode_entry(headers: Headers, value: bytes) -> Entry:
    """The entry of a ledger record's headers and value; raises NewerRelease, and FormatError if it is damaged."""
    entry = _decoded(headers, value)
    if isinstance(entry, Activation | TopicContract | Command):
        raise FormatError(f"an entry of kind {KIND_OF[type(entry)]!r} stands in the ledger, where none belongs")
    return entry


def decode_agreement(headers: Headers, value: bytes) -> Agreement:
    """The entry of a record of `decisions`; raises NewerRelease, and FormatError if it is damaged."""
    entry = _decoded(headers, value)
    if not isinstance(entry, Activation | TopicContract):
        raise FormatError(f"an entry of kind {KIND_OF[type(entry)]!r} stands in `decisions`, where none belongs")
    return entry


def decode_command(headers: Headers, value: bytes) -> Command:
    """The command of a record of `commands`; raises NewerRelease, and FormatError if it is damaged."""
    command = _decoded(headers, value)
    if not isinstance(command, Command):
        raise FormatError(f"an entry of kind {KIND_OF[type(command)]!r} stands in `commands`, where none belongs")
    return command


def _decoded(headers: Headers, value: bytes) -> Entry | Agreement | Command:
    kind, version = _header(headers, KIND), _header(headers, VERSION_HEADER)
    if kind not in _TYPES or not version.isdecimal() or int(version) > VERSION:
        raise NewerRelease(
            f"an entry of kind {kind!r} and version {version} is not known to this release, which reads version "
            f"{VERSION}: a newer one wrote it; upgrade this process"
        )
    if kind in _READ:
        return _READ[kind](value)
    try:
        entry: Entry | Agreement | Command = msgspec.json.decode(value, type=_TYPES[kind])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"not a {kind} entry: {error}") from error
    if isinstance(entry, TopicContract) and msgspec.json.encode(entry) != value:
        raise NewerRelease(f"the contract of {entry.topic} holds what this release does not know: upgrade this process")
    return entry
