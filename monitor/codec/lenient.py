"""The lenient reader takes one record that the fast decoders refuse, and saves the row or names the fault.

The standard library's parser takes NaN and Infinity literals, and numbers beyond the range of floats come as HUGE:
such a value is one column's trouble, and the row is kept. All else that is no JSON gets its reason.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from monitor.codec.reasons import INVALID_JSON, INVALID_UTF8, JSON_TOO_DEEP

MAX_DEPTH: Final = 500
"""Deepest nesting. It is our limit, because the parsers' own limits depend on the depth of their caller's stack."""

_MOST_DIGITS = 309
_STRUCTURE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
_OPENING = (b"{", b"[")


class Huge:
    """A number that no float can hold."""


HUGE: Final = Huge()


def flaw(value: bytes) -> str | None:
    """Return the reason why the value can't be parsed at all, or None."""
    if not value.isascii():
        try:
            value.decode()
        except UnicodeDecodeError:
            return INVALID_UTF8
    return JSON_TOO_DEEP if _is_too_deep(value) else None


def read_lenient(value: bytes) -> Any:
    """Return the JSON value of UTF-8 bytes without a flaw; raises ValueError(reason)."""
    try:
        return json.loads(value.decode(), parse_constant=_constant, parse_float=_float, parse_int=_int)
    except json.JSONDecodeError:
        raise ValueError(INVALID_JSON) from None


def _is_too_deep(value: bytes) -> bool:
    # a text of n levels has n opening brackets: nearly all records are done with one look
    if len(value) <= MAX_DEPTH or value.count(b"{") + value.count(b"[") <= MAX_DEPTH:
        return False
    depth = 0
    for token in _STRUCTURE.finditer(value):
        text = token[0]
        if text in _OPENING:
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif not text.startswith(b'"'):
            depth -= 1
    return False


def _constant(text: str) -> float:
    return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}[text]


def _float(text: str) -> float | Huge:
    number = float(text)
    return number if math.isfinite(number) else HUGE


def _int(text: str) -> int | Huge:
    return int(text) if len(text) <= _MOST_DIGITS else HUGE
