"""Keyed rows: of each prediction and each label of a pane what the join needs, and no more.

A row is the digest of its id (BLAKE2b, 64 bits: a pseudonym, because short ids can be guessed), its class or number,
of a prediction its probability, and of a label its event time. Classes are texts, of which a part keeps a dictionary.
The rows of a partial pane travel in parts, in canonical order, ahead of the pane: so with the pane, all are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np

from monitor.codec.ids import NO_ID
from monitor.contract import Keys, StreamContract
from monitor.errors import FormatError
from monitor.events import (
    CellState,
    Codes,
    Float32s,
    Float64s,
    Int32s,
    Int64s,
    Rows,
    StreamName,
    TopicPartition,
    UInt64s,
)
from monitor.panes.rows import canonical_order

PART_ROWS = 8192
"""Most rows of a part."""
MOST_CLASSES = 1000
"""Most texts of a part's dictionary; those beyond are OTHER_TEXT."""
OTHER_TEXT = "other"
NO_CLASS = 65535
"""The code of a prediction without a class."""


@dataclass(frozen=True, slots=True)
class KeyedRows:
    """One part of the keyed rows of one partial pane.

    `contract`: that of the pane, as in `Pane`. `part`: from 0. `ids`: digests, shape (n,). Of classification `codes`
    (n,) are places in `classes`, or NO_CLASS; of regression `values` (n,), NaN if there is none; the other one is
    empty. `probabilities` (n,): of predictions, NaN if there is none. `times` (n,): of labels, ms UTC.
    `without_id`, `without_value`: rows of the pane that take no part, in part 0.
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


class _Kept(msgspec.Struct):
    """Rows of one batch, as far as they take part."""

    time: Int64s
    offset: Int64s
    part: Int32s
    ids: UInt64s
    texts: list[str] | None
    values: Float64s
    probabilities: Float32s


class OpenKeyed:
    """The keyed rows of a pane that is open, of a stream with keys."""

    def __init__(self, stream: StreamContract, keys: Keys) -> None:
        self._names = frozenset(column.name for column in stream.columns)
        self._mask = np.uint64((1 << keys.sample_bits) - 1)
        self._kept: list[_Kept] = []
        self._without_id = 0
        self._without_value = 0

    def add(self, rows: Rows) -> None:
        """Take rows of the pane."""
        if rows.ids is None:
            return
        is_there = rows.ids != NO_ID
        self._without_id += int(len(rows) - is_there.sum())
        wanted = is_there & ((rows.ids & self._mask) == 0)
        texts, values, probabilities = _columns(rows, self._names)
        known = ~np.isnan(values) | ~np.isnan(probabilities)
        if texts is not None:
            known |= rows.categorical_states[:, 0] == CellState.VALID
        self._without_value += int((wanted & ~known).sum())
        at = np.flatnonzero(wanted & known)
        if len(at):
            own = None if texts is None else [texts[i] for i in at.tolist()]
            kept = (rows.time[at], rows.offset[at], rows.part[at], rows.ids[at])
            self._kept.append(_Kept(*kept, own, values[at], probabilities[at]))

    def seal(self, of: Rows, tp: TopicPartition, index: int, pane_ms: int) -> Iterator[KeyedRows]:
        """Yield the parts. `of`: no rows of the model and stream, and names them."""
        kept = self._kept
        total = sum(len(one.ids) for one in kept)
        if not total and not self._without_id and not self._without_value:
            return
        columns = [
            np.concatenate([getattr(one, name) for one in kept]) if kept else np.zeros(0, dtype=kind)
            for name, kind in _COLUMNS
        ]
        time, offset, part, ids, values, probabilities = columns
        texts = [text for one in kept for text in one.texts or ()]
        order = canonical_order(time, offset, part)
        is_labels = of.stream == "labels"
        for number, first in enumerate(range(0, max(total, 1), PART_ROWS)):
            at = order[first : first + PART_ROWS]
            classes, codes = _coded([texts[i] for i in at.tolist()]) if texts else ((), np.zeros(0, dtype=np.uint16))
            yield KeyedRows(
                of.model,
                of.stream,
                of.contract,
                tp,
                index,
                pane_ms,
                number,
                ids[at],
                classes,
                codes,
                values[at] if not texts else values[:0],
                probabilities[at] if not is_labels else probabilities[:0],
                time[at] if is_labels else time[:0],
                self._without_id if number == 0 else 0,
                self._without_value if number == 0 else 0,
            )


_COLUMNS: Sequence[tuple[str, Any]] = (
    ("time", np.int64),
    ("offset", np.int64),
    ("part", np.int32),
    ("ids", np.uint64),
    ("values", np.float64),
    ("probabilities", np.float32),
)


def _columns(rows: Rows, names: frozenset[str]) -> tuple[list[str] | None, Float64s, Float32s]:
    """Texts, numbers and probabilities of rows, by the names of their columns."""
    nothing = np.full(len(rows), np.nan)
    numeric = np.where(rows.numeric_states == CellState.VALID, rows.numeric, np.nan)
    texts = rows.categorical[0] if rows.categorical else None
    has_values = texts is None and bool(names & {"prediction", "label"})
    values = numeric[:, 0] if has_values else nothing
    probability = numeric[:, int(has_values)] if "probability" in names else nothing
    is_one = (probability >= 0) & (probability <= 1)
    return texts, values, np.where(is_one, probability, np.nan).astype(np.float32)


def _coded(texts: Sequence[str]) -> tuple[tuple[str, ...], Codes]:
    """Return the dictionary of texts, in the order in which they come, and their codes; "" is no class."""
    places: dict[str, int] = {}
    codes = np.empty(len(texts), dtype=np.uint16)
    for i, text in enumerate(texts):  # texts have no array form that is faster
        if text in places:
            codes[i] = places[text]
        elif not text:
            codes[i] = NO_CLASS
        elif len(places) < MOST_CLASSES:
            codes[i] = places.setdefault(text, len(places))
        else:
            codes[i] = places.setdefault(OTHER_TEXT, len(places))
    return tuple(places), codes


Length = Annotated[int, msgspec.Meta(gt=0)]
Natural = Annotated[int, msgspec.Meta(ge=0)]


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
    first_time: int
    time_type: str
    times: bytes
    without_id: Natural
    without_value: Natural


def encode_keyed(rows: KeyedRows) -> bytes:
    """The part as msgpack, each column in the smallest type that holds it."""
    code_type = "<u1" if len(rows.classes) < 255 else "<u2"
    first = int(rows.times.min()) if len(rows.times) else 0
    times = rows.times - first
    time_type = next(t for t in ("<u2", "<u4", "<i8") if not len(times) or times.max() <= np.iinfo(t).max)
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
        if raw.code_type not in ("<u1", "<u2") or raw.time_type not in ("<u2", "<u4", "<i8"):
            raise FormatError(f"not keyed rows: codes of type {raw.code_type!r}, times of type {raw.time_type!r}")
        written = np.frombuffer(raw.codes, dtype=raw.code_type)
        none = np.iinfo(raw.code_type).max
        codes = np.where(written == none, NO_CLASS, written).astype(np.uint16)
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
            codes,
            np.frombuffer(raw.values, dtype="<f8").astype(np.float64, copy=False),
            np.frombuffer(raw.probabilities, dtype="<f4").astype(np.float32, copy=False),
            np.frombuffer(raw.times, dtype=raw.time_type).astype(np.int64) + raw.first_time,
            raw.without_id,
            raw.without_value,
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise FormatError(f"not keyed rows: {error}") from error
    lengths = {len(column) for column in (rows.codes, rows.values, rows.probabilities, rows.times) if len(column)}
    if not lengths <= {len(rows)} or (codes[codes != NO_CLASS] >= len(rows.classes)).any():
        raise FormatError("not keyed rows: its columns do not fit each other")
    return rows
