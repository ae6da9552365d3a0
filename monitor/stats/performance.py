"""Predictions with their labels as one vector of integers, which is a sum over pairs.

A *pair* is a prediction with its label. What a pair adds to the vector depends on that pair alone: counts, and
fixed-point numbers in limbs that are never carried. So the vectors of cohorts and of slices of a reference are added
and subtracted to the last bit, whatever the order and the parts, and a correction subtracts the old pair and adds the
new one. All metrics, and their intervals, are functions of the vector. It is exact below 2**31 pairs.

Which numbers it holds is a layout's matter: `binary.py`, `multiclass.py`, `regression.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.events import Bools, Float32s, Float64s, Int64s
from monitor.stats.exact import total
from monitor.stats.intervals import Interval
from monitor.stats.limbs import SQUARE_BITS, SQUARE_LIMBS, SUM_BITS, SUM_LIMBS, limbs_of, whole
from monitor.stats.moments import moments

Classes = NDArray[np.uint8]

OTHER = 100
"""The class of all texts behind the first hundred of a model with several classes."""
UNITS = 1 << 32
"""Units in 1, and in a spread: sums are of integers, and no pair is rounded by more than 2**-33."""
MOMENT_LIMBS = SUM_LIMBS + SQUARE_LIMBS
_PAIRS_AT_ONCE = 1 << 18
"""Pairs whose sums, as doubles, are exact, and whose columns fit into a processor's cache."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Predictions with their labels, as arrays of equal length (n,).

    `truth`, `prediction`: classes (uint8; 0 and 1, or 0 to 99 and OTHER) or finite values (float64).
    `probability`: in [0, 1], NaN if the prediction has none; of class 1 in a binary model. Regression does not read it.
    """

    truth: Classes | Float64s
    prediction: Classes | Float64s
    probability: Float32s

    def __len__(self) -> int:
        return len(self.truth)

    def part(self, which: slice | Bools | Int64s) -> Pairs:
        """Return the pairs at these places."""
        return Pairs(self.truth[which], self.prediction[which], self.probability[which])


@dataclass(frozen=True, slots=True)
class Tally:
    """Adds up what pairs are worth, by cohort. `cohort`: of each pair (n,), in [0, cohorts)."""

    cohort: Int64s
    cohorts: int

    def part(self, which: slice | Bools | Int64s) -> Tally:
        """Return a tally of the pairs at these places."""
        return Tally(self.cohort[which], self.cohorts)

    def counts(self, place: Int64s, places: int) -> Int64s:
        """How many pairs have each place: (cohorts, places). `place`: (n,), in [0, places), else ValueError."""
        return np.bincount(self._at(place, places), minlength=self.cohorts * places).reshape(self.cohorts, places)

    def sums(self, values: Int64s, place: Int64s, places: int) -> Int64s:
        """Sums of columns of integers `values` (columns, n) at each place: (cohorts, columns * places).

        No value is larger than 2**32 in magnitude, so sums of _PAIRS_AT_ONCE are exact as doubles.
        """
        at, cells = self._at(place, places), self.cohorts * places
        sums = [np.bincount(at, weights=column, minlength=cells).astype(np.int64) for column in values]
        return np.stack(sums).reshape(-1, self.cohorts, places).swapaxes(0, 1).reshape(self.cohorts, -1)

    def moments(self, units: Int64s) -> Int64s:
        """Sum and sum of squares of `units` (n,), |units| <= 2**40, in limbs: (cohorts, MOMENT_LIMBS)."""
        return self.sums(np.concatenate(_limbs(units)), np.zeros(len(units), dtype=np.int64), 1)

    def unit_sums(self, units: Int64s, place: Int64s, places: int) -> Int64s:
        """Sum of `units` (n,) at each place, in limbs: (cohorts, SUM_LIMBS * places), the lowest limbs first."""
        return self.sums(_limbs(units)[0], place, places)

    def _at(self, place: Int64s, places: int) -> Int64s:
        return np.ravel_multi_index((self.cohort, place), (self.cohorts, places))


def _limbs(units: Int64s) -> tuple[Int64s, Int64s]:
    """Limbs of each unit and of its square, (SUM_LIMBS, n) and (SQUARE_LIMBS, n): to be summed without carry."""
    return limbs_of(units[np.newaxis])


def units_of(values: Float64s) -> Int64s:
    """Numbers of at most 256 in magnitude as whole units of 2**-32."""
    return np.rint(values * UNITS).astype(np.int64)


def sums_at(limbs: Int64s) -> list[int]:
    """Sum of units at each place of what `Tally.unit_sums` has added up, shape (SUM_LIMBS * places,)."""
    return [int(one) for one in whole(limbs.reshape(SUM_LIMBS, -1), SUM_BITS)]


def moments_at(limbs: Int64s) -> tuple[int, int]:
    """Sum of units and of their squares of what `Tally.moments` has added up, shape (MOMENT_LIMBS,)."""
    squares = whole(limbs[SUM_LIMBS:, np.newaxis], SQUARE_BITS)
    return sums_at(limbs[:SUM_LIMBS])[0], int(squares[0])


def mean_and_variance(n: int, units: int, squares: int) -> tuple[float, float]:
    """Mean and (population) variance of n > 0 numbers, from the sum of their units and of the squares of these."""
    count, total_units, total_squares = (np.array(number, dtype=object) for number in (n, units, squares))
    mean, variance = moments(count, total_units, total_squares, np.array(0.0), np.array(1.0 / UNITS))
    return float(mean), float(variance)


class PairLayout(Protocol):
    """The numbers of a vector of pairs of one kind, and what they say. A layout is immutable."""

    @property
    def width(self) -> int:
        """Length of a vector."""
        ...

    def added_up(self, pairs: Pairs, tally: Tally) -> Int64s:
        """Sum of the pairs of each cohort: (cohorts, width). At most _PAIRS_AT_ONCE: `vectors` calls it."""
        ...

    def counts(self, vector: Int64s) -> dict[str, int]:
        """How many pairs there are, as `pairs`, and how many of them are of a kind."""
        ...

    def metrics(self, vector: Int64s) -> dict[str, float]:
        """Metric -> its value, to 12 digits. One that is undefined is left out."""
        ...

    def intervals(self, vector: Int64s, confidence: float) -> dict[str, Interval]:
        """Metric -> its confidence interval, to 12 digits. One that has none is left out. 0 < confidence < 1."""
        ...

    def errors(self, pairs: Pairs) -> Float64s | None:
        """1 for each pair that is wrong, else 0: (n,). None if nothing says which are."""
        ...

    def losses(self, pairs: Pairs) -> Float64s:
        """How wrong each pair is: (n,); larger is worse."""
        ...


def vector(layout: PairLayout, pairs: Pairs) -> Int64s:
    """Sum of all pairs: (width,).

    >>> from monitor.stats.binary import BinaryLayout
    >>> truth, prediction = np.array([1, 0, 1], dtype=np.uint8), np.array([1, 1, 1], dtype=np.uint8)
    >>> vector(BinaryLayout(None), Pairs(truth, prediction, np.full(3, np.nan, dtype=np.float32))).tolist()
    [0, 1, 0, 2]
    """
    return vectors(layout, pairs, np.zeros(len(pairs), dtype=np.int64), 1).ravel()


def vectors(layout: PairLayout, pairs: Pairs, cohort: Int64s, cohorts: int) -> Int64s:
    """Sum of the pairs of each cohort: (cohorts, width). `cohort`: of each pair (n,), in [0, cohorts)."""
    sums, tally = np.zeros((cohorts, layout.width), dtype=np.int64), Tally(cohort, cohorts)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        which = slice(start, start + _PAIRS_AT_ONCE)
        sums += layout.added_up(pairs.part(which), tally.part(which))
    return sums


def cost_per_1000(confusion: Int64s, costs: Float64s) -> float:
    """What a thousand predictions cost: 1000 * sum of pairs * cost / pairs; NaN without pairs.

    `confusion`: pairs by [truth, predicted class]; `costs`: of one such pair, same shape.

    >>> cost_per_1000(np.array([[90, 5], [3, 2]]), np.array([[0.0, 1.0], [10.0, 0.0]]))
    350.0
    """
    pairs = int(confusion.sum())
    return float(1000.0 * total((confusion * costs).ravel()) / pairs) if pairs else float("nan")


def places_of(widths: Mapping[str, int]) -> dict[str, slice]:
    """Return where each part of a vector lies, in the order of the mapping. `widths`: how long each is."""
    places, at = {}, 0
    for name, width in widths.items():
        places[name] = slice(at, at + width)
        at += width
    return places
