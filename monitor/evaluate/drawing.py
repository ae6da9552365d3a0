"""Drawing: mean and deviation of a metric over pairs of samples that are drawn from one reference's counts.

Each pair is a window and a reference, both drawn and compared with each other, so nothing has changed between them.
The draws are raw bits (`monitor.stats.draws`), seeded by model, stream and sizes; all columns share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from monitor.config.metrics import QUANTILES
from monitor.evaluate.measure import DIVERGENCES, Measure
from monitor.events import Float64s, Int64s
from monitor.stats.distance import area_between, largest_gap
from monitor.stats.draws import cuts, of_rows, seed_of
from monitor.stats.exact import total
from monitor.stats.quantiles import quantiles
from monitor.stats.shares import ratio

PAIRS = 400
_AT_ONCE = 1 << 18
"""Counts that are compared at once: they fit into a processor's cache."""

Spread = tuple[Float64s, Float64s]
"""Mean and deviation of each series; NaN if there is none."""
_Score = Callable[[Int64s, Int64s], Float64s]
"""Gives scores (pairs, members) of how many rows of reference and window lie below each cut, (pairs, members, cuts)."""


class _Group(NamedTuple):
    """Series that are drawn and compared together. `cuts`: on the lattice of the draws, (kinds, bins + 1).

    `kinds`: for each member the place of its cuts. Continuous columns without gaps have the same ones, and then what is
    a function of the cuts alone is computed for them once.
    """

    members: list[int]
    cuts: Int64s
    kinds: Int64s
    score: _Score


def draw(measure: Measure, metric: str, window: int, reference: int, series: Sequence[int]) -> Spread:
    """Mean and deviation over 400 pairs of `window` and `reference` rows, for the series at those places.

    Both have one number a series of the grid, NaN where it was not asked for or has no such metric.
    """
    mean, deviation = (np.full(len(measure.grid.series), np.nan) for _ in range(2))
    groups = list(_groups(measure, metric, series))
    if not groups:
        return mean, deviation
    name = f"{measure.grid.model}/{measure.grid.stream}/{window}/{reference}"
    points = np.concatenate([group.cuts.ravel() for group in groups])
    scores: list[list[Float64s]] = [[] for _ in groups]
    for windows, references in _pairs(seed_of(name), window, reference, points):
        start = 0
        for group, found in zip(groups, scores, strict=True):
            part = slice(start, start + group.cuts.size)
            start = part.stop
            sides = (side[:, part].reshape(len(side), *group.cuts.shape) for side in (references, windows))
            found.append(group.score(*sides))
    for group, found in zip(groups, scores, strict=True):
        of_kinds = _over_pairs(np.concatenate(found))
        mean[group.members], deviation[group.members] = (values[group.kinds] for values in of_kinds)
    return mean, deviation


def _pairs(seed: int, window: int, reference: int, points: Int64s) -> Iterator[tuple[Int64s, Int64s]]:
    """How many rows of each window and of each reference lie below each point, some pairs at a time."""
    step = max(1, _AT_ONCE // len(points))
    for first in range(0, PAIRS, step):
        numbers = range(first, min(first + step, PAIRS))
        windows = of_rows(seed, [2 * number for number in numbers], window, points)
        references = of_rows(seed, [2 * number + 1 for number in numbers], reference, points)
        yield windows, references


def _over_pairs(scores: Float64s) -> Spread:
    """Mean and deviation over the first axis, of what is defined."""
    values = scores.T
    defined = ~np.isnan(values)
    number = defined.sum(axis=-1)
    mean = ratio(total(np.where(defined, values, 0.0)), number)
    gap = np.where(defined, values - mean[:, np.newaxis], 0.0)
    return mean, np.sqrt(ratio(total(gap * gap), number))


# ---------------------------------------------------------------------- what is compared


def _groups(measure: Measure, metric: str, series: Sequence[int]) -> Iterator[_Group]:
    if metric in DIVERGENCES:
        yield from _coarse(measure, metric, series)
        return
    members = [j for j in series if j < len(measure.grid.numeric)]
    if members:
        counts = measure.reference_bins[members]
        if metric == "wasserstein":
            counts = counts * measure.padded.inner[members]
        if metric == "ks":
            yield _of_cuts(measure, members, counts, lambda r, w: largest_gap(r[..., 1:], w[..., 1:]))
        else:
            yield _Group(members, _cuts(measure, counts), np.arange(len(members)), _fine(measure, metric, members))


def _coarse(measure: Measure, metric: str, series: Sequence[int]) -> Iterator[_Group]:
    """Groups of as many coarse bins each."""
    asked, divergence = set(series), DIVERGENCES[metric]
    for group, reference in measure.groups:
        here = [place for place, j in enumerate(group.members) if j in asked]
        if here:
            members = [group.members[place] for place in here]
            yield _of_cuts(measure, members, reference[here], lambda r, w: divergence(np.diff(r), np.diff(w)))


def _of_cuts(measure: Measure, members: list[int], counts: Int64s, score: _Score) -> _Group:
    """A group whose scores are a function of the cuts alone."""
    distinct, kinds = np.unique(_cuts(measure, counts), axis=0, return_inverse=True)
    return _Group(members, distinct, kinds.ravel(), score)


def _cuts(measure: Measure, counts: Int64s) -> Int64s:
    """Each row is in a bin or invalid, so samples have as many valid values as chance gives them."""
    return cuts(counts, measure.reference.events)


def _fine(measure: Measure, metric: str, members: list[int]) -> _Score:
    """A metric on all bins of the grid that goes by their values."""
    padded = measure.padded
    positions, lows, highs = (table[members] for table in (padded.positions, padded.lows, padded.highs))
    if metric == "wasserstein":
        scale = measure.grid.spreads[members]
        return lambda r, w: area_between(r[..., 1:], w[..., 1:], positions, scale)
    if metric == "std":
        return _std(measure, positions, members)
    at = next(float(q) for q in QUANTILES if metric == f"quantile_{q}")
    return lambda r, w: quantiles(np.diff(w), lows, highs, at)


def _std(measure: Measure, positions: Float64s, members: list[int]) -> _Score:
    """Deviations with each value at its bin's position, in units that give the reference its true deviation."""
    counts = measure.reference_bins[members]
    centered = positions - ratio(total(counts * positions), counts.sum(axis=-1))[:, np.newaxis]

    def binned(counts: Int64s) -> Float64s:
        n = counts.sum(axis=-1)
        parts = counts * centered
        mean, square = ratio(total(parts), n), ratio(total(parts * centered), n)
        return np.sqrt(np.maximum(square - mean * mean, 0.0))

    own = binned(counts)
    scale = np.where(own > 0, ratio(measure.reference_std[members], own), 0.0)
    return lambda r, w: binned(np.diff(w)) * scale
