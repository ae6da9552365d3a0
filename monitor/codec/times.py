"""RFC 3339 text to milliseconds since 1970 UTC, one by one or many at once: the only reader of times.

Accepted: `2026-11-21T10:31:07Z` with any number of decimals (digits past the third are cut off), `Z` or a numeric
offset such as `+01:00`; lower-case `t` and `z`, and a space for the `T`, as the RFC allows. A leap second (second 60)
is the second after it. Refused: a time without offset, because nobody knows when it was, and a time that lies before
the year 0000 or after 9999 in UTC, because it could not be written as RFC 3339 again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from monitor.events import Int64s

UNREADABLE: Final = -(1 << 62)
"""The time of a text that can't be read; below every time."""

TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
"""The form of a time for JSON schemas, which does not check the calendar."""

_FEW: Final = 8
"""This many texts are read sooner one by one than as a matrix."""
_LEAST, _MOST = -62_167_219_200_000, 253_402_300_799_999
"""0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z."""
_TEXT = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_FIELDS = ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19), (20, 23))
_LIMITS = np.array([9999, 12, 31, 23, 59, 59, 999])
_DAYS_OF_MONTH = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONTH_DAYS = np.array(_DAYS_OF_MONTH)


class Form:
    """A usual form of the text: digits stand where the template has 0, and all else as it has it.

    `weights` turn the digits into year, month, day, hour, minute, second, millisecond; `fields` say where these are.
    """

    def __init__(self, template: bytes, fields: Sequence[tuple[int, int]] = _FIELDS) -> None:
        self.template = np.frombuffer(template, dtype=np.uint8)
        self.most = np.where(self.template == ord("0"), 9, 0).astype(np.uint8)
        self.weights = np.zeros((len(template), len(fields)))
        for k, (start, end) in enumerate(fields):
            if end <= len(template):
                self.weights[start:end, k] = [10.0**power for power in range(end - start - 1, -1, -1)]


_FORMS = {
    len(template): Form(template, _FIELDS if b"." in template else _FIELDS[:-1])
    for digits in (b"", b".000", b".000000", b".000000000")
    for template in (b"0000-00-00T00:00:00" + digits + b"Z",)
}
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)


def read_times(texts: Sequence[str]) -> Int64s:
    """Return the times of the texts, shape (n,); UNREADABLE for a text that is not an RFC 3339 time."""
    if len(texts) <= _FEW:
        return np.array([read_time(text) for text in texts], dtype=np.int64)
    lengths = sorted(set(map(len, texts)))
    if len(lengths) == 1 and lengths[0] in _FORMS:
        return read_alike(texts, _FORMS[lengths[0]])
    times = np.empty(len(texts), dtype=np.int64)
    own = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    for length in lengths:
        where = np.flatnonzero(own == length)
        some = [texts[i] for i in where.tolist()]
        if length in _FORMS:
            times[where] = read_alike(some, _FORMS[length])
        else:
            form = _FORMS.get(length - len("+01:00") + 1)
            times[where] = [read_time(text) for text in some] if form is None else _read_with_offsets(some, form)
    return times


def _read_with_offsets(texts: Sequence[str], form: Form) -> Int64s:
    """Read texts of a usual form whose offset is not Z: as if it were, and then by what the offset says."""
    away = {ending: _away(ending) for ending in {text[-6:] for text in texts}}
    if None in away.values():
        return np.array([read_time(text) for text in texts], dtype=np.int64)
    times = read_alike([text[:-6] + "Z" for text in texts], form)
    shifted = times - np.array([away[text[-6:]] for text in texts], dtype=np.int64)
    return np.where((times == UNREADABLE) | (shifted < _LEAST) | (shifted > _MOST), UNREADABLE, shifted)


def _away(ending: str) -> int | None:
    """How far an offset is from UTC, ms; None if it is none."""
    found = _OFFSET.fullmatch(ending)
    if found is None or found[2] > "23" or found[3] > "59":
        return None
    return (int(found[2]) * 60 + int(found[3])) * (-60_000 if found[1] == "-" else 60_000)


def read_time(text: str) -> int:
    """Return the time of one text, or UNREADABLE."""
    found = _TEXT.fullmatch(text)
    if found is None:
        return UNREADABLE
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    away = int(found[9] or 0), int(found[10] or 0)
    in_day = hour <= 23 and minute <= 59 and second <= 60 and away <= (23, 59) and away[1] <= 59
    if not in_day or not 1 <= month <= 12 or not 1 <= day <= _DAYS_OF_MONTH[month] + (month == 2 and _is_leap(year)):
        return UNREADABLE
    offset = (away[0] * 60 + away[1]) * (-1 if found[8] == "-" else 1)
    seconds = (int(_days(year, month, day)) * 24 + hour) * 3600 + (minute - offset) * 60 + second
    time = seconds * 1000 + int((found[7] or "")[:3].ljust(3, "0"))
    return time if _LEAST <= time <= _MOST else UNREADABLE


def parse_time(text: str) -> int:
    """Return the time of one text of a file or a flag; raises ValueError with the remedy.

    >>> parse_time("2026-10-01T00:00:00Z")
    1790812800000
    """
    time = read_time(text)
    if time == UNREADABLE:
        raise ValueError(f"{text!r} is not a time with its offset: write 2026-10-01T00:00:00Z")
    return time


def read_alike(texts: Sequence[str], form: Form, one: Callable[[str], int] | None = None) -> Int64s:
    """Read texts of the form's length as one matrix of bytes. `one`: reads each of those that are of another form."""
    joined = "".join(texts)
    if not joined.isascii():
        return np.array([(one or read_time)(text) for text in texts], dtype=np.int64)
    raw = np.frombuffer(joined.encode(), dtype=np.uint8).reshape(len(texts), -1)
    digits = raw - form.template  # unsigned: what is below "0" becomes large
    # float64 products of digits and powers of ten are exact, and BLAS is faster than integer sums
    fields = (digits.astype(np.float64) @ form.weights).astype(np.int64)
    year, month, day, hour, minute, second, *rest = fields.T
    milli = rest[0] if rest else 0
    good = (digits <= form.most).all(axis=1) & (fields <= _LIMITS[: fields.shape[1]]).all(axis=1)
    good &= (month >= 1) & (day >= 1)
    month = np.where(good, month, 1)
    good &= day <= _MONTH_DAYS[month] + ((month == 2) & _is_leap(year))
    seconds = (_days(year, month, day) * 24 + hour) * 3600 + minute * 60 + second
    times: Int64s = seconds * 1000 + milli
    others = np.flatnonzero(~good).tolist()
    if one is None and len(others) > _FEW and all(texts[i][10] == " " for i in others):
        times[others] = read_alike([f"{texts[i][:10]}T{texts[i][11:]}" for i in others], form)
        return times
    for i in others:  # lower-case letters, leap seconds and nonsense are rare
        times[i] = (one or read_time)(texts[i])
    return times


def _is_leap(year: Any) -> Any:
    """Return true if February has 29 days; of an int or an array."""
    return (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))


def _days(year: Any, month: Any, day: Any) -> Any:
    """Return days since 1970-01-01 of ints or arrays. Years begin in March here, so that leap days end them."""
    early = month <= 2
    year = year - early
    day_of_year = (153 * (month - 3 + 12 * early) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - 719468
