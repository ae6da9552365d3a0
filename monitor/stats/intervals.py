"""Confidence intervals of shares, means and areas under a curve, and the quantile of the normal distribution.

`z` is the quantile that a confidence asks for (1.96 for 0.95): see `normal_quantile`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from monitor.stats.exact import log, significant

Interval = tuple[float, float]

_MIDDLE = (
    (
        *(2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457),
        *(13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    ),
    (
        *(5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867),
        *(5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
    ),
)
_TAIL = (
    (
        *(7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258),
        *(3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    ),
    (
        *(1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459),
        *(0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
    ),
)
_FAR_TAIL = (
    (
        *(2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093),
        *(0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    ),
    (
        *(2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4),
        *(0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
    ),
)
"""Numerator and denominator of three rational functions, the highest power first."""


def normal_quantile(confidence: float) -> float:
    """The z of which a normal variable lies in [-z, z] with probability `confidence`, 0 < confidence < 1.

    Relative error about 1e-16, and the same bits everywhere.

    M. Wichura, Algorithm AS 241: the percentage points of the normal distribution, 1988.

    >>> round(normal_quantile(0.95), 12)
    1.95996398454
    """
    half = confidence / 2.0
    if half <= 0.425:
        return half * _ratio(_MIDDLE, 0.180625 - half * half)
    r = sqrt(-float(log(np.array((1.0 - confidence) / 2.0))))
    return _ratio(_TAIL, r - 1.6) if r <= 5.0 else _ratio(_FAR_TAIL, r - 5.0)


def _ratio(polynomials: tuple[Sequence[float], Sequence[float]], x: float) -> float:
    above, below = (_polynomial(coefficients, x) for coefficients in polynomials)
    return above / below


def _polynomial(coefficients: Sequence[float], x: float) -> float:
    value = 0.0
    for coefficient in coefficients:
        value = value * x + coefficient
    return value


def of_share(hits: int, n: int, z: float) -> Interval:
    """Wilson's interval of a share, hits of n > 0: (s + z²/2 ± z sqrt(s (n - s) / n + z²/4)) / (n + z²).

    E. Wilson, Probable inference, the law of succession, and statistical inference, 1927.

    >>> [round(end, 6) for end in of_share(90, 100, 1.96)]
    [0.825633, 0.944771]
    """
    center, below = hits + z * z / 2.0, n + z * z
    half = z * sqrt(hits * (n - hits) / n + z * z / 4.0)
    # rounding would leave 1e-18 at the ends
    return (center - half) / below if hits else 0.0, (center + half) / below if hits < n else 1.0


def of_f1(hits: int, n: int, z: float) -> Interval:
    """Interval of F1 from Wilson's of q: F1 = 2 q / (1 + q), which grows with q.

    q = tp / (tp + fp + fn) is the share of `hits` in the `n` > 0 pairs that are positive on either side.

    >>> [round(end, 6) for end in of_f1(50, 100, 1.96)]
    [0.575326, 0.747001]
    """
    low, high = of_share(hits, n, z)
    return 2.0 * low / (1.0 + low), 2.0 * high / (1.0 + high)


def of_mean(mean: float, variance: float, n: int, z: float) -> Interval:
    """Interval of a mean by the central limit theorem: mean ± z sqrt(variance / (n - 1)).

    `variance`: of the n > 1 values around their own mean.

    >>> of_mean(10.0, 99.0, 100, 2.0)
    (8.0, 12.0)
    """
    half = z * sqrt(variance / (n - 1))
    return mean - half, mean + half


def of_area(area: float, variance: float, z: float) -> Interval:
    """Interval of an area under a curve: area ± z sqrt(variance), within [0, 1].

    >>> of_area(0.75, 0.015625, 3.0)
    (0.375, 1.0)
    """
    half = z * sqrt(variance)
    return max(area - half, 0.0), min(area + half, 1.0)


def rounded(interval: Interval, least: float = 0.0) -> Interval:
    """Both ends to 12 significant digits, and none below `least`, the smallest value of the metric.

    >>> rounded((-0.1, 0.1 + 0.2))
    (0.0, 0.3)
    """
    low, high = interval
    return significant(max(low, least)), significant(high)
