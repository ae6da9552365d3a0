"""Dispersion: by what factor the rows of a reference say less than independent ones, in windows of n rows.

The reference's slices are merged to stretches of the window's length, at least six; the factor is the overdispersion
between them, and 1 unless it exceeds its own error twice. Seasons and dependent rows show in it.
"""

from __future__ import annotations

import numpy as np

from monitor.evaluate.measure import Measure
from monitor.events import Float64s, Int64s
from monitor.stats import overdispersion

LEAST_STRETCHES = 6


class Dispersion:
    """The factors of one stream's series, worked out when they are asked for."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._known: dict[tuple[str, int], Float64s] = {}

    def of(self, kind: str, events: int) -> Float64s:
        """The factor of each series in windows of that many rows, shape (series,).

        `kind` is what may differ between the stretches: "shares" of the coarse bins, "ranks" (the distribution
        function), "mean", or one of the rates.
        """
        slices = len(self._measure.reference.slices)
        number = max(min(slices, LEAST_STRETCHES), min(slices, self._measure.reference.events // events))
        if (kind, number) not in self._known:
            self._known[kind, number] = self._factors(kind, self._stretches(number))
        return self._known[kind, number]

    def overlapping(self, events: int) -> tuple[Int64s, float]:
        """Count vectors of stretches of about that many rows, one from each slice on, (stretches, width); their rows.

        They begin at all times of a season that slices can tell apart, as windows do.
        """
        slices, rows = self._measure.reference.by_slice, self._measure.reference.events
        most = max(1, len(slices) // LEAST_STRETCHES)
        taken = min(max(1, round(events * len(slices) / rows)), most)
        sums = np.cumsum(np.concatenate([np.zeros_like(slices[:1]), slices]), axis=0)
        return sums[taken:] - sums[:-taken], rows * taken / len(slices)

    def _stretches(self, number: int) -> Int64s:
        """The slices' count vectors, merged to that many stretches, (stretches, width)."""
        slices = self._measure.reference.by_slice
        starts = np.arange(number) * len(slices) // number
        return np.asarray(np.add.reduceat(slices, starts, axis=0))

    def _factors(self, kind: str, stretches: Int64s) -> Float64s:
        factors = np.ones(len(self._measure.grid.series))
        for members, estimate in self._estimates(kind, stretches):
            factors[members] = overdispersion.significant_factor(estimate)
        return factors

    def _estimates(self, kind: str, stretches: Int64s) -> list[tuple[list[int], overdispersion.Estimate]]:
        measure = self._measure
        numeric = list(range(len(measure.grid.numeric)))
        if kind == "shares":
            return [
                (group.members, overdispersion.of_shares(np.moveaxis(group.merge(stretches), 0, 1)))
                for group, _ in measure.groups
            ]
        if kind not in ("ranks", "mean"):
            hits, cells = measure.rate(kind, stretches)
            both = np.stack([hits, cells - hits], axis=-1)
            return [(list(range(len(measure.grid.series))), overdispersion.of_shares(np.moveaxis(both, 0, 1)))]
        if not numeric:
            return []
        bins = measure.padded.bins(stretches)
        if kind == "ranks":
            return [(numeric, overdispersion.of_ranks(np.moveaxis(bins, 0, 1)))]
        n, means = measure.in_range(stretches), measure.moments(stretches)[0]
        return [(numeric, overdispersion.of_means(means.T, n.T, measure.reference_std * measure.reference_std))]
