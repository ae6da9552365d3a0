"""What keeps log lines safe: nothing from a stream acts on a terminal or makes a line of its own, and none floods."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

MOST_LINES = 20
INTERVAL_S = 60.0
MOST_KINDS = 1_000
"""Libraries put values into their messages, and each such message is a kind."""

Event = MutableMapping[str, Any]


def escaped(text: str, keep: str = "") -> str:
    """Text with what can't be printed written out, as `\\x1b`; characters of `keep` stay.

    >>> escaped("a\\x1b[31m b\\u2028")
    'a\\\\x1b[31m b\\\\u2028'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def escape_values(logger: object, method: str, event: Event) -> Event:
    """A processor for text: values can't break the line or steer the terminal; tracebacks keep their lines."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = escaped(value, keep="\n\t" if key in ("exception", "stack") else "")
    return event


class SafeJson:
    """A renderer: one JSON object, in which what JSON itself would let through unprintable is written out too."""

    def __init__(self) -> None:
        self._render = structlog.processors.JSONRenderer(ensure_ascii=False)

    def __call__(self, logger: Any, method: str, event: Event) -> str:
        line = str(self._render(logger, method, event))
        if line.isprintable():
            return line
        return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


class Limiter:
    """Lets `most` lines of a kind through in an interval, and counts the others. `clock`: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float], most: int = MOST_LINES, interval_s: float = INTERVAL_S) -> None:
        self._clock = clock
        self._most = most
        self._interval_s = interval_s
        self._begun: dict[str, tuple[float, int]] = {}

    def admit(self, kind: str) -> dict[str, object] | None:
        """Return None if the line is left out, else keys that count those left out before and announce the next."""
        now = self._clock()
        if len(self._begun) > MOST_KINDS:
            self._begun.clear()
        begun, lines = self._begun.get(kind, (now, 0))
        left_out = 0
        if now - begun >= self._interval_s:
            begun, lines, left_out = now, 0, max(0, lines - self._most)
        self._begun[kind] = (begun, lines + 1)
        if lines >= self._most:
            return None
        counts: dict[str, object] = {"left_out_before": left_out} if left_out else {}
        if lines == self._most - 1:
            counts["more_left_out_for_s"] = round(begun + self._interval_s - now)
        return counts

    def __call__(self, logger: object, method: str, event: Event) -> Event:
        """Count an event as a processor does, by its name and, if there is one, its reason."""
        counts = self.admit(f"{event.get('event')} {event.get('reason', '')}")
        if counts is None:
            raise structlog.DropEvent
        event.update(counts)
        return event

    def filter(self, record: logging.LogRecord) -> bool:
        """Count a record as a filter of the standard library, by logger and message without its values."""
        return self.admit(f"{record.name} {record.msg}") is not None
