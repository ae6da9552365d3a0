"""The family: Hotelling's T² of the scores of all columns together, so that many small shifts are one large one.

The sums of scores of a window of n rows, less n times their mean in the reference of m rows, are whitened by the
reference's covariance with 0.05 on its diagonal (as correlations), and divided by n + n²/m, which is their variance
with the reference's own error inside. T² is the sum of their squares. Because of the addend it is no chi-square, but
nearly a gamma distribution of mean tr A and variance 2 tr A², with A = W R Wᵀ; rows that depend on each other make R
larger (`null.py`).

A covariance of m rows fits these better than any others, so T² is larger by m / (m - p), as of the F distribution; and
rows whose scores have heavy tails make T² of short windows vary more, by what the reference's own blocks show.
Scores of fourth moment above 8 take no part: a single row would decide them, and columns are looked at alone, too.
H. Hotelling, The generalization of Student's ratio, 1931.
"""

from __future__ import annotations

import numpy as np

from monitor.drift.evidence import ChiSquares
from monitor.drift.linear import cholesky, inverse_of_lower, times
from monitor.drift.moments import GroupMoments, Moments
from monitor.drift.null import Null
from monitor.events import Float64s, Int64s
from monitor.stats.exact import total

_SHRINK = 0.05
_MOST_KURTOSIS = 8.0
_ROWS_A_SCORE = 3
"""Rows of the reference for each score, at least; else spreads are left out, and then all."""
_FEWEST_ROWS = 20.0
"""Rows of a window, at least: of real columns, one row may be so far out that it decides ten of them alone."""
_FEWEST_BLOCKS = 30
_MOST_LENGTHS = 1000
"""Lengths of windows whose law is remembered."""
_WITHOUT_ERROR = 1 << 62
"""Rows of a reference whose own error is nothing."""


class Family:
    """T² of one group. `places`: of its scores among all. `mean`: of a row in the reference, all scores (width,)."""

    def __init__(self, moments: Moments, group: GroupMoments, places: Int64s, mean: Float64s, null: Null) -> None:
        rows, own = moments.rows, mean[places]
        covariance = group.second / rows - own[:, np.newaxis] * own
        variance = np.diag(covariance).copy()
        kurtosis = group.fourth / rows / np.maximum(variance * variance, 1e-300)
        usable = np.flatnonzero((variance > 0) & (kurtosis < _MOST_KURTOSIS))
        if len(usable) * _ROWS_A_SCORE > rows:
            usable = usable[usable < len(places) // 2]
        if len(usable) * _ROWS_A_SCORE > rows:
            usable = usable[:0]
        self._places, self._mean = places[usable], own[usable]
        self._deviation = np.sqrt(variance[usable])
        self._correlation = covariance[np.ix_(usable, usable)] / (self._deviation[:, np.newaxis] * self._deviation)
        shrunk = self._correlation + _SHRINK * np.eye(len(usable))
        self._whitener = np.ascontiguousarray(inverse_of_lower(cholesky(shrunk)).T)
        self._null = null
        self._by_factors: dict[bytes, tuple[float, float]] = {}
        self._laws: dict[tuple[int, int], tuple[float, float]] = {}
        self._unseen = rows / (rows - len(usable)) if len(usable) else 1.0
        self._excess = self._excess_of(moments)

    def __len__(self) -> int:
        return len(self._places)

    def chi_squares(self, sums: Float64s, rows: Float64s, m: int) -> ChiSquares:
        """T² as the chi-square that has its mean and variance, (windows, 1); without degrees of freedom if no score
        takes part.

        `sums` of scores (windows, width), `rows` of each window (windows, 1), `m` those of the reference.
        """
        if not len(self):
            return ChiSquares(np.zeros(rows.shape), np.zeros(rows.shape))
        squares = self.squares(sums, rows, m)
        laws = np.array([self._law(int(n), m) for n in rows[:, 0].tolist()])
        mean, variance = laws[:, 0], laws[:, 1]
        degrees = 2.0 * mean * mean / variance
        judged = np.where(rows >= _FEWEST_ROWS, degrees[:, np.newaxis], 0.0)
        return ChiSquares((squares * degrees / mean)[:, np.newaxis], judged)

    def squares(self, sums: Float64s, rows: Float64s, m: int) -> Float64s:
        """T² of windows, (windows,)."""
        gaps = sums.take(self._places, axis=1) - rows * self._mean
        gaps /= self._deviation
        gaps /= np.sqrt(rows + rows * rows / m)
        white = times(gaps, self._whitener)
        return total(white * white)

    def _excess_of(self, moments: Moments) -> float:
        """Return n times the excess of the variance of T² in the reference's blocks of n rows over a normal one's."""
        if not len(self) or len(moments.block_rows) < _FEWEST_BLOCKS:
            return 0.0
        n = int(moments.block_rows[0])
        _, usual = self._of_factors(self._null.inflation(n)[self._places])
        rows = moments.block_rows[:, np.newaxis].astype(np.float64)
        found = self.squares(moments.block_sums.astype(np.float64), rows, _WITHOUT_ERROR)
        gap = found - total(found[np.newaxis])[0] / len(found)
        return max(0.0, n * (float(total((gap * gap)[np.newaxis])[0]) / len(found) - usual))

    def needed(self, limit: float, n: int, m: int) -> float:
        """Return the length of a whitened mean shift, in its deviations, at which the mean of T² has the limit as z."""
        mean, variance = self._law(n, m)
        degrees = 2.0 * mean * mean / variance
        nine = 2.0 / (9.0 * degrees)
        return float(np.sqrt(mean * (1.0 - nine + limit * np.sqrt(nine)) ** 3 - mean))

    def _law(self, n: int, m: int) -> tuple[float, float]:
        """Mean and variance of T² by chance."""
        if (n, m) not in self._laws:
            if len(self._laws) >= _MOST_LENGTHS:
                self._laws.clear()
            mean, variance = self._of_factors(self._null.factors(n, m)[self._places])
            mean, variance = mean * self._unseen, variance * self._unseen**3
            self._laws[n, m] = mean, variance + self._excess / n
        return self._laws[n, m]

    def _of_factors(self, factors: Float64s) -> tuple[float, float]:
        """Mean and variance of T² whose scores vary by these factors more than independent rows'."""
        key = factors.tobytes()
        if key not in self._by_factors:
            if len(self._by_factors) >= _MOST_LENGTHS:
                self._by_factors.clear()
            root = np.sqrt(factors)
            scatter = self._correlation * (root[:, np.newaxis] * root)
            a = times(times(scatter, self._whitener).T, self._whitener)  # R is symmetric
            trace = float(total(np.diag(a)[np.newaxis])[0])
            squared = float(total((a * a).reshape(1, -1))[0])
            self._by_factors[key] = trace, 2.0 * squared
        return self._by_factors[key]
