"""Integers as bytes, seven bits a byte, low bits first (LEB128): small ones are short. Whole arrays at once."""

from __future__ import annotations

import numpy as np

from monitor.errors import FormatError
from monitor.events import Int64s

_MOST = 9
"""Bytes of the largest int64."""


def pack(values: Int64s) -> bytes:
    """The bytes of integers from 0 to 2⁶³ - 1.

    >>> pack(np.array([0, 127, 128]))
    b'\\x00\\x7f\\x80\\x01'
    """
    column = np.arange(-(-int(values.max(initial=1)).bit_length() // 7))
    shifted = np.asarray(values, dtype=np.int64)[:, np.newaxis] >> (7 * column)
    length = np.maximum((shifted > 0).sum(axis=1), 1)
    groups = (shifted & 127) | np.where(column < length[:, np.newaxis] - 1, 128, 0)
    return bytes(groups[column < length[:, np.newaxis]].astype(np.uint8))


def unpack(data: bytes) -> Int64s:
    """The integers of bytes; raises FormatError if they are cut or too large."""
    raw = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(raw < 128)
    if len(raw) and (not len(ends) or ends[-1] != len(raw) - 1):
        raise FormatError("packed integers are cut")
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64) if len(ends) else np.zeros(0, dtype=np.int64)
    lengths = ends + 1 - starts
    if (lengths > _MOST).any():
        raise FormatError("a packed integer is too large")
    if not len(ends):
        return starts
    shifts = 7 * (np.arange(len(raw), dtype=np.int64) - np.repeat(starts, lengths))
    return np.add.reduceat((raw & 127).astype(np.int64) << shifts, starts)


def zigzag(values: Int64s) -> Int64s:
    """Integers of either sign as such that `pack` takes: small ones stay small.

    >>> zigzag(np.array([0, -1, 1, -2])).tolist()
    [0, 1, 2, 3]
    """
    return np.asarray((values << 1) ^ (values >> 63), dtype=np.int64)


def unzigzag(values: Int64s) -> Int64s:
    """What `zigzag` was given."""
    return np.asarray((values >> 1) ^ -(values & 1), dtype=np.int64)
