"""Entries: everything that can influence a verdict, as values. They stand in the ledger and in the topic `decisions`.

Commands of people, which become decisions, stand in a topic of their own (`commands.py`), so that nobody needs the
right to write the ledger.

`entry_codec.py` gives their bytes. Fields with a default are optional: a reader of another release passes over those
that it does not know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Literal, get_args

import msgspec

from monitor.contract import TopicContract
from monitor.events import StreamName, TopicPartition
from monitor.panes.keyed import KeyedRows
from monitor.panes.pane import Pane, RawPane

CommandKind = Literal["rebuild", "silence", "expire", "acknowledge", "accept"]
"""Decisions that people have asked for. `rebuild`: a model that was stopped is folded again from the ledger's start; a
fold that was not stopped passes over it. `silence`: some alerts are silenced. `expire`: a silence ends.
`acknowledge`: somebody has taken on an incident. `accept`: a stretch of what came is to be a reference, which is a
decision of its own once it is made."""
COMMANDS: tuple[CommandKind, ...] = get_args(CommandKind)
DecisionKind = Literal["set", "grid", "reference", "trailing", "rules", "refusal", CommandKind, "begun", "gone"]
"""`trailing`: a reference for windows alone, of the newest rows. `refusal`: of a command that was taken before.
`gone`: the model leaves. `begun`: evaluate has found the first pane of a model that came back."""


class Watermark(msgspec.Struct, frozen=True):
    """All panes of that topic partition that end at or before `watermark` have been written. `first`: its first one.

    `firsts`: by model, the watermark from which on its rows are folded there; None: all from `first`. `gone`: of
    models that are folded no longer, where that began and ended. `held`: of models with a pane that waits for a grid,
    the start of that pane, behind which theirs are not written. `again`: of models that were gone and are back, the
    life they are in there (`ModelContract.life`) and where it began. Of the models in this ledger partition.
    """

    topic: str
    partition: int
    watermark: int
    first: int
    firsts: dict[str, int] | None = None
    gone: dict[str, tuple[int, int]] = {}
    held: dict[str, int] = {}
    again: dict[str, tuple[int, int]] = {}

    def first_of(self, model: str) -> int | None:
        """Return the watermark from which on the model's rows were folded; None if they have not been yet."""
        if model in self.gone:
            return self.gone[model][0]
        return self.first if self.firsts is None else self.firsts.get(model)

    def watermark_of(self, model: str) -> int | None:
        """Up to which watermark the model's panes have been written."""
        if model in self.gone:
            return self.gone[model][1]
        return None if self.first_of(model) is None else self.held.get(model, self.watermark)


BEFORE_ALL = -(1 << 62)
"""A time before all others (ms)."""


class Heartbeat(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a wall clock gave a partition that stood still when its position was `offset`: one of two things.

    `watermark`: panes that end there are sealed. Else `silent_to`: nothing is, but event time would have come so far
    by the wall clock (the partition's largest accepted time plus the time since it moved; the largest of the others' if
    it has none); `at` is the partition's watermark then, None before its first one. So what a partition has reported of
    its silence between two values of its watermark is the same however its log is cut into batches. `without`: models
    that have left the partition by then, whose silence it does not tell.
    """

    topic: str
    partition: int
    offset: int
    watermark: int | None = None
    silent_to: int | None = None
    at: int | None = None
    without: tuple[str, ...] = ()

    @property
    def reached(self) -> int:
        """The partition's watermark with it, for order; before all others if there was none."""
        reached = self.at if self.watermark is None else self.watermark
        return BEFORE_ALL if reached is None else reached

    @property
    def order(self) -> tuple[int, int, int]:
        """The order in which heartbeats of one partition happened.

        The watermark rises with each that gives one, else the silence.
        """
        return self.offset, self.reached, self.silent_to or 0


class ContractSwitch(msgspec.Struct, frozen=True):
    """From `offset` on the records of a topic partition are folded under the contract `digest` of its topic.

    `watermark`: its watermark then, which the new contract does not take back; None before its first one. A
    partition's first record of this kind says what it began with. `held`: models whose panes were due and waited for a
    grid, which they don't any more. `silent_to`: the newest silence that a heartbeat gave there before. `nth`: which
    one it is at that offset, from 1; 0: what the partition began with.
    """

    topic: str
    partition: int
    offset: int
    watermark: int | None
    digest: str
    held: tuple[str, ...] = ()
    silent_to: int | None = None
    nth: int = 0


NoticeName = Literal[
    "CardinalityLimited",
    "RecordQuarantined",
    "DataLost",
    "DetectorsReset",
    "ModelRefused",
    "ModelStopped",
    "CommandRefused",
]


class Notice(msgspec.Struct, frozen=True):
    """What a task reports of itself: evaluate publishes one message of it, once for each set of labels.

    `model`: empty where it belongs to none; then it stands in the ledger partition of the sender's first model. `at`:
    event time, ms, a pane end of the partition that says it. `labels`: beside `alertname`, `model` and `severity`;
    those of a notice without a model name its topic and partition, so that two senders never mean the same one.
    """

    model: str
    name: NoticeName
    at: int
    topic: str
    partition: int
    labels: tuple[tuple[str, str], ...]
    text: str


def concerns(notice: Notice, models: Collection[str], topics: Collection[str]) -> bool:
    """Return true if a notice is about one of the models or input topics; evaluate's own name the ledger's topic.

    One of a command for no model that is known is about all of them.
    """
    model = notice.model or dict(notice.labels).get("model", "")
    is_of_all = notice.name == "CommandRefused" and not model
    return is_of_all or model in models or notice.topic in topics


def is_of_the_run(notice: Notice) -> bool:
    """Return true if a fold of the input would not repeat it, because it is about the run and not about the records.

    A capture takes such a notice along; the others are functions of the log.
    """
    return notice.name != "CardinalityLimited" or SNAPSHOT_BYTES in notice.labels


SNAPSHOT_BYTES = ("bound", "snapshot_bytes")
"""The label of the one bound that is met by what was written, and when, and not by the records."""


class Decision(msgspec.Struct, frozen=True):
    """A new set of partitions, grid, reference or rules of a model, or a command. `content`: its canonical JSON.

    `stream`: empty where the decision is the whole model's. It counts from the first pane not yet folded when evaluate
    reads it; that pane is written back as an Activation. `alerts_yaml_sha256`: of the file that rules came from. It is
    no part of the digest, because the same rules of another file are no new decision. `lane`: of a grid and of a
    reference, names what the panes on it stand on (`contract.lane_contract`). `life`: of the model, once it counts.
    `command`: of a reference that somebody has accepted, and of a refusal, the id of the command.
    """

    model: str
    kind: DecisionKind
    stream: StreamName | Literal[""]
    digest: str
    content: str
    alerts_yaml_sha256: str = ""
    lane: str = ""
    life: int = 0
    command: str = ""

    @property
    def counts_by_clock(self) -> bool:
        """Return true if it matters how far silence was judged when it came: so it is of what people ask for."""
        return self.kind in COMMANDS or bool(self.command)

    @property
    def key(self) -> DecisionKey:
        """What it stands for: the newest of each counts. Each command, and each refusal of one, stands for itself."""
        is_kept = self.kind not in ("refusal", *COMMANDS)
        return self.kind, self.stream, self.lane if is_kept else self.digest


DecisionKey = tuple[DecisionKind, StreamName | Literal[""], str]
"""Kind, stream and lane of a decision; of a command its digest for the lane."""


def new_decision(
    model: str,
    kind: DecisionKind,
    content: str,
    stream: StreamName | Literal[""] = "",
    alerts_yaml_sha256: str = "",
    lane: str = "",
) -> Decision:
    """A decision named by the digest of its content."""
    digest = "sha256:" + hashlib.sha256(content.encode()).hexdigest()[:32]
    return Decision(model, kind, stream, digest, content, alerts_yaml_sha256, lane)


class Activation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A decision, and where the first pane begins that it counted for (ms; None: from the model's first pane).

    `silence_judged_to`: of rules in the place of others, of a model that is gone, of a command, and of a reference that
    was accepted, how far on the silence clock the model had been judged by then, ms; None if never.
    """

    decision: Decision
    at: int | None
    silence_judged_to: int | None = None


class PartitionSet(msgspec.Struct, frozen=True):
    """Content of a set decision: the model's topics by stream, with their numbers of partitions."""

    streams: dict[StreamName, tuple[str, int]]

    @property
    def partitions(self) -> tuple[TopicPartition, ...]:
        """All input partitions of the model, sorted, each once."""
        return _partitions_of(self.streams.values())

    @property
    def data_partitions(self) -> tuple[TopicPartition, ...]:
        """Those of features and predictions: labels neither begin a model nor tell its silence."""
        return _partitions_of(place for stream, place in self.streams.items() if stream != "labels")


def _partitions_of(topics: Iterable[tuple[str, int]]) -> tuple[TopicPartition, ...]:
    numbers = dict(topics)
    return tuple(TopicPartition(topic, p) for topic in sorted(numbers) for p in range(numbers[topic]))


def joined_at(tp: TopicPartition, model: str, activations: Iterable[Activation]) -> int | Literal["not yet"] | None:
    """From which event time on (ms) a partition belongs to a model: older rows there are late.

    None: from the start. "not yet": no set of partitions names it, or there is none: evaluate, which owns the sets, has
    yet to write the first, and may have counted the partitions before this one came.
    """
    sets = [a for a in activations if a.decision.kind == "set" and a.decision.model == model]
    naming = [a.at for a in sets if tp in msgspec.json.decode(a.decision.content, type=PartitionSet).partitions]
    if not naming:
        return "not yet"
    # the first counts; the topic may hold it behind others, when it was written again after a restart
    return None if None in naming else min((at for at in naming if at is not None), default=None)


Entry = Pane | RawPane | KeyedRows | Watermark | Heartbeat | ContractSwitch | Notice | Decision
"""What the ledger holds, in the order in which it was written."""
Agreement = Activation | TopicContract
"""What the compacted topic `decisions` holds, for profile, captures and restarts."""
