"""Durations and times as alerts.yaml writes them: text to milliseconds, and durations back to canonical text.

A duration is whole numbers with units, largest first: "10s", "5m", "1h30m", "7d", "1w", "250ms". It is always text:
YAML 1.1 would read 12:30:45 as a number.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
DURATION_PATTERN = "^" + "".join(f"([0-9]{{1,9}}{unit})?" for unit in _UNITS) + "$"
_DURATION = re.compile("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in _UNITS))
_LONGEST_MS = 3650 * _UNITS["d"]

TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
_TIME = re.compile(TIME_PATTERN.removesuffix("$"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_duration(text: str) -> int:
    """Milliseconds of a duration; raises ValueError with what would do.

    >>> parse_duration("1h30m")
    5400000
    """
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f'{text!r} is not a duration: write "10s", "5m", "1h30m" or "7d"')
    counts = (int(group or 0) for group in match.groups())
    total = sum(count * size for count, size in zip(counts, _UNITS.values(), strict=True))
    if total > _LONGEST_MS:
        raise ValueError(f"{text!r} is longer than ten years")
    return total


def duration_text(ms: int) -> str:
    """Canonical text of a duration; equal durations have equal texts.

    >>> duration_text(5_400_000), duration_text(604_800_000), duration_text(0)
    ('1h30m', '7d', '0s')
    """
    parts = []
    for unit, size in _UNITS.items():
        count, rest = divmod(ms, size)
        if count and unit != "w":  # weeks are told in days: 7d, 8d
            parts.append(f"{count}{unit}")
            ms = rest
    return "".join(parts) or "0s"


def parse_time(text: str) -> int:
    """Milliseconds since 1970 UTC of an RFC 3339 time, finer digits cut; raises ValueError with what would do.

    >>> parse_time("2026-10-01T00:00:00Z")
    1790812800000
    """
    refusal = f"{text!r} is not a time with its offset: write 2026-10-01T00:00:00Z"
    if _TIME.fullmatch(text) is None:
        raise ValueError(refusal)
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(refusal) from None
    return (moment - _EPOCH) // timedelta(milliseconds=1)
