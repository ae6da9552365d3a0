"""Times of events as streams and tables write them, many at once: the same for both.

Texts are RFC 3339, also without offset or seconds, dates, numbers since 1970, or in a format of their own. Numbers are
in the unit that is named; else it follows from their size, since from 2000 to 2100, which is all that event times may
be, seconds, milliseconds, microseconds and nanoseconds have no number in common. What is without offset is of the zone
that is named, else UTC. What was taken for granted, because alerts.yaml does not say it, is noted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.codec.formats_of_time import read_in_format
from monitor.codec.times import UNREADABLE, read_times
from monitor.codec.zones import to_utc
from monitor.contract import TimeForm
from monitor.events import Float64s, Int64s

LOCAL: Final = "times without offset, taken as UTC"
DATES: Final = "dates, taken as midnight UTC"
_FROM, _TO = 946_684_800, 4_102_444_800
"""2000-01-01 and 2100-01-01, in seconds."""
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_LARGEST: Final = 1 << 62
_NUMBER: Final = frozenset("0123456789.")
_DATE: Final = len("2026-03-01")
_TO_MINUTES: Final = len("2026-03-01T00:00")
_LOOSE: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d)(:\d\d(?:\.\d+)?)? ?(?:[Zz]|UTC|GMT|([+-]\d\d)(?::?(\d\d))?)", re.ASCII
)
"""A time whose offset is not as RFC 3339 has it, or which has one and no seconds: as databases and logs write them."""


class EventTimes(NamedTuple):
    """Times (ms UTC, UNREADABLE for what is none), and what was taken for granted."""

    times: Int64s
    notes: tuple[str, ...] = ()


def epoch_note(unit: str) -> str:
    """Return the note on numbers that were read in a unit."""
    return f"numbers, read as {unit} since 1970"


def is_missing(value: Any) -> bool:
    """Return true if there is no time: null, absent, or a text without letters."""
    return value is None or value is msgspec.UNSET or (isinstance(value, str) and not value.strip())


def read_values(values: Sequence[Any], form: TimeForm) -> EventTimes:
    """Return times of values of JSON."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return read_texts(values, form)
    times = np.full(len(values), UNREADABLE, dtype=np.int64)
    notes: list[str] = []
    for kind, read in ((str, read_texts), (int, _read_integers), (float, _read_floats)):
        if kind in kinds:
            own = np.fromiter((type(value) is kind for value in values), dtype=bool, count=len(values))
            some = read(list(compress(values, own.tolist())), form)
            times[own] = some.times
            notes += some.notes
    return EventTimes(times, tuple(notes))


def read_texts(texts: Sequence[str], form: TimeForm) -> EventTimes:
    """Return times of texts.

    >>> texts = ["2026-03-01T00:00:00Z", "2026-03-01 00:00:00", "2026-03-01", "1772323200"]
    >>> set(read_texts(texts, TimeForm()).times.tolist())
    {1772323200000}
    >>> read_texts(texts[1:2], TimeForm(zone="Europe/Berlin"))
    EventTimes(times=array([1772319600000]), notes=())
    """
    if form.format:
        times, is_utc = read_in_format([text.strip() for text in texts], form.format)
        return _placed(times, ~is_utc, form, LOCAL)
    times = read_times(texts)
    notes: list[str] = []
    for read in _OTHER_FORMS:
        left = np.flatnonzero(times == UNREADABLE)
        if not len(left):
            break
        some = read([texts[i].strip() for i in left.tolist()], form)
        times[left] = some.times
        notes += some.notes
    return EventTimes(times, tuple(notes))


def read_numbers(values: Int64s | Float64s, form: TimeForm) -> EventTimes:
    """Return times of numbers; floats may have a fraction.

    >>> read_numbers(np.array([1772323200, 1772323200000]), TimeForm()).times.tolist()
    [1772323200000, 1772323200000]
    """
    if form.format:
        whole = np.isfinite(values) & (np.abs(values) < _LARGEST)
        texts = [
            "" if not good else str(int(value)) for value, good in zip(values.tolist(), whole.tolist(), strict=True)
        ]
        return read_texts(texts, form)
    times = np.full(len(values), UNREADABLE, dtype=np.int64)
    if form.unit:
        own = np.isfinite(values)
        times[own] = _in_ms(values[own], _PER_SECOND[form.unit])
        return EventTimes(times)
    notes = []
    for unit, factor in _PER_SECOND.items():
        own = (values >= _FROM * factor) & (values < _TO * factor)
        if own.any():
            times[own] = _in_ms(values[own], factor)
            notes.append(epoch_note(unit))
    return EventTimes(times, tuple(notes))


def read_local(local: Int64s, form: TimeForm, note: str) -> EventTimes:
    """Return times of clocks: ms since 1970 there. `note`: what is taken for granted if no zone is named."""
    return _placed(local, np.ones(len(local), dtype=bool), form, note)


def _placed(times: Int64s, is_local: NDArray[np.bool_], form: TimeForm, note: str) -> EventTimes:
    """Times of which some are those of clocks."""
    local = is_local & (times != UNREADABLE)
    if not form.zone:
        return EventTimes(times, (note,) if local.any() else ())
    times = times.copy()
    times[local] = to_utc(times[local], form.zone)
    return EventTimes(times)


def _in_ms(values: Any, factor: int) -> Any:
    """Numbers of a unit in ms; what no event time can be stays so."""
    values = np.clip(values, -_TO * factor, _TO * factor)
    if factor >= 1000:
        return np.floor_divide(values, factor // 1000).astype(np.int64)
    return np.floor(values * (1000 // factor)).astype(np.int64)


def _read_integers(values: Sequence[int], form: TimeForm) -> EventTimes:
    return read_numbers(np.array([max(-_LARGEST, min(value, _LARGEST)) for value in values], dtype=np.int64), form)


def _read_floats(values: Sequence[float], form: TimeForm) -> EventTimes:
    return read_numbers(np.array(values, dtype=np.float64), form)


def _with(ending: str, fits: Callable[[str], bool], note: str) -> Callable[[Sequence[str], TimeForm], EventTimes]:
    """Reads texts that fit as RFC 3339 once the ending stands behind them; they are times of clocks."""

    def read(texts: Sequence[str], form: TimeForm) -> EventTimes:
        times = np.full(len(texts), UNREADABLE, dtype=np.int64)
        own = np.fromiter(map(fits, texts), dtype=bool, count=len(texts))
        if own.any():
            times[own] = read_times([text + ending for text in compress(texts, own.tolist())])
        return read_local(times, form, note)

    return read


def _stripped(texts: Sequence[str], _form: TimeForm) -> EventTimes:
    return EventTimes(read_times(texts))


def _loose(texts: Sequence[str], _form: TimeForm) -> EventTimes:
    """Read texts as RFC 3339 with all that it wants.

    >>> texts = ["2026-03-01T00:00Z", "2026-03-01 01:00:00+01", "2026-03-01 00:00:00.000 UTC"]
    >>> _loose(texts, TimeForm()).times.tolist()
    [1772323200000, 1772323200000, 1772323200000]
    """
    return EventTimes(read_times([_strict(text) for text in texts]))


def _strict(text: str) -> str:
    found = _LOOSE.fullmatch(text)
    if found is None:
        return ""
    offset = f"{found[3]}:{found[4] or '00'}" if found[3] else "Z"
    return f"{found[1]}{found[2] or ':00'}{offset}"


def _numbers(texts: Sequence[str], form: TimeForm) -> EventTimes:
    return read_values([_number(text) for text in texts], form)


def _number(text: str) -> int | float | None:
    if not text or not set(text) <= _NUMBER:
        return None
    try:
        return int(text[:20]) if text.isdecimal() else float(text)
    except ValueError:
        return None


_OTHER_FORMS: Final = (
    _stripped,
    _with("Z", lambda text: len(text) > _TO_MINUTES, LOCAL),
    _with(":00Z", lambda text: len(text) == _TO_MINUTES, LOCAL),
    _with("T00:00:00Z", lambda text: len(text) == _DATE, DATES),
    _loose,
    _numbers,
)
