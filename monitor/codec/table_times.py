"""Times as tables write them: also without offset (UTC is taken), as a date (midnight UTC), and as a number since 1970.

The unit of a number follows from its size: from 2000 to 2100, which is all that event times may be, seconds,
milliseconds, microseconds and nanoseconds have no number in common.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, Final, NamedTuple

import numpy as np

from monitor.codec.times import UNREADABLE, read_times
from monitor.events import Float64s, Int64s

LOCAL: Final = "times without offset, taken as UTC"
DATES: Final = "dates, taken as midnight UTC"
_FROM, _TO = 946_684_800, 4_102_444_800
"""2000-01-01 and 2100-01-01, in seconds."""
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_MOST_DIGITS: Final = len(str(_TO * 10**9))
_NUMBER: Final = frozenset("0123456789.")


class TableTimes(NamedTuple):
    """Times (ms UTC, UNREADABLE for what is none), and what was taken for granted."""

    times: Int64s
    notes: tuple[str, ...]


def epoch_note(unit: str) -> str:
    """Return the note on numbers that were read in a unit."""
    return f"numbers, read as {unit} since 1970"


def read_numbers(values: Int64s | Float64s) -> TableTimes:
    """Return times of numbers; floats may have a fraction.

    >>> read_numbers(np.array([1772323200, 1772323200000, 12])).times[:2].tolist()
    [1772323200000, 1772323200000]
    """
    times = np.full(len(values), UNREADABLE, dtype=np.int64)
    notes = []
    for unit, factor in _PER_SECOND.items():
        own = (values >= _FROM * factor) & (values < _TO * factor)
        if own.any():
            times[own] = _in_ms(values[own], factor)
            notes.append(epoch_note(unit))
    return TableTimes(times, tuple(notes))


def _in_ms(values: Any, factor: int) -> Any:
    if factor >= 1000:
        return np.floor_divide(values, factor // 1000).astype(np.int64)
    return np.floor(values * (1000 // factor)).astype(np.int64)


def read_texts(texts: Sequence[str]) -> TableTimes:
    """Return times of texts.

    >>> read_texts(["2026-03-01T00:00:00Z", "2026-03-01 00:00:00", "2026-03-01", "1772323200", "1 March"])
    TableTimes(times=array([       1772323200000,        1772323200000,        1772323200000,
                  1772323200000, -4611686018427387904]), notes=('times without offset, taken as UTC', \
'dates, taken as midnight UTC', 'numbers, read as s since 1970'))
    """
    times = read_times(texts)
    notes: list[str] = []
    for read in _OTHER_FORMS:
        left = np.flatnonzero(times == UNREADABLE)
        if not len(left):
            break
        some = read([texts[i] for i in left.tolist()])
        times[left] = some.times
        notes += some.notes
    return TableTimes(times, tuple(notes))


def _with(ending: str, fits: Callable[[str], bool], note: str) -> Callable[[Sequence[str]], TableTimes]:
    """Reads texts that fit as RFC 3339 once the ending stands behind them."""

    def read(texts: Sequence[str]) -> TableTimes:
        times = np.full(len(texts), UNREADABLE, dtype=np.int64)
        own = np.fromiter(map(fits, texts), dtype=bool, count=len(texts))
        if own.any():
            times[own] = read_times([text + ending for text in compress(texts, own.tolist())])
        return TableTimes(times, (note,) if (times != UNREADABLE).any() else ())

    return read


def _numbers(texts: Sequence[str]) -> TableTimes:
    if all(map(str.isdecimal, texts)) and max(map(len, texts)) <= _MOST_DIGITS:
        return read_numbers(np.array([min(int(text), -UNREADABLE) for text in texts], dtype=np.int64))
    return read_numbers(np.array([_number(text) for text in texts]))


def _number(text: str) -> float:
    if not text or not set(text) <= _NUMBER:
        return np.nan
    try:
        return float(text)
    except ValueError:
        return np.nan


_OTHER_FORMS: Final = (
    _with("Z", lambda text: len(text) > len("2026-03-01"), LOCAL),
    _with(":00Z", lambda text: len(text) == len("2026-03-01T00:00"), LOCAL),
    _with("T00:00:00Z", lambda text: len(text) == len("2026-03-01"), DATES),
    _numbers,
)
