"""Distances between two cumulative distributions on one grid: Kolmogorov-Smirnov and Wasserstein.

Both: `reference` and `current` are counts, int64, shape (..., bins), bins ascending, broadcast over the leading axes;
the result has the leading shape. 0 if the shares agree, larger means further apart, NaN if either side is empty.
"""

from __future__ import annotations

import numpy as np

from monitor.events import Float64s, Int64s
from monitor.stats.exact import total
from monitor.stats.shares import ratio


def ks(reference: Int64s, current: Int64s) -> Float64s:
    """Kolmogorov-Smirnov distance, in [0, 1]: the largest |F - G| at the ends of bins.

    Against the distance of the raw values it can only be smaller, and by no more than the largest bin mass: the
    share that the fullest bin holds in either sample (inside a bin F and G can't move by more than that).

    A. Kolmogorov, Sulla determinazione empirica di una legge di distribuzione, 1933; N. Smirnov, 1939.

    >>> round(float(ks(np.array([25, 25, 50]), np.array([40, 40, 20]))), 6)
    0.3
    """
    return largest_gap(np.cumsum(reference, axis=-1), np.cumsum(current, axis=-1))


def largest_gap(reference: Int64s, current: Int64s) -> Float64s:
    """`ks` of counts that are cumulated already.

    >>> round(float(largest_gap(np.array([25, 50, 100]), np.array([40, 80, 100]))), 6)
    0.3
    """
    return np.asarray(_gaps(reference, current).max(axis=-1))


def wasserstein(reference: Int64s, current: Int64s, positions: Float64s, scale: Float64s) -> Float64s:
    """Wasserstein-1 distance: the integral of |F - G|, each bin's mass at its position, divided by `scale`.

    The mean way that mass has to be moved, in units of `scale`: the reference's spread, shape (...);
    where that is 0 (a constant reference), in units of the column. `positions`: one value a bin, ascending, shape
    (bins,) or (..., bins).
    It differs from the distance of the raw values by at most the mean distance of the values from their positions,
    added over both samples: never more than twice the largest distance of a value from its bin's position.

    S. Vallender, Calculation of the Wasserstein distance between probability distributions on the line, 1974.

    >>> float(wasserstein(np.array([10, 0, 0]), np.array([0, 5, 5]), np.array([0.0, 1.0, 3.0]), np.array(2.0)))
    1.0
    """
    return area_between(np.cumsum(reference, axis=-1), np.cumsum(current, axis=-1), positions, scale)


def area_between(reference: Int64s, current: Int64s, positions: Float64s, scale: Float64s) -> Float64s:
    """`wasserstein` of counts that are cumulated already.

    >>> float(area_between(np.array([10, 10, 10]), np.array([0, 5, 10]), np.array([0.0, 1.0, 3.0]), np.array(2.0)))
    1.0
    """
    widths = np.diff(positions, append=positions[..., -1:])  # the last is 0, as is the gap there
    way = total(_gaps(reference, current) * widths)
    return way / np.where(scale == 0.0, 1.0, scale)


def _gaps(reference: Int64s, current: Int64s) -> Float64s:
    """|F - G| at the upper end of each bin, of cumulated counts."""
    gaps = ratio(current, current[..., -1:])
    gaps = np.subtract(gaps, ratio(reference, reference[..., -1:]))
    return np.abs(gaps, out=gaps)
