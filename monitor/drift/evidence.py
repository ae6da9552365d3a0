"""Evidence: how far a statistic lies beyond chance, as the value z of a standard normal distribution, larger is worse.

All of it is + - × ÷ √ and the logarithm of `stats/exact.py`, so that it has the same bits everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.events import Float64s
from monitor.stats.exact import log

LEAST = -8.0
"""What nothing is the evidence of."""
LOWEST = 0.1
"""The lowest limit of one test."""
_LN_HALF_2PI = 0.2257913526447274
"""ln √(2π) - ln 2."""


def cube_root(values: Float64s) -> Float64s:
    """The cube root of values from 0 on, within 4 ulp, the same bits everywhere.

    The fraction lies in [1/8, 1) once the exponent is a multiple of three; a straight line begins, Newton's iteration
    (y - (y³ - x) / 3y²) ends.

    >>> cube_root(np.array([0.0, 1.0, 27.0, 1e-9])).round(12).tolist()
    [0.0, 1.0, 3.0, 0.001]
    """
    fraction, exponent = np.frexp(values)
    third = -(-exponent // 3)
    fraction = np.ldexp(fraction, exponent - 3 * third)
    root = 0.58 * fraction
    root += 0.44
    square, step = np.empty_like(root), np.empty_like(root)
    for _ in range(4):  # it is 8 % off at most, then 0.7 %, and so on by squares
        np.multiply(root, root, out=square)
        np.multiply(square, root, out=step)
        step -= fraction
        square *= 3.0
        step /= square
        root -= step
    return np.where(values > 0, np.ldexp(root, third), 0.0)


class ChiSquares(NamedTuple):
    """Chi-square statistics, (windows, tests), and their degrees of freedom."""

    values: Float64s
    degrees: Float64s


def of_chi_square(values: Float64s, degrees: Float64s) -> Float64s:
    """z of chi-square statistics: (∛(x / k) - (1 - 2/9k)) √(9k/2); `LEAST` without degrees of freedom.

    E. Wilson and M. Hilferty, The distribution of chi-square, 1931.
    """
    k = np.maximum(degrees, 1e-9)
    nine = 2.0 / (9.0 * k)
    z = (cube_root(np.maximum(values, 0.0) / k) - (1.0 - nine)) / np.sqrt(nine)
    return np.where(degrees > 0, z, LEAST)


def of_excess(hits: Float64s, others: Float64s, share: Float64s) -> Float64s:
    """z of a window that has a number of hits, at least one, while its reference has `others`.

    `share`: of all rows that are the window's. By chance the window's hits are binomial of all hits; the upper tail
    P(K >= hits) by the cube roots of B. Camp, Approximation to the point binomial, 1951.
    """
    rest = others + 1.0
    a, b = 1.0 / (9.0 * rest), 1.0 / (9.0 * hits)
    ratio = cube_root(hits * (1.0 - share) / (rest * share))
    return np.asarray(((1.0 - b) * ratio - (1.0 - a)) / np.sqrt(a + b * ratio * ratio))


def beside(limit: float, tests: int) -> float:
    """The limit for each of a number of tests, of the same chance in sum: √(limit² + 2 ln tests), a little more."""
    return float(np.sqrt(limit * limit + 2.0 * float(log(np.array([float(max(tests, 1))]))[0])))


def without(limit: float, tests: int) -> float:
    """The limit of one test that gives each of a number of tests this limit; at least `LOWEST`."""
    squared = limit * limit - 2.0 * float(log(np.array([float(max(tests, 1))]))[0])
    return float(np.sqrt(max(squared, LOWEST * LOWEST)))


def log_tail(z: Float64s) -> Float64s:
    """ln P(Z > z), within 0.06 for z from 0 on; of smaller ones what 0 gives.

    Z. Birnbaum's bound of Mills' ratio, in W. Gautschi's form with 8/π.
    """
    positive = np.maximum(z, 0.0)
    tail = -0.5 * positive * positive - _LN_HALF_2PI - log(positive + np.sqrt(positive * positive + 8.0 / np.pi))
    return np.asarray(tail, dtype=np.float64)
