"""The position record: all that a task must know to fold its input again from the low-water mark."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from monitor.codec.formats import decode_format
from monitor.ledger.entries import ContractSwitch, Heartbeat

FORMAT = "streamdrift.position/6"
MODULUS = 1 << 256
_WHAT = "position record"


class RowState(msgspec.Struct, frozen=True, order=True):
    """What was known before the row at `offset`: largest accepted time, reach, and the heartbeats' floor.

    `until`: when it was decided, if it had to wait for rows behind it: before that it is not decided again either,
    because a heartbeat or another contract may lie between. Twice the position there, and one more if by a heartbeat.
    """

    offset: int
    highest: int | None = None
    reach: int | None = None
    floor: int | None = None
    until: int | None = None


class ModelPosition(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of one model's position that does not follow from its partition; a model without any is left out.

    `blocked_at`: index of the pane that is due and waits for the model's grid; None: all that was due is sealed.
    `raw_sent`: rows sent raw, `sampled`: whether a sample was sent, both as long as there is no grid. `first`: the
    watermark from which on it is folded, if that is not the partition's first. `again`: where it last came back.
    """

    blocked_at: int | None = None
    raw_sent: int = 0
    sampled: bool = False
    first: int | None = None
    again: int | None = None


class Switch(msgspec.Struct, frozen=True, array_like=True):
    """From `offset` on the contract `digest` (`entries.ContractSwitch`)."""

    offset: int
    watermark: int | None
    digest: str
    held: tuple[str, ...] = ()
    silent_to: int | None = None
    nth: int = 0


def switch_of(entry: ContractSwitch) -> Switch:
    """Return an entry of the ledger as positions hold it."""
    return Switch(entry.offset, entry.watermark, entry.digest, entry.held, entry.silent_to, entry.nth)


class ProfilePosition(msgspec.Struct, frozen=True, omit_defaults=True):
    """The position of a profile task. `low`: state before the oldest record still needed; `position`: next to read.

    `heartbeats`: those after `low` that count. `digest`: of the offsets in the open panes.
    `contract`: digest of the topic's contract at `low`; `switches`: to others after it;
    `switched`: how often at `position` itself.
    `gone`: of models that are folded no longer, the watermarks where that began and ended. `buckets`: records counted
    since the first start; `gaps`: offsets since then that hold none; `held`: rows that wait (`profile/accounting.py`).
    `watermark`: at `position`; `natural`: as records alone have moved it; `published_to`: up to which watermark panes
    were published. `highest`: the largest accepted time; `silent_to`: the newest report of the silence since then.
    `quarantined`: offsets of those left out after `low`. `before`: the commit before this one; `tails`: the offset
    behind its records in each output partition, so that what the last commit wrote can be looked up, and done again.
    `written_switches`, `written_heartbeats`: those that this commit writes to the ledger, wherever `low` is by now, or
    those of the commit that it takes back: if that part is lost, outputs that follow from them may be there.
    `models`: only those of which there is something to say, so that a topic of many models has a small record.
    """

    format: str
    low: RowState
    position: int
    start: int
    first_watermark: int | None
    natural: int | None
    watermark: int | None
    published_to: int | None
    digest: str
    contract: str
    highest: int | None = None
    silent_to: int | None = None
    heartbeats: tuple[Heartbeat, ...] = ()
    models: dict[str, ModelPosition] = {}
    switches: tuple[Switch, ...] = ()
    switched: int = 0
    gone: dict[str, tuple[int, int]] = {}
    buckets: dict[str, int] = {}
    gaps: int = 0
    held: int = 0
    quarantined: tuple[int, ...] = ()
    sequences: dict[str, int] = {}
    tails: dict[str, int] = {}
    before: ProfilePosition | None = None
    written_switches: tuple[Switch, ...] = ()
    written_heartbeats: tuple[Heartbeat, ...] = ()


class Stopped(msgspec.Struct, frozen=True):
    """A model that is not evaluated from `position` on, and `why`. `numbers`: of its outputs up to there.

    Not all of that need be in the topics: a commit can be lost in part. `rebuild`: digest of the decision by which it
    is being folded again, empty without one; `tries`: how often that was begun. `asked`: ids of the newest commands to
    rebuild it that stand in the ledger, whatever became of them.
    """

    position: int
    why: str
    numbers: dict[str, int]
    rebuild: str = ""
    tries: int = 0
    asked: tuple[str, ...] = ()


class Snapshot(msgspec.Struct, frozen=True):
    """A part of a snapshot: the next ledger offset to fold, where it begins in `state`, and its digest.

    `outputs` and `numbers`: digest and numbers of the outputs up to `position`. `blocks`: those of first rows that a
    model's part lists, and where each begins in `state`.
    """

    position: int
    start: int
    digest: str
    outputs: str
    numbers: dict[str, int]
    blocks: dict[str, int] = {}


class EvaluatePosition(msgspec.Struct, frozen=True):
    """The position of an evaluate task, beside its models. `low`: the snapshot of what belongs to no model, or None.

    From there on the ledger is folded again: no model's snapshot stands below it. `commit`: number of the commit that
    wrote this. `outputs`, `numbers`: digest and numbers of what belongs to no model. `before` and `tails`: its numbers
    at the last commit but one, and the offset behind them in each output partition; so what the last one wrote can be
    looked up; `previous`: the position there. `models`: sum over the newest records of models (`digest_of_records`).
    `messages`: version of the messages since the snapshots; empty if they are of several. `skipped`: stretches of the
    output partitions, as (from, to), whose messages are not published again, because another version published them.
    `commands`: the offset in `commands` below which all are in the ledger for certain.
    """

    format: str
    commit: int
    low: Snapshot | None
    position: int
    outputs: str
    numbers: dict[str, int]
    before: dict[str, int]
    tails: dict[str, int]
    models: str
    messages: str
    previous: int
    skipped: dict[str, tuple[int, int]] = {}
    commands: int = 0


class EvaluatedModel(msgspec.Struct, frozen=True):
    """The position of one model of an evaluate task, written by the commits that moved it; `commit`: the last of them.

    `outputs`: digest of all that it has published so far. `before`: its numbers at the commit before that one. `there`:
    how many of its outputs are in the topics when all these are. `snapshot`: None as long as there is none.
    `releases`: River's classes in use, and the release of River whose answers each gave; empty if not to be compared.
    """

    format: str
    commit: int
    snapshot: Snapshot | None
    outputs: str
    numbers: dict[str, int]
    before: dict[str, int]
    there: dict[str, int]
    stopped: Stopped | None
    releases: dict[str, str] = {}


class GuardRecord(msgspec.Struct, frozen=True):
    """How often a process `ended` in the fold of what follows a committed position, and who writes it.

    `alone_to`: records below are folded alone; 0: none are.
    """

    format: str
    position: int
    ended: int
    alone_to: int
    instance: str


def key_of(group: str, topic: str, partition: int) -> bytes:
    """The key of a position record."""
    return f"{group}/{topic}/{partition}".encode()


def mark_key(group: str, topic: str, partition: int) -> bytes:
    """The key of a mark."""
    return key_of(group, topic, partition) + b"/mark"


def models_key(group: str, topic: str, partition: int) -> bytes:
    """What the keys of the models' records begin with; the model's name follows."""
    return key_of(group, topic, partition) + b"/model/"


def encode(position: ProfilePosition | EvaluatePosition | EvaluatedModel | GuardRecord) -> bytes:
    """The record's JSON, keys sorted."""
    return msgspec.json.encode(position, order="deterministic")


def digest(value: bytes) -> str:
    """What the committed offset's metadata holds."""
    return hashlib.sha256(value).hexdigest()[:32]


def digest_of_records(records: Mapping[str, bytes]) -> int:
    """A sum over the newest records of models, whatever their order: what is replaced is subtracted."""
    hashes = (hashlib.sha256(name.encode() + b"\0" + value).digest() for name, value in records.items())
    return sum(int.from_bytes(digest, "big") for digest in hashes) % MODULUS


def decode_profile(value: bytes) -> ProfilePosition:
    """The position of its JSON; raises FormatError."""
    return decode_format(value, ProfilePosition, FORMAT, _WHAT)


def decode_evaluate(value: bytes) -> EvaluatePosition:
    """The position of its JSON; raises FormatError."""
    return decode_format(value, EvaluatePosition, FORMAT, _WHAT)


def decode_model(value: bytes) -> EvaluatedModel:
    """A model's record of its JSON; raises FormatError."""
    return decode_format(value, EvaluatedModel, FORMAT, _WHAT)


def decode_mark(value: bytes) -> GuardRecord:
    """The mark of its JSON; raises FormatError."""
    return decode_format(value, GuardRecord, FORMAT, _WHAT)
