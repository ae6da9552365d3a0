"""Rates of false alarms as alerts.yaml has them: "1 per week", "2 per 12h", "1 per 50000 rows"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from monitor.codec.durations import duration_text, parse_duration
from monitor.config.suggest import did_you_mean

_DAY_MS = 86_400_000
_PERIODS = {"day": _DAY_MS, "week": 7 * _DAY_MS, "month": 30 * _DAY_MS}
_ROWS = re.compile(r"([1-9][0-9]{0,11}) rows")
_RATE = re.compile(r"([1-9][0-9]{0,8}) per (.+)")
EXAMPLES = '"1 per week", "2 per 12h" or "1 per 50000 rows"'


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` false alarms in `per_ms` of event time, or in `per_rows` rows."""

    count: int
    per_ms: int | None = None
    per_rows: int | None = None

    def rows_an_alarm(self, rows_per_second: float) -> float:
        """Return the rows of which one may give a false alarm, on average."""
        rows = self.per_rows if self.per_ms is None else self.per_ms / 1000 * rows_per_second
        return (rows or 0.0) / self.count

    def __str__(self) -> str:
        """The canonical text: equal rates have equal texts."""
        per = f"{self.per_rows} rows" if self.per_ms is None else duration_text(self.per_ms)
        return f"{self.count} per {per}"


def parse_rate(text: str) -> Rate:
    """Return the rate of a text; raises ValueError with the remedy.

    >>> parse_rate("1 per week")
    Rate(count=1, per_ms=604800000, per_rows=None)
    """
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a rate: write {EXAMPLES}")
    return rate_of(int(match[1]), match[2])


def rate_of(count: int, period: str) -> Rate:
    """Return the rate of `count` in a period: a word, a duration, or a number of rows. Raises ValueError.

    >>> rate_of(1, "50000 rows")
    Rate(count=1, per_ms=None, per_rows=50000)
    """
    if (rows := _ROWS.fullmatch(period)) is not None:
        return Rate(count, per_rows=int(rows[1]))
    if period in _PERIODS:
        return Rate(count, per_ms=_PERIODS[period])
    try:
        per_ms = parse_duration(period)
    except ValueError:
        hint = did_you_mean(period, _PERIODS) or ": write day, week, month, a duration such as 12h, or 50000 rows"
        raise ValueError(f"{period!r} is not a period{hint}") from None
    if per_ms == 0:
        raise ValueError("a period is longer than 0s")
    return Rate(count, per_ms=per_ms)
