"""Count vectors as bytes: most of their places are 0, and most counts are small."""

from __future__ import annotations

import msgspec
import numpy as np

from monitor.codec.varints import pack, unpack, unzigzag, zigzag
from monitor.errors import FormatError
from monitor.events import Int64s


class Counts(msgspec.Struct, frozen=True, array_like=True):
    """A count vector: how far each place that is not 0 lies behind the one before, and its count (`codec.varints`)."""

    steps: bytes
    counts: bytes


def pack_counts(counts: Int64s, places: Int64s | None = None) -> Counts:
    """A count vector; if `places` are given, `counts` are the counts at those.

    >>> unpack_counts(pack_counts(np.array([0, 5, 0, -3])), 4).tolist()
    [0, 5, 0, -3]
    """
    if places is None:
        places = np.flatnonzero(counts)
        counts = counts[places]
    elif not counts.all():
        places, counts = places[counts != 0], counts[counts != 0]
    return Counts(pack(np.diff(places, prepend=0)), pack(zigzag(counts)))


def unpack_counts(packed: Counts, width: int) -> Int64s:
    """The vector of its places and counts, shape (width,); raises FormatError."""
    steps, counts = unpack(packed.steps), unzigzag(unpack(packed.counts))
    if len(steps) != len(counts):
        raise FormatError("packed counts and their places differ in number")
    if (steps >= width).any() or (steps[1:] == 0).any() or steps.sum() >= max(width, 1):
        raise FormatError("packed counts stand at places that are not there")
    vector = np.zeros(width, dtype=np.int64)
    vector[np.cumsum(steps)] = counts
    return vector
