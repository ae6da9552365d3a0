"""Arrow types x roles of columns: what each gives."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from monitor.codec.columns import flag_of
from monitor.codec.rows import labels_of, numbers_of
from monitor.contract import ColumnKind, ColumnSpec
from monitor.events import CellState
from monitor.sources.arrow_cells import READ_AS, CsvCells, family_of, label_cells, number_cells
from tests.unit.pages import YOUR_DATA

V, NULL, WRONG, NAN, INF, RANGE = (
    CellState.VALID,
    CellState.NULL,
    CellState.WRONG_TYPE,
    CellState.NAN,
    CellState.INFINITE,
    CellState.OUT_OF_RANGE,
)
LONG = "1234567890123456789"
ROLES: tuple[str, ...] = ("numerical", "binary", "categorical", "class", "text")
ARRAYS: list[tuple[pa.Array, tuple[Any, ...]]] = [
    # values, then what their first one gives as numerical, binary, categorical, class, text: a value, or a state
    *[
        (pa.array([1, None], kind), (1.0, 1.0, "1", "1", WRONG))
        for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
    ],
    (pa.array([2**64 - 1], pa.uint64()), (float(2**64), RANGE, str(2**64 - 1), str(2**64 - 1), WRONG)),
    (pa.array([-3], pa.int64()), (-3.0, RANGE, "-3", "-3", WRONG)),
    *[
        (pa.array([np.float16(1)], kind).cast(kind), (1.0, 1.0, "1", "1", WRONG))
        for kind in (pa.float16(), pa.float32(), pa.float64())
    ],
    *[
        (pa.array(np.array([0.1], kind)), (0.1, RANGE, WRONG, WRONG, WRONG))
        for kind in (np.float16, np.float32, np.float64)
    ],
    (pa.array([float("nan")]), (NAN, NAN, NAN, NAN, WRONG)),
    (pa.array([float("-inf")], pa.float32()), (INF, INF, INF, INF, WRONG)),
    (pa.array([1e200]), (RANGE, RANGE, str(int(1e200)), str(int(1e200)), WRONG)),
    *[
        (pa.array([Decimal("0.30")], kind), (0.3, RANGE, WRONG, WRONG, WRONG))
        for kind in (pa.decimal32(5, 2), pa.decimal64(9, 2), pa.decimal128(20, 2), pa.decimal256(60, 2))
    ],
    (pa.array([Decimal("1.00")], pa.decimal64(9, 2)), (1.0, 1.0, "1", "1", WRONG)),
    (
        pa.array([Decimal("1234567890123456789.0")], pa.decimal128(20, 1)),
        (1234567890123456789.0, RANGE, *["1234567890123456789"] * 2, WRONG),
    ),
    (pa.array([True, None]), (WRONG, 1.0, "true", "1", WRONG)),
    *[
        (pa.array(["Yes", None], kind), (WRONG, 1.0, "Yes", "Yes", 3.0))
        for kind in (pa.string(), pa.large_string(), pa.string_view())
    ],
    (pa.array(["01067"]), (WRONG, WRONG, "01067", "01067", 5.0)),
    (pa.array(["1.0"]), (WRONG, 1.0, "1.0", "1", 3.0)),
    (pa.array(["a" * 257]), (WRONG, WRONG, RANGE, RANGE, 257.0)),
    *[
        (pa.array([b"no", None], kind), (WRONG, 0.0, "no", "no", 2.0))
        for kind in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2))
    ],
    (pa.array([b"\xff"]), (WRONG, WRONG, WRONG, WRONG, WRONG)),
    (pa.array([date(2026, 3, 1), None]), (WRONG, WRONG, "2026-03-01", "2026-03-01", 10.0)),
    (pa.array([datetime(2026, 3, 1)], pa.timestamp("s")), (WRONG, WRONG, *["2026-03-01 00:00:00"] * 2, 19.0)),
    (pa.array([2**62], pa.int64()).view(pa.timestamp("s")), (WRONG, WRONG, WRONG, WRONG, WRONG)),
    (pa.array([timedelta(1)]), (WRONG, WRONG, WRONG, WRONG, WRONG)),
    (pa.array([[1.0]]), (WRONG, WRONG, WRONG, WRONG, WRONG)),
    (pa.array([{"a": 1}, None]), (WRONG, WRONG, WRONG, WRONG, WRONG)),
    (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), (WRONG, WRONG, WRONG, WRONG, WRONG)),
    (pa.nulls(1), (NULL, NULL, NULL, NULL, NULL)),
]


def column(kind: ColumnKind, **what: Any) -> ColumnSpec:
    return ColumnSpec("v", "v", kind, **what)


def first_of(array: pa.Array, role: str) -> Any:
    """The first cell: its value, or its state if it is not valid; asserts that nulls are missing."""
    values: Any
    if role in ("categorical", "class"):
        values, states = label_cells(array, column("categorical"), is_class=role == "class")
    else:
        values, states = number_cells(array, column(cast(ColumnKind, role)))
    assert all(state == NULL for state, null in zip(states.tolist(), array.is_null().to_pylist(), strict=True) if null)
    return CellState(states[0]) if states[0] != V else values[0]


@pytest.mark.parametrize(("array", "expected"), ARRAYS, ids=lambda value: str(getattr(value, "type", "")))
def test_each_type_gives_each_role_what_json_would_give(array: pa.Array, expected: tuple[Any, ...]) -> None:
    """A type is read as one kind of value; and so are its dictionaries and its slices."""
    assert tuple(first_of(array, role) for role in ROLES) == expected
    again = pa.concat_arrays([array, array]).slice(len(array))
    assert tuple(first_of(again, role) for role in ROLES) == expected
    if family_of(array.type) in ("text", "integer"):
        assert tuple(first_of(array.dictionary_encode(), role) for role in ROLES) == expected


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([[3.0, 4.0]]), [2.0, 3.5, 5.0]),
        (pa.array([[3, 4]], pa.large_list(pa.int8())), [2.0, 3.5, 5.0]),
        (pa.array([[3, 4]], pa.list_(pa.float32(), 2)), [2.0, 3.5, 5.0]),
        (pa.array([[Decimal("0.3")]], pa.list_(pa.decimal128(3, 1))), [1.0, 0.3, 0.3]),
        (pa.array([[0.1]], pa.list_(pa.float32())), [1.0, 0.1, 0.1]),
        (pa.array([[3, 4]], pa.list_view(pa.int16())), [2.0, 3.5, 5.0]),
        (pa.array([[]], pa.list_(pa.float32())), [0.0, NULL, NULL]),
        (pa.array([[1.0, None]]), [WRONG] * 3),
        (pa.array([["a"]]), [WRONG] * 3),
        (pa.array([[[1]]]), [WRONG] * 3),
        (pa.array([None, [1.0]]), [NULL] * 3),
        (pa.array([1.0]), [WRONG] * 3),
    ],
)
def test_lists_of_numbers_are_arrays(array: pa.Array, expected: list[Any]) -> None:
    """Length, mean and norm, whatever the numbers are stored as."""
    values, states = number_cells(array, column("array"))
    found = [value if state == V else CellState(state) for value, state in zip(values[0], states[0], strict=True)]
    assert found == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[3, 4]", [2.0, 3.5, 5.0]),
        ("[]", [0.0, NULL, NULL]),
        ('["a"]', [WRONG] * 3),
        ("3", [WRONG] * 3),
        (None, [NULL] * 3),
    ],
)
def test_a_cell_of_csv_may_be_a_list(text: Any, expected: list[Any]) -> None:
    """As JSON writes it."""
    values, states = number_cells(pa.array([text], pa.string()), column("array"), CsvCells())
    found = [value if state == V else CellState(state) for value, state in zip(values[0], states[0], strict=True)]
    assert found == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[("1.5", 1.5), ("-2", -2.0), ("+1e3", 1000.0), (" 7 ", 7.0), (".5", 0.5), ("5.", 5.0), ("1e-400", 0.0)],
        *[
            ("-", WRONG),
            ("n/a", WRONG),
            ("1,5", WRONG),
            ("0x10", WRONG),
            ("1_0", WRONG),
            ("1e", WRONG),
            ("True", WRONG),
        ],
        *[("NaN", NAN), ("nan", NAN), ("inf", INF), ("-Infinity", INF), ("1e400", RANGE), ("1e150", RANGE)],
        *[(None, NULL), ("  ", NULL)],
    ],
)
@pytest.mark.parametrize("beside", [["1"], ["-"], [" 1"], [None]])
def test_a_cell_of_csv_is_a_number_whatever_stands_beside_it(
    text: str | None, expected: Any, beside: list[Any]
) -> None:
    """One dash costs its cell alone."""
    values, states = number_cells(pa.array([text, *beside], pa.string()), column("numerical"), CsvCells())
    assert (values[0] if states[0] == V else CellState(states[0])) == expected
    assert states[1] == {"-": WRONG, None: NULL}.get(beside[0], V)


@pytest.mark.parametrize(
    ("text", "expected"), [("1,5", 1.5), ("-,5", -0.5), ("3", 3.0), ("1.5", WRONG), ("1.234,5", WRONG)]
)
def test_a_decimal_comma_is_one(text: str, expected: Any) -> None:
    """Where the comma is the decimal sign, a point is none."""
    values, states = number_cells(pa.array([text]), column("numerical"), CsvCells(","))
    assert (values[0] if states[0] == V else CellState(states[0])) == expected


def test_the_documentation_has_the_table_of_types() -> None:
    """docs/your-data.md lists each Arrow type with what it is read as, as the code does."""
    text = YOUR_DATA.read_text()
    for types, meaning in READ_AS.values():
        assert f"| {types} | {meaning} |" in text


LARGEST = 2**64 - 1
ODD = [
    # a value, then what it is as a flag whose true value is "ja", or "2", and as a number among categories
    *[("JA", 1.0, 0.0, WRONG), (" ja ", 1.0, 0.0, WRONG), ("nein", 0.0, 0.0, WRONG), ("", 0.0, 0.0, WRONG)],
    *[("2", 0.0, 1.0, "2"), ("2.0", 0.0, 1.0, "2"), ("02", 0.0, 0.0, "2"), ("1e3", 0.0, 0.0, "1000")],
    *[(2, 0.0, 1.0, "2"), (2.0, 0.0, 1.0, "2"), (2.5, 0.0, 0.0, "2.5"), (-0.0, 0.0, 0.0, "0")],
    *[(2**64 - 1, 0.0, 0.0, str(2**64 - 1)), (str(2**64 - 1) + ".0", 0.0, 0.0, str(2**64 - 1))],
    *[("2.50", 0.0, 0.0, "2.5"), ("1e400", 0.0, 0.0, RANGE), ("nan", 0.0, 0.0, NAN), ("-inf", 0.0, 0.0, INF)],
    *[(True, 0.0, 0.0, WRONG), (None, NULL, NULL, NULL), (float("nan"), NAN, NAN, NAN), (float("inf"), INF, INF, INF)],
    *[([1], WRONG, WRONG, WRONG), ("\u0662", 0.0, 0.0, WRONG), ("1_0", 0.0, 0.0, WRONG), ("0x1", 0.0, 0.0, WRONG)],
]


@pytest.mark.parametrize(("value", "ja", "two", "number"), ODD, ids=repr)
def test_a_true_value_that_is_named_and_numbers_as_categories(value: Any, ja: Any, two: Any, number: Any) -> None:
    """The same from a value of JSON, from Arrow, and from the text of a CSV file."""
    flag, second = column("binary", true="ja"), column("binary", true="2")
    category, array = (
        column("categorical", as_number=True),
        pa.array([value], pa.uint64() if value == LARGEST else None),
    )
    readings: list[Any] = [lambda one: numbers_of(one, [value]), lambda one: number_cells(array, one)]
    labels: list[Any] = [
        lambda: labels_of(category, [value], is_class=False),
        lambda: label_cells(array, category),
    ]
    if isinstance(value, str) and value:
        readings.append(lambda one: number_cells(pa.array([value]), one, CsvCells()))
        labels.append(lambda: label_cells(pa.array([value]), category, CsvCells()))
    for read in readings:
        for one, expected in ((flag, ja), (second, two)):
            values, states = read(one)
            assert (values[0] if states[0] == V else CellState(states[0])) == expected
    for read in labels:
        texts, states = read()
        assert (texts[0] if states[0] == V else CellState(states[0])) == number


@pytest.mark.parametrize(
    "word", ["yes", "Y", "TRUE", "t", "1", 1, 1.0, True, "no", "N", "False", "f", "0", 0, 0.0, False]
)
@pytest.mark.parametrize("true", [True, "yes", "NO", 0])
def test_the_usual_words_name_each_other(word: Any, true: Any) -> None:
    """`true: yes` is what stands there without it, and `true: no` turns it round."""
    plain, turned = numbers_of(column("binary"), [word]), numbers_of(column("binary", true=flag_of(true)), [word])
    assert turned[0][0] == (plain[0][0] if true in (True, "yes") else 1 - plain[0][0])


@pytest.mark.parametrize(("text", "expected"), [("1,0", "1"), ("01", "1"), ("1,50", "1.5"), ("1.5", WRONG)])
def test_numbers_of_categories_take_the_decimal_comma(text: str, expected: Any) -> None:
    """Of a file that has it."""
    texts, states = label_cells(pa.array([text]), column("categorical", as_number=True), CsvCells(","))
    assert (texts[0] if states[0] == V else CellState(states[0])) == expected
