"""Arithmetic that gives the same bits on every processor: logarithm, sum, and rounding to 12 significant digits.

IEEE 754 fixes +, -, *, / and sqrt to the last bit, and nothing else. numpy's log and exp take other code paths under
AVX-512 than elsewhere, and numpy's sum adds in an order that depends on the vector width. So the logarithm is built
here from the fixed operations, and sums run in index order.
"""

from __future__ import annotations

import numpy as np

from monitor.events import Float64s

_SQRT_HALF = 0.7071067811865476
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")
"""ln 2 to 32 bits, so that its product with an exponent (11 bits) is exact; _LN2_LOW is the rest."""
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_SERIES = [2.0 / (2 * k + 1) for k in range(11, 0, -1)]
"""2/23, 2/21, ... 2/3. With z <= 0.0295 the first term left out is below 2**-60 of the result."""


def log(values: Float64s) -> Float64s:
    """Natural logarithm, within 2 ulp of the true one, the same bits everywhere. NaN where not positive and finite.

    x = 2**k * (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), and ln(1 + f) = 2 atanh(s) with s = f / (2 + f): a series
    in z = s**2. It is added to f and not taken alone, because f is exact.
    J.-M. Muller, Elementary Functions, 3rd ed. 2016, chapter 11.

    >>> log(np.array([1.0, 2.0, 10.0, 0.0])).tolist()
    [0.0, 0.6931471805599453, 2.302585092994046, nan]
    """
    defined = (values > 0) & (values < np.inf)
    fraction, exponent = np.frexp(np.where(defined, values, 1.0))
    low = fraction < _SQRT_HALF
    f = np.where(low, fraction + fraction, fraction) - 1.0
    k = (exponent - low).astype(np.float64)
    s = f / (2.0 + f)
    z = s * s
    series = np.zeros_like(z)
    for coefficient in _SERIES:
        series = z * (coefficient + series)
    half = 0.5 * f * f
    logarithm = k * _LN2_HIGH - ((half - (s * (half + series) + k * _LN2_LOW)) - f)
    return np.where(defined, logarithm, np.nan)


def total(values: Float64s) -> Float64s:
    """Sum over the last axis (not empty) in index order; NaN where a summand is NaN.

    >>> total(np.array([[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]])).tolist()
    [0.6000000000000001, 6.0]
    """
    return np.asarray(np.cumsum(values, axis=-1)[..., -1])


def total_of_rows(values: Float64s) -> Float64s:
    """Sum of rows (n, width), at least one, in index order: as `total` of each column, and faster.

    numpy adds row by row along the outer of two axes; a single column would be summed by halves.

    >>> total_of_rows(np.array([[0.1, 1.0], [0.2, 2.0], [0.3, 3.0]])).tolist()
    [0.6000000000000001, 6.0]
    """
    if values.shape[1] == 1:
        return total(values.T)
    return np.asarray(np.add.reduce(np.ascontiguousarray(values), axis=0))


def significant(value: float) -> float:
    """The value to 12 significant digits, through decimal text; NaN and infinities stay, -0.0 becomes 0.0.

    >>> significant(0.1 + 0.2)
    0.3
    """
    return float(f"{value:.12g}") + 0.0


def significant_all(values: Float64s) -> list[float]:
    """Each value of a vector (n,) to 12 significant digits, as `significant` has them.

    >>> significant_all(np.array([2 / 3, float("nan")]))
    [0.666666666667, nan]
    """
    return [float(f"{value:.12g}") + 0.0 for value in values.tolist()]
