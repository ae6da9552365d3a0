"""The values of one column of a sample: whether they are numbers, times, lists, and which."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from math import isfinite
from typing import Any, Final

import numpy as np

from monitor.codec.event_times import read_numbers, read_texts
from monitor.codec.times import UNREADABLE
from monitor.contract import TimeForm
from monitor.events import Float64s, Int64s

ENOUGH: Final = 0.95
"""Share of the values that must have a form for the column to have it."""
_MOST_CLASSES: Final = 20
_MOSTLY, _STRANGE = 0.5, 3
"""Share of numbers from which on a column is one of numbers if so few different texts stand among them."""
_DAYS: Final = ("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%m/%d/%y", "%d-%m-%Y", "%Y/%m/%d", "%d %b %Y")
_CLOCKS: Final = (" %H:%M:%S", " %H:%M", "", " %I:%M:%S %p", " %I:%M %p", ", %H:%M:%S", ", %H:%M")
_FORMATS: Final = ("%Y%m%d", "%b %d, %Y", *(day + clock for day in _DAYS for clock in _CLOCKS))
"""Formats of times that have to be named, and that many people write."""
_TRIED: Final = 20
"""Values at the beginning for which a format is tried."""
_DIGITS: Final = 4
"""Digits that a time has at least."""


class Values:
    """The values of one column, looked at once."""

    def __init__(self, values: Sequence[Any], decimal: str) -> None:
        self.cells = [value.strip() if isinstance(value, str) else value for value in values]
        present = [cell for cell in self.cells if cell is not None and cell != ""]
        self.n = len(present)
        self.is_list = self.n > 0 and all(isinstance(cell, list | tuple) for cell in present)
        self.is_object = self.n > 0 and any(isinstance(cell, dict) for cell in present)
        self.texts = [] if self.is_list or self.is_object else [_text(cell) for cell in present]
        self.different = set(self.texts)
        self._typed = present
        self._decimal = decimal

    @property
    def numbers(self) -> Float64s:
        """Its values as numbers; NaN for what is none."""
        if self._typed and all(isinstance(cell, bool) for cell in self._typed):
            return np.full(self.n, np.nan)
        return np.array([_number(text, self._decimal) for text in self.texts], dtype=np.float64)

    @property
    def share_of_numbers(self) -> float:
        """Share of the values that are finite numbers."""
        return float(np.isfinite(self.numbers).mean()) if self.n else 0.0

    @property
    def are_typed_numbers(self) -> bool:
        """Tell whether they are numbers in the source, and not texts."""
        return self.n > 0 and all(isinstance(cell, int | float | Decimal) for cell in self._typed)

    @property
    def are_numbers(self) -> bool:
        return self.share_of_numbers >= ENOUGH and not self._has_leading_zeros

    @property
    def _has_leading_zeros(self) -> bool:
        """Texts such as 01067 are codes."""
        return any(len(t) > 1 and t[0] == "0" and t.isdecimal() for t in self.different)

    @property
    def strange(self) -> list[str] | None:
        """The few texts that stand among many different numbers; None if the column is not of that sort."""
        if self.share_of_numbers < _MOSTLY or self._has_leading_zeros:
            return None
        others = sorted({text for text, number in zip(self.texts, self.numbers, strict=True) if np.isnan(number)})
        return others if len(others) <= _STRANGE and len(self.different) > _MOST_CLASSES + len(others) else None

    @property
    def are_whole(self) -> bool:
        found = self.numbers
        return bool((found[np.isfinite(found)] % 1 == 0).all())

    @property
    def are_measures(self) -> bool:
        """Tell whether they are numbers, and no classes: not whole, or many."""
        return self.are_numbers and (not self.are_whole or len(self.different) > _MOST_CLASSES)

    @cached_property
    def time_form(self) -> TimeForm:
        """The form in which they are times: the usual one, or the format that has to be named.

        Of two formats, such as day before month and month before day, the one in which rows are in order, and nearer.
        """
        usual, few = TimeForm(), self.texts[:_TRIED]
        if _share(self._read(usual)) >= ENOUGH or not any(sum(map(str.isdigit, text)) >= _DIGITS for text in few):
            return usual
        forms = (TimeForm(format=form) for form in _FORMATS)
        likely = [form for form in forms if _share(read_texts(few, form).times) > 0.5]
        fitting = [form for form in likely if _share(self._read(form)) >= ENOUGH]
        return max(fitting, key=lambda form: _order(self._read(form)), default=usual)

    @cached_property
    def times(self) -> Int64s:
        """Its values as times, ms; UNREADABLE for what is none."""
        return self._read(self.time_form)

    def _read(self, form: TimeForm) -> Int64s:
        dated = [cell for cell in self._typed if isinstance(cell, datetime | date)]
        if dated and len(dated) == self.n:
            return np.array([_time_of(cell) for cell in dated], dtype=np.int64)
        if self._typed and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in self._typed):
            return read_numbers(np.array(self._typed, dtype=np.float64), form).times
        return read_texts(self.texts, form).times

    @property
    def known_times(self) -> Int64s:
        """Those of its values that are times, ms, in order of rows."""
        found = self.times
        return np.asarray(found[found != UNREADABLE], dtype=np.int64)

    @property
    def are_times(self) -> bool:
        return self.n > 0 and float((self.times != UNREADABLE).mean()) >= ENOUGH

    @property
    def ascends(self) -> float:
        """Share of steps that don't go back; of times."""
        return _order(self.times)[0]


def _text(cell: object) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace")
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return str(cell)


def _number(text: str, decimal: str) -> float:
    try:
        value = float(Decimal(text.replace(decimal, ".") if decimal != "." else text))
    except ArithmeticError:
        return np.nan
    return value if isfinite(value) else np.nan


def _time_of(cell: datetime | date) -> int:
    at = np.datetime64(cell.replace(tzinfo=None) if isinstance(cell, datetime) else cell, "ms")
    return int(at.astype(np.int64))


def _share(times: Int64s) -> float:
    """Share of what could be read."""
    return float((times != UNREADABLE).mean()) if len(times) else 0.0


def _order(times: Int64s) -> tuple[float, int]:
    """Share of steps that don't go back; and the length of all steps, negative."""
    steps = np.diff(times[times != UNREADABLE])
    return (float((steps >= 0).mean()), -int(np.abs(steps).sum())) if len(steps) else (0.0, 0)
