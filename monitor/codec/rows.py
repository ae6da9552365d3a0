"""Decoded events of one model to the columns of its contract: numbers as matrices, categories as lists."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import starmap
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np

from monitor.codec import columns
from monitor.codec.shapes import Shapes
from monitor.contract import ColumnSpec, StreamContract
from monitor.events import Bools, CellState, Float64s, States


class Cells(NamedTuple):
    """The values of some rows, as in `events.Rows`."""

    numeric: Float64s
    numeric_states: States
    categorical: tuple[list[str], ...]
    categorical_states: States

    def take(self, mask: Bools) -> Cells:
        """The rows at which the mask, shape (n,), is true."""
        chosen = np.flatnonzero(mask).tolist()
        texts = tuple([column[i] for i in chosen] for column in self.categorical)
        return Cells(self.numeric[mask], self.numeric_states[mask], texts, self.categorical_states[mask])


class RowReader:
    """Takes the columns of one stream out of decoded objects (features, or whole predictions)."""

    def __init__(self, stream: StreamContract, shapes: Shapes) -> None:
        self._width = len(stream.numeric_series)
        self._getters = [(column, shapes.getter(column.field)) for column in stream.columns]
        self._typed, self._places = _typed(stream, shapes)
        attributes = [shapes.attributes[str(column.field)] for column in self._typed]
        self._take = _taker(attributes, whole=shapes.features is not None and attributes == _all_of(shapes))
        self._pack = struct.Struct(f"={len(attributes)}d").pack
        self._is_classes = stream.stream in ("predictions", "labels")
        self._flags = [k for k, column in enumerate(self._typed) if column.kind == "binary"]

    def read(self, items: Sequence[Any], *, strict: bool) -> Cells:
        """The cells of the objects, in order. `strict`: whether they have the strict shape."""
        n = len(items)
        typed = self._typed if strict else ()
        if typed and len(typed) == len(self._getters):  # no other columns: nothing to put together
            return Cells(*self._read_typed(items), (), _beside([], n))
        numeric = np.empty((n, self._width))
        states = np.zeros((n, self._width), dtype=np.uint8)
        if typed:
            numeric[:, self._places], states[:, self._places] = self._read_typed(items)
        labels: list[list[str]] = []
        label_states: list[States] = []
        at = 0
        for column, getter in self._getters:
            if column.kind == "categorical":
                texts, own = labels_of(column, list(map(getter, items)), is_class=self._is_classes)
                labels.append(texts)
                label_states.append(own)
                continue
            width = 3 if column.kind == "array" else 1
            if column not in typed:
                cells, own = numbers_of(column, list(map(getter, items)))
                numeric[:, at : at + width] = cells.reshape(n, width)
                states[:, at : at + width] = own.reshape(n, width)
            at += width
        return Cells(numeric, states, tuple(labels), _beside(label_states, n))

    def _read_typed(self, items: Sequence[Any]) -> tuple[Float64s, States]:
        """All typed columns at once: packing tuples of floats is twice as fast as numpy's look at each of them."""
        try:
            packed = b"".join(starmap(self._pack, self._take(items)))
        except struct.error:  # there is a null
            return self._read_with_nulls(list(self._take(items)))
        cells = np.frombuffer(packed, dtype=np.float64).reshape(len(items), len(self._typed))
        return self._with_states(cells, np.zeros(cells.shape, dtype=np.uint8))

    def _read_with_nulls(self, rows: list[tuple[float | None, ...]]) -> tuple[Float64s, States]:
        cells = np.array(rows, dtype=np.float64)  # None becomes NaN
        states = np.zeros(cells.shape, dtype=np.uint8)
        for k in np.flatnonzero(np.isnan(cells).any(axis=0)).tolist():
            states[np.array([row[k] is None for row in rows]), k] = CellState.NULL
        return self._with_states(cells, states)

    def _with_states(self, cells: Float64s, states: States) -> tuple[Float64s, States]:
        if not bool((np.abs(cells) < columns.LARGEST).all()):
            states = np.where(np.isnan(cells) & (states == CellState.VALID), np.uint8(CellState.ABSENT), states)
            cells, states = columns.mark(cells, states)
        for k in self._flags:
            if not bool(np.isin(cells[:, k], (0.0, 1.0)).all()):
                cells, states = cells.copy(), states.copy()
                cells[:, k], states[:, k] = columns.no_flags(cells[:, k], states[:, k])
        return cells, states


def labels_of(column: ColumnSpec, values: Sequence[Any], *, is_class: bool) -> tuple[list[str], States]:
    """Return the cells of a categorical column. `is_class`: whether they are predicted classes."""
    return columns.classes(values) if is_class else columns.categories(values, as_number=column.as_number)


def numbers_of(column: ColumnSpec, values: Sequence[Any]) -> tuple[Float64s, States]:
    """Return the cells of any other column: shape (n,), or (n, 3) of an array column."""
    return columns.flags(values, column.true) if column.kind == "binary" else _NUMERIC[column.kind](values)


_NUMERIC: dict[str, Callable[[Sequence[Any]], tuple[Float64s, States]]] = {
    "numerical": columns.numbers,
    "text": columns.text_lengths,
    "array": columns.array_parts,
}


def _typed(stream: StreamContract, shapes: Shapes) -> tuple[tuple[ColumnSpec, ...], list[int]]:
    """Columns that the strict shape holds as numbers, and their places among the numeric series."""
    found = tuple(column for column in stream.columns if column.field in shapes.typed)
    return found, [stream.numeric_series.index(column.name) for column in found]


def _all_of(shapes: Shapes) -> list[str]:
    return list(shapes.attributes.values())


def _taker(attributes: list[str], *, whole: bool) -> Callable[[Sequence[Any]], Any]:
    """Gives the tuples of some attributes of objects; `whole`: these are all that they have, in order."""
    if whole:
        return lambda items: map(msgspec.structs.astuple, items)
    if not attributes:
        return lambda items: [()] * len(items)
    getter = attrgetter(*attributes)
    return (lambda items: map(getter, items)) if len(attributes) > 1 else (lambda items: zip(map(getter, items)))


def _beside(states: list[States], n: int) -> States:
    return np.stack(states, axis=1) if states else np.zeros((n, 0), dtype=np.uint8)
