"""Ids of predictions to digests of 64 bits (BLAKE2b): an integer is the same id as its text.

Tables write integers as floats as soon as one is missing, so a whole float is that integer; beyond 2**53 it may be
another one, and so it is no id. A digest is a pseudonym and no secret, because short ids can be guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from monitor.codec.columns import is_unicode
from monitor.events import UInt64s

LONGEST_ID: Final = 256
_MOST_BITS = 4 * LONGEST_ID
"""An integer of more has more digits than an id may have; it may have more than Python writes."""
NO_ID: Final = 0
"""Stands for an id that is missing, or that can't be one."""

_EXACT = 2.0**53
"""From here on a float may stand for several integers."""


def digest_of(value: Any) -> int:
    """Return the digest of an id, above 0; NO_ID for what is neither a text of 1 to 256 characters nor an integer.

    >>> digest_of(88213) == digest_of("88213") == digest_of(88213.0) != digest_of("088213")
    True
    >>> digest_of(None), digest_of(""), digest_of(True), digest_of(0.5), digest_of(2.0**53)
    (0, 0, 0, 0, 0)
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if value.bit_length() < _MOST_BITS else ""
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_ID or not is_unicode(value):
        return NO_ID
    return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "little") or 1


def digests(values: Sequence[Any]) -> UInt64s:
    """Return the digest of each value, shape (n,)."""
    return np.array([digest_of(value) for value in values], dtype=np.uint64)  # the hash takes one text a call
