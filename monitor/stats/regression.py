"""Metrics of pairs of numbers: with e = prediction - truth,

    mae          mean of |e|, in the label's unit
    rmse         square root of the mean of e², in the label's unit
    bias         mean of e, in the label's unit; above 0 if predictions are too large
    mape         mean of |e / truth| of the pairs whose truth is not 0; 1 is 100 %
    error_rate   share of pairs with |e| > tolerance

Errors are counted in units of 2**-32 spreads. One beyond 64 spreads counts as 64 spreads, and one of more than 256
times its truth as 256: so one wild label does not hide all others, and such pairs are counted as `clipped`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from monitor.events import Float64s, Int64s
from monitor.stats.exact import significant
from monitor.stats.intervals import Interval, normal_quantile, of_mean, of_share, rounded
from monitor.stats.limbs import SUM_LIMBS
from monitor.stats.performance import (
    MOMENT_LIMBS,
    Pairs,
    Tally,
    mean_and_variance,
    moments_at,
    places_of,
    sums_at,
    units_of,
)

_MOST_SPREADS, _MOST_RATIO = 64.0, 256.0
_WIDTHS = {"counts": 4, "size": MOMENT_LIMBS, "signed": SUM_LIMBS, "ratio": MOMENT_LIMBS}
"""Counts of pairs, clipped ones, those beyond the tolerance, and those whose truth is not 0; |e|, e and |e / truth|."""
_PLACES = places_of(_WIDTHS)


@dataclass(frozen=True)
class RegressionLayout:
    """Moments of the errors. `spread`: that of the predictions' grid, above 0. `tolerance`: None if there is none.

    >>> from monitor.stats.performance import vector
    >>> truth, prediction = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 2.0])
    >>> layout = RegressionLayout(spread=1.0, tolerance=1.0)
    >>> layout.metrics(vector(layout, Pairs(truth, prediction, np.zeros(3, dtype=np.float32))))["mape"]
    0.333333333333
    """

    spread: float
    tolerance: float | None

    @property
    def width(self) -> int:
        """Length of a vector."""
        return sum(_WIDTHS.values())

    def added_up(self, pairs: Pairs, tally: Tally) -> Int64s:
        """Sum of the pairs of each cohort: (cohorts, width)."""
        error = _error(pairs)
        is_zero = pairs.truth == 0
        with np.errstate(over="ignore"):  # what overflows is clipped
            spreads = error / self.spread
            ratio = np.abs(error / np.where(is_zero, 1.0, pairs.truth)) * ~is_zero
        clipped = (np.abs(spreads) > _MOST_SPREADS) | (ratio > _MOST_RATIO)
        beyond = np.zeros_like(clipped) if self.tolerance is None else np.abs(error) > self.tolerance
        signed = units_of(np.clip(spreads, -_MOST_SPREADS, _MOST_SPREADS))
        here = np.zeros(len(pairs), dtype=np.int64)
        blocks = (
            tally.sums(np.stack([np.ones_like(clipped), clipped, beyond, ~is_zero]).astype(np.int64), here, 1),
            tally.moments(np.abs(signed)),
            tally.unit_sums(signed, here, 1),
            tally.moments(units_of(np.minimum(ratio, _MOST_RATIO))),
        )
        return np.concatenate(blocks, axis=1)

    def counts(self, vector: Int64s) -> dict[str, int]:
        """`pairs`, and `clipped`: those whose error counts as less than it is."""
        pairs, clipped, _, _ = vector[_PLACES["counts"]].tolist()
        return {"pairs": pairs, "clipped": clipped}

    def metrics(self, vector: Int64s) -> dict[str, float]:
        """Metric -> its value, to 12 digits. One that is undefined is left out."""
        pairs, _, beyond, _ = vector[_PLACES["counts"]].tolist()
        if pairs == 0:
            return {}
        found = {name: mean * scale for name, (_, mean, _, scale) in self._means(vector).items()}
        _, mean, variance, scale = self._means(vector)["mae"]
        found["rmse"] = sqrt(mean * mean + variance) * scale
        if self.tolerance is not None:
            found["error_rate"] = beyond / pairs
        return {name: significant(value) for name, value in found.items()}

    def intervals(self, vector: Int64s, confidence: float) -> dict[str, Interval]:
        """Metric -> its confidence interval, to 12 digits; rmse has none."""
        pairs, _, beyond, _ = vector[_PLACES["counts"]].tolist()
        found, z = {}, normal_quantile(confidence)
        for name, (n, mean, variance, scale) in self._means(vector).items():
            if n > 1:
                low, high = of_mean(mean, variance, n, z)
                found[name] = rounded((low * scale, high * scale), least=-inf if name == "bias" else 0.0)
        if self.tolerance is not None and pairs:
            found["error_rate"] = rounded(of_share(beyond, pairs, z))
        return found

    def errors(self, pairs: Pairs) -> Float64s | None:
        """1 for each pair with |e| > tolerance, else 0: (n,). None without a tolerance."""
        return None if self.tolerance is None else (np.abs(_error(pairs)) > self.tolerance).astype(np.float64)

    def losses(self, pairs: Pairs) -> Float64s:
        """|e| of each pair, in the label's unit, whatever its size: (n,)."""
        return np.abs(_error(pairs))

    def _means(self, vector: Int64s) -> dict[str, tuple[int, float, float, float]]:
        """n, mean, variance, and unit of these two in that of the metric, for each that is a mean of n > 0 pairs."""
        pairs, _, _, nonzero = vector[_PLACES["counts"]].tolist()
        size, squares = moments_at(vector[_PLACES["size"]])
        (signed,) = sums_at(vector[_PLACES["signed"]])
        sums = {
            "mae": (pairs, size, squares, self.spread),
            "bias": (pairs, signed, squares, self.spread),
            "mape": (nonzero, *moments_at(vector[_PLACES["ratio"]]), 1.0),
        }
        return {name: (n, *mean_and_variance(n, a, b), scale) for name, (n, a, b, scale) in sums.items() if n}


def _error(pairs: Pairs) -> Float64s:
    return pairs.prediction.astype(np.float64) - pairs.truth
