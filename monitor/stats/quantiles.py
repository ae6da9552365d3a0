"""Quantiles from the counts of bins."""

from __future__ import annotations

import numpy as np

from monitor.events import Float64s, Int64s
from monitor.stats.shares import ratio


def quantiles(counts: Int64s, lows: Float64s, highs: Float64s, q: float | Float64s) -> Float64s:
    """The q-quantile, 0 <= q <= 1: where the cumulative count passes q * n, linear between its bin's ends.

    `q`: one number, or several, shape (k,): the result then has one axis more, of length k.

    `counts`: (..., bins), bins ascending. `lows`, `highs`: lowest and highest value of each bin, broadcast with it;
    where they are equal (an atom, an overflow bin) the quantile is that value. The result has the leading shape.
    The empirical quantile of the raw values (inverse of their distribution function) lies in the same bin, so the
    two differ by no more than its width. Larger means that the column's values are larger. NaN where n = 0.

    Hyndman and Fan, Sample quantiles in statistical packages, 1996 (definitions 1 and 4).

    >>> lows, highs = np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 2.0])
    >>> [float(quantiles(np.array([2, 4, 2]), lows, highs, q)) for q in (0.25, 0.5, 0.9)]
    [1.0, 1.5, 2.0]
    """
    upto = np.cumsum(counts, axis=-1)
    n = upto[..., -1:]
    wanted = np.atleast_1d(q) * n
    # a bin that is reached holds something: at least half a count is wanted
    short = upto[..., np.newaxis, :] < np.maximum(wanted, 0.5)[..., np.newaxis]
    place = np.minimum(np.count_nonzero(short, axis=-1), counts.shape[-1] - 1)
    count = _pick(counts, place)
    below = _pick(upto, place) - count
    low, high = (_pick(np.broadcast_to(ends, counts.shape), place) for ends in (lows, highs))
    value = np.minimum(low + ratio(wanted - below, count) * (high - low), high)  # rounding may not leave the bin
    value = np.where(n > 0, value, np.nan)
    return value if np.ndim(q) else value[..., 0]


def _pick(values: Int64s | Float64s, place: Int64s) -> Float64s:
    return np.take_along_axis(values, place, axis=-1).astype(np.float64)
