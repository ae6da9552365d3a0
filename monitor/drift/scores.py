"""Scores: two small integers for each grid code of a series, whose sums tell where values lie and how far they spread.

The first is the rank of the value in the reference, the second 2 |rank - 1/2|, both less their mean in the reference,
in units of 2⁻¹⁰. A cell that is not valid adds 0, so it moves no sum. As integers they add up to the same sum in any
order, and second moments of them are exact.

The rank of a category is that among categories in the order of a digest of their names, new ones last. In the order of
how often they occur (surprisal) the reference would be looked at twice: of 900 categories that are all as frequent,
those stand in front that chance has made frequent there, and no other rows have them as often.
"""

from __future__ import annotations

import numpy as np

from monitor.events import Codes, Float64s, Int64s
from monitor.panes.coarse import digest_of
from monitor.panes.grid import INVALID_STATES, CategoryBins, Grid, signed_codes
from monitor.panes.numeric_bins import NumericBins
from monitor.stats.exact import total
from monitor.stats.ranks import mid_ranks

UNIT = 1 << 10
_KINDS = 2
Scores = Float64s
"""Whole numbers, as floats, so that products of them need no copy."""


class ScoreTables:
    """The scores of all codes of a grid. `width`: ranks of all series come first, then how far they spread."""

    def __init__(self, grid: Grid, reference: Int64s, ranked: Int64s | None = None) -> None:
        """Take the reference's flat count vector (`grid.layout`). `ranked`: of the rows of it in which ranks are taken.

        That is all of them, unless the reference had to be scored while its rows came.
        """
        layout = grid.layout
        series = len(layout.bins)
        self.width = _KINDS * series
        bins: list[NumericBins | CategoryBins] = [*grid.numeric, *grid.categorical]
        ranked = reference if ranked is None else ranked
        tables = [_scores_of(ranked[part], own) for part, own in zip(layout.bins, bins, strict=True)]
        self.shift = np.zeros(self.width, dtype=np.int64)
        """What is taken off the scores that the rows of `ranked` alone would have, (width,)."""
        if ranked is not reference and series:
            means = [_mean_of(table, reference[part]) for table, part in zip(tables, layout.bins, strict=True)]
            tables = [_shifted(table, mean) for table, mean in zip(tables, means, strict=True)]
            self.shift = np.stack(means, axis=1).ravel()
        # of all places from the first bin on, so that counts are taken as they lie; invalid cells weigh nothing
        self._starts = layout.starts - layout.starts[:1]
        self._bins = layout.bins
        self._first = int(layout.starts[0]) if series else 0
        self._weights = np.zeros((_KINDS, layout.width - self._first), dtype=np.int64)
        for part, table in zip(layout.bins, tables, strict=True):
            self._weights[:, part.start - self._first : part.stop - self._first] = table
        # by code: those of invalid cells are negative, so their zeros stand in front of the series' own bins
        sizes = np.array([table.shape[1] + INVALID_STATES for table in tables], dtype=np.int64)
        self._zeros = np.cumsum(sizes) - sizes + INVALID_STATES
        none = np.zeros((_KINDS, INVALID_STATES))
        self._by_code = np.concatenate([none[:, :0], *(part for table in tables for part in (none, table))], axis=1)

    def sums(self, counts: Int64s, power: int = 1) -> Int64s:
        """Sums of a power of the scores of counted rows, (layout.width,) to (width,)."""
        if not self.width:
            return np.zeros(0, dtype=np.int64)
        weights = self._weights if power == 1 else self._weights**power
        return np.add.reduceat(weights * counts[self._first :], self._starts, axis=1).ravel()

    def of_codes(self, codes: Codes) -> Scores:
        """The scores of rows, (m, series) to (m, width): whole numbers."""
        places = self._places(codes, slice(None))
        return np.concatenate([kind.take(places) for kind in self._by_code], axis=1)

    def ranks(self, codes: Codes, part: slice) -> Scores:
        """The first scores of some series of rows, (m, all series) to (m, series): their tables lie side by side."""
        return np.asarray(self._by_code[0].take(self._places(codes, part)))

    def is_valid(self, codes: Codes) -> Scores:
        """The validity of each cell of rows, as 0 or 1, (m, series) to (m, series)."""
        return (signed_codes(np.ascontiguousarray(codes)) >= 0).astype(np.float64)

    def valid(self, counts: Int64s) -> Int64s:
        """How many valid cells each series has of counted rows, (layout.width,) to (series,)."""
        return np.array([counts[part].sum() for part in self._bins], dtype=np.int64)

    def _places(self, codes: Codes, part: slice) -> Int64s:
        places: Int64s = signed_codes(np.ascontiguousarray(codes[:, part])) + self._zeros[part]
        return places


def _scores_of(counts: Int64s, bins: NumericBins | CategoryBins) -> Int64s:
    """Both scores of each bin of a series, (2, bins); 0 if the reference has no valid value, or one bin alone."""
    if not counts.any():
        return np.zeros((_KINDS, len(counts)), dtype=np.int64)
    ranks = mid_ranks(counts) if isinstance(bins, NumericBins) else _category_ranks(counts, bins)
    return np.stack([_centred(ranks, counts), _centred(2 * np.abs(ranks - 0.5), counts)])


def _category_ranks(counts: Int64s, bins: CategoryBins) -> Float64s:
    order = np.array([*sorted(range(len(bins.values)), key=lambda k: digest_of(bins.values[k])), len(bins.values)])
    ranks = np.empty(len(counts))
    ranks[order] = mid_ranks(counts[order])
    return ranks


def _centred(scores: Float64s, counts: Int64s) -> Int64s:
    mean = float(total(scores * counts)) / int(counts.sum())
    if not (np.abs(scores[counts > 0] - mean) > 1 / UNIT).any():
        return np.zeros(len(scores), dtype=np.int64)
    return np.rint(UNIT * (scores - mean)).astype(np.int64)


def _mean_of(table: Int64s, counts: Int64s) -> Int64s:
    """The mean of both scores of counted rows, rounded, (2,)."""
    mean: Float64s = (table * counts).sum(axis=1) / max(int(counts.sum()), 1)
    return np.rint(mean).astype(np.int64)


def _shifted(table: Int64s, mean: Int64s) -> Int64s:
    return table - mean[:, np.newaxis]
