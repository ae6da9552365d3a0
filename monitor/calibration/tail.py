"""The level that gives as many alarms as a budget allows, from what series did by chance.

Where enough alarms were drawn, the level is one that gave them. Beyond that the tail goes on as the drawn peaks above a
lower level u lie: `level² - u²` of a normal tail, or `level - u` of one that falls more slowly, is exponential with the
mean that the peaks have (peaks over a threshold; J. Pickands, Statistical inference using extreme order statistics,
1975). So the logarithm of the rate is a line in `level²`, or in `level`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log
from typing import NamedTuple

import numpy as np

from monitor.calibration.alarms import Judged, Waits, peaks

FITTED = 100
"""Alarms that the tail goes on from, at least."""
FEWEST_EXPECTED = 10.0
"""Alarms that the budget allows in what was drawn, from which on nothing is extrapolated."""
_FEWEST = 10
"""Alarms that a tail needs at all."""


class Solved(NamedTuple):
    """A level; `is_extrapolated` if the data can't show so few alarms."""

    level: float
    is_extrapolated: bool


def solve(series: Sequence[Judged], waits: Waits, allowed: float, power: int) -> Solved | None:
    """The level that gives `allowed` alarms in these series together; None if they hardly ever leave 0.

    `power`: of the level, in which the logarithm of the rate is a line.
    """
    base = _base(series, waits, max(FITTED, ceil(allowed)))
    if base is None:
        return None
    level, over = base
    mean = sum(peak**power - level**power for peak in over) / len(over)
    beyond = mean * max(log(len(over) / allowed), 0.0)
    return Solved((level**power + beyond) ** (1 / power), allowed < FEWEST_EXPECTED)


def _base(series: Sequence[Judged], waits: Waits, wanted: int) -> tuple[float, list[float]] | None:
    """The highest level that gives the wanted number of alarms, or that with the most, and the peaks above it."""
    values = np.concatenate([np.zeros(0), *(judged.value for judged in series)])
    values = np.sort(values[values > 0])[::-1]

    def over(place: int) -> list[float]:
        return [peak for judged in series for peak in peaks(judged, float(values[place]), waits)]

    low, high = 0, min(wanted, len(values) - 1)  # each alarm has at least one value above its level
    most: tuple[float, list[float]] | None = None
    while high > low:
        found = over(high)
        if most is None or len(found) > len(most[1]):
            most = float(values[high]), found
        if len(found) >= wanted or high == len(values) - 1:
            break
        low, high = high, min(2 * high, len(values) - 1)
    while most is not None and len(most[1]) >= wanted and high - low > 1:
        middle = (low + high) // 2
        found = over(middle)
        if len(found) >= wanted:
            high, most = middle, (float(values[middle]), found)
        else:
            low = middle
    return most if most is not None and len(most[1]) >= _FEWEST else None
