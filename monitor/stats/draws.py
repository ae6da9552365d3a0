"""Samples drawn from counts, the same on every machine: raw bits of a generator of our own, cut by cumulated counts.

numpy's distributions change with its version and with the processor, so none of them is used. A draw is 16 bits: a
point of a lattice of 65,536 on the distribution function. One sample of points serves all columns: each cuts the
lattice where its own cumulated shares lie, to 1/65,536, so the columns share their draws and a column costs a look-up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import sqrt

import numpy as np
import numpy.typing as npt

from monitor.events import Int64s

LATTICE = 1 << 16
MOST_ROWS = 8192
"""Rows that a sample draws at most; a larger one is made from as many."""
_FEW = 2048
Words = npt.NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_LAST = np.uint64(31)
_MASK = (1 << 64) - 1


def seed_of(name: str) -> int:
    """A seed of 64 bits from a name.

    >>> hex(seed_of("features/500/5000"))
    '0x3266b2dea20929'
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def words(seed: int, start: int, count: int) -> Words:
    """Numbers `start` to `start + count` of the generator SplitMix64 with that seed: uniform in 64 bits.

    A counter-based generator: any of its numbers is had without those before it.

    G. Steele, D. Lea and C. Flood, Fast splittable pseudorandom number generators, 2014.

    >>> [hex(word) for word in words(0, 0, 2).tolist()]
    ['0xe220a8397b1dcdaf', '0x6e789e6aa1b965f4']
    """
    state = np.arange(1, count + 1, dtype=np.uint64) * _STEP
    state += np.uint64((seed + start * int(_STEP)) & _MASK)
    for shift, factor in _MIX:
        state ^= state >> shift
        state *= factor
    state ^= state >> _LAST
    return state


def below(seed: int, numbers: Sequence[int], rows: int, points: Int64s) -> Int64s:
    """How many draws of each of these samples lie below each point of the lattice, (samples, points).

    `numbers`: the samples; each is `rows` draws of the generator, whatever other samples are asked for.
    A few points are looked up among the sorted draws, and many in a table of the whole lattice: the same counts, but
    each way is several times as fast as the other where it is taken.

    >>> below(seed=1, numbers=[0, 1], rows=1000, points=np.array([0, LATTICE // 2, LATTICE])).tolist()
    [[0, 523, 1000], [0, 517, 1000]]
    """
    found = np.empty((len(numbers), len(points)), dtype=np.int64)
    for row, number in zip(found, numbers, strict=True):
        draws = words(seed, number << 32, -(-rows // 4)).astype("<u8").view("<u2")[:rows]
        if len(points) <= _FEW:
            row[:] = np.sort(draws, kind="stable").astype(np.int32).searchsorted(points.astype(np.int32))
        else:
            table = np.zeros(LATTICE + 1, dtype=np.int64)
            np.cumsum(np.bincount(draws, minlength=LATTICE), out=table[1:])
            np.take(table, points, out=row, mode="clip")  # clip: with a check numpy would not write in place
    return found


def of_rows(seed: int, numbers: Sequence[int], rows: int, points: Int64s) -> Int64s:
    """Return what `below` does of samples of any size, at the cost of `MOST_ROWS` draws each.

    Of a larger one the counts lie as far from what is expected as those of `MOST_ROWS` draws, times the root of how
    much larger it is: so each bin has the mean and the variance of a sample of that size, and an empty one stays empty.

    >>> of_rows(seed=1, numbers=[0, 1], rows=1_000_000, points=np.array([0, LATTICE // 2, LATTICE])).tolist()
    [[0, 500773, 1000000], [0, 501028, 1000000]]
    """
    drawn = min(rows, MOST_ROWS)
    found = below(seed, numbers, drawn, points)
    if drawn == rows:
        return found
    expected = points / LATTICE
    return np.rint(rows * expected + (found - drawn * expected) * sqrt(rows / drawn)).astype(np.int64)


def cuts(counts: Int64s, rows: Int64s | int) -> Int64s:
    """Return where bins begin and the last one ends on the lattice, shape (..., bins + 1).

    `counts`: of a reference, (..., bins). `rows`: all of its rows, also those that are in no bin; at least one.

    >>> cuts(np.array([1, 0, 2]), 4).tolist()
    [0, 16384, 16384, 49152]
    """
    ends = np.cumsum(counts, axis=-1)
    ends = np.concatenate([np.zeros_like(ends[..., :1]), ends], axis=-1)
    return np.asarray((2 * LATTICE * ends + rows) // (2 * np.asarray(rows, dtype=np.int64)))
