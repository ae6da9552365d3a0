"""Sums and sums of squares of large integers, as int64 vectors that may be added and subtracted.

A row is worth q units, |q| <= 2**40. A sum is kept in two limbs of base 2**20, a sum of squares in three of base 2**28,
the lowest first. Adding and subtracting goes limb by limb, without carry, and is exact as long as fewer than 2**35 rows
are added up. `normalised` carries: then all but the highest limb are in [0, base), and the limbs are a function of the
sum alone, however it came about.

>>> sums, squares = limbs_of(np.array([[3], [-5], [1 << 40]]))
>>> whole(sums, SUM_BITS).tolist() == [(1 << 40) - 2], whole(squares, SQUARE_BITS).tolist() == [(1 << 80) + 34]
(True, True)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.events import Int64s

SUM_BITS, SQUARE_BITS = 20, 28
SUM_LIMBS, SQUARE_LIMBS = 2, 3
ROWS_AT_ONCE = 1 << 22
"""Rows whose limbs `limbs_of` makes at once."""
_LOW = (1 << SUM_BITS) - 1
_FEW = 64
"""Numbers for which Python's integers are faster than arrays: a pane of a sparse stream has few."""


def limbs_of(units: Int64s) -> tuple[Int64s, Int64s]:
    """Sum and sum of squares of `units` (n, series), n <= ROWS_AT_ONCE: normalised limbs (2, series), (3, series)."""
    if units.size <= _FEW:
        columns = units.T.tolist()
        of_squares = [sum(unit * unit for unit in column) for column in columns]
        return split(list(map(sum, columns)), SUM_LIMBS, SUM_BITS), split(of_squares, SQUARE_LIMBS, SQUARE_BITS)
    high, low = units >> SUM_BITS, units & _LOW
    sums = normalised(np.stack([low.sum(axis=0), high.sum(axis=0)]), SUM_BITS)
    # (high 2**20 + low)**2 = high**2 2**40 + high low 2**21 + low**2, each put where its bits belong
    highs, mixed, lows = ((a * b).sum(axis=0) for a, b in ((high, high), (high, low), (low, low)))
    squares = [
        lows + ((mixed & 0x7F) << 21),
        (mixed >> 7) + ((highs & 0xFFFF) << 12),
        highs >> 16,
    ]
    return sums, normalised(np.stack(squares), SQUARE_BITS)


def split(numbers: Sequence[int], limbs: int, bits: int) -> Int64s:
    """Return the normalised limbs (limbs, series) of whole numbers."""
    low, last = (1 << bits) - 1, limbs - 1
    return np.array(
        [[n >> bits * k if k == last else n >> bits * k & low for n in numbers] for k in range(limbs)], dtype=np.int64
    )


def normalised(limbs: Int64s, bits: int) -> Int64s:
    """The same sums (limbs, series) with all but the highest limb in [0, 2**bits)."""
    carried = limbs.copy()
    for k in range(len(limbs) - 1):
        carried[k + 1] += carried[k] >> bits
        carried[k] &= (1 << bits) - 1
    return carried


def whole(limbs: Int64s, bits: int) -> np.ndarray:
    """The numbers that limbs (..., limbs, series) stand for: Python's integers, an array of objects (..., series)."""
    numbers = limbs.astype(object)
    return np.asarray(sum(numbers[..., k, :] << (bits * k) for k in range(limbs.shape[-2])), dtype=object)
