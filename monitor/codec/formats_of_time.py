"""Times in a format of their own, such as `%d.%m.%Y %H:%M`: the directives of strptime that mean one thing everywhere.

A format of digits in fixed places is read as one matrix; what that does not take, one by one with the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.codec.times import UNREADABLE, Form, read_alike
from monitor.events import Int64s

_DIRECTIVE: Final = re.compile(r"%(.)", re.DOTALL)
_KNOWN: Final = frozenset("aAbBdfGHIjmMpSuUVwWyYz%")
_DIGITS: Final = {
    "Y": (0, 4, 4),
    "m": (1, 2, 2),
    "d": (2, 2, 2),
    "H": (3, 2, 2),
    "M": (4, 2, 2),
    "S": (5, 2, 2),
    "f": (6, 3, 6),
}
"""Directive -> the field that it fills, digits that count, digits."""
_SAMPLE: Final = datetime(2026, 11, 23, 13, 45, 59, tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_1: Final = -62_135_596_800_000
_MS: Final = timedelta(milliseconds=1)


def check_format(form: str) -> None:
    """Raise ValueError with the reason if times can't be read in the format.

    >>> check_format("%d.%m.%Y %H:%M")
    """
    unknown = [found for found in _DIRECTIVE.findall(form) if found not in _KNOWN]
    if unknown:
        raise ValueError(
            f"%{unknown[0]} is not a directive here: there are %Y %m %d %H %M %S %f %z %b %y %j and others"
        )
    try:
        found = datetime.strptime(_SAMPLE.strftime(form), form)
    except (ValueError, re.error) as error:
        raise ValueError(f"no time can be read as {form!r}: {error}") from None
    if found.date() != _SAMPLE.date():
        raise ValueError(f"{form!r} does not tell the day: write %Y-%m-%d, for example")


def read_in_format(texts: Sequence[str], form: str) -> tuple[Int64s, NDArray[np.bool_]]:
    """Return the times of texts (ms, UNREADABLE for what is none), and which of them have an offset, and so are UTC."""
    fixed = _fixed(form)
    is_utc = np.zeros(len(texts), dtype=bool)
    times = np.full(len(texts), UNREADABLE, dtype=np.int64)
    alike = np.zeros(len(texts), dtype=bool)
    if fixed is not None:
        alike = np.fromiter((len(text) == len(fixed.template) for text in texts), dtype=bool, count=len(texts))
        if alike.any():
            times[alike] = read_alike([texts[i] for i in np.flatnonzero(alike).tolist()], fixed, lambda _: UNREADABLE)
    times[times < _YEAR_1] = UNREADABLE  # strptime has no year 0
    for i in np.flatnonzero(times == UNREADABLE).tolist():  # of other forms each text is read by itself
        times[i], is_utc[i] = _read_one(texts[i], form)
    return times, is_utc


@lru_cache(maxsize=4096)
def _read_one(text: str, form: str) -> tuple[int, bool]:
    try:
        found = datetime.strptime(text, form)
        aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return (aware - _EPOCH) // _MS, found.tzinfo is not None
    except (ValueError, OverflowError, re.error):
        return UNREADABLE, False


@lru_cache(maxsize=32)
def _fixed(form: str) -> Form | None:
    """The format as digits in fixed places; None if it has other directives, or not those of a day, once each."""
    directives = _DIRECTIVE.findall(form)
    literal = _DIRECTIVE.sub("", form)
    if not {"Y", "m", "d"} <= set(directives) <= set(_DIGITS) or len(set(directives)) < len(directives):
        return None
    if not literal.isascii() or any(letter.isdigit() for letter in literal):
        return None
    template, fields, end = "", [(0, 0)] * 7, 0
    for found in _DIRECTIVE.finditer(form):
        template += form[end : found.start()]
        field, counted, digits = _DIGITS[found[1]]
        fields[field] = (len(template), len(template) + counted)
        template += "0" * digits
        end = found.end()
    return Form((template + form[end:]).encode(), tuple(fields))
