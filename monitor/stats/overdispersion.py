"""Overdispersion: how much more stretches of one sample differ than independent rows would let them.

1 for independent rows. Rows that depend on those before them, or a season, make it larger: a window of n rows then
says no more than n / overdispersion independent ones. Each function gives the estimate and its standard error for
independent rows, from counts of stretches in order of time, shape (..., stretches, bins); both results have the
leading shape. With one stretch, or with values in one bin only, there is nothing to estimate: NaN.

P. McCullagh and J. Nelder, Generalized Linear Models, 2nd ed. 1989, section 4.5.
"""

from __future__ import annotations

import numpy as np

from monitor.events import Float64s, Int64s
from monitor.stats.exact import total
from monitor.stats.shares import ratio

Estimate = tuple[Float64s, Float64s]


def of_shares(parts: Int64s) -> Estimate:
    """Overdispersion of the shares of bins: the chi-square statistic of stretches x bins over its degrees of freedom.

    >>> estimate, error = of_shares(np.array([[50, 50], [80, 20]]))
    >>> round(float(estimate), 6), round(float(error), 6)
    (19.78022, 1.414214)
    """
    rows, columns, everything = _margins(parts)
    gap = parts * everything - rows * columns
    expected = (rows * columns).astype(np.float64) * everything
    statistic = total(total(_zero_where_none(gap.astype(np.float64) * gap, expected)))
    degrees = _degrees(rows, (-2, -1)) * _degrees(columns, (-2, -1))
    return ratio(statistic, degrees), np.sqrt(ratio(np.array(2.0), degrees))


def of_ranks(parts: Int64s) -> Estimate:
    """Overdispersion of the distribution function: the Cramér-von Mises distance of the stretches over its expectation.

    Small bins far apart count for little in it and a common shift for most, as in Kolmogorov-Smirnov and Wasserstein.
    The error is the largest that there can be (that of two bins).

    T. Anderson, On the distribution of the two-sample Cramér-von Mises criterion, 1962.

    >>> estimate, error = of_ranks(np.array([[50, 50], [80, 20]]))
    >>> round(float(estimate), 6), round(float(error), 6)
    (19.78022, 1.414214)
    """
    rows, columns, everything = _margins(parts)
    upto = ratio(np.cumsum(columns, axis=-1), everything)
    gap = ratio(np.cumsum(parts, axis=-1), rows) - upto
    weight = ratio(columns, everything)
    distance = total(np.where(rows[..., 0] > 0, total(weight * gap * gap) * rows[..., 0], 0.0))
    expected = total(weight * upto * (1.0 - upto))[..., 0]
    degrees = _degrees(rows, (-2, -1))
    return ratio(ratio(distance, degrees), expected), np.sqrt(ratio(np.array(2.0), degrees))


def of_means(means: Float64s, n: Int64s, variance: Float64s) -> Estimate:
    """Overdispersion of the mean: variance between means (..., stretches) of n values over that within, shape (...).

    >>> estimate, error = of_means(np.array([1.0, 3.0]), np.array([4, 4]), np.array(2.0))
    >>> float(estimate), round(float(error), 6)
    (4.0, 1.414214)
    """
    used, degrees = n > 0, _degrees(n, -1)
    center = ratio(total(np.where(used, means, 0.0) * n), n.sum(axis=-1))[..., np.newaxis]
    gap = np.where(used, means - center, 0.0)
    return ratio(ratio(total(gap * gap * n), degrees), variance), np.sqrt(ratio(np.array(2.0), degrees))


def significant_factor(estimate: Estimate) -> Float64s:
    """The overdispersion to reckon with: the estimate if it exceeds 1 by twice its error, else 1.

    >>> significant_factor((np.array([1.9, 2.1, np.nan]), np.array([0.5, 0.5, np.nan]))).tolist()
    [1.0, 2.1, 1.0]
    """
    value, error = estimate
    with np.errstate(invalid="ignore"):
        return np.where(value - 1.0 > 2.0 * error, value, 1.0)


def _margins(parts: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """Rows of the stretches (..., stretches, 1), of the bins (..., 1, bins), and of all (..., 1, 1)."""
    rows = parts.sum(axis=-1, keepdims=True)
    columns = parts.sum(axis=-2, keepdims=True)
    return rows, columns, columns.sum(axis=-1, keepdims=True)


def _degrees(counts: Int64s, axes: int | tuple[int, ...]) -> Int64s:
    """One less than there are counts above 0."""
    return np.asarray(np.maximum((counts > 0).sum(axis=axes) - 1, 0), dtype=np.int64)


def _zero_where_none(above: Float64s, below: Float64s) -> Float64s:
    return np.where(below > 0, ratio(above, below), 0.0)
