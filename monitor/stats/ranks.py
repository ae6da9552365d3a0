"""Ranks: where a value stands in the reference, in [0, 1], by its bin.

Numeric series: mid-rank of the value's bin. Categorical series: mid-rank of the category's surprisal; categories that
the grid does not know come last, so 1 is what the reference has never seen. So thresholds are scale-free, and one
outlier can't mask a drift.
"""

from __future__ import annotations

import numpy as np

from monitor.events import Float64s, Int64s


def mid_ranks(counts: Int64s) -> Float64s:
    """(count below + half the own count) / all, per bin; at least one count has to be positive.

    >>> mid_ranks(np.array([1, 2, 1])).tolist()
    [0.125, 0.5, 0.875]
    """
    below = np.cumsum(counts) - counts
    return np.asarray((2 * below + counts) / (2 * counts.sum()), dtype=np.float64)


def surprisal_ranks(counts: Int64s) -> Float64s:
    """Share of the reference in more frequent categories, plus half the share of those as frequent, per category.

    The last one counts all categories that the grid does not know; each of them is rarer than a known one.
    """
    _distinct, inverse = np.unique(counts[:-1], return_inverse=True)
    inverse = np.append(inverse + 1, 0)
    mass = np.bincount(inverse, weights=counts).astype(np.int64)
    more = mass.sum() - np.cumsum(mass)
    return np.asarray(((2 * more + mass) / (2 * mass.sum()))[inverse], dtype=np.float64)
