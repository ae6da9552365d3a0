"""Spread: mean and deviation of each metric in windows of n events that differ from the reference by chance alone.

This is what `reference_mean` and `reference_std` in a rule mean. The rules of this file:

- A metric that compares two samples is drawn: 400 pairs of a window of n rows and a reference of as many rows as the
  reference has, both from the reference's counts. Drawing the window alone would leave out the reference's own error.
- Windows are drawn at sizes that stand two to an octave (1, 2, 3, 4, 6, 8, 12, ...); between two of them mean and
  deviation are interpolated in 1/n. A standing size is drawn once for a column, and only if a rule asks for it.
- A side has at most 8,192 rows in a draw. Beyond them the result is scaled by what the metric is proportional to:
  1/n + 1/m, or the root of it.
- n and m are divided by the overdispersion of the reference (`evaluate.dispersion`). Both by the same number, so that
  scales the result alike.
- A reference of categories varies more than its rows say, because each was counted as if it had not chosen the grid;
  divergences are scaled by that factor (`CoarseBins.excess`) on the reference's side.
- `mean` and the rates need no draws: their deviations are sigma / sqrt(n), and that of a binomial share. That of
  `new_category_rate` has the reference's own error, too, because most of its hits are values that chance left out.
- A categorical column has none if its reference has fewer than 100 valid values, and no column, but for rates, if its
  reference lies in one coarse bin: a deviation of 0 would make a threshold of any difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from typing import NamedTuple

import numpy as np

from monitor.config.metrics import QUANTILES
from monitor.evaluate.dispersion import Dispersion
from monitor.evaluate.drawing import Spread, draw
from monitor.evaluate.measure import RATES, Measure
from monitor.events import Float64s
from monitor.stats.exact import significant
from monitor.stats.shares import ratio

MOST_ROWS = 8192
"""Rows that a side has in a draw at most."""
SIZES = tuple(sorted({1, *(base << octave for octave in range(13) for base in (2, 3) if base << octave <= MOST_ROWS)}))
"""Rows of the windows that are drawn."""


class _Law(NamedTuple):
    """How a drawn metric behaves if nothing has changed.

    `size`: what it is proportional to, from the rows of window and reference. `squared`: true if it grows with the
    overdispersion and not with the root of it. `own`: true if it is the window's alone; then only its deviation is
    proportional to `size`, and its mean stays. `kind`: the overdispersion that it feels.
    """

    size: Callable[[float, float], float]
    squared: bool
    own: bool
    kind: str


def _square(n: float, m: float) -> float:
    return 1.0 / n + 1.0 / m


def _root(n: float, m: float) -> float:
    return sqrt(1.0 / n + 1.0 / m)


def _effect(n: float, m: float) -> float:
    """Return the root of 1 / (n + m): what cramers_v is of chi2, which is the same at any size."""
    return sqrt(1.0 / (n + m))


def _deviation(n: float, m: float) -> float:
    return sqrt(1.0 / n)


def _same(n: float, m: float) -> float:
    return 1.0


_LAWS: Mapping[str, _Law] = {
    "psi": _Law(_square, squared=True, own=False, kind="shares"),
    "js_distance": _Law(_root, squared=False, own=False, kind="shares"),
    "hellinger": _Law(_root, squared=False, own=False, kind="shares"),
    "chi2": _Law(_same, squared=True, own=False, kind="shares"),
    "cramers_v": _Law(_effect, squared=False, own=False, kind="shares"),
    "ks": _Law(_root, squared=False, own=False, kind="ranks"),
    "wasserstein": _Law(_root, squared=False, own=False, kind="ranks"),
    "std": _Law(_deviation, squared=False, own=True, kind="ranks"),
    **{f"quantile_{q}": _Law(_deviation, squared=False, own=True, kind="ranks") for q in QUANTILES},
}


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
        series = [j for j in series if self._is_enough(metric, j)]
        spread = self._spread(metric, series, events) if series and events > 0 else None
        if spread is None:
            return {}
        names, (mean, deviation) = self._measure.grid.series, spread
        return {
            names[j]: (significant(float(mean[j])), significant(float(deviation[j])))
            for j in series
            if mean[j] == mean[j]  # not NaN
        }

    def _is_enough(self, metric: str, series: int) -> bool:
        """Return true if the reference has enough of what the metric counts."""
        measure = self._measure
        if metric in ("missing_rate", "invalid_rate", "vanished"):
            return True
        if metric in RATES:
            return not measure.has_few[series]
        return not (measure.has_few[series] or measure.has_one_bin[series])

    def _spread(self, metric: str, series: Sequence[int], events: int) -> Spread | None:
        if metric in _LAWS:
            return self._by_draws(metric, series, events)
        if metric in RATES:
            return self._of_rate(metric, events)
        formulas = {"mean": self._of_mean, "vanished": self._of_vanished}
        return formulas[metric](events) if metric in formulas else None

    # ------------------------------------------------------------------ by draws

    def _by_draws(self, metric: str, series: Sequence[int], events: int) -> Spread:
        """Between two standing sizes, scaled to the sizes of both sides and to the overdispersion."""
        law, size = _LAWS[metric], min(events, MOST_ROWS)
        low = self._standing(metric, max(one for one in SIZES if one <= size), series)
        high = self._standing(metric, min(one for one in SIZES if one >= size), series)
        share = 0.0 if low.size == high.size else (1 / size - 1 / high.size) / (1 / low.size - 1 / high.size)
        mean, deviation = (b + share * (a - b) for a, b in ((low.mean, high.mean), (low.deviation, high.deviation)))
        factor = self._dispersion.of(law.kind, events)
        if law.kind == "shares":
            factor = factor * (1 / events + self._measure.excess / self._rows) / (1 / events + 1 / self._rows)
        sizes = law.size(events, self._rows) / law.size(size, min(self._rows, MOST_ROWS))
        scale = (factor if law.squared else np.sqrt(factor)) * sizes
        return mean if law.own else mean * scale, deviation * scale

    def _standing(self, metric: str, size: int, series: Sequence[int]) -> _Drawn:
        """What was drawn at that size; the series are drawn if they have not been."""
        width = len(self._measure.grid.series)
        drawn = self._drawn.setdefault((metric, size), _Drawn(size, np.full(width, np.nan), np.full(width, np.nan)))
        new = [j for j in series if j not in drawn.series]
        if new:
            mean, deviation = draw(self._measure, metric, size, min(self._rows, MOST_ROWS), new)
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
        share = ratio(hits, cells)
        dispersion = self._dispersion.of(metric, events)
        n = ratio(cells * (events / self._rows), dispersion)
        variance = ratio(share * (1.0 - share), n)
        if metric == "new_category_rate":
            own = share * (1.0 - share) * dispersion + ratio(self._measure.doubt, cells)
            variance = variance + ratio(own, cells)
        return share, np.sqrt(variance)

    def _of_vanished(self, events: int) -> Spread:
        share = self._measure.valid_share
        usual = np.where(share > 0, 0.0, 1.0)
        return np.where(self._measure.misses(np.full(len(share), events)), usual, np.nan), np.zeros(len(share))


@dataclass(slots=True)
class _Drawn:
    """Spreads at a standing size, shape (series,), of those `series` that have been drawn."""

    size: int
    mean: Float64s
    deviation: Float64s
    series: set[int] = field(default_factory=set)
