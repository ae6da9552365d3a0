"""Arrow arrays become cells by the role of their column, and by one table: `READ_AS`.

An array is read as values of JSON, and these count as they do in events (`codec/columns.py`): so a table and a topic
give the same cells for the same values. Numbers take the short way, from array to array; of all else each distinct
value is looked at once. A null is missing, whatever its type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.codec import columns
from monitor.codec.rows import labels_of, numbers_of
from monitor.contract import ColumnSpec, Field, path_of
from monitor.events import CellState, Float64s, States

Family = Literal["integer", "float", "decimal", "boolean", "text", "bytes", "csv", "time", "list", "null", "other"]
NumberCells = tuple[Float64s, States]
LabelCells = tuple[list[str], States]

READ_AS: Final[Mapping[Family, tuple[str, str]]] = {
    "integer": ("int8 to int64, uint8 to uint64", "integer, with all its digits"),
    "float": ("halffloat, float, double", "number, by its shortest text: 0.1 of a float is 0.1"),
    "decimal": ("decimal32 to decimal256", "number; integer if it is whole"),
    "boolean": ("bool", "boolean"),
    "text": ("string, large_string, string_view", "text"),
    "bytes": ("binary, large_binary, binary_view, fixed_size_binary", "text if it is UTF-8, else invalid"),
    "csv": (
        "a cell of a CSV file",
        "number in a numerical or binary column, list in one of arrays, else text; missing if it is empty",
    ),
    "time": ("date32, date64, timestamp, time32, time64", "text, as ISO 8601 writes it with a space"),
    "list": ("list, large_list, fixed_size_list, list_view", "list"),
    "null": ("null", "missing"),
    "other": ("duration, struct, map, union, interval", "invalid"),
}
"""Family -> its Arrow types, and what value of JSON they are. A dictionary is read as the type of its values."""

_FAMILIES: Final[tuple[tuple[Callable[[pa.DataType], bool], Family], ...]] = (
    (pa.types.is_integer, "integer"),
    (pa.types.is_floating, "float"),
    (pa.types.is_decimal, "decimal"),
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_string, "text"),
    (pa.types.is_large_string, "text"),
    (pa.types.is_string_view, "text"),
    (pa.types.is_binary, "bytes"),
    (pa.types.is_large_binary, "bytes"),
    (pa.types.is_binary_view, "bytes"),
    (pa.types.is_fixed_size_binary, "bytes"),
    (pa.types.is_date, "time"),
    (pa.types.is_timestamp, "time"),
    (pa.types.is_time, "time"),
    (pa.types.is_list, "list"),
    (pa.types.is_large_list, "list"),
    (pa.types.is_fixed_size_list, "list"),
    (pa.types.is_null, "null"),
)
_NUMBER: Final = f"^({columns.NUMBER})$"
_IS_NUMBER: Final = re.compile(columns.NUMBER, re.ASCII).fullmatch
_NUMERIC: Final = ("integer", "float", "decimal")
_SHORT: Final = (pa.types.is_decimal, pa.types.is_float32)
"""Types whose text is read: their value as a double would have digits that nobody wrote."""


_NO_TIME: Final = "<"
"""What Arrow writes for a time of a year that can't be written begins so."""


class NotJson:
    """A value that no JSON holds: bytes that are no text, a struct, a time that can't be written."""


_NOT_JSON: Final = NotJson()


def family_of(kind: pa.DataType) -> Family:
    """Return the family of an Arrow type; of a dictionary, that of its values."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return family_of(kind.value_type)
    return next((family for check, family in _FAMILIES if check(kind)), "other")


class CsvCells(NamedTuple):
    """That the arrays hold the texts of a CSV file. `decimal`: the sign before the decimals of its numbers."""

    decimal: str = "."


def number_cells(array: pa.Array, column: ColumnSpec, csv: CsvCells | None = None) -> NumberCells:
    """The cells of a numerical, binary, text or array column: shape (n,), or (n, 3) of an array column."""
    array = plain(array)
    family = family_of(array.type) if csv is None else "csv"
    if column.kind == "numerical" and csv is not None:
        return _csv_numbers(array, csv.decimal)
    if column.kind == "numerical" and family in _NUMERIC:
        return _marked(_floats(array))
    if column.kind == "binary" and family in _NUMERIC and not column.true:
        return columns.no_flags(*_marked(_floats(array)))
    if column.kind == "array":
        values = json_values(array)
        return columns.array_parts([_list_of_csv(value) for value in values] if family == "csv" else values)
    values, places = _distinct(array)
    if column.kind == "binary" and csv is not None:
        values = [_flag_of_csv(value, column) for value in values]
    cells, states = numbers_of(column, values)
    return cells[places], states[places]


def label_cells(
    array: pa.Array, column: ColumnSpec, csv: CsvCells | None = None, *, is_class: bool = False
) -> LabelCells:
    """The cells of a categorical column. `is_class`: whether they are predicted classes."""
    values, places = _distinct(plain(array))
    if csv is not None and csv.decimal == "," and column.as_number:
        # what has a point is no number here
        values = [value and value.replace(".", "?").replace(",", ".") for value in values]
    texts, states = labels_of(column, values, is_class=is_class)
    # an array of the texts themselves: one look-up a cell, in C
    return np.array(texts, dtype=object)[places].tolist(), states[places]


def plain(array: pa.Array) -> pa.Array:
    """The array without the ways of storing it: dictionaries, runs, extensions."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        return plain(array.dictionary).take(array.indices)
    if pa.types.is_string_view(array.type) or pa.types.is_binary_view(array.type):
        # kernels have gaps for views
        return pc.cast(array, pa.string() if pa.types.is_string_view(array.type) else pa.binary())
    if pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type):
        # by Python, because Arrow's own cast of a list_view gives offsets that are wrong
        return pa.array(array.to_pylist(), pa.list_(array.type.value_type))
    return pc.run_end_decode(array) if pa.types.is_run_end_encoded(array.type) else array


def value_in(held: Mapping[str, pa.Array], field: Field) -> pa.Array | None:
    """Return the array of a field among a table's columns; None if it has no such one."""
    first, *rest = path_of(field)
    array = held.get(first)
    for name in rest:
        if array is None or not pa.types.is_struct(array.type) or array.type.get_field_index(name) < 0:
            return None
        array = plain(pc.struct_field(array, [array.type.get_field_index(name)]))
    return array


def _floats(array: pa.Array) -> pa.Array:
    """The numbers as doubles; a null stays null."""
    if pa.types.is_float16(array.type):
        shortest = [None if value is None else float(str(np.float16(value))) for value in array.to_pylist()]
        return pa.array(shortest, pa.float64())  # one by one: Arrow writes a half with digits that nobody wrote
    if any(check(array.type) for check in _SHORT):
        array = pc.cast(array, pa.string())
    return pc.cast(array, pa.float64(), safe=False)


def _marked(values: pa.Array) -> NumberCells:
    """Cells and states of doubles."""
    cells = values.to_numpy(zero_copy_only=False)  # a null becomes NaN
    states = np.zeros(len(cells), dtype=np.uint8)
    if values.null_count:
        states[values.is_null().to_numpy(zero_copy_only=False)] = CellState.NULL
    if not bool((np.abs(cells) < columns.LARGEST).all()):
        cells, states = columns.mark(cells, states)
    return cells, states


def _csv_numbers(array: pa.Array, decimal: str) -> NumberCells:
    """Texts of numbers. One that is none costs its cell alone."""
    if decimal == ",":
        # what has a point is no number here
        array = pc.replace_substring(pc.replace_substring(array, ".", "?"), ",", ".")
    try:
        return _marked_texts(array, pc.cast(array, pa.float64()))
    except pa.ArrowInvalid:
        pass  # a cell at least is no number, or has spaces
    texts = pc.utf8_trim_whitespace(array)
    texts = pc.if_else(pc.equal(texts, ""), None, texts)
    good = pc.match_substring_regex(texts, _NUMBER)
    cells, states = _marked_texts(texts, pc.cast(pc.if_else(good, texts, None), pa.float64()))
    states[pc.fill_null(pc.invert(good), False).to_numpy(zero_copy_only=False)] = CellState.WRONG_TYPE
    return cells, states


def _marked_texts(texts: pa.Array, values: pa.Array) -> NumberCells:
    """Like `_marked`; a number that no double can hold is out of range and not infinite."""
    cells, states = _marked(values)
    for i in np.flatnonzero(states == CellState.INFINITE).tolist():  # rare
        if "n" not in texts[i].as_py().lower():
            states[i] = CellState.OUT_OF_RANGE
    return cells, states


def _distinct(array: pa.Array) -> tuple[list[Any], np.ndarray]:
    """The distinct values as JSON has them, and for each row its place among them."""
    if array.type in (pa.null(),) or family_of(array.type) in ("list", "other"):
        return json_values(array), np.arange(len(array))
    if pa.types.is_decimal(array.type) and array.type.bit_width < 128:
        array = pc.cast(array, pa.decimal128(array.type.precision, array.type.scale))
    encoded = pc.dictionary_encode(array, null_encoding="encode")
    return json_values(encoded.dictionary), encoded.indices.to_numpy(zero_copy_only=False)


def json_values(array: pa.Array) -> list[Any]:
    """Return values as JSON has them."""
    family = family_of(array.type)
    if family == "time":
        return _texts(array)
    if family == "list":
        return _lists(array)
    if family == "other":
        return [None if is_null else _NOT_JSON for is_null in array.is_null().to_pylist()]
    if family == "float":
        return list(_floats(array).to_pylist())
    values: list[Any] = array.to_pylist()
    if family == "decimal":
        return [_of_decimal(value) for value in values]
    return [_of_bytes(value) for value in values] if family == "bytes" else values


def _lists(array: pa.Array) -> list[Any]:
    """Lists; their numbers are read as those of a column are."""
    inner = array.type.value_type
    if family_of(inner) in ("float", "decimal"):
        offsets = np.concatenate([[0], np.cumsum(pc.fill_null(pc.list_value_length(array), 0).to_numpy())]).tolist()
        flat = _floats(plain(array.flatten())).to_pylist()
        filled = [flat[start:end] for start, end in pairwise(offsets)]
        return [None if null else some for null, some in zip(array.is_null().to_pylist(), filled, strict=True)]
    if family_of(inner) in ("other", "list", "time", "bytes"):
        return [None if is_null else [_NOT_JSON] for is_null in array.is_null().to_pylist()]
    return list(array.to_pylist())


def _texts(array: pa.Array) -> list[Any]:
    try:
        texts = pc.cast(array, pa.string()).to_pylist()
        return [_NOT_JSON if text is not None and text.startswith(_NO_TIME) else text for text in texts]
    except pa.ArrowInvalid:
        if len(array) == 1:
            return [_NOT_JSON]  # a time of no day, or of a year that can't be written
        return [text for i in range(len(array)) for text in _texts(array.slice(i, 1))]


def _flag_of_csv(value: str | None, column: ColumnSpec) -> float | str | None:
    """A number, if the text is one and the column's true value is not named."""
    if value is None or not value.strip():
        return None
    return float(value) if not column.true and _IS_NUMBER(value.strip()) else value


def _list_of_csv(value: str | None) -> Any:
    """A list, if the text is one of JSON; one by one, as lists differ in length."""
    try:
        return msgspec.json.decode(value) if value and value.strip() else None
    except (ValueError, RecursionError):
        return value


def _of_decimal(value: Decimal | None) -> int | float | None:
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def _of_bytes(value: bytes | None) -> str | NotJson | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return _NOT_JSON
