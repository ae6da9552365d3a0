"""Ids of predictions to digests of 64 bits (BLAKE2b): a number is the same id as its text.

A digest is a pseudonym and no secret, because short ids can be guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from monitor.codec.columns import is_unicode
from monitor.events import UInt64s

LONGEST_ID: Final = 256
NO_ID: Final = 0
"""Stands for an id that is not there, or is none."""


def digest_of(value: Any) -> int:
    """Return the digest of an id, above 0; NO_ID for what is no text of 1 to 256 characters and no integer.

    >>> digest_of(88213) == digest_of("88213") != digest_of("088213")
    True
    >>> digest_of(None), digest_of(""), digest_of(True)
    (0, 0, 0)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_ID or not is_unicode(value):
        return NO_ID
    return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "little") or 1


def digests(values: Sequence[Any]) -> UInt64s:
    """Return the digest of each value, shape (n,)."""
    return np.array([digest_of(value) for value in values], dtype=np.uint64)  # the hash takes one text a call
