"""The pane: what one topic partition saw of one model in one slice of event time, as a mergeable summary.

A pane of index k covers event time [k * pane_ms, (k + 1) * pane_ms). Its trace holds the rows of level >= `level`
in canonical order, as grid codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from monitor.errors import FormatError
from monitor.events import Codes, Int64s, OffsetRange, Rows, States, StreamName, TopicPartition


@dataclass(frozen=True, slots=True)
class Pane:
    """A sealed partial pane. `counts`: flat vector of `Grid.layout`; `codes` (m, series) and `levels` (m,): the trace.

    `contract`: names what it stands on (`contract.lane_contract`). `grid`: empty for labels, and if its partition has
    left that contract: then nothing is counted. `offsets`: all rows' range. `last_time`: largest event time in ms.
    `unknown`: per categorical series the heavy hitters among unknown values.
    """

    model: str
    segment: str
    stream: StreamName
    contract: str
    tp: TopicPartition
    index: int
    pane_ms: int
    grid: str
    events: int
    last_time: int | None
    offsets: OffsetRange
    counts: Int64s
    level: int
    codes: Codes
    levels: States
    unknown: tuple[Mapping[str, int], ...]

    @property
    def start(self) -> int:
        """Event time at which it begins, ms."""
        return self.index * self.pane_ms


@dataclass(frozen=True, slots=True)
class RawPane:
    """A sealed pane of a model that has no grid yet: its rows in offset order, and how many came late.

    `complete` is False for a sample: the first rows of a pane that waits for the grid, not sealed.
    """

    model: str
    segment: str
    stream: StreamName
    contract: str
    tp: TopicPartition
    index: int
    pane_ms: int
    late: int
    first_offset: int
    last_offset: int
    trace_points: int
    rows: Rows
    complete: bool

    @property
    def start(self) -> int:
        """Event time at which it begins, ms."""
        return self.index * self.pane_ms

    @property
    def events(self) -> int:
        """Rows that came in time."""
        return len(self.rows)

    @property
    def last_time(self) -> int | None:
        """Time of the newest of them, ms."""
        return int(self.rows.time.max()) if len(self.rows) else None

    @property
    def offsets(self) -> OffsetRange:
        """The range of all rows, late ones too."""
        return OffsetRange(*self.tp, self.first_offset, self.last_offset + 1)


Length = Annotated[int, msgspec.Meta(gt=0)]


class _PaneValue(msgspec.Struct, array_like=True):
    model: str
    segment: str
    stream: StreamName
    contract: str
    topic: str
    partition: int
    index: int
    pane_ms: Length
    grid: str
    events: int
    last_time: int | None
    first_offset: int
    end_offset: int
    width: int
    places: bytes
    count_type: str
    counts: bytes
    level: int
    series: int
    codes: bytes
    levels: bytes
    unknown: tuple[dict[str, int], ...]


class _RawValue(msgspec.Struct, array_like=True):
    model: str
    segment: str
    stream: StreamName
    contract: str
    topic: str
    partition: int
    index: int
    pane_ms: Length
    late: int
    first_offset: int
    last_offset: int
    trace_points: int
    complete: bool
    offset: bytes
    part: bytes
    time: bytes
    numeric: bytes
    numeric_states: bytes
    categorical: tuple[list[str], ...]
    categorical_states: bytes


def encode_pane(pane: Pane) -> bytes:
    """The pane as msgpack; counts as (place, count) pairs in the smallest integer type that holds them."""
    places = np.flatnonzero(pane.counts)
    counts = pane.counts[places]
    count_type = next(t for t in ("<u1", "<u2", "<i4", "<i8") if _fits(counts, t))
    return msgspec.msgpack.encode(
        _PaneValue(
            pane.model,
            pane.segment,
            pane.stream,
            pane.contract,
            pane.tp.topic,
            pane.tp.partition,
            pane.index,
            pane.pane_ms,
            pane.grid,
            pane.events,
            pane.last_time,
            pane.offsets.start,
            pane.offsets.end,
            len(pane.counts),
            places.astype("<u4").tobytes(),
            count_type,
            counts.astype(count_type).tobytes(),
            pane.level,
            pane.codes.shape[1],
            pane.codes.astype("<u2").tobytes(),
            pane.levels.tobytes(),
            tuple(dict(counters) for counters in pane.unknown),
        )
    )


def _fits(counts: Int64s, count_type: str) -> bool:
    info = np.iinfo(count_type)
    return len(counts) == 0 or (int(counts.min()) >= info.min and int(counts.max()) <= info.max)


def decode_pane(value: bytes) -> Pane:
    """The pane of its bytes; raises FormatError."""
    try:
        raw = msgspec.msgpack.decode(value, type=_PaneValue)
        if raw.count_type not in ("<u1", "<u2", "<i4", "<i8"):
            raise FormatError(f"not a pane: counts of type {raw.count_type!r}")
        places, values = np.frombuffer(raw.places, dtype="<u4"), np.frombuffer(raw.counts, dtype=raw.count_type)
        codes = np.frombuffer(raw.codes, dtype="<u2").astype(np.uint16, copy=False).reshape(len(raw.levels), raw.series)
        if len(places) != len(values):
            raise FormatError("not a pane: its parts differ in length")
        counts = np.zeros(raw.width, dtype=np.int64)
        counts[places] = values
        tp = TopicPartition(raw.topic, raw.partition)
        return Pane(
            raw.model,
            raw.segment,
            raw.stream,
            raw.contract,
            tp,
            raw.index,
            raw.pane_ms,
            raw.grid,
            raw.events,
            raw.last_time,
            OffsetRange(*tp, raw.first_offset, raw.end_offset),
            counts,
            raw.level,
            codes,
            np.frombuffer(raw.levels, dtype=np.uint8),
            raw.unknown,
        )
    except (msgspec.DecodeError, ValueError, IndexError) as error:
        raise FormatError(f"not a pane: {error}") from error


def encode_raw(pane: RawPane) -> bytes:
    """The raw pane as msgpack."""
    rows = pane.rows
    return msgspec.msgpack.encode(
        _RawValue(
            pane.model,
            pane.segment,
            pane.stream,
            pane.contract,
            pane.tp.topic,
            pane.tp.partition,
            pane.index,
            pane.pane_ms,
            pane.late,
            pane.first_offset,
            pane.last_offset,
            pane.trace_points,
            pane.complete,
            rows.offset.astype("<i8").tobytes(),
            rows.part.astype("<i4").tobytes() if rows.part.any() else b"",
            rows.time.astype("<i8").tobytes(),
            rows.numeric.astype("<f8").tobytes(),
            rows.numeric_states.tobytes(),
            rows.categorical,
            rows.categorical_states.tobytes(),
        )
    )


def decode_raw(value: bytes) -> RawPane:
    """The raw pane of its bytes; raises FormatError."""
    try:
        raw = msgspec.msgpack.decode(value, type=_RawValue)
        offset = np.frombuffer(raw.offset, dtype="<i8").astype(np.int64, copy=False)
        n = len(offset)
        width = len(raw.numeric_states) // n if n else 0
        rows = Rows(
            raw.model,
            raw.stream,
            raw.contract,
            offset,
            np.frombuffer(raw.part, dtype="<i4").astype(np.int32, copy=False)
            if raw.part
            else np.zeros(n, dtype=np.int32),
            np.frombuffer(raw.time, dtype="<i8").astype(np.int64, copy=False),
            np.frombuffer(raw.numeric, dtype="<f8").astype(np.float64, copy=False).reshape(n, width),
            np.frombuffer(raw.numeric_states, dtype=np.uint8).reshape(n, width),
            raw.categorical,
            np.frombuffer(raw.categorical_states, dtype=np.uint8).reshape(n, len(raw.categorical)),
        )
        return RawPane(
            raw.model,
            raw.segment,
            raw.stream,
            raw.contract,
            TopicPartition(raw.topic, raw.partition),
            raw.index,
            raw.pane_ms,
            raw.late,
            raw.first_offset,
            raw.last_offset,
            raw.trace_points,
            rows,
            raw.complete,
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise FormatError(f"not a raw pane: {error}") from error
