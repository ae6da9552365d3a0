"""Ten bins of about equal reference mass, merged from the grid's: what PSI and its kin are taken on.

On 256 bins PSI passes 0.25 by chance alone in a quarter of all windows of 2,000. A grid bin is never cut, so an atom
stays whole. Of a categorical series the nine most frequent values, the other known ones, and the unknown ones.
"""

from __future__ import annotations

import numpy as np

from monitor.events import Histogram, Int64s
from monitor.panes.grid import CategoryBins
from monitor.panes.numeric_bins import NumericBins

BINS = 10


class CoarseBins:
    """The coarse bins of one series. `starts`: first grid bin of each, ascending, the first is 0."""

    def __init__(self, bins: NumericBins | CategoryBins, reference: Int64s) -> None:
        self.bins = bins
        self.starts = _equal_mass(reference) if isinstance(bins, NumericBins) else _frequent(len(bins.values))

    def __len__(self) -> int:
        return len(self.starts)

    def merge(self, counts: Int64s) -> Int64s:
        """Counts of the coarse bins from those of the grid's, along the last axis."""
        return np.add.reduceat(counts, self.starts, axis=-1)

    def histogram(self, reference: Int64s, current: Int64s) -> Histogram:
        """Shares of both on the coarse bins, for people to look at."""
        beyond = (current[0] + current[-1]) / max(1, current.sum()) if isinstance(self.bins, NumericBins) else 0.0
        shares = _shares(self.merge(reference)), _shares(self.merge(current))
        return Histogram(self._edges(), *shares, round(float(beyond), 6))

    def _edges(self) -> tuple[float | str, ...]:
        if isinstance(self.bins, NumericBins):
            edges, (first, last) = self.bins.edges, self.bins.usual
            inner = [edges[start - 1] for start in self.starts[1:]]
            return tuple(float(e) for e in [min([edges[first - 1], *inner]), *inner, max([edges[last], *inner])])
        names = [self.bins.values[start] for start in self.starts if start < len(self.bins.values)]
        if len(self.bins.values) > len(names):
            names[-1] = "(other known)"
        return (*names, "(new)")


def _equal_mass(reference: Int64s) -> Int64s:
    """A bin belongs to the tenth in which the middle of its mass lies."""
    total = int(reference.sum())
    if total == 0:
        return np.zeros(1, dtype=np.int64)
    below = np.cumsum(reference) - reference
    tenth = np.minimum((BINS * (2 * below + reference)) // (2 * total), BINS - 1)
    return np.flatnonzero(np.diff(tenth, prepend=-1))


def _frequent(known: int) -> Int64s:
    single = min(known, BINS - 1 if known > BINS - 1 else known)
    starts = list(range(single)) + ([single] if known > single else []) + [known]
    return np.array(starts, dtype=np.int64)


def _shares(counts: Int64s) -> tuple[float, ...]:
    total = int(counts.sum())
    return tuple(round(int(count) / total, 6) if total else 0.0 for count in counts)
