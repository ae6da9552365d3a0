"""The bins of one numeric series: fine where the sample lies, and everywhere as fine as the distance from its median.

Edges e0 < e1 < ... < em. Code 0 counts x < e0, code i counts e(i-1) <= x < e(i), code m counts x >= em: the first and
the last bin are the overflow bins, beyond 10**6 spreads from the sample's median. There are edges

- at the median;
- at each *atom*, a value that repeats in the sample (a share of at least 1/256): it has the bin [a, nextafter(a));
- at quantiles of the other values between the 0.1 % and the 99.9 % quantile of all;
- from a quarter of a spread to 10**6 spreads off the median, on both sides, at distances that grow by 1.2.

So a bin off the sample, or between it and a sentinel, is at most a fifth as wide as it is far from the median, or a
quarter of a spread. The *spread* is what the interquartile range of a normal distribution makes of its standard
deviation; one far value does not change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np

from monitor.events import Codes, Float64s

BINS = 256
"""Bins that atoms and quantiles make."""
REACH = 1_000_000
"""Spreads from the median to the overflow bins."""
UNITS_PER_SPREAD = 1 << 20
_NEAREST, _GROWTH = 0.25, 1.2
_RANGES = ((250, 750, 1.349), (100, 900, 2.563), (50, 950, 3.290), (10, 990, 4.653), (1, 999, 6.180))
"""Quantiles (per thousand), and how many standard deviations of a normal distribution lie between them."""
_MOST = float(np.finfo(np.float64).max)
_LARGEST = _MOST / (4 * REACH)
_SMALLEST = float(np.finfo(np.float64).tiny) * UNITS_PER_SPREAD
"""The smallest spread whose unit is above 0."""


@dataclass(frozen=True)
class NumericBins:
    """Bins of one numeric series. `edges`: ascending, at least two. `atoms`: codes of bins that hold one value.

    `center`: the sample's median. `spread`: in the column's unit, above 0. `usual`: the first and the last code
    between the sample's 0.1 % and 99.9 % quantile.
    """

    name: str
    edges: Float64s
    atoms: tuple[int, ...]
    center: float
    spread: float
    usual: tuple[int, int]

    @property
    def bins(self) -> int:
        return len(self.edges) + 1

    @property
    def unit(self) -> float:
        """The unit of the fixed-point sums, in that of the column."""
        return self.spread / UNITS_PER_SPREAD

    @cached_property
    def positions(self) -> Float64s:
        """Representative value of each bin, ascending: its middle; an atom's value; the nearest edge outside."""
        inner = self.edges[:-1] + (self.edges[1:] - self.edges[:-1]) / 2
        for code in self.atoms:
            inner[code - 1] = self.edges[code - 1]
        return np.concatenate([self.edges[:1], inner, self.edges[-1:]])

    @property
    def bounds(self) -> tuple[Float64s, Float64s]:
        """Lowest and highest value of each bin; those of an atom are one value, of an overflow bin they are NaN."""
        nowhere = np.array([np.nan])
        lows = np.concatenate([nowhere, self.edges[:-1], nowhere])
        highs = np.concatenate([nowhere, self.edges[1:], nowhere])
        for code in self.atoms:
            highs[code] = lows[code]
        return lows, highs

    def codes(self, values: Float64s) -> Codes:
        """Code of each value (n,); values have to be finite."""
        return np.searchsorted(self.edges, values, side="right").astype(np.uint16)


def make_numeric_bins(name: str, values: Float64s) -> NumericBins:
    """Bins of a numeric series from its valid sample values (n,); without any they are those of the number 0."""
    ordered = np.sort(values + 0.0) if len(values) else np.zeros(1)  # -0.0 becomes 0.0: they are one value
    center, spread = _quantile(ordered, 500), _spread(ordered)
    ladder = _ladder(center, spread)
    low, high = ladder[0], ladder[-1]
    distinct, repeats = np.unique(ordered, return_counts=True)
    is_atom = repeats >= max(2, -(-len(ordered) // BINS))
    atoms = distinct[is_atom & (distinct >= low) & (distinct < high)]
    first, last = max(_quantile(ordered, 1), low), min(_quantile(ordered, 999), np.nextafter(high, -inf))
    rest = ordered[~np.isin(ordered, atoms) & (ordered >= first) & (ordered <= last)]
    quantile_bins = max(1, BINS - len(atoms))
    cuts = rest[(np.arange(quantile_bins) * len(rest)) // quantile_bins] if len(rest) else rest
    starts = np.concatenate([atoms, [last]])
    with np.errstate(over="ignore"):  # there is none behind the largest number
        behind = np.nextafter(starts, inf)
    edges = np.unique(np.concatenate([ladder, cuts, [first], atoms, behind]))
    edges = edges[(edges >= low) & (edges <= high)]
    codes = np.searchsorted(edges, np.concatenate([atoms, [first, last]]), side="right")
    atom_codes = tuple(int(code) for code in codes[:-2])
    return NumericBins(name, edges, atom_codes, center, spread, (int(codes[-2]), int(codes[-1])))


def make_binary_bins(name: str) -> NumericBins:
    """Bins of 0 and 1, which are atoms whether the sample held both or not."""
    zero, one = np.nextafter(0.0, inf), np.nextafter(1.0, inf)
    return NumericBins(name, np.array([0.0, zero, 1.0, one]), (1, 3), 0.0, 1.0, (1, 3))


def _quantile(ordered: Float64s, thousandths: int) -> float:
    return float(ordered[((len(ordered) - 1) * thousandths) // 1000])


def _spread(ordered: Float64s) -> float:
    """The narrowest range of quantiles that is not empty, as a standard deviation; else the median, else 1."""
    for lower, upper, deviations in _RANGES:
        width = _quantile(ordered, upper) / deviations - _quantile(ordered, lower) / deviations
        if width > 0:
            return min(max(width, _SMALLEST), _LARGEST)
    return min(max(abs(_quantile(ordered, 500)) or 1.0, _SMALLEST), _LARGEST)


def _ladder(center: float, spread: float) -> Float64s:
    """The median, and edges that lie further and further from it on both sides, up to `REACH` spreads."""
    steps = [_NEAREST]
    while steps[-1] * _GROWTH < REACH:
        steps.append(steps[-1] * _GROWTH)
    distances = np.array([*steps, REACH]) * spread
    with np.errstate(over="ignore"):
        ladder: Float64s = np.concatenate([center - distances[::-1], [center], center + distances])
    return np.minimum(np.maximum(ladder, -_MOST), _MOST)
