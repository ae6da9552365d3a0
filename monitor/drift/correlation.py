"""Correlation: products of the rank scores of two columns, which move where each alone stays as it was.

Only whole rows have them, so they are summed over the trace; and within a group of 50 columns, because pairs are many.
A window's sum of products of n rows, less n times their mean in the reference of m, over the root of their variance
times n + n²/m, is nearly normal if n and m are large beside the fourth moment of a product. That is 3.24 of two
continuous columns, because a rank has 1.8; of two that are rarely different from themselves it is in the thousands.

Products of two columns that are nearly copies of each other vary by rare rows alone, so their sums are skewed. By
S. Bernstein's inequality z then counts as z / √(1 + z γ / 3√n), with the largest skewness γ that they can have.
"""

from __future__ import annotations

import numpy as np

from monitor.drift.evidence import LEAST
from monitor.drift.linear import sums_of_products
from monitor.drift.moments import GroupMoments
from monitor.drift.null import Null
from monitor.drift.scores import Scores
from monitor.events import Float64s

_ROWS_A_KURTOSIS = 12
"""Rows for each unit of the fourth moment of a product: 39 of continuous columns."""
_LARGEST = 512.0 * 512.0
"""The largest product of two rank scores."""
LEVELS = 4
"""Windows of up to 64 blocks."""


class Correlation:
    """The pairs of one group of series.

    `part`: its series; `first`, `second`: the places of their columns among all series; `mean`: of their products.
    """

    def __init__(self, moments: GroupMoments, rows: int, part: slice, null: Null) -> None:
        size = len(moments.squares)
        i, j = np.triu_indices(size, 1)
        mean = moments.second[i, j] / rows
        square = moments.squares[i, j] / rows
        variance = square - mean * mean
        usable = np.flatnonzero(variance > 1.0)
        self._upper = (i * size + j)[usable]
        of_scores = np.diag(moments.second)[:size].astype(np.float64), moments.fourth[:size].astype(np.float64)
        fourth = of_scores[1] * rows / np.maximum(of_scores[0] ** 2, 1.0)  # floats: that product is beyond 2⁶³
        apart = (fourth[i] * fourth[j])[usable]
        fewest = _ROWS_A_KURTOSIS * apart
        self._fewest = np.where(fewest <= rows, fewest, np.inf)
        squares = of_scores[0] / rows
        independent = (squares[i] * squares[j])[usable]
        self._tail = _tail(apart, independent / variance[usable], variance[usable], mean[usable])
        self._fewest_of_any = float(self._fewest.min(initial=np.inf))
        self.part, self.mean, self._variance = part, mean[usable], variance[usable]
        self.first, self.second = part.start + i[usable], part.start + j[usable]
        self._null = null

    def __len__(self) -> int:
        return len(self.mean)

    def sums(self, scores: Scores) -> Scores:
        """Sums of products over the rank scores of a trace (m, series of the group), (pairs,).

        They are whole numbers below 2⁵³, so exact.
        """
        return np.asarray(sums_of_products(scores).take(self._upper))

    def sums_of_panes(self, scores: Scores) -> Scores:
        """The same of panes of as many rows each, (panes, rows, series) to (panes, pairs)."""
        own = np.ascontiguousarray(scores[:, :, self.part])
        products = own.transpose(0, 2, 1) @ own  # whole numbers, exact in any order
        return np.asarray(products.reshape(len(own), -1).take(self._upper, axis=1))

    def evidence(self, sums: Float64s, n: Float64s, m: int) -> Float64s:
        """|z| of windows (windows, pairs) of `n` rows of traces each, ascending; `m`: of the reference's moments."""
        z = np.full(sums.shape, LEAST)
        first = int(n.searchsorted(self._fewest_of_any))
        if first < len(n):
            rows = n[first:, np.newaxis]
            own = np.abs(sums[first:] - rows * self.mean) / self._spread(n[first:], m)
            own /= np.sqrt(1.0 + own * self._tail / np.sqrt(rows))
            np.copyto(z[first:], own, where=rows >= self._fewest)
        return z

    def _spread(self, n: Float64s, m: int) -> Float64s:
        """The standard deviation of sums, (windows, pairs)."""
        rows = n[:, np.newaxis]
        variance = self._variance * (rows + rows * rows / m)
        if not self._null.is_independent:
            # that of a product is at most the root of both factors' product, for the same dependence in both columns
            factors = self._null.of_windows(n, m)
            variance *= np.sqrt(factors[:, self.first] * factors[:, self.second])
        return np.maximum(np.sqrt(variance), 1e-300)


def _tail(apart: Float64s, less: Float64s, variance: Float64s, mean: Float64s) -> Float64s:
    """A third of the skewness of products that columns have because they go together, (pairs,); 0 if they do not.

    `apart`: the fourth moment that a product of independent columns would have, `less`: by what factor its variance
    would be larger. The fourth moment is at most that of two values, one of which is the farthest that there is.
    """
    farthest = _LARGEST + np.abs(mean)
    fourth = np.minimum(apart * less * less, farthest * farthest / variance)
    return np.asarray(np.sqrt(np.maximum(fourth - apart, 0.0)) / 3.0)
