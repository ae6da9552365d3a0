"""Records of the ledger and of the grid topic: everything that can influence a verdict, as values and as bytes.

A record's header `sd-kind` names what it is. Panes are msgpack, all else JSON. A model's ledger partition is a
digest of its name, ours and not the client's, so that every writer and reader agrees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from monitor.contract import TopicContract
from monitor.errors import FormatError
from monitor.events import Headers, Outgoing, StreamName, TopicPartition
from monitor.panes.pane import Pane, RawPane, decode_pane, decode_raw, encode_pane, encode_raw

KIND, COMMAND = "sd-kind", "command"
ChangeKind = Literal["set", "grid", "reference", "rules"]


class Watermark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All panes of that topic partition that end at or before `watermark` have been written. `first`: its first one.

    `firsts`: by model, the watermark from which on its rows are folded there; None: all from `first`. `gone`: of
    models that are folded no longer, where that began and ended. Of the models in this ledger partition.
    """

    topic: str
    partition: int
    watermark: int
    first: int
    firsts: dict[str, int] | None = None
    gone: dict[str, tuple[int, int]] = {}

    def first_of(self, model: str) -> int | None:
        """From which watermark on the model's rows were folded; None where they have not been yet."""
        if model in self.gone:
            return self.gone[model][0]
        return self.first if self.firsts is None else self.firsts.get(model)

    def watermark_of(self, model: str) -> int | None:
        """Up to which watermark the model's panes have been written."""
        if model in self.gone:
            return self.gone[model][1]
        return None if self.first_of(model) is None else self.watermark


class Heartbeat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The watermark that a wall clock gave a still partition when its position was `offset`."""

    topic: str
    partition: int
    offset: int
    watermark: int


class ContractSwitch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From `offset` on the records of a topic partition are folded under the contract `digest` of its topic.

    `watermark`: its watermark then, which the new contract does not take back; None before its first one. A
    partition's first record of this kind says what it began with.
    """

    topic: str
    partition: int
    offset: int
    watermark: int | None
    digest: str


NoticeAlert = Literal["CardinalityLimited", "RecordQuarantined", "DataLost", "ModelStopped"]


class Notice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a task tells the world beside verdicts: evaluate makes one alert of it, once for each set of labels.

    `model`: empty where it belongs to none; then it stands in the ledger partition of the sender's first model. `at`:
    event time, ms, a pane end of the partition that says it. `labels`: beside `alertname`, `model` and `severity`;
    those of a notice without a model name its topic and partition, so that two senders never mean the same alert.
    """

    model: str
    alert: NoticeAlert
    at: int
    topic: str
    partition: int
    labels: tuple[tuple[str, str], ...]
    text: str


def concerns(notice: Notice, models: Collection[str], topics: Collection[str]) -> bool:
    """Whether a notice is about one of the models or of the input topics; evaluate's own name the ledger's topic."""
    model = notice.model or dict(notice.labels).get("model", "")
    return model in models or notice.topic in topics


def is_of_the_run(notice: Notice) -> bool:
    """Whether no log of the input says it again, since it tells of the run and not of the records.

    A capture takes such a notice along; the others are functions of the log.
    """
    return notice.alert != "CardinalityLimited" or SNAPSHOT_BYTES in notice.labels


SNAPSHOT_BYTES = ("bound", "snapshot_bytes")
"""The label of the one bound that is met by what was written, and when, and not by the records."""


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody wants done: `rebuild` folds a stopped model again from the ledger's start."""

    command: Literal["rebuild"]
    model: str


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new set of partitions, grid, reference or rules of a model. `content`: its canonical JSON.

    `stream`: empty where the change is the whole model's. It counts from the first pane not yet folded when evaluate
    reads it; that pane is written back as an Activation.
    """

    model: str
    kind: ChangeKind
    stream: StreamName | Literal[""]
    digest: str
    content: str


class Activation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change, and the index of the first pane that it counted for (None: from the model's first pane)."""

    change: Change
    pane: int | None


class PartitionSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of a set change: the model's topics by stream, with their numbers of partitions."""

    streams: dict[StreamName, tuple[str, int]]

    @property
    def partitions(self) -> tuple[TopicPartition, ...]:
        """All input partitions of the model, sorted, each once."""
        topics = dict(self.streams.values())
        return tuple(TopicPartition(topic, p) for topic in sorted(topics) for p in range(topics[topic]))


def joined_at(tp: TopicPartition, model: str, activations: Iterable[Activation]) -> int | Literal["not yet"] | None:
    """From which pane on a partition belongs to a model: older rows there are late.

    None: from the start. "not yet": no set of partitions names it, or there is none: evaluate, which owns the sets, has
    yet to write the first, and may have counted the partitions before this one came.
    """
    sets = [a for a in activations if a.change.kind == "set" and a.change.model == model]
    naming = [a.pane for a in sets if tp in msgspec.json.decode(a.change.content, type=PartitionSet).partitions]
    if not naming:
        return "not yet"
    # the first counts; the topic may hold it behind others, when it was written again after a restart
    return None if None in naming else min((pane for pane in naming if pane is not None), default=None)


Entry = Pane | RawPane | Watermark | Heartbeat | ContractSwitch | Notice | Change

_JSON_KINDS: dict[str, type[Watermark | Heartbeat | ContractSwitch | Notice | Change]] = {
    "watermark": Watermark,
    "heartbeat": Heartbeat,
    "contractswitch": ContractSwitch,
    "notice": Notice,
    "change": Change,
}


@dataclass(frozen=True, slots=True)
class LedgerTopics:
    """Names of our topics under a prefix, and the ledger's number of partitions."""

    prefix: str
    partitions: int

    def name(self, topic: str) -> str:
        return self.prefix + topic

    def partition_of(self, model: str) -> int:
        """The model's ledger partition; its alerts go to the partition of the same number."""
        return ledger_partition(model, self.partitions)


def ledger_partition(model: str, partitions: int) -> int:
    """Which of `partitions` belongs to the model."""
    return int.from_bytes(hashlib.sha256(model.encode()).digest()[:8], "big") % partitions


def new_change(model: str, kind: ChangeKind, content: str, stream: StreamName | Literal[""] = "") -> Change:
    """A change named by the digest of its content."""
    return Change(model, kind, stream, "sha256:" + hashlib.sha256(content.encode()).hexdigest()[:32], content)


def encode_entry(entry: Entry, topic: str, partition: int) -> Outgoing:
    """One ledger record."""
    match entry:
        case Pane():
            kind, key, value = "pane", entry.model, encode_pane(entry)
        case RawPane():
            kind, key, value = "raw", entry.model, encode_raw(entry)
        case Change():
            kind, key, value = "change", entry.model, msgspec.json.encode(entry)
        case Watermark() | Heartbeat() | ContractSwitch() | Notice():
            kind = type(entry).__name__.lower()
            key, value = f"{entry.topic}/{entry.partition}", msgspec.json.encode(entry)
    return Outgoing(topic, partition, key.encode(), value, ((KIND, kind.encode()),))


def encode_command(command: Command, topic: str, partition: int) -> Outgoing:
    """The ledger record of a command. It has no number: people write it, and twice is as good as once."""
    return Outgoing(topic, partition, command.model.encode(), msgspec.json.encode(command), ((KIND, COMMAND.encode()),))


def decode_command(value: bytes) -> Command:
    """The command of its bytes; raises FormatError."""
    try:
        return msgspec.json.decode(value, type=Command)
    except msgspec.DecodeError as error:
        raise FormatError(f"not a command: {error}") from error


def kind_of(headers: Headers) -> str:
    """The `sd-kind` of a record of ours."""
    for name, value in headers:
        if name == KIND:
            return value.decode("ascii", "replace")
    raise FormatError(f"a record of ours has no {KIND} header")


def decode_entry(kind: str, value: bytes) -> Entry:
    """The entry of its kind and bytes; raises FormatError."""
    if kind == "pane":
        return decode_pane(value)
    if kind == "raw":
        return decode_raw(value)
    if kind not in _JSON_KINDS:
        raise FormatError(f"a ledger record of kind {kind!r} is not known to this version")
    try:
        return msgspec.json.decode(value, type=_JSON_KINDS[kind])
    except msgspec.DecodeError as error:
        raise FormatError(f"not a {kind} record: {error}") from error


def encode_activation(activation: Activation, topic: str) -> Outgoing:
    """The record of the grid topic, under (model, kind, stream, digest, pane)."""
    change = activation.change
    pane = "" if activation.pane is None else activation.pane
    key = f"{change.model}/{change.kind}/{change.stream}/{change.digest}/{pane}"
    return Outgoing(topic, 0, key.encode(), msgspec.json.encode(activation), ((KIND, b"activation"),))


def decode_activation(value: bytes) -> Activation:
    """The activation of its bytes; raises FormatError."""
    try:
        return msgspec.json.decode(value, type=Activation)
    except msgspec.DecodeError as error:
        raise FormatError(f"not an activation: {error}") from error


CONTRACT = "contract"


def encode_contract(contract: TopicContract, topic: str) -> Outgoing:
    """The record of the grid topic, under ("contract", topic, digest). The newest by offset is the one to take."""
    key = f"{CONTRACT}/{contract.topic}/{contract.digest}".encode()
    return Outgoing(topic, 0, key, msgspec.json.encode(contract), ((KIND, CONTRACT.encode()),))


def decode_contract(value: bytes) -> TopicContract:
    """The contract of its bytes; raises FormatError."""
    try:
        return msgspec.json.decode(value, type=TopicContract)
    except msgspec.DecodeError as error:
        raise FormatError(f"not a contract: {error}") from error
