"""One column's values of many rows to numbers or texts, with the state of each value.

What counts as what:

    kind         valid                                              wrong type
    numerical    int, float                                         bool, text, list, object
    binary       0, 1, true, false and WORDS in any case            other text, list, object
    categorical  text, int, bool, whole float                       other float, list, object, text that is no Unicode
    as number    int, whole or other float, text of a number        bool, other text, list, object
    class        as categorical; true is 1, false is 0              the same
    text         text (its length in code points)                   all else
    array        list of numbers (length, mean, Euclidean norm)     all else; one element that is no number

A class is what a column of predictions holds. "3", 3 and 3.0 are one category; the texts "3" and "3.0" are two
categories and one class, and one category of a column that is read as numbers. A binary column whose true value is
named is 1 if it is that value, and 0 at any other text, number or boolean. Numbers of 1e150 and more in magnitude,
numbers but 0 and 1 in a binary column, and categories longer than 256 characters are out of range. Integers beyond
2**53 are rounded to the nearest float. An empty list has length 0 and neither mean nor norm (null).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
import numpy as np

from monitor.codec.lenient import HUGE, Huge
from monitor.events import CellState, Float64s, States

LARGEST: Final = 1e150
"""Magnitudes from here on are out of range: their squares would overflow."""

LONGEST_CATEGORY: Final = 256

WORDS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("yes", "y", "true", "t", "1", "1.0"), 1.0),
    **dict.fromkeys(("no", "n", "false", "f", "0", "0.0"), 0.0),
}
"""Texts of a binary column, in lower case."""

_VALID = int(CellState.VALID)
_WRONG_TYPE = int(CellState.WRONG_TYPE)
_NUMBERS: Final[frozenset[type]] = frozenset({int, float})
_LABELS: Final[frozenset[type]] = frozenset({int, bool, str})
_CLASSES: Final[Mapping[str, str]] = {"true": "1", "false": "0"}
_WHOLE = re.compile(r"([+-]?[0-9]+)\.0+", re.ASCII)
NUMBER: Final = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(?i:nan|inf|infinity)"
"""The text of a number, for `re` and for RE2."""
_IS_NUMBER: Final = re.compile(NUMBER, re.ASCII).fullmatch
_NOT_VALID: Mapping[type, int] = {
    type(None): int(CellState.NULL),
    msgspec.UnsetType: int(CellState.ABSENT),
    Huge: int(CellState.OUT_OF_RANGE),
}


def numbers(values: Sequence[Any]) -> tuple[Float64s, States]:
    """A numerical column."""
    return _numeric(values, _NUMBERS)


def flags(values: Sequence[Any], true: str = "") -> tuple[Float64s, States]:
    """A binary column, as 0.0 and 1.0. `true`: the flag that is 1, as `flag_of` gives it, if it is named."""
    if true:
        return _numeric([_is_true(value, true) for value in values], _NUMBERS)
    if str in set(map(type, values)):
        values = [WORDS.get(value.strip().lower(), value) if isinstance(value, str) else value for value in values]
    cells, states = _numeric(values, _NUMBERS | {bool})
    return no_flags(cells, states)


def flag_of(value: str | float | bool) -> str:
    """Return the flag that a value stands for: "1" and "0" for the usual words, else the class in lower case.

    >>> flag_of("Yes"), flag_of(False), flag_of(2.0), flag_of(" Ja")
    ('1', '0', '2', 'ja')
    """
    text = _label(_whole(value)).strip().lower()
    return class_of(text) if text not in WORDS else "1" if WORDS[text] else "0"


def _is_true(value: Any, true: str) -> Any:
    """1.0 or 0.0 for a value of a flag; what else there is stays as it is."""
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        return value
    return float(flag_of(value) == true)


def no_flags(cells: Float64s, states: States) -> tuple[Float64s, States]:
    """Marks what is neither 0 nor 1 in a column of numbers."""
    other = (states == CellState.VALID) & (cells != 0.0) & (cells != 1.0)
    if other.any():
        cells, states = np.where(other, np.nan, cells), np.where(other, np.uint8(CellState.OUT_OF_RANGE), states)
    return cells, states


def categories(values: Sequence[Any], *, as_number: bool = False) -> tuple[list[str], States]:
    """A categorical column; "" where not valid. `as_number`: its values are numbers, however they are written.

    >>> categories(["1.0", "01", 1, 1.50, "-"], as_number=True)[0]
    ['1', '1', '1', '1.5', '']
    """
    if as_number:
        values = [_as_number(value) for value in values]
    kinds = set(map(type, values))
    if float in kinds:
        values = [_whole(value) for value in values]
        kinds = set(map(type, values))
    if kinds <= _LABELS:
        texts = list(values) if kinds == {str} else [_label(value) for value in values]
        if max(map(len, texts), default=0) <= LONGEST_CATEGORY and is_unicode("".join(texts)):
            return texts, np.zeros(len(texts), dtype=np.uint8)
    states = _states(values, _LABELS)
    for i, value in enumerate(values):  # a float that is no category is rare
        if isinstance(value, float) and not math.isfinite(value):
            states[i] = CellState.NAN if math.isnan(value) else CellState.INFINITE
    texts = [_label(value) if state == _VALID else "" for value, state in zip(values, states.tolist(), strict=True)]
    for i, text in enumerate(texts):
        if len(text) > LONGEST_CATEGORY or not is_unicode(text):
            texts[i] = ""
            states[i] = CellState.OUT_OF_RANGE if is_unicode(text) else CellState.WRONG_TYPE
    return texts, states


def classes(values: Sequence[Any]) -> tuple[list[str], States]:
    """A column of predicted classes; "" where not valid. 1, 1.0, true and their texts are one class.

    >>> classes([1, 1.0, True, "1.0", "true", "cat"])[0]
    ['1', '1', '1', '1', '1', 'cat']
    """
    texts, states = categories(values)
    names = {text: class_of(text) for text in set(texts)}
    return [names[text] for text in texts], states


def text_lengths(values: Sequence[Any]) -> tuple[Float64s, States]:
    """A text column: the number of code points."""
    states = _states(values, frozenset({str}))
    cells = np.full(len(values), np.nan)
    for i in np.flatnonzero(states == CellState.VALID).tolist():  # texts are Python objects, one by one
        if is_unicode(values[i]):
            cells[i] = len(values[i])
        else:
            states[i] = CellState.WRONG_TYPE
    return cells, states


def array_parts(values: Sequence[Any]) -> tuple[Float64s, States]:
    """An array column: length, mean and norm, shape (n, 3)."""
    cells = np.full((len(values), 3), np.nan)
    states = np.repeat(_states(values, frozenset({list}))[:, None], 3, axis=1)
    for i in np.flatnonzero(states[:, 0] == CellState.VALID).tolist():  # lists differ in length
        cells[i], states[i] = _parts(values[i])
    return cells, states


def is_unicode(text: str) -> bool:
    """False where an escape left half of a surrogate pair, which no UTF-8 can carry."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parts(values: list[Any]) -> tuple[Sequence[float], Sequence[int]]:
    """Length, mean and norm of one list, and their states. `fsum` is exact, whatever the order and the processor."""
    if not set(map(type, values)) <= _NUMBERS | {Huge}:
        return [math.nan] * 3, [CellState.WRONG_TYPE] * 3
    if not values:
        return [0.0, math.nan, math.nan], [CellState.VALID, CellState.NULL, CellState.NULL]
    cells, states = _numeric(values, _NUMBERS)
    if (states != CellState.VALID).any():
        worst = int(states.max())
        return [float(len(values)), math.nan, math.nan], [CellState.VALID, worst, worst]
    mean = math.fsum(cells.tolist()) / len(values)
    norm = math.sqrt(math.fsum((cells * cells).tolist()))
    if norm >= LARGEST:
        return [float(len(values)), mean, math.nan], [CellState.VALID, CellState.VALID, CellState.OUT_OF_RANGE]
    return [float(len(values)), mean, norm], [CellState.VALID] * 3


def _numeric(values: Sequence[Any], valid: frozenset[type]) -> tuple[Float64s, States]:
    if set(map(type, values)) <= _NUMBERS:
        cells = _floats(values)
        if bool((np.abs(cells) < LARGEST).all()):
            return cells, np.zeros(len(values), dtype=np.uint8)
    states = _states(values, valid)
    judged = zip(values, states.tolist(), strict=True)
    return mark(_floats([value if state == _VALID else math.nan for value, state in judged]), states)


def _floats(values: Sequence[Any]) -> Float64s:
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:  # an integer beyond all floats
        return np.array([min(max(value, -LARGEST), LARGEST) for value in values], dtype=np.float64)


def _states(values: Sequence[Any], valid: frozenset[type]) -> States:
    """States as far as the types tell them."""
    table = {**_NOT_VALID, **dict.fromkeys(valid, _VALID)}
    return np.array([table.get(kind, _WRONG_TYPE) for kind in map(type, values)], dtype=np.uint8)


def _as_number(value: Any) -> Any:
    """The text of a number as it is shortest; itself, if it is no number, in a type that says why."""
    if isinstance(value, str):
        text = value.strip()
        return _shortest(text) if _IS_NUMBER(text) else [value]
    if isinstance(value, bool):
        return [value]
    return _shortest(str(value)) if isinstance(value, int | float) else value


def _shortest(text: str) -> str | float | Huge:
    number = float(text)
    if not math.isfinite(number):
        return number if "n" in text.lower() else HUGE
    if abs(number) >= LARGEST:
        return HUGE
    exact = Decimal(text)
    return str(int(exact)) if exact == exact.to_integral_value() or number == 0 else repr(number)


def _whole(value: Any) -> Any:
    """An integer for a whole float; what else there is stays as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def class_of(text: str) -> str:
    """Return the class that a text names.

    >>> class_of("True"), class_of("1.0"), class_of("cat")
    ('1', '1', 'cat')
    """
    whole = _WHOLE.fullmatch(text)
    return str(int(whole[1])) if whole else _CLASSES.get(text.lower(), text)


def _label(value: str | float | bool) -> str:
    """The category of a value; booleans as JSON writes them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def mark(cells: Float64s, states: States) -> tuple[Float64s, States]:
    """Tell NaN, infinite and too large apart among what is valid by its type."""
    bad = (states == CellState.VALID) & ~(np.abs(cells) < LARGEST)
    if bad.any():
        magnitude = np.abs(cells)
        why = np.where(np.isnan(cells), CellState.NAN, CellState.OUT_OF_RANGE)
        why = np.where(np.isinf(magnitude), CellState.INFINITE, why)
        cells, states = np.where(bad, np.nan, cells), np.where(bad, why, states).astype(np.uint8)
    return cells, states
