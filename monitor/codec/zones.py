"""Times of a clock on the wall to UTC, by the rules of a time zone.

The rules are those of the package tzdata and never of the machine, so that every process of one release gives the same
answers. An hour that a clock shows twice, when daylight saving time ends, is the first of the two; one that it passes
over, when it begins, is read by the offset before it: 02:30 is 03:30. So it is with `fold=0` of Python.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from monitor.events import Int64s

_FIRST: Final = datetime(1999, 12, 30, tzinfo=UTC)
_DAYS: Final = 36_530
"""To the beginning of 2100: event times lie between."""
_NAME: Final = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}")
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


class UnknownZone(ValueError):
    """There is no time zone of this name."""


class _Rules(NamedTuple):
    """From which times on a clock (ms) the next offset (ms) holds; there is one offset more."""

    begins: Int64s
    offsets: Int64s


def to_utc(local: Int64s, zone: str) -> Int64s:
    """Return UTC for times on the clocks of a zone; ms since 1970 both.

    >>> to_utc(np.array([1772323200000]), "Europe/Berlin").tolist()
    [1772319600000]
    """
    rules = _rules(zone)
    times: Int64s = local - rules.offsets[np.searchsorted(rules.begins, local, side="right")]
    return times


@lru_cache(maxsize=32)
def zone_of(name: str) -> ZoneInfo:
    """Return a zone by its name in tzdata; raises UnknownZone."""
    if _NAME.fullmatch(name):
        try:
            with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as rules:
                return ZoneInfo.from_file(rules, name)
        except (OSError, ValueError):
            pass
    raise UnknownZone(f"{name!r} is not a time zone: write one such as Europe/Berlin")


@lru_cache(maxsize=1)
def zone_names() -> tuple[str, ...]:
    """Return the names of all zones."""
    return tuple(files("tzdata").joinpath("zones").read_text(encoding="ascii").split())


@lru_cache(maxsize=32)
def _rules(name: str) -> _Rules:
    """Look at the zone's offset day by day, and to the second at days on which it changes."""
    zone = zone_of(name)
    day, before = _FIRST, _offset(zone, _FIRST)
    begins, offsets = [], [before]
    for _ in range(_DAYS):
        after = _offset(zone, day + _DAY)
        if after != before:
            change = _change(zone, day, before)
            begins.append(round(change.timestamp()) * 1000 + max(before, after))
            offsets.append(after)
        day, before = day + _DAY, after
    return _Rules(np.array(begins, dtype=np.int64), np.array(offsets, dtype=np.int64))


def _change(zone: ZoneInfo, day: datetime, before: int) -> datetime:
    """The first second of the day after `day` that has another offset."""
    low, high = 0, 86_400
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, day + middle * _SECOND) == before:
            low = middle
        else:
            high = middle
    return day + high * _SECOND


def _offset(zone: ZoneInfo, time: datetime) -> int:
    offset = time.astimezone(zone).utcoffset()
    return round(offset.total_seconds()) * 1000 if offset is not None else 0
