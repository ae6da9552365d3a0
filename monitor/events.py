"""The values that flow: read this file first.

    RecordBatch ──decode──► Batch(Rows, Rejected) ──profile──► Pane ──evaluate──► Observation, Verdict
                                                                                    └► Alert, RetrainingRequest

Times are integers, milliseconds since 1970 UTC; a *pane end* is exclusive. Offsets ranges are half-open.
Every consumed record ends in exactly one bucket: in a pane, late, dead-lettered, tombstone, or filtered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Bools = NDArray[np.bool_]
Float64s = NDArray[np.float64]
Codes = NDArray[np.uint16]
Int32s = NDArray[np.int32]
Int16s = NDArray[np.int16]
States = NDArray[np.uint8]

Headers = tuple[tuple[str, bytes], ...]
UInt64s = NDArray[np.uint64]
Float32s = NDArray[np.float32]
StreamName = Literal["features", "predictions", "labels", "outcomes", "performance"]
STREAMS: tuple[StreamName, ...] = ("features", "predictions", "labels", "outcomes", "performance")
"""All streams of a model. The first three come from topics. `outcomes` are predictions whose label has come, in the
order in which labels came; `performance` are windows of them by the time of the prediction."""
INPUT_STREAMS: tuple[StreamName, ...] = STREAMS[:3]
LANES: tuple[StreamName, ...] = ("features", "predictions", "outcomes")
"""The streams whose rows are put on a grid and judged."""


class TopicPartition(NamedTuple):
    """One partition of one topic; sorts by topic, then partition."""

    topic: str
    partition: int


class Record(NamedTuple):
    """One record of a topic."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    log_append_time: bool = False
    """True if the broker stamped it itself (LogAppendTime)."""


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one topic partition in offset order, as columns of equal length (one poll's worth)."""

    topic: str
    partition: int
    offsets: Sequence[int]
    timestamps: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers]
    log_append_time: bool = False
    """True if the broker stamped the records itself (LogAppendTime). A topic can be switched: a log may hold both."""

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def tp(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)

    def cut(self, start: int, end: int) -> RecordBatch:
        """The records at places `start` to `end`."""
        part = slice(start, end)
        return RecordBatch(
            self.topic,
            self.partition,
            self.offsets[part],
            self.timestamps[part],
            self.keys[part],
            self.values[part],
            self.headers[part],
            self.log_append_time,
        )


class CellState(IntEnum):
    """What is known of one value of one row; only VALID values are counted on the grid and reach detectors."""

    VALID = 0
    NULL = 1
    ABSENT = 2
    WRONG_TYPE = 3
    NAN = 4
    INFINITE = 5
    OUT_OF_RANGE = 6


@dataclass(frozen=True, slots=True)
class Rows:
    """Decoded rows of one model in one stream, from one batch of one topic partition, in offset order.

    `contract`: names what they were decoded under (`contract.lane_contract`). `offset`, `time` (ms UTC): shape (n,).
    `part`: which row of its record each is, shape (n,); a record of the native format is one row, part 0.
    `numeric`: shape (n, numeric series of the stream), NaN where its state is not VALID. `categorical`: one list of n
    strings a categorical series, "" where not VALID. Columns stand in the order of the stream's contract. `ids`: of a
    stream with keys the digest of each row's id (`codec.ids.digest_of`), 0 if it has none, shape (n,).
    """

    model: str
    stream: StreamName
    contract: str
    offset: Int64s
    part: Int32s
    time: Int64s
    numeric: Float64s
    numeric_states: States
    categorical: tuple[list[str], ...]
    categorical_states: States
    ids: UInt64s | None = None

    def __len__(self) -> int:
        return len(self.offset)


@dataclass(frozen=True, slots=True)
class Rejected:
    """One record that can't be used as a row, with the reason: it becomes a dead letter.

    `key`, `value`: their beginnings, as the dead letter quotes them. `length`, `sha256`: of the whole value.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    reason: str
    key: bytes | None
    value: bytes
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Batch:
    """A decoded RecordBatch. Each of its records is in `rows`, `rejected`, `tombstones` or `filtered`, once.

    `tombstones`, `filtered`: offsets, shape (k,). `first`, `last`: first and last offset of the batch.
    `timestamp_offset`, `timestamp`: the broker's stamps by offset, kept only under LogAppendTime (else empty).
    `assumed`: what was taken for granted of the form of its times.
    """

    topic: str
    partition: int
    first: int
    last: int
    rows: tuple[Rows, ...]
    rejected: tuple[Rejected, ...]
    tombstones: Int64s
    filtered: Int64s
    timestamp_offset: Int64s
    timestamp: Int64s
    assumed: tuple[str, ...] = ()


class OffsetRange(NamedTuple):
    """Half-open range of offsets of one topic partition."""

    topic: str
    partition: int
    start: int
    end: int


Series = Mapping[str, float]
"""Metric name -> score, rounded to 12 significant digits; an undefined score (NaN) is left out."""


Standing = Literal["provisional", "mature", "final"]
"""How complete the labels of a window of performance are."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """How much of a window of performance has labels. `intervals`: metric -> its interval, at a confidence of 0.95."""

    standing: Standing
    predictions: int
    labels: int
    coverage: float
    intervals: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Observation:
    """All series of one closed window of one model, segment and stream.

    `window`: canonical name of its specification (`WindowSpec.name`). `start`, `end`: event time, [start, end).
    `columns`: column -> series. `totals`: series of the stream as a whole (events, late_rate, ...). `labelled`: of a
    window of performance, whose totals are metrics, and whose events are predictions.
    """

    model: str
    segment: str
    stream: StreamName
    window: str
    start: int
    end: int
    events: int
    offsets: tuple[OffsetRange, ...]
    totals: Series
    columns: Mapping[str, Series]
    labelled: Labelled | None = None


DriftKind = Literal[
    "location", "spread", "shape", "missing", "invalid", "new_category", "vanished_category", "correlation"
]
"""What has changed of a column, or of a pair of columns."""


@dataclass(frozen=True, slots=True)
class Change:
    """The change that an alert is about: where it began (ms UTC), and where that may lie, too, from `start` to `end`.

    `before`, `after`: levels of the series. `width`: rows from the one to the other, 0 for a step. All three are None
    of a change in several columns. `kind`: None if nothing tells.
    """

    at: int
    start: int
    end: int
    before: float | None
    after: float | None
    width: int | None
    kind: Literal["sudden", "gradual", "recurring"] | DriftKind | None


class NamedColumn(NamedTuple):
    """A column in which an alert sees its change. `z`: how clearly, in standard deviations of chance.

    `before`, `after`: what its kind is about, in the reference and since the change. `with_column`: the other column of
    a correlation.
    """

    column: str
    z: float
    kind: DriftKind | None
    before: float
    after: float
    with_column: str | None = None


@dataclass(frozen=True, slots=True)
class Histogram:
    """The ten-bin view of one column: shares of reference and current. Numeric: `edges` has one more than bins."""

    edges: tuple[float | str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]
    beyond_rate: float = 0.0
    """Share of the window's values that are beyond the grid."""


@dataclass(frozen=True, slots=True)
class ReferenceInfo:
    """The reference as a message describes it. `start`, `end`: None if its rows have no time."""

    id: str
    events: int
    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's answer for one instance (set of labels) at one judgement. `violated` compares value with threshold."""

    labels: tuple[tuple[str, str], ...]
    stream: StreamName
    column: str | None
    value: float
    op: str
    threshold: float
    threshold_source: str
    reference_mean: float | None
    violated: bool
    window: Observation | None
    recovery_threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to be written."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int | None = None
