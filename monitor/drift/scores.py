"""Scores: two small integers for each grid code of a series, whose sums tell where values lie and how far they spread.

The first is the rank of the value in the reference, the second 2 |rank - 1/2|, both less their mean in the reference,
in units of 2⁻¹⁰. A cell that is not valid adds 0, so it moves no sum. As integers they add up to the same sum in any
order, and second moments of them are exact.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from monitor.events import Codes, Float64s, Int64s
from monitor.panes.grid import Grid, code_table, signed_codes
from monitor.stats.exact import total
from monitor.stats.ranks import mid_ranks, surprisal_ranks

UNIT = 1 << 10
_KINDS = 2
Scores = npt.NDArray[np.int16]


class ScoreTables:
    """The scores of all codes of a grid. `width`: ranks of all series come first, then how far they spread."""

    def __init__(self, grid: Grid, reference: Int64s) -> None:
        """Take the reference's flat count vector (`grid.layout`)."""
        series = len(grid.series)
        self.width = _KINDS * series
        self._bins = np.concatenate(
            [np.zeros(0, dtype=np.int64), *(np.arange(p.start, p.stop) for p in grid.layout.bins)]
        )
        sizes = np.array([part.stop - part.start for part in grid.layout.bins], dtype=np.int64)
        self._starts = np.cumsum(sizes) - sizes
        tables = [_scores_of(reference[part], j < len(grid.numeric)) for j, part in enumerate(grid.layout.bins)]
        self._weights = np.concatenate([np.zeros((_KINDS, 0), dtype=np.int64), *tables], axis=1)
        # by code: invalid ones count from the end of a table, and are 0
        padded = [np.zeros((_KINDS, len(code_table(grid, j, 0.0))), dtype=np.int16) for j in range(series)]
        for table, scores in zip(padded, tables, strict=True):
            table[:, : scores.shape[1]] = scores
        lengths = np.array([table.shape[1] for table in padded], dtype=np.intp)
        self._stops = np.cumsum(lengths)
        self._firsts = self._stops - lengths
        self._by_code = np.concatenate([np.zeros((_KINDS, 0), dtype=np.int16), *padded], axis=1)

    def sums(self, counts: Int64s) -> Int64s:
        """Sums of the scores of counted rows, (..., layout.width) to (..., width)."""
        if not self.width:
            return np.zeros((*counts.shape[:-1], 0), dtype=np.int64)
        weighted = counts[..., np.newaxis, self._bins] * self._weights
        sums = np.add.reduceat(weighted, self._starts, axis=-1)
        return sums.reshape(*counts.shape[:-1], self.width)

    def of_codes(self, codes: Codes) -> Scores:
        """The scores of rows, (m, series) to (m, width)."""
        signed = signed_codes(np.ascontiguousarray(codes)).astype(np.intp)
        places = signed + np.where(signed < 0, self._stops, self._firsts)
        return np.concatenate(list(self._by_code[:, places]), axis=1)


def _scores_of(counts: Int64s, is_numeric: bool) -> Int64s:
    """Both scores of each bin of a series, (2, bins); 0 if the reference has no valid value, or one bin alone."""
    if not counts.any():
        return np.zeros((_KINDS, len(counts)), dtype=np.int64)
    ranks = mid_ranks(counts) if is_numeric else surprisal_ranks(counts)
    return np.stack([_centred(ranks, counts), _centred(2 * np.abs(ranks - 0.5), counts)])


def _centred(scores: Float64s, counts: Int64s) -> Int64s:
    mean = float(total(scores * counts)) / int(counts.sum())
    if not (np.abs(scores[counts > 0] - mean) > 1 / UNIT).any():
        return np.zeros(len(scores), dtype=np.int64)
    return np.rint(UNIT * (scores - mean)).astype(np.int64)
