"""The contract: all that profile reads of the configuration, one a model, immutable and named by its digest.

Expanding columns into series happens here, once: a text column is the numeric series of its length, an array
column the three numeric series `name.length`, `name.mean`, `name.norm`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Literal

import msgspec

from monitor.events import LANES, StreamName

Field = str | tuple[str, ...]
"""A field of the event by its name, literally; or the path to a value within objects."""
ColumnKind = Literal["numerical", "binary", "categorical", "text", "array"]


def path_of(field: Field) -> tuple[str, ...]:
    """Return the names that lead to a field, the first among the event's own."""
    return (field,) if isinstance(field, str) else field


def field_text(field: Field) -> str:
    """Return a field as people write it.

    >>> field_text("a.b"), field_text(("address", "city"))
    ('a.b', '[address, city]')
    """
    return field if isinstance(field, str) else f"[{', '.join(field)}]"


class ColumnSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column of a stream.

    `name`: what rules and messages call it. `field`: its key in the event (inside `features` for the features
    stream, at the top level for predictions). `true`: of a binary column, the flag that counts as 1
    (`codec/columns.py`), while every other one is 0; "": the usual words do. `as_number`: of a categorical column,
    whether its values are numbers, so that 1.0, 1 and 01 are one category.
    """

    name: str
    field: Field
    kind: ColumnKind
    true: str = ""
    as_number: bool = False


class TimeForm(msgspec.Struct, frozen=True, omit_defaults=True):
    """How event times are written, as far as alerts.yaml says it.

    `unit`: of numbers since 1970. `format`: of texts, as strptime has it. `zone`: of times without offset; "": UTC.
    """

    unit: Literal["", "s", "ms", "us", "ns"] = ""
    format: str = ""
    zone: str = ""


class Keys(msgspec.Struct, frozen=True, omit_defaults=True):
    """The field of the id, by which the rows of predictions and labels meet.

    `sample_bits`: only ids take part whose digest ends in that number of zero bits. `error`: of labels, what makes a
    prediction wrong, in words; "" if nothing does, as in a regression without tolerance.
    """

    id_field: Field
    sample_bits: int = 0
    error: str = ""


class StreamContract(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stream of a model: its topic, the field of its event time and its form, its columns by name, its format.

    `keys`: of labels, and of predictions that are joined with them. `follows`: of outcomes, the lane of the predictions
    that they are of; they come from no topic, and their fields say what their columns hold.
    """

    stream: StreamName
    topic: str
    time_field: Field
    columns: tuple[ColumnSpec, ...]
    format: Literal["native"] = "native"
    times: TimeForm = TimeForm()
    keys: Keys | None = None
    follows: str = ""

    @property
    def roots(self) -> frozenset[str]:
        """Names of the event's own that its columns are in."""
        return frozenset(path_of(column.field)[0] for column in self.columns)

    @property
    def has_lane(self) -> bool:
        """Return true if its rows are put on a grid and judged; of labels only the join takes some."""
        return self.stream in LANES

    @property
    def time_root(self) -> str:
        """The name of the event's own that its time is in."""
        return path_of(self.time_field)[0]

    @property
    def id_root(self) -> str | None:
        """The name of the event's own that its id is in; None without keys."""
        return None if self.keys is None else path_of(self.keys.id_field)[0]

    @property
    def names(self) -> frozenset[str]:
        """All names of the event's own that are read: of columns, time and id."""
        return self.roots | {name for name in (self.time_root, self.id_root) if name is not None}

    @property
    def numeric_series(self) -> tuple[str, ...]:
        """Names of the numeric series, in order."""
        names: list[str] = []
        for column in self.columns:
            if column.kind in ("numerical", "binary"):
                names.append(column.name)
            elif column.kind == "text":
                names.append(f"{column.name}.length")
            elif column.kind == "array":
                names += [f"{column.name}.{part}" for part in ("length", "mean", "norm")]
        return tuple(names)

    @property
    def categorical_series(self) -> tuple[str, ...]:
        """Names of the categorical series, in order."""
        return tuple(column.name for column in self.columns if column.kind == "categorical")


class ModelContract(msgspec.Struct, frozen=True, omit_defaults=True, cache_hash=True):
    """What profile must know of one model. Durations in ms.

    `reference`: names where its reference comes from, as JSON; never what it holds.
    `raw_rows`: rows of a stream that a partition may send raw while there is no grid, and the rows that a grid
    is made from. `trace_points`: most rows of a pane's trace. `idle_timeout_ms`: None: no partition is left behind.
    `life`: how often the model had been gone before: what comes back under its name is new. `reference_ms`: event time
    whose rows make the reference of a stream; 0: the rows that its grid is made from, unless it comes from elsewhere.
    """

    model: str
    pane_ms: int
    lateness_ms: int
    idle_timeout_ms: int | None
    max_clock_skew_ms: int
    raw_rows: int
    trace_points: int
    streams: tuple[StreamContract, ...]
    reference: str = ""
    life: int = 0
    reference_ms: int = 0


def lane_contract(model: ModelContract, stream: StreamContract) -> str:
    """Names what the panes of one stream of a model stand on: columns, fields, the length of a pane, the reference.

    With another one of these the lane is another, with another grid; and so it is in another life of the model. Keys
    are not among them, so that labels may be added to a model that runs.
    """
    watched = msgspec.structs.replace(stream, keys=None)
    text = msgspec.json.encode((model.model, model.pane_ms, model.raw_rows, model.reference, watched))
    return in_life(hashlib.sha256(text).hexdigest()[:16], model.life)


OUTCOMES = ("error", "loss", "label", "label_delay_seconds")
"""Columns of the stream `outcomes`."""


def outcomes_of(model: ModelContract) -> StreamContract | None:
    """Return the stream of predictions whose label has come; None of a model without labels.

    `error` is whether the prediction was wrong (1 or 0), `loss` how wrong it was, `label` the class or number,
    `label_delay_seconds` how long the label took. It is another lane (`lane_contract`) with another lane of
    predictions, another field of labels, or another error.
    """
    streams = {stream.stream: stream for stream in model.streams}
    labels, predictions = streams.get("labels"), streams.get("predictions")
    if labels is None or labels.keys is None or predictions is None:
        return None
    columns = (
        ColumnSpec("error", labels.keys.error, "binary"),
        ColumnSpec("loss", "loss", "numerical"),
        *labels.columns,
        ColumnSpec("label_delay_seconds", "label_delay_seconds", "numerical"),
    )
    follows = in_life(lane_contract(model, predictions), 0)
    return StreamContract("outcomes", "", "", columns[not labels.keys.error :], follows=follows)


def in_life(lane: str, life: int) -> str:
    """Return the name of the lane that stands on the same in that life of its model."""
    name = lane.partition(".")[0]
    return f"{name}.{life}" if life else name


def life_of(lane: str) -> int:
    """Return in which life of its model a lane is."""
    return int(lane.partition(".")[2] or 0)


class TopicContract(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """What profile must know of one topic: the contracts of the models that read it, with their stream on it alone.

    They agree in lateness, clock skew, idle timeout, and field and form of the time. Sorted by model. Positions name it
    by digest.
    """

    topic: str
    models: tuple[ModelContract, ...]

    @cached_property
    def is_labels(self) -> bool:
        """True if the topic holds labels."""
        return any(stream.stream == "labels" for model in self.models for stream in model.streams)

    @property
    def allowance_ms(self) -> int:
        """How far the watermarks of its models' features and predictions are behind their largest event times, ms."""
        return self.models[0].lateness_ms

    @property
    def lateness_ms(self) -> int:
        """How far behind the largest event time a row may come, ms. Labels are never late, so they wait for nothing."""
        return 0 if self.is_labels else self.allowance_ms

    @cached_property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:32]


def contract_of_topic(topic: str, contracts: Iterable[ModelContract]) -> TopicContract:
    """The contract of a topic: of models that don't read it nothing is in it."""
    restricted = (
        msgspec.structs.replace(contract, streams=tuple(s for s in contract.streams if s.topic == topic))
        for contract in contracts
    )
    return TopicContract(topic, tuple(sorted((c for c in restricted if c.streams), key=lambda c: c.model)))
