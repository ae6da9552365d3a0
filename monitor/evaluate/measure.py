"""All series of a window from its merged counts: O(bins), whatever the traffic.

Works on count vectors with a leading axis, so that many windows are measured at once. What they measure by chance alone
is in `spread.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from monitor.config.metrics import COMPARED, QUANTILES
from monitor.evaluate.reference import Reference
from monitor.events import Bools, Float64s, Histogram, Int64s, Series
from monitor.panes.coarse import CoarseBins
from monitor.panes.grid import CategoryBins, Grid, Layout
from monitor.panes.numeric_bins import NumericBins
from monitor.stats.chi2 import cramers_v, statistic
from monitor.stats.distance import ks, wasserstein
from monitor.stats.divergence import hellinger, js_distance, psi
from monitor.stats.exact import significant_all
from monitor.stats.moments import moments
from monitor.stats.quantiles import quantiles
from monitor.stats.shares import ratio

RATES = ("missing_rate", "invalid_rate", "new_category_rate", "out_of_grid_rate", "beyond_rate")
OF_CELLS = ("missing_rate", "invalid_rate", "vanished")
"""Metrics that count cells, valid or not, and none of their values."""
EXPECTED = 20
"""Valid values that the reference has to predict if none came: by chance that is one window in 500 million."""
LEAST = 100
"""Valid values that the reference of a column needs; fewer differ from any window by chance."""
Scores = dict[str, Float64s]
"""Metric -> scores, shape (windows, series); NaN where a series has no such score."""
DIVERGENCES: Mapping[str, Callable[[Int64s, Int64s], Float64s]] = {
    "psi": psi,
    "js_distance": js_distance,
    "hellinger": hellinger,
    "chi2": statistic,
    "cramers_v": cramers_v,
}
"""What is taken on the coarse bins, of the counts of reference and window."""


class Measure:
    """What windows of one stream are compared with: a grid and a reference on it."""

    def __init__(self, grid: Grid, reference: Reference) -> None:
        self.grid = grid
        self.reference = reference
        self._layout = grid.layout
        all_bins: list[NumericBins | CategoryBins] = [*grid.numeric, *grid.categorical]
        self._coarse = [CoarseBins(bins, self._of(reference.total, j)) for j, bins in enumerate(all_bins)]
        self.places = {name: j for j, name in enumerate(grid.series)}
        self.padded = Padded(grid)
        self._stops = np.array([part.stop for part in grid.layout.bins], dtype=np.int64)
        self._categorical = np.arange(len(grid.series)) >= len(grid.numeric)

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

    def histogram(self, column: str, counts: Int64s) -> Histogram:
        """The column's coarse bins, reference beside a window's count vector."""
        j = self.places[column]
        return self._coarse[j].histogram(self._of(self.reference.total, j), self._of(counts, j))

    def _divergences(self, counts: Int64s) -> Scores:
        """On the coarse bins; series with as many of them are computed together."""
        shape = (len(counts), len(self._coarse))
        scores = {metric: np.full(shape, np.nan) for metric in DIVERGENCES}
        for group, reference in self.groups:
            current = group.merge(counts)
            for metric, divergence in DIVERGENCES.items():
                scores[metric][:, group.members] = divergence(reference, current)
        for values in scores.values():
            values[:, self.has_few | self.has_one_bin] = np.nan
        return scores

    @cached_property
    def has_few(self) -> Bools:
        """True for series of which the reference has fewer than `LEAST` valid values, shape (series,)."""
        return np.asarray(self._cells(self.reference.total[np.newaxis])[0][0] < LEAST)

    @cached_property
    def has_one_bin(self) -> Bools:
        """True for series whose reference lies in one coarse bin, shape (series,): there are no shares to compare."""
        of_reference = [coarse.merge(self._of(self.reference.total, j)) for j, coarse in enumerate(self._coarse)]
        return np.array([np.count_nonzero(bins) < 2 for bins in of_reference], dtype=bool)

    @cached_property
    def excess(self) -> Float64s:
        """The factor by which the shares of each series' reference vary more than those of as many rows, (series,)."""
        return np.array([c.excess(self._of(self.reference.total, j)) for j, c in enumerate(self._coarse)])

    @cached_property
    def doubt(self) -> Float64s:
        """What the reference's number of new values varies more than a binomial one, as a variance, (series,)."""
        none = [0.0] * len(self.grid.numeric)
        return np.array([*none, *(float(bins.doubt) for bins in self.grid.categorical)])

    def why_undefined(self, metric: str, column: str, by_reference: bool) -> str | None:
        """Say why a column has no such score, or no reference_mean and reference_std of it, whatever the window.

        None if it has. `by_reference`: whether these two are wanted, too.
        """
        j = self.places[column]
        if self.has_few[j] and (metric in COMPARED or (by_reference and metric not in OF_CELLS)):
            return f"fewer than {LEAST} valid values in the reference"
        if self.has_one_bin[j] and (metric in DIVERGENCES or (by_reference and metric not in (*OF_CELLS, *RATES))):
            return "all values of the reference lie in one bin"
        return None

    @cached_property
    def groups(self) -> list[tuple[Group, Int64s]]:
        """Groups of series, each with the coarse bins of the reference."""
        by_bins: dict[int, list[int]] = {}
        for j, coarse in enumerate(self._coarse):
            by_bins.setdefault(len(coarse), []).append(j)
        groups = [Group(members, self._coarse, self._layout) for members in by_bins.values()]
        return [(group, group.merge(self.reference.total[np.newaxis])[0]) for group in groups]

    def _numeric(self, counts: Int64s) -> Scores:
        """On all bins of the grid, numeric series only."""
        width = len(self.grid.numeric)
        shape = (len(counts), len(self.grid.series))
        if width == 0:
            return {}
        bins = self.padded.bins(counts)
        mean, variance = self.moments(counts)
        std = np.sqrt(variance)
        with np.errstate(invalid="ignore", divide="ignore"):
            distances = {"ks": ks(self.reference_bins, bins), "wasserstein": self._wasserstein(bins, mean)}
        for values in distances.values():
            values[:, self.has_few[:width]] = np.nan
        parts = {**distances, "mean": mean, "std": std}
        found = self._quantiles(counts, bins, mean, std)
        parts |= {f"quantile_{q}": values for q, values in zip(QUANTILES, found, strict=True)}
        scores = {}
        for metric, values in parts.items():
            scores[metric] = np.full(shape, np.nan)
            scores[metric][:, :width] = values
        return scores

    def _wasserstein(self, bins: Int64s, mean: Float64s) -> Float64s:
        """In spreads, of the values that are not beyond the grid; never below the difference of their means."""
        inner, spreads = self.padded.inner, self.grid.spreads
        distance = wasserstein(self.reference_bins * inner, bins * inner, self.padded.positions, spreads)
        return np.maximum(distance, np.abs(mean - self._reference_moments[0]) / spreads)

    def _quantiles(self, counts: Int64s, bins: Int64s, mean: Float64s, std: Float64s) -> list[Float64s]:
        """Quantiles from the bins, within what mean and deviation of all values allow (Cantelli's inequality)."""
        shares = np.array(QUANTILES, dtype=np.float64)
        found = quantiles(bins, self.padded.lows, self.padded.highs, shares)
        below, above = np.sqrt((1.0 - shares) / shares), np.sqrt(shares / (1.0 - shares))
        limited = np.clip(
            found,
            mean[..., np.newaxis] - std[..., np.newaxis] * below,
            mean[..., np.newaxis] + std[..., np.newaxis] * above,
        )
        found = np.where((self._beyond(counts) == 0)[..., np.newaxis], limited, found)
        return [found[..., k] for k in range(len(QUANTILES))]

    def moments(self, counts: Int64s) -> tuple[Float64s, Float64s]:
        """Mean and variance of the values that are not beyond the grid, both (windows, numeric series)."""
        return moments(self.in_range(counts), *self._layout.whole_sums(counts), self.grid.centers, self.grid.unit_sizes)

    def in_range(self, counts: Int64s) -> Int64s:
        """Values that mean and variance are taken of, (windows, numeric series)."""
        n: Int64s = self._cells(counts)[0][:, : len(self.grid.numeric)] - self._beyond(counts)
        return n

    def _beyond(self, counts: Int64s) -> Int64s:
        """Values in the overflow bins, (windows, numeric series)."""
        width = len(self.grid.numeric)
        beyond: Int64s = counts[:, self._layout.starts[:width]] + counts[:, self._stops[:width] - 1]
        return beyond

    def _out_of_grid(self, counts: Int64s) -> Int64s:
        """Values outside the usual bins, (windows, numeric series)."""
        parts = np.add.reduceat(counts, self._usual_cuts, axis=-1).reshape(len(counts), -1, 4)
        outside: Int64s = parts[..., 0] + parts[..., 2]
        return outside

    @cached_property
    def _usual_cuts(self) -> Int64s:
        """Give the begins of each numeric series' bins, its usual ones, those behind them and its invalid states."""
        width = len(self.grid.numeric)
        usual = np.array([bins.usual for bins in self.grid.numeric], dtype=np.int64)
        starts = self._layout.starts[:width]
        cuts = [starts, starts + usual[:, 0], starts + usual[:, 1] + 1, self._stops[:width]]
        return np.stack(cuts, axis=-1).ravel()

    @cached_property
    def reference_bins(self) -> Int64s:
        bins: Int64s = self.padded.bins(self.reference.total[np.newaxis])[0]
        return bins

    @cached_property
    def reference_std(self) -> Float64s:
        return np.asarray(np.sqrt(self._reference_moments[1][0]), dtype=np.float64)

    @property
    def reference_mean(self) -> Float64s:
        return np.asarray(self._reference_moments[0][0], dtype=np.float64)

    @cached_property
    def _reference_moments(self) -> tuple[Float64s, Float64s]:
        return self.moments(self.reference.total[np.newaxis])

    @cached_property
    def valid_share(self) -> Float64s:
        """Share of each series' cells in the reference that are valid, shape (series,)."""
        valid, invalid, missing = self._cells(self.reference.total[np.newaxis])
        return ratio(valid[0], np.maximum((valid + invalid + missing)[0], 1))

    @cached_property
    def missing_share(self) -> Float64s:
        """Share of each series' cells in the reference that are missing, shape (series,)."""
        valid, invalid, missing = self._cells(self.reference.total[np.newaxis])
        return ratio(missing[0], np.maximum((valid + invalid + missing)[0], 1))

    def rate(self, metric: str, counts: Int64s) -> tuple[Int64s, Int64s]:
        """What one of RATES counts and what it is a share of, both (windows, series); 0 of 0 in other series."""
        valid, invalid, missing = self._cells(counts)
        if metric == "missing_rate":
            return missing, valid + invalid + missing
        if metric == "invalid_rate":
            return invalid, valid + invalid + missing
        if metric == "new_category_rate":
            return counts[:, self._stops - 1] * self._categorical, valid * self._categorical
        hits = np.zeros_like(valid)
        if self.grid.numeric:
            outside = self._beyond(counts) if metric == "beyond_rate" else self._out_of_grid(counts)
            hits[:, : outside.shape[-1]] = outside
        return hits, valid * ~self._categorical

    def _cells(self, counts: Int64s) -> tuple[Int64s, Int64s, Int64s]:
        """Cells (windows, series) that are valid, of another state than that, and missing (null or absent)."""
        # the states stand in falling order behind a series' bins, so missing ones are the last two
        begins = np.stack([self._layout.starts, self._stops, self._layout.ends - 2], axis=-1).ravel()
        cells = np.add.reduceat(counts, begins, axis=-1).reshape(len(counts), -1, 3)
        return cells[..., 0], cells[..., 1], cells[..., 2]

    def _rates(self, counts: Int64s) -> Scores:
        scores = {metric: ratio(*self.rate(metric, counts)) for metric in RATES}
        valid, invalid, missing = self._cells(counts)
        scores["vanished"] = np.where(valid > 0, 0.0, np.where(self.misses(valid + invalid + missing), 1.0, np.nan))
        return scores

    def misses(self, cells: Int64s) -> NDArray[np.bool_]:
        """Return true if cells without any valid value, shape (..., series), are no accident.

        The reference would predict some of them valid; or it has no valid value itself, and then nobody knows the
        column.
        """
        expected = np.where(self.valid_share > 0, cells * self.valid_share, cells)
        return np.asarray(expected >= EXPECTED)


class Group:
    """Series with the same number of coarse bins, which are computed together. `members`: their places, ascending."""

    def __init__(self, members: list[int], coarse: Sequence[CoarseBins], layout: Layout) -> None:
        self.members = members
        self._places = np.concatenate([layout.bins[j].start + coarse[j].order for j in members])
        ends = np.cumsum([len(coarse[j].order) for j in members])
        self._cuts = np.stack(
            [end - len(coarse[j].order) + coarse[j].starts for j, end in zip(members, ends, strict=True)]
        )

    def merge(self, counts: Int64s) -> Int64s:
        """Coarse bins (windows, members, bins) of count vectors (windows, width)."""
        merged = np.add.reduceat(counts[:, self._places], self._cuts.ravel(), axis=-1)
        return merged.reshape(len(counts), *self._cuts.shape)


class Padded:
    """The bins of all numeric series as one matrix: rows of one width, filled up with bins that hold nothing."""

    def __init__(self, grid: Grid) -> None:
        layout, width = grid.layout, max((bins.bins for bins in grid.numeric), default=1)
        self._places = np.full((len(grid.numeric), width), layout.width)  # one past the end: a zero
        self.inner = np.zeros((len(grid.numeric), width), dtype=np.int64)
        """1 for bins that hold values which are not beyond the grid, else 0."""
        self.positions = np.zeros((len(grid.numeric), width))
        self.lows, self.highs = np.zeros_like(self.positions), np.zeros_like(self.positions)
        for j, bins in enumerate(grid.numeric):
            self._places[j, : bins.bins] = np.arange(layout.bins[j].start, layout.bins[j].stop)
            self.inner[j, 1 : bins.bins - 1] = 1
            low, high = bins.bounds
            for table, values in ((self.positions, bins.positions), (self.lows, low), (self.highs, high)):
                table[j, : bins.bins] = values
                table[j, bins.bins :] = values[-1]

    def bins(self, counts: Int64s) -> Int64s:
        """Bin counts (windows, numeric series, width) of count vectors (windows, width of the layout)."""
        return np.pad(counts, ((0, 0), (0, 1)))[:, self._places]
