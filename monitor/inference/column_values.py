"""The values of one column of a sample: whether they are numbers, times, lists, and which."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
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
    def are_whole(self) -> bool:
        found = self.numbers
        return bool((found[np.isfinite(found)] % 1 == 0).all())

    @property
    def are_measures(self) -> bool:
        """Tell whether they are numbers, and no classes: not whole, or many."""
        return self.are_numbers and (not self.are_whole or len(self.different) > _MOST_CLASSES)

    @property
    def times(self) -> Int64s:
        """Its values as times, ms; UNREADABLE for what is none."""
        dated = [cell for cell in self._typed if isinstance(cell, datetime | date)]
        if dated and len(dated) == self.n:
            return np.array([_time_of(cell) for cell in dated], dtype=np.int64)
        if self._typed and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in self._typed):
            return read_numbers(np.array(self._typed, dtype=np.float64), TimeForm()).times
        return read_texts(self.texts, TimeForm()).times

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
        known = self.known_times
        return float((np.diff(known) >= 0).mean()) if len(known) > 1 else 0.0


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
