"""Mean and variance from integer fixed-point sums: exact, whatever the order and the batches of the rows."""

from __future__ import annotations

import numpy as np

from monitor.events import Float64s, Int64s


def moments(n: Int64s, sums: Int64s, squares: Int64s, centers: Float64s, units: Float64s) -> tuple[Float64s, Float64s]:
    """Mean and (population) variance of values that were counted as q = round((x - center) / unit).

    mean = center + unit * sum(q) / n, variance = unit**2 * (n * sum(q**2) - sum(q)**2) / n**2. The difference of two
    nearly equal numbers is taken in integers of any size and rounded once: no cancellation, never negative.
    `n`, `sums`, `squares`: number of values, sum of q, sum of q**2, broadcast with `centers` and `units`; both
    results have that shape. An array of objects holds integers of any size. NaN where n = 0. No value can be NaN: such
    cells are not counted.

    Chan, Golub and LeVeque, Algorithms for computing the sample variance: analysis and recommendations, 1983.

    >>> mean, variance = moments(np.array(2), np.array(4), np.array(10), np.array(10.0), np.array(0.5))
    >>> float(mean), float(variance)
    (11.0, 0.25)
    """
    cells = np.broadcast(n, sums, squares, centers, units)
    # A loop over series: Python's integers have no size, those of numpy overflow in n * squares.
    pairs = [_moments(int(a), int(b), int(c), float(d), float(e)) for a, b, c, d, e in cells]
    table = np.array(pairs, dtype=np.float64).reshape((*cells.shape, 2))
    return table[..., 0], table[..., 1]


def _moments(n: int, total: int, squares: int, center: float, unit: float) -> tuple[float, float]:
    if n == 0:
        return float("nan"), float("nan")
    return center + unit * (total / n), unit * unit * ((n * squares - total * total) / (n * n))
