"""Durations of files and flags: text to milliseconds, and back to canonical text. There is no other such grammar.

A duration is whole numbers with units, largest first: "10s", "5m", "1h30m", "7d", "1w", "250ms". It is always text:
YAML 1.1 would read 12:30:45 as a number.
"""

from __future__ import annotations

import re

_UNITS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
DURATION_PATTERN = "^" + "".join(f"([0-9]{{1,9}}{unit})?" for unit in _UNITS) + "$"
_DURATION = re.compile("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in _UNITS))
_LONGEST_MS = 3650 * _UNITS["d"]


def parse_duration(text: str) -> int:
    """Return the milliseconds of a duration; raises ValueError with the remedy.

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
    """Return the canonical text of a duration; equal durations have equal texts.

    >>> duration_text(5_400_000), duration_text(604_800_000), duration_text(0)
    ('1h30m', '7d', '0s')
    """
    parts = []
    for unit, size in _UNITS.items():
        count, rest = divmod(ms, size)
        if count and unit != "w":  # weeks are written as days: 7d, 8d
            parts.append(f"{count}{unit}")
            ms = rest
    return "".join(parts) or "0s"
