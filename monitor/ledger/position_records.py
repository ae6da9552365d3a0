"""The position record: all that a task must know to fold its input again from the low-water mark."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from monitor.errors import FormatError
from monitor.ledger.entries import Heartbeat

FORMAT = "streamdrift.position/5"


class RowState(msgspec.Struct, frozen=True, order=True):
    """What was known before the row at `offset`: largest accepted time, reach, and the heartbeats' floor.

    `until`: the position at which it was decided, if it had to wait for rows behind it: before that it is not decided
    again either, because a heartbeat or another contract may lie between.
    """

    offset: int
    highest: int | None = None
    reach: int | None = None
    floor: int | None = None
    until: int | None = None


class ModelPosition(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of one model does not follow from its partition: where it has to be told, it is short.

    `blocked_at`: index of the pane that is due and waits for the model's grid; None: all that was due is sealed.
    `raw_sent`: rows sent raw, `sampled`: whether a sample was sent, both as long as there is no grid. `first`: the
    watermark from which on it is folded, if that is not the partition's first.
    """

    blocked_at: int | None = None
    raw_sent: int = 0
    sampled: bool = False
    first: int | None = None


class ProfilePosition(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a profile task stands. `low`: state before the oldest record still needed; `position`: next to read.

    `heartbeats`: those after `low` that count. `digest`: of the offsets in the open panes.
    `contract`: digest of the topic's contract at `low`; `switches`: to others after it, as (offset, watermark, digest).
    `gone`: of models that are folded no longer, the watermarks where that began and ended. `buckets`: records counted
    since the first start; `gaps`: offsets since then that hold none; `held`: rows that wait (`profile/accounting.py`).
    `watermark`: at `position`; `natural`: as records alone have moved it; `told`: up to which panes were published.
    `highest`: the largest accepted time; `silent_to`: what the newest heartbeat said of a silence since.
    `quarantined`: offsets of those left out after `low`. `before`: the commit before this one; `tails`: the offset
    behind its records in each output partition, so that what the last commit wrote can be looked up, and done again.
    `models`: only those of which there is something to say, so that a topic of many models has a small record.
    """

    format: str
    low: RowState
    position: int
    start: int
    first_watermark: int | None
    natural: int | None
    watermark: int | None
    told: int | None
    digest: str
    contract: str
    highest: int | None = None
    silent_to: int | None = None
    heartbeats: tuple[Heartbeat, ...] = ()
    models: dict[str, ModelPosition] = {}
    switches: tuple[tuple[int, int | None, str], ...] = ()
    gone: dict[str, tuple[int, int]] = {}
    buckets: dict[str, int] = {}
    gaps: int = 0
    held: int = 0
    quarantined: tuple[int, ...] = ()
    sequences: dict[str, int] = {}
    tails: dict[str, int] = {}
    before: ProfilePosition | None = None


Numbers = dict[str, dict[str, int]]
"""Of each model (empty: of none) the next number of its outputs, by output partition as "topic/partition"."""


class Stopped(msgspec.Struct, frozen=True):
    """A model that is not evaluated from `position` on, and `why`. `numbers`: of what it had said up to there.

    Not all of that need be in the topics: a commit can be lost in part.
    """

    position: int
    why: str
    numbers: dict[str, int]


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot of an evaluate task: the next ledger offset to fold, and where its records begin in `state`.

    `parts`: digest of each part. `numbers`: of the outputs up to `position`.
    """

    position: int
    start: int
    parts: dict[str, str]
    numbers: Numbers


class EvaluatePosition(msgspec.Struct, frozen=True):
    """Where an evaluate task stands. `low`: its snapshot, None as long as there is none.

    `outputs`: digest of all that each model published so far. `before` and `tails`: numbers of the outputs at the last
    commit but one, and the offset behind them in each output partition; so what the last one wrote can be looked up.
    `releases`: River's classes in use, and the release of River whose answers each gave.
    """

    format: str
    low: Snapshot | None
    position: int
    outputs: dict[str, str]
    numbers: Numbers
    before: Numbers
    tails: dict[str, int]
    stopped: dict[str, Stopped]
    releases: dict[str, str] = {}


class Mark(msgspec.Struct, frozen=True):
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


def encode(position: ProfilePosition | EvaluatePosition | Mark) -> bytes:
    """The record's JSON, keys sorted."""
    return msgspec.json.encode(position, order="deterministic")


def digest(value: bytes) -> str:
    """What the committed offset's metadata holds."""
    return hashlib.sha256(value).hexdigest()[:32]


def decode_profile(value: bytes) -> ProfilePosition:
    """The position of its JSON; raises FormatError."""
    return _checked(value, ProfilePosition)


def decode_evaluate(value: bytes) -> EvaluatePosition:
    """The position of its JSON; raises FormatError."""
    return _checked(value, EvaluatePosition)


def decode_mark(value: bytes) -> Mark:
    """The mark of its JSON; raises FormatError."""
    return _checked(value, Mark)


Position = TypeVar("Position", ProfilePosition, EvaluatePosition, Mark)


def _checked(value: bytes, kind: type[Position]) -> Position:
    try:
        position = msgspec.json.decode(value, type=kind)
    except msgspec.DecodeError as error:
        raise FormatError(f"not a position record: {error}") from error
    if position.format != FORMAT:
        raise FormatError(f"position record has format {position.format!r}; this version reads {FORMAT!r}")
    return position
