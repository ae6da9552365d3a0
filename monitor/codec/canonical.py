"""Outputs are written in one way: JSON without spaces, keys in the order given, and times as text."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

_ENCODE = msgspec.json.Encoder().encode


def canonical_json(value: Any) -> bytes:
    """Return the UTF-8 JSON of a tree of dicts with text keys, lists, tuples, texts, numbers, bools and None.

    A float is written as the shortest text that reads back as the same float. Raises ValueError for NaN and infinities,
    because JSON has none and the encoder would write null.
    """
    _refuse_non_finite(value)
    return _ENCODE(value)


def time_text(ms: int) -> str:
    """Return RFC 3339 in UTC, with milliseconds only if there are any.

    >>> time_text(1795257600000)
    '2026-11-21T10:40:00Z'
    """
    text = str(np.datetime64(ms, "ms"))
    return f"{text[:-4]}Z" if ms % 1000 == 0 else f"{text}Z"


def _refuse_non_finite(value: Any) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no place in JSON")
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            if not isinstance(item, str):  # which most are, and a call each would take longer than the encoding
                _refuse_non_finite(item)
