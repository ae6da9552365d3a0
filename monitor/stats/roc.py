"""The area under the ROC curve from counts of negatives and positives in bins of the score, in ascending order.

A positive and a negative in one bin count as a tie, one half. With exact scores they would count 0 or 1, so the area
differs from theirs by at most half the share of such ties: `area_error`. `negatives`, `positives`: counts (bins,),
below 2**31 together.
"""

from __future__ import annotations

import numpy as np

from monitor.events import Float64s, Int64s
from monitor.stats.exact import total


def area(negatives: Int64s, positives: Int64s) -> float:
    """Chance that a positive has a larger score than a negative, ties one half; NaN if either side is empty.

    Mann and Whitney's U over the number of pairs; 1 if all positives lie above all negatives.

    J. Hanley and B. McNeil, The meaning and use of the area under a ROC curve, 1982.

    >>> area(np.array([3, 1, 0]), np.array([0, 1, 3]))
    0.96875
    """
    n, m = int(negatives.sum()), int(positives.sum())
    if n == 0 or m == 0:
        return float("nan")
    below = 2 * np.cumsum(negatives) - negatives
    return _dot(positives, below) / (2 * n * m)


def area_error(negatives: Int64s, positives: Int64s) -> float:
    """Bound of the error that bins make: half of sum of positives * negatives / all pairs; NaN if a side is empty.

    >>> area_error(np.array([3, 1, 0]), np.array([0, 1, 3]))
    0.03125
    """
    n, m = int(negatives.sum()), int(positives.sum())
    return _dot(positives, negatives) / (2 * n * m) if n and m else float("nan")


def _dot(a: Int64s, b: Int64s) -> int:
    """Sum of products, which may pass 2**63."""
    return sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))


def area_variance(negatives: Int64s, positives: Int64s) -> float:
    """DeLong's variance of `area`; NaN if either side has fewer than two.

    The variance of the placements of positives (share of negatives below each, ties one half) over their number, and
    that of negatives among positives over theirs.

    E. DeLong, D. DeLong and D. Clarke-Pearson, Comparing the areas under two or more correlated receiver operating
    characteristic curves: a nonparametric approach, 1988.

    >>> area_variance(np.array([3, 1, 0]), np.array([0, 1, 3]))
    0.001953125
    """
    if negatives.sum() < 2 or positives.sum() < 2:
        return float("nan")
    return _variance_of_placements(positives, negatives) + _variance_of_placements(negatives, positives)


def _variance_of_placements(own: Int64s, others: Int64s) -> float:
    placement: Float64s = (np.cumsum(others) - others / 2.0) / others.sum()
    n = float(own.sum())
    gap = placement - total(own * placement) / n
    return float(total(own * gap * gap) / (n - 1.0) / n)
