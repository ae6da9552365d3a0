"""The coarse bins of a series, merged from the grid's: what PSI and its kin are taken on.

On 256 bins PSI passes 0.25 by chance alone in a quarter of all windows of 2,000. A grid bin is never cut, so an atom
stays whole.

- Numeric series: at most ten bins of about equal reference mass, and one for ten rows of it.
- Categorical series: a value that the reference has at least 30 times and in 5 % of its rows has a bin of its own.
  The other known ones are spread by a digest of the value over the bins that are left; such a bin holds at least
  twenty rows of the reference, or is merged with the next. The last bin counts the values that the grid does not know.
  There are ten bins, and beyond 1,250 rows of the reference one for each 125, up to forty: values that share a bin
  hide each other, and a reference of many rows affords more bins before chance alone moves PSI.
  (By their counts the rare values would go to bins that the reference has chosen: among rare values the frequent ones
  are those that chance made so, and no window has them as often.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from monitor.events import Histogram, Int64s
from monitor.panes.grid import CategoryBins
from monitor.panes.numeric_bins import NumericBins

BINS = 10
_MOST_BINS, _ROWS_FOR_A_BIN = 40, 125
"""Bins of a categorical series at most, and the rows of the reference that each of those beyond ten needs."""
ROWS_A_BIN = 20
"""Rows of the reference that a bin of several values has at least."""
ROWS_A_PART = 10
"""Rows of the reference for each bin of numbers, at least."""
_OWN_ROWS, _OWN_SHARE = 30, 20
"""A value has a bin of its own if the reference has it this many times, and in one of this many rows."""


class CoarseBins:
    """The coarse bins of one series. `order`: grid bins, those of each coarse bin side by side; `starts`: in it."""

    def __init__(self, bins: NumericBins | CategoryBins, reference: Int64s) -> None:
        self.bins = bins
        if isinstance(bins, NumericBins):
            self.order = np.arange(bins.bins)
            self.starts = _equal_mass(reference)
        else:
            parts, self._own = _by_digest(bins, reference)
            self.order = np.concatenate(parts)
            self.starts = np.cumsum([0, *map(len, parts[:-1])])

    def excess(self, reference: Int64s) -> float:
        """Return the factor by which the reference's shares vary more than those of as many rows.

        That moves rows between the known values that share bins and the new ones: its variance, in units of that of the
        shares, over the degrees of freedom. 1 for numbers.
        """
        if isinstance(self.bins, NumericBins) or len(self) < 2:
            return 1.0
        merged = self.merge(reference)
        shared = merged[len(self._own) : -1]
        parts = len(shared) / max(1, int(shared.sum())) + 1 / max(1, int(merged[-1]))
        return 1.0 + self.bins.doubt * parts / (len(self) - 1)

    def __len__(self) -> int:
        return len(self.starts)

    def merge(self, counts: Int64s) -> Int64s:
        """Counts of the coarse bins from those of the grid's, along the last axis."""
        return np.add.reduceat(counts[..., self.order], self.starts, axis=-1)

    def histogram(self, reference: Int64s, current: Int64s) -> Histogram:
        """Shares of both for people to look at: on the coarse bins, ten of them at most but for values of their own."""
        both = self.merge(reference), self.merge(current)
        if isinstance(self.bins, NumericBins):
            beyond = (current[0] + current[-1]) / max(1, current.sum())
            return Histogram(self._edges(self.bins), _shares(both[0]), _shares(both[1]), round(float(beyond), 6))
        own = len(self._own)
        others = len(self) - own - 1
        shown = min(others, max(1, BINS - 1 - own))
        starts = np.array([*range(own), *(own + k * others // shown for k in range(shown)), len(self) - 1])
        labels = (*_labels(self.bins, np.split(self.order, self.starts[starts[1:]])[:-1], own), "(new)")
        shares = [_shares(np.add.reduceat(counts, starts)) for counts in both]
        return Histogram(labels, shares[0], shares[1], 0.0)

    def _edges(self, bins: NumericBins) -> tuple[float | str, ...]:
        edges, (first, last) = bins.edges, bins.usual
        inner = [edges[start - 1] for start in self.starts[1:]]
        return tuple(float(e) for e in [min([edges[first - 1], *inner]), *inner, max([edges[last], *inner])])


def _labels(bins: CategoryBins, codes: list[Int64s], own: int) -> Iterator[str]:
    """What bins of these known values are called: a single one by its value. The first `own` are."""
    shared = len(codes) - own
    for place, here in enumerate(codes):
        if len(here) == 1:
            yield bins.values[here[0]]
        else:
            yield f"(other known, {place - own + 1} of {shared})" if shared > 1 else "(other known)"


def _equal_mass(reference: Int64s) -> Int64s:
    """A bin belongs to the tenth in which the middle of its mass lies; a small reference has fewer parts than ten."""
    total = int(reference.sum())
    if total == 0:
        return np.zeros(1, dtype=np.int64)
    parts = min(BINS, max(1, total // ROWS_A_PART))
    below = np.cumsum(reference) - reference
    part = np.minimum((parts * (2 * below + reference)) // (2 * total), parts - 1)
    return np.flatnonzero(np.diff(part, prepend=-1))


def _by_digest(bins: CategoryBins, reference: Int64s) -> tuple[list[Int64s], list[int]]:
    """The grid bins of each coarse bin, and the codes of the values that have one of their own, which come first."""
    known = reference[:-1]
    is_own = (known >= _OWN_ROWS) & (known * _OWN_SHARE >= reference.sum())
    own, others = np.flatnonzero(is_own), np.flatnonzero(~is_own)
    most = min(max(BINS, int(reference.sum()) // _ROWS_FOR_A_BIN), _MOST_BINS)
    left = max(1, most - 1 - len(own))
    place = np.array([digest_of(bins.values[code]) % left for code in others], dtype=np.int64)
    shared: list[Int64s] = []
    waiting = np.zeros(0, dtype=np.int64)
    for number in range(left):
        waiting = np.concatenate([waiting, others[place == number]])
        if known[waiting].sum() >= ROWS_A_BIN:
            shared.append(waiting)
            waiting = waiting[:0]
    new = np.array([len(known)])
    if shared:
        shared[-1] = np.concatenate([shared[-1], waiting])
    else:  # all rare values together are too few for a bin
        new = np.concatenate([waiting, new])
    return [*(own[k : k + 1] for k in range(len(own))), *shared, new], own.tolist()


def digest_of(value: str) -> int:
    """A number of a value that says nothing of how often it occurs."""
    return int.from_bytes(hashlib.sha256(value.encode()).digest()[:8], "big")


def _shares(counts: Int64s) -> tuple[float, ...]:
    total = int(counts.sum())
    return tuple(round(int(count) / total, 6) if total else 0.0 for count in counts)
