"""The keyed rows of a pane that is open: the same ones, whatever the batches in which its rows come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.codec.ids import NO_ID
from monitor.contract import Keys, StreamContract
from monitor.events import CellState, Codes, Float32s, Float64s, Int32s, Rows, TopicPartition
from monitor.panes.keyed import NO_CLASS, OTHER_TEXT, PART_CLASSES, PART_ROWS, KeyedRows
from monitor.panes.rows import canonical_order

_ROW = np.dtype(
    [
        ("time", np.int64),
        ("offset", np.int64),
        ("part", np.int32),
        ("id", np.uint64),
        ("class", np.int32),
        ("value", np.float64),
        ("probability", np.float32),
    ]
)
"""A row that takes part. `class`: its place among the texts of the pane, or _NO_TEXT."""
_NO_TEXT = -1


class OpenKeyed:
    """The keyed rows of one open pane, of a stream with keys."""

    def __init__(self, stream: StreamContract, keys: Keys) -> None:
        self._columns = _Columns(stream)
        self._is_labels = stream.stream == "labels"
        self._mask = np.uint64((1 << keys.sample_bits) - 1)
        self._texts: dict[str, int] = {}
        """The classes of the pane, each with its place."""
        self._kept: list[NDArray[Any]] = []
        self._without_id = 0
        self._without_value = 0

    def add(self, rows: Rows) -> None:
        """Take rows of the pane. Those that were decoded without keys have no id."""
        ids = np.zeros(len(rows), dtype=np.uint64) if rows.ids is None else rows.ids
        has_id = ids != NO_ID
        wanted = has_id & ((ids & self._mask) == 0)
        classes = self._classes_of(rows)
        values, probabilities = self._columns.values(rows), self._columns.probabilities(rows)
        has_value = (classes != _NO_TEXT) | ~np.isnan(values) | ~np.isnan(probabilities)
        self._without_id += int((~has_id).sum())
        self._without_value += int((wanted & ~has_value).sum())
        at = np.flatnonzero(wanted & has_value)
        if len(at):
            kept = np.empty(len(at), dtype=_ROW)
            kept["time"], kept["offset"], kept["part"] = rows.time[at], rows.offset[at], rows.part[at]
            kept["id"], kept["class"] = ids[at], classes[at]
            kept["value"], kept["probability"] = values[at], probabilities[at]
            self._kept.append(kept)

    def _classes_of(self, rows: Rows) -> Int32s:
        places = self._texts  # texts have no array form that is faster
        found = [places.setdefault(t, len(places)) if t else _NO_TEXT for t in self._columns.texts(rows)]
        return np.array(found, dtype=np.int32)

    def seal(self, of: Rows, tp: TopicPartition, index: int, pane_ms: int) -> Iterator[KeyedRows]:
        """Yield the parts. `of`: no rows of the model and stream, and names them."""
        rows = np.concatenate([np.zeros(0, dtype=_ROW), *self._kept])
        rows = rows[canonical_order(rows["time"], rows["offset"], rows["part"])]
        without, texts, has = (self._without_id, self._without_value), list(self._texts), self._columns
        for number, first in enumerate(range(0, len(rows) or int(any(without)), PART_ROWS)):
            own = rows[first : first + PART_ROWS]
            none = own[:0]
            classes, codes = _coded(texts, (none if has.text is None else own)["class"])
            yield KeyedRows(
                of.model,
                of.stream,
                of.contract,
                tp,
                index,
                pane_ms,
                number,
                own["id"].copy(),
                classes,
                codes,
                (none if has.value is None else own)["value"].copy(),
                (none if has.probability is None else own)["probability"].copy(),
                (own if self._is_labels else none)["time"].copy(),
                *(without if number == 0 else (0, 0)),
            )


class _Columns:
    """The columns of a stream that the join needs: their places among its series, None if there is none."""

    def __init__(self, stream: StreamContract) -> None:
        name = "label" if stream.stream == "labels" else "prediction"
        self.text = _place(stream.categorical_series, name)
        self.value = _place(stream.numeric_series, name)
        self.probability = _place(stream.numeric_series, "probability")

    def texts(self, rows: Rows) -> Sequence[str]:
        """The class of each row; an empty text if it has none."""
        return [""] * len(rows) if self.text is None else rows.categorical[self.text]

    def values(self, rows: Rows) -> Float64s:
        """The number of each row, or NaN."""
        return _numbers(rows, self.value)

    def probabilities(self, rows: Rows) -> Float32s:
        """The probability of each row, or NaN; a number that is no probability counts as missing."""
        found = _numbers(rows, self.probability)
        return np.where((found >= 0) & (found <= 1), found, np.nan).astype(np.float32)


def _place(series: Sequence[str], name: str) -> int | None:
    return series.index(name) if name in series else None


def _numbers(rows: Rows, place: int | None) -> Float64s:
    if place is None:
        return np.full(len(rows), np.nan)
    return np.where(rows.numeric_states[:, place] == CellState.VALID, rows.numeric[:, place], np.nan)


def _coded(texts: Sequence[str], places: Int32s) -> tuple[tuple[str, ...], Codes]:
    """Return the dictionary of rows whose classes have these places, and their codes."""
    own = [place for place in dict.fromkeys(places.tolist()) if place != _NO_TEXT]
    classes = [texts[place] for place in own[:PART_CLASSES]]
    if len(own) > PART_CLASSES and OTHER_TEXT not in classes:
        classes.append(OTHER_TEXT)
    other = classes.index(OTHER_TEXT) if len(own) > PART_CLASSES else NO_CLASS
    codes = np.full(len(texts) + 1, other, dtype=np.uint16)
    codes[own[:PART_CLASSES]] = np.arange(len(own[:PART_CLASSES]))
    codes[_NO_TEXT] = NO_CLASS  # the last one
    return tuple(classes), codes[places]
