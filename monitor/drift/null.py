"""Null: how sums of consecutive rows vary by chance alone, as the reference shows it.

Rows that depend on those before them make sums vary more than as many independent ones, up to (1 + ρ) / (1 - ρ) times
with a first-order correlation ρ. The *inflation* of n rows is that factor: the variance of sums of stretches of n rows,
over n times the variance of a row. It is measured on stretches of the reference that follow each other, of 10, 20, 40
rows and so on, as long as there are sixteen of them; longer ones are taken from the largest measured. A factor that
chance alone could give, were rows independent, counts as 1.
"""

from __future__ import annotations

import numpy as np

from monitor.drift.evidence import of_chi_square
from monitor.drift.moments import Moments, deviations
from monitor.events import Float64s, Int64s
from monitor.stats.exact import total

_FEWEST = 16
"""Stretches from which a variance is taken, at least."""
_CLEAR = 4.0
"""The z from which a factor is believed: there are as many as scores and lengths."""
MOST_OF_A_PIECE = 8
"""Independent pieces that a reference needs; with fewer its null is unverified."""


class Null:
    """The inflation of sums of scores of one reference. `pieces`: stretches in it as long as its dependence reaches."""

    def __init__(self, moments: Moments) -> None:
        rows, factors = _measured(moments, deviations(moments) ** 2)
        self._rows, self._factors = rows, factors
        self._of_sizes: dict[tuple[int, int], Float64s] = {}
        self.piece_rows = _reach(rows, factors)
        self.pieces = int(moments.block_rows.sum()) // max(self.piece_rows, 1)

    @property
    def is_verified(self) -> bool:
        """True if the reference is long enough to show its own dependence."""
        return self.pieces >= MOST_OF_A_PIECE

    def factors(self, n: int, m: int) -> Float64s:
        """The inflation of each score in windows of n rows beside a reference of m, whose own part is in it.

        It is that of the next size of two to an octave, which is no smaller.
        """
        size = _size_from(n)
        if (size, m) not in self._of_sizes:
            own = size / (size + m)
            self._of_sizes[size, m] = (1.0 - own) * self.inflation(size) + own * self.inflation(m)
        return self._of_sizes[size, m]

    def inflation(self, rows: int) -> Float64s:
        """The factor of each score (width,) for sums of a number of rows, at least 1; larger never becomes smaller.

        Between two measured lengths it is that of the longer one.
        """
        place = int(np.searchsorted(self._rows, rows, side="left"))
        return np.asarray(self._factors[min(place, len(self._factors) - 1)])


def _size_from(rows: int) -> int:
    """The next size from there on: 1, 2, 3, 4, 6, 8, 12 and so on."""
    power: int = 1 << (rows - 1).bit_length()
    return 3 * power // 4 if 4 * rows <= 3 * power else power


def _measured(moments: Moments, variance: Float64s) -> tuple[Int64s, Float64s]:
    """Lengths of stretches and the factor of each score there, (lengths, width); ascending both ways."""
    sums, rows = moments.block_sums, moments.block_rows
    lengths, factors = [1], [np.ones(len(variance))]
    whole, count = sums.sum(axis=0), int(rows.sum())
    while len(sums) >= _FEWEST and len(variance):
        length = int(rows[0])
        gap = sums - whole * (length / count)
        spread = total((gap * gap).T) / (len(sums) - 1)
        excess = np.where(variance > 0, spread / np.maximum(variance * length, 1e-300), 1.0)
        degrees = float(len(sums) - 1)
        is_clear = of_chi_square(excess * degrees, np.full(len(excess), degrees)) > _CLEAR
        factor = np.where(is_clear, excess * (1.0 + np.sqrt(2.0 / degrees)), 1.0)
        lengths.append(length)
        factors.append(np.maximum(factor, factors[-1]))
        even = len(sums) // 2 * 2
        sums = sums[:even].reshape(-1, 2, sums.shape[1]).sum(axis=1)
        rows = rows[:even].reshape(-1, 2).sum(axis=1)
    return np.array(lengths, dtype=np.int64), np.stack(factors)


def _reach(rows: Int64s, factors: Float64s) -> int:
    """The length from which on no factor grows by more than a tenth; 1 without dependence."""
    last = factors[-1]
    for length, factor in zip(rows.tolist(), factors, strict=True):
        if not (last > 1.1 * factor).any():
            return int(length)
    return int(rows[-1])
