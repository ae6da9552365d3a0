"""All series of a window from its merged counts: O(bins), whatever the traffic.

Works on count vectors with a leading axis, so that the slices of the reference give, by the same code, the mean and
the spread of every series: what `reference_mean` and `reference_std` in a rule mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import sqrt

import numpy as np

from monitor.config.metrics import QUANTILES
from monitor.evaluate.coarse import CoarseBins
from monitor.evaluate.reference import Reference
from monitor.events import Float64s, Histogram, Int64s, Series
from monitor.panes.grid import CategoryBins, Grid, Layout, NumericBins
from monitor.stats.chi2 import cramers_v, statistic
from monitor.stats.distance import ks, wasserstein
from monitor.stats.divergence import hellinger, js_distance, psi
from monitor.stats.exact import significant, significant_all, total
from monitor.stats.moments import moments
from monitor.stats.quantiles import quantiles

EXPECTED = 20
"""Valid values that the reference has to let expect where none came: by chance that is one window in 500 million."""
Scores = dict[str, Float64s]
"""Metric -> scores, shape (windows, series); NaN where a series has no such score."""


class Measure:
    """What windows of one stream are compared with: a grid and a reference on it."""

    def __init__(self, grid: Grid, reference: Reference) -> None:
        self.grid = grid
        self.reference = reference
        self._layout = grid.layout
        all_bins: list[NumericBins | CategoryBins] = [*grid.numeric, *grid.categorical]
        self._coarse = [CoarseBins(bins, self._of(reference.total, j)) for j, bins in enumerate(all_bins)]
        self._places = {name: j for j, name in enumerate(grid.series)}
        self._padded = _Padded(grid)

    def _of(self, counts: Int64s, series: int) -> Int64s:
        return counts[..., self._layout.bins[series]]

    def columns(self, counts: Int64s) -> Mapping[str, Series]:
        """Column -> metric -> score of one window's count vector (width,); undefined scores are left out."""
        scores = self.scores(counts[np.newaxis])
        columns: dict[str, dict[str, float]] = {name: {} for name in self.grid.series}
        for metric, values in scores.items():
            for name, value in zip(self.grid.series, significant_all(values[0]), strict=True):
                if value == value:  # not NaN
                    columns[name][metric] = value
        return columns

    def scores(self, counts: Int64s) -> Scores:
        """All scores of count vectors (windows, width)."""
        scores = self._divergences(counts)
        scores.update(self._numeric(counts))
        scores.update(self._rates(counts))
        return scores

    def spreads(self, metric: str, columns: Sequence[str], events: int) -> Mapping[str, tuple[float, float]]:
        """Column -> (reference_mean, reference_std) of a metric; columns that have none are left out."""
        found = {column: self.spread(column, metric) for column in columns}
        return {column: spread for column, spread in found.items() if spread is not None}

    def spread(self, column: str, metric: str) -> tuple[float, float] | None:
        """Mean and standard deviation of a metric over the slices of the reference; None where it has none."""
        values = self._slices.get(metric)
        if values is None or column not in self._places:
            return None
        defined = [value for value in values[:, self._places[column]].tolist() if value == value]
        if not defined:
            return None
        # `total` and not `sum`, which adds in another way from Python 3.12 on
        mean = float(total(np.array(defined))) / len(defined)
        variance = float(total(np.array([(value - mean) * (value - mean) for value in defined]))) / len(defined)
        return significant(mean), significant(sqrt(variance))

    @cached_property
    def _slices(self) -> Scores:
        return self.scores(self.reference.by_slice)

    def histogram(self, column: str, counts: Int64s) -> Histogram:
        """The column's coarse bins, reference beside a window's count vector."""
        j = self._places[column]
        return self._coarse[j].histogram(self._of(self.reference.total, j), self._of(counts, j))

    def _divergences(self, counts: Int64s) -> Scores:
        """On the coarse bins; series with as many of them are computed together."""
        shape = (len(counts), len(self._coarse))
        scores = {m: np.full(shape, np.nan) for m in ("psi", "js_distance", "hellinger", "chi2", "cramers_v")}
        for group, reference in self._groups:
            members, current = group.members, group.merge(counts)
            scores["psi"][:, members] = psi(reference, current)
            scores["js_distance"][:, members] = js_distance(reference, current)
            scores["hellinger"][:, members] = hellinger(reference, current)
            scores["chi2"][:, members] = statistic(reference, current)
            scores["cramers_v"][:, members] = cramers_v(reference, current)
        return scores

    @cached_property
    def _groups(self) -> list[tuple[_Group, Int64s]]:
        """Groups of series, each with the coarse bins of the reference."""
        by_bins: dict[int, list[int]] = {}
        for j, coarse in enumerate(self._coarse):
            by_bins.setdefault(len(coarse), []).append(j)
        groups = [_Group(members, self._coarse, self._layout) for members in by_bins.values()]
        return [(group, group.merge(self.reference.total[np.newaxis])[0]) for group in groups]

    def _numeric(self, counts: Int64s) -> Scores:
        """On all bins of the grid, numeric series only."""
        width = len(self.grid.numeric)
        shape = (len(counts), len(self.grid.series))
        if width == 0:
            return {}
        bins = self._padded.bins(counts)
        n = bins.sum(axis=-1)
        mean, variance = self._moments(counts, n)
        outside = bins[..., 0] + np.take_along_axis(bins, self._padded.last(len(counts)), axis=-1)[..., 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            parts = {
                "ks": ks(self._reference_bins, bins),
                "wasserstein": wasserstein(self._reference_bins, bins, self._padded.positions, self._reference_std),
                "out_of_grid_rate": outside / n,
                "mean": mean,
                "std": np.sqrt(variance),
            }
        at = quantiles(bins, self._padded.lows, self._padded.highs, np.array(QUANTILES, dtype=np.float64))
        parts |= {f"quantile_{q}": at[..., k] for k, q in enumerate(QUANTILES)}
        scores = {}
        for metric, values in parts.items():
            scores[metric] = np.full(shape, np.nan)
            scores[metric][:, :width] = values
        return scores

    def _moments(self, counts: Int64s, n: Int64s) -> tuple[Float64s, Float64s]:
        sums, squares = counts[:, self._layout.sums], counts[:, self._layout.squares]
        return moments(n, sums, squares, self.grid.centers, self.grid.unit_sizes)

    @cached_property
    def _reference_bins(self) -> Int64s:
        bins: Int64s = self._padded.bins(self.reference.total[np.newaxis])[0]
        return bins

    @cached_property
    def _reference_std(self) -> Float64s:
        n = self._reference_bins.sum(axis=-1)
        variance = self._moments(self.reference.total[np.newaxis], n)[1][0]
        return np.asarray(np.sqrt(variance), dtype=np.float64)

    @cached_property
    def _reference_valid(self) -> Float64s:
        """Share of each series' cells in the reference that are valid, shape (series,)."""
        total = self.reference.total
        valid = np.array([self._of(total, j).sum() for j in range(len(self._coarse))], dtype=np.float64)
        invalid = np.array([total[part].sum() for part in self._layout.invalid], dtype=np.float64)
        return valid / np.maximum(valid + invalid, 1.0)

    def _rates(self, counts: Int64s) -> Scores:
        """Shares of cells that are missing (null, absent), invalid (all other states) or of unknown categories."""
        invalid = np.stack([counts[:, part] for part in self._layout.invalid], axis=1)[..., ::-1]  # by state, 1 to 6
        valid = np.stack([self._of(counts, j).sum(axis=-1) for j in range(len(self._coarse))], axis=1)
        cells = valid + invalid.sum(axis=-1)
        expected = cells * self._reference_valid
        new = np.full(valid.shape, np.nan)
        for j in range(len(self.grid.numeric), len(self._coarse)):
            new[:, j] = self._of(counts, j)[:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "missing_rate": invalid[..., :2].sum(axis=-1) / cells,
                "invalid_rate": invalid[..., 2:].sum(axis=-1) / cells,
                "vanished": np.where(valid > 0, 0.0, np.where(expected >= EXPECTED, 1.0, np.nan)),
                "new_category_rate": new / valid,
            }


class _Group:
    """Series with the same number of coarse bins, which are computed together. `members`: their places, ascending."""

    def __init__(self, members: list[int], coarse: Sequence[CoarseBins], layout: Layout) -> None:
        self.members = members
        # behind each series' bins its invalid states begin: cut there too, and leave that part out
        cuts = [[*(layout.bins[j].start + coarse[j].starts), layout.bins[j].stop] for j in members]
        self._cuts = np.array(cuts, dtype=np.int64)

    def merge(self, counts: Int64s) -> Int64s:
        """Coarse bins (windows, members, bins) of count vectors (windows, width)."""
        merged = np.add.reduceat(counts, self._cuts.ravel(), axis=-1)
        return merged.reshape(len(counts), *self._cuts.shape)[..., :-1]


class _Padded:
    """The bins of all numeric series as one matrix: rows of one width, filled up with bins that hold nothing."""

    def __init__(self, grid: Grid) -> None:
        layout, width = grid.layout, max((bins.bins for bins in grid.numeric), default=1)
        self._places = np.full((len(grid.numeric), width), layout.width)  # one past the end: a zero
        self._last = np.array([bins.bins - 1 for bins in grid.numeric], dtype=np.int64)
        self.positions = np.zeros((len(grid.numeric), width))
        self.lows, self.highs = np.zeros_like(self.positions), np.zeros_like(self.positions)
        for j, bins in enumerate(grid.numeric):
            self._places[j, : bins.bins] = np.arange(layout.bins[j].start, layout.bins[j].stop)
            low, high = bins.bounds
            for table, values in ((self.positions, bins.positions), (self.lows, low), (self.highs, high)):
                table[j, : bins.bins] = values
                table[j, bins.bins :] = values[-1]

    def bins(self, counts: Int64s) -> Int64s:
        """Bin counts (windows, numeric series, width) of count vectors (windows, width of the layout)."""
        return np.pad(counts, ((0, 0), (0, 1)))[:, self._places]

    def last(self, windows: int) -> Int64s:
        """Place of each series' upper overflow bin, shaped to pick it."""
        return np.broadcast_to(self._last[np.newaxis, :, np.newaxis], (windows, len(self._last), 1))
