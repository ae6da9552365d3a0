"""Spread: mean and deviation of each metric in windows of n events that differ from the reference by chance alone.

This is what `reference_mean` and `reference_std` in a rule mean. The rules of this file:

- A metric that compares two samples is drawn: 400 pairs of a window of n rows and a reference of as many rows as the
  reference has, both from the reference's counts. Drawing the window alone would leave out the reference's own error.
- Windows are drawn at sizes that stand two to an octave (1, 2, 3, 4, 6, 8, 12, ...); between two of them mean and
  deviation are interpolated in 1/n. A standing size is drawn once for a column, and only if a rule asks for it.
- A side of more than 8,192 rows is made from as many draws (`draws.of_rows`). Results can't be scaled instead: bins
  that are empty or nearly so give PSI a mean that goes by the logarithm of m / n, and not by 1/n + 1/m.
- Where the reference is overdispersed (`evaluate.dispersion`), by a season or by rows that depend on each other, drawn
  rows say too little. Then it is measured what stretches of the reference, as long as the window, differ from all of
  it. They are few, so mean and deviation are taken larger by their own errors: one that is too small would alarm for as
  long as the reference stands. Metrics of the window alone have their deviation times the root of the overdispersion.
- A reference of categories varies more than its rows say, because each was counted as if it had not chosen the grid;
  divergences are scaled by that factor (`CoarseBins.excess`) on the reference's side.
- `mean` and the rates need no draws: their deviations are sigma / sqrt(n), and that of a binomial share. A rate has the
  reference's own error, too, and half a hit more than its reference: a share of which 500 rows have seen nothing may be
  a thousandth, and a deviation of 0 would make its first row an alert. `new_category_rate` has a further error, because
  most of its hits are values that chance left out of the dictionary.
- A column has none, but for the rates of cells, if its reference has fewer than 100 valid values, and none, but for
  rates, if its reference lies in one coarse bin: a deviation of 0 would make a threshold of any difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from monitor.config.metrics import QUANTILES
from monitor.evaluate.dispersion import Dispersion
from monitor.evaluate.drawing import Spread, draw
from monitor.evaluate.measure import RATES, Measure
from monitor.events import Float64s
from monitor.stats.exact import significant, total
from monitor.stats.shares import ratio


class _Law(NamedTuple):
    """How a drawn metric goes with the overdispersion that it feels.

    `squared`: true if it grows with it and not with the root of it. `own`: true if it is the window's alone; then only
    its deviation grows. `kind`: which overdispersion that is.
    """

    squared: bool
    own: bool
    kind: str


_LAWS: Mapping[str, _Law] = {
    "psi": _Law(squared=True, own=False, kind="shares"),
    "js_distance": _Law(squared=False, own=False, kind="shares"),
    "hellinger": _Law(squared=False, own=False, kind="shares"),
    "chi2": _Law(squared=True, own=False, kind="shares"),
    "cramers_v": _Law(squared=False, own=False, kind="shares"),
    "ks": _Law(squared=False, own=False, kind="ranks"),
    "wasserstein": _Law(squared=False, own=False, kind="ranks"),
    "std": _Law(squared=False, own=True, kind="ranks"),
    **{f"quantile_{q}": _Law(squared=False, own=True, kind="ranks") for q in QUANTILES},
}


def standing_sizes(rows: int) -> tuple[int, int]:
    """Return the sizes beside a number of rows at which windows are drawn; both are that number if it is one of them.

    >>> standing_sizes(1), standing_sizes(500), standing_sizes(513), standing_sizes(800), standing_sizes(1024)
    ((1, 1), (384, 512), (512, 768), (768, 1024), (1024, 1024))
    """
    octave = 1 << (rows.bit_length() - 1)
    between = octave + octave // 2
    if rows in (octave, between):
        return rows, rows
    return (octave, between) if rows < between else (between, 2 * octave)


class ReferenceSpread:
    """Mean and deviation of the metrics of one stream's columns, by the size of the window."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._dispersion = Dispersion(measure)
        self._rows = measure.reference.events
        self._drawn: dict[tuple[str, int], _Drawn] = {}

    def of(self, metric: str, columns: Sequence[str], events: int) -> Mapping[str, tuple[float, float]]:
        """Column -> mean and deviation of the metric in windows of `events` rows; left out if there is none."""
        series = [self._measure.places[column] for column in columns if column in self._measure.places]
        names = self._measure.grid.series
        series = [j for j in series if self._measure.why_undefined(metric, names[j], by_reference=True) is None]
        spread = self._spread(metric, series, events) if series and events > 0 else None
        if spread is None:
            return {}
        mean, deviation = spread
        return {
            names[j]: (significant(float(mean[j])), significant(float(deviation[j])))
            for j in series
            if mean[j] == mean[j]  # not NaN
        }

    def _spread(self, metric: str, series: Sequence[int], events: int) -> Spread | None:
        if metric in _LAWS:
            return self._by_draws(metric, series, events)
        if metric in RATES:
            return self._of_rate(metric, events)
        formulas = {"mean": self._of_mean, "vanished": self._of_vanished}
        return formulas[metric](events) if metric in formulas else None

    # ------------------------------------------------------------------ by draws

    def _by_draws(self, metric: str, series: Sequence[int], events: int) -> Spread:
        """Between two standing sizes, scaled by the overdispersion."""
        law = _LAWS[metric]
        low, high = (self._standing(metric, size, series) for size in standing_sizes(events))
        share = 0.0 if low.size == high.size else (1 / events - 1 / high.size) / (1 / low.size - 1 / high.size)
        mean, deviation = (b + share * (a - b) for a, b in ((low.mean, high.mean), (low.deviation, high.deviation)))
        factor = self._dispersion.of(law.kind, events)
        if law.own:
            return mean, deviation * np.sqrt(factor)
        if law.kind == "shares":
            own = (1 / events + self._measure.excess / self._rows) / (1 / events + 1 / self._rows)
            scale = own if law.squared else np.sqrt(own)
            mean, deviation = mean * scale, deviation * scale
        if not (factor > 1.0).any():
            return mean, deviation
        measured = self._measured(metric, events)
        is_dependent = factor > 1.0
        return (
            np.where(is_dependent, np.fmax(mean, measured[0]), mean),
            np.where(is_dependent, np.fmax(deviation, measured[1]), deviation),
        )

    def _measured(self, metric: str, events: int) -> Spread:
        """Upper ends of what the stretches of the reference measure beside all of it, in windows of `events` rows.

        A stretch is a part of the reference, so they differ less than a window from one that it is no part of.
        """
        overlapping, length = self._dispersion.overlapping(events)
        scores = self._measure.scores(overlapping)[metric].T
        own = (1 / events + 1 / self._rows) / (1 / length - 1 / self._rows)
        apart = self._rows / length
        return _upper_ends(scores * (own if _LAWS[metric].squared else math.sqrt(own)), apart)

    def _standing(self, metric: str, size: int, series: Sequence[int]) -> _Drawn:
        """What was drawn at that size; the series are drawn if they have not been."""
        width = len(self._measure.grid.series)
        drawn = self._drawn.setdefault((metric, size), _Drawn(size, np.full(width, np.nan), np.full(width, np.nan)))
        new = [j for j in series if j not in drawn.series]
        if new:
            mean, deviation = draw(self._measure, metric, size, self._rows, new)
            drawn.mean[new], drawn.deviation[new] = mean[new], deviation[new]
            drawn.series.update(new)
        return drawn

    # ------------------------------------------------------------------ by formula

    @cached_property
    def _own(self) -> Mapping[str, Float64s]:
        """What the reference measures as a window of its own, by metric, shape (series,)."""
        scores = self._measure.scores(self._measure.reference.total[np.newaxis])
        return {metric: values[0] for metric, values in scores.items()}

    def _of_mean(self, events: int) -> Spread | None:
        if "mean" not in self._own:
            return None
        n = ratio(self._measure.valid_share * events, self._dispersion.of("mean", events))
        return self._own["mean"], self._own["std"] * np.sqrt(ratio(np.array(1.0), n))

    def _of_rate(self, metric: str, events: int) -> Spread:
        hits, cells = (side[0] for side in self._measure.rate(metric, self._measure.reference.total[np.newaxis]))
        likely = (hits + 0.5) / (cells + 1.0)
        of_one = likely * (1.0 - likely) * self._dispersion.of(metric, events)
        variance = ratio(of_one * (1.0 + self._rows / events), cells)
        if metric == "new_category_rate":
            variance = variance + ratio(ratio(self._measure.doubt, cells), cells)
        return ratio(hits, cells), np.sqrt(variance)

    def _of_vanished(self, events: int) -> Spread:
        share = self._measure.valid_share
        usual = np.where(share > 0, 0.0, 1.0)
        return np.where(self._measure.misses(np.full(len(share), events)), usual, np.nan), np.zeros(len(share))


def _upper_ends(scores: Float64s, apart: float) -> Spread:
    """Mean and deviation of scores (series, stretches), each and its own error more. `apart`: stretches that would not
    overlap.
    """
    defined = ~np.isnan(scores)
    number = defined.sum(axis=-1)
    mean = ratio(total(np.where(defined, scores, 0.0)), number)
    gap = np.where(defined, scores - mean[:, np.newaxis], 0.0)
    degrees = number * (1.0 - 1.0 / apart)
    variance = ratio(total(gap * gap), degrees)
    return mean + np.sqrt(variance / apart), np.sqrt(variance * (1.0 + np.sqrt(2.0 / (apart - 1.0))))


@dataclass(slots=True)
class _Drawn:
    """Spreads at a standing size, shape (series,), of those `series` that have been drawn."""

    size: int
    mean: Float64s
    deviation: Float64s
    series: set[int] = field(default_factory=set)
