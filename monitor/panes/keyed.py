"""Keyed rows: of each prediction and each label of a pane what the join needs, and no more.

A row is the digest of its id (BLAKE2b, 64 bits: a pseudonym, because short ids can be guessed), its class or number,
of a prediction its probability, and of a label its event time. Classes are texts, of which a part keeps a dictionary.
The rows of a partial pane travel in parts, in canonical order, ahead of the pane: so with the pane, all are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from monitor.codec.ids import NO_ID
from monitor.errors import FormatError
from monitor.events import Codes, Float32s, Float64s, Int64s, StreamName, TopicPartition, UInt64s

PART_ROWS = 8192
"""Most rows of a part."""
PART_CLASSES = 1000
"""Most texts of a part's dictionary, in the order in which they come; those beyond are OTHER_TEXT."""
OTHER_TEXT = "other"
NO_CLASS = 65535
"""The code of a prediction without a class."""


@dataclass(frozen=True, slots=True)
class KeyedRows:
    """One part of the keyed rows of one partial pane.

    `contract`: that of the pane, as in `Pane`. `part`: from 0. `ids`: digests, shape (n,). The other columns have shape
    (n,), or are empty if the stream has no such column: `codes`, of classes: places in `classes`, or NO_CLASS;
    `values`, of numbers: NaN if there is none; `probabilities`, of predictions: NaN if there is none; `times`, of
    labels: ms UTC. `without_id`, `without_value`: rows of the pane that take no part, in part 0.
    """

    model: str
    stream: StreamName
    contract: str
    tp: TopicPartition
    index: int
    pane_ms: int
    part: int
    ids: UInt64s
    classes: tuple[str, ...]
    codes: Codes
    values: Float64s
    probabilities: Float32s
    times: Int64s
    without_id: int = 0
    without_value: int = 0

    @property
    def start(self) -> int:
        """Event time at which its pane begins, ms."""
        return self.index * self.pane_ms

    def __len__(self) -> int:
        return len(self.ids)


Length = Annotated[int, msgspec.Meta(gt=0)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
_FARTHEST = 1 << 53
"""Bound of times, ms: sums of them are exact."""
Time = Annotated[int, msgspec.Meta(ge=-_FARTHEST, le=_FARTHEST)]


class _KeyedValue(msgspec.Struct, array_like=True):
    model: str
    stream: StreamName
    contract: str
    topic: str
    partition: int
    index: int
    pane_ms: Length
    part: Natural
    ids: bytes
    classes: tuple[str, ...]
    code_type: str
    codes: bytes
    values: bytes
    probabilities: bytes
    first_time: Time
    time_type: str
    times: bytes
    without_id: Natural
    without_value: Natural


def encode_keyed(rows: KeyedRows) -> bytes:
    """The part as msgpack, each column in the smallest type that holds it."""
    code_type = "<u1" if len(rows.classes) < 255 else "<u2"
    first = int(rows.times.min()) if len(rows.times) else 0
    times = (rows.times - first).astype(np.uint64)
    time_type = next(t for t in ("<u2", "<u4", "<u8") if not len(times) or times.max() <= np.iinfo(t).max)
    return msgspec.msgpack.encode(
        _KeyedValue(
            rows.model,
            rows.stream,
            rows.contract,
            rows.tp.topic,
            rows.tp.partition,
            rows.index,
            rows.pane_ms,
            rows.part,
            rows.ids.astype("<u8").tobytes(),
            rows.classes,
            code_type,
            np.minimum(rows.codes, np.iinfo(code_type).max).astype(code_type).tobytes(),
            rows.values.astype("<f8").tobytes(),
            rows.probabilities.astype("<f4").tobytes(),
            first,
            time_type,
            times.astype(time_type).tobytes(),
            rows.without_id,
            rows.without_value,
        )
    )


def decode_keyed(value: bytes) -> KeyedRows:
    """The part of its bytes; raises FormatError."""
    try:
        raw = msgspec.msgpack.decode(value, type=_KeyedValue)
        if raw.code_type not in ("<u1", "<u2") or raw.time_type not in ("<u2", "<u4", "<u8"):
            raise FormatError(f"not keyed rows: codes of type {raw.code_type!r}, times of type {raw.time_type!r}")
        codes = np.frombuffer(raw.codes, dtype=raw.code_type)
        times = np.frombuffer(raw.times, dtype=raw.time_type)
        if (times > 2 * _FARTHEST).any():
            raise FormatError("not keyed rows: a time is out of range")
        rows = KeyedRows(
            raw.model,
            raw.stream,
            raw.contract,
            TopicPartition(raw.topic, raw.partition),
            raw.index,
            raw.pane_ms,
            raw.part,
            np.frombuffer(raw.ids, dtype="<u8").astype(np.uint64, copy=False),
            raw.classes,
            np.where(codes == np.iinfo(raw.code_type).max, np.uint16(NO_CLASS), codes),
            np.frombuffer(raw.values, dtype="<f8").astype(np.float64, copy=False),
            np.frombuffer(raw.probabilities, dtype="<f4").astype(np.float32, copy=False),
            times.astype(np.int64) + raw.first_time,
            raw.without_id,
            raw.without_value,
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise FormatError(f"not keyed rows: {error}") from error
    if fault := _fault(rows):
        raise FormatError(f"not keyed rows: {fault}")
    return rows


def _fault(rows: KeyedRows) -> str | None:
    """What rows can't be, whoever has written them, or None."""
    columns = {name: len(getattr(rows, name)) for name in ("codes", "values", "probabilities", "times")}
    own = {name for name, length in columns.items() if length}
    if any(columns[name] != len(rows) for name in own) or len(rows) > PART_ROWS:
        return "their columns differ in length, or are too long"
    if len(rows) and own not in _COLUMNS_OF.get(rows.stream, ()):
        return f"rows of {rows.stream} with the columns {sorted(own)}"
    is_class = rows.codes != NO_CLASS
    if (rows.codes[is_class] >= len(rows.classes)).any() or len(set(rows.classes)) < len(rows.classes):
        return "their classes are not those of their dictionary"
    if (rows.ids == NO_ID).any() or (rows.stream == "labels" and not (is_class.all() and _are_finite(rows.values))):
        return "a row has no id, or a label no value"
    return None


_COLUMNS_OF: dict[StreamName, tuple[set[str], ...]] = {
    "predictions": (
        {"codes"},
        {"values"},
        {"probabilities"},
        {"codes", "probabilities"},
        {"values", "probabilities"},
    ),
    "labels": ({"codes", "times"}, {"values", "times"}),
}


def _are_finite(values: Float64s) -> bool:
    return bool(np.isfinite(values).all())
