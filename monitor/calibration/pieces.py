"""Pieces: stretches of a reference's rows, out of which references and streams without change are drawn.

Rows that depend on each other are drawn in pieces that begin anywhere and are as long as dependence reaches on average,
each as long as chance has it (the stationary bootstrap; D. Politis and J. Romano, 1994). Longer pieces of one length
would keep more of the dependence, and show of short windows only those that the reference has: too few for a tail. What
is lost where pieces meet is lost in drawn references, too, which measure it. Independent rows are drawn one by one, and
where a season is known whole periods of time.

Drawing with replacement makes samples of the reference's own distribution: rows repeat in them, but a drawn reference
and a drawn stream repeat other ones, so they differ by chance as much as a reference and its stream do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.drift.null import Null
from monitor.events import Float64s, Int64s
from monitor.stats.draws import seed_of, words

_ASIDE = 3
"""One of this many stretches is kept aside."""
_STRETCHES = 24
"""Stretches of rows of which some are kept aside, at most: a piece should lie in one of them."""
_PIECES_A_STRETCH = 8


@dataclass(frozen=True)
class Pieces:
    """Rows to draw from: their places in order. `mean`: rows of a piece on average.

    `periods`: how many rows each whole period has, if pieces are these; they lie one behind the other.
    """

    places: Int64s
    mean: int
    periods: Int64s | None = None

    def split(self) -> tuple[Pieces, Pieces]:
        """Those that limits are solved on, and those that are kept aside; both of all if there are too few."""
        if self.periods is not None:
            if len(self.periods) < _ASIDE:
                return self, self
            period = np.repeat(np.arange(len(self.periods)), self.periods)
            is_aside = np.arange(len(self.periods)) % _ASIDE == _ASIDE - 1
            return self._of(~is_aside[period], ~is_aside), self._of(is_aside[period], is_aside)
        number = min(_STRETCHES, len(self.places) // (_PIECES_A_STRETCH * self.mean)) // _ASIDE * _ASIDE
        if number == 0:
            return self, self
        row_is_aside = np.arange(len(self.places)) * number // len(self.places) % _ASIDE == _ASIDE - 1
        return self._of(~row_is_aside), self._of(row_is_aside)

    def _of(self, rows: np.ndarray, periods: np.ndarray | None = None) -> Pieces:
        kept = None if self.periods is None or periods is None else self.periods[periods]
        return Pieces(self.places[rows], self.mean, kept)

    def draw(self, name: str, rows: int) -> Int64s:
        """The places of that many rows, in pieces drawn with replacement. `name`: seeds the draws."""
        starts, lengths = self._drawn(name, rows)
        before = np.cumsum(lengths) - lengths
        found = np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
        return np.asarray(self.places[found[:rows] % len(self.places)])

    def _drawn(self, name: str, rows: int) -> tuple[Int64s, Int64s]:
        """Begins of pieces, and their lengths: together at least `rows` rows."""
        seed = seed_of(name)
        if self.periods is not None:
            chosen = _below(len(self.periods), seed, 0, -(-rows // int(self.periods.min())))
            return (np.cumsum(self.periods) - self.periods)[chosen], self.periods[chosen]
        number = -(-rows // self.mean)
        starts, lengths, at = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)], 0
        while sum(int(part.sum()) for part in lengths) < rows:
            starts.append(_below(len(self.places), seed, 2 * at * number, number))
            lengths.append(_geometric(self.mean, seed, (2 * at + 1) * number, number))
            at += 1
        return np.concatenate(starts), np.concatenate(lengths)


def pieces_of(null: Null, rows: int, time: Int64s | None = None, season_ms: int = 0) -> Pieces:
    """The pieces of a reference of `rows` rows. `time`: of each, ms, if they have times."""
    if season_ms and time is not None and int(time[-1] - time[0]) >= 2 * season_ms:
        edges = np.unique(np.searchsorted(time, np.arange(int(time[0]), int(time[-1]) + 1, season_ms)))
        return Pieces(np.arange(int(edges[-1])), null.piece_rows, np.diff(edges))
    return Pieces(np.arange(rows), max(1, min(null.piece_rows, rows // _ASIDE)))


def _uniform(seed: int, start: int, count: int) -> Float64s:
    """Uniform numbers in (0, 1)."""
    return ((words(seed, start, count) >> np.uint64(11)).astype(np.float64) + 0.5) / (1 << 53)


def _below(number: int, seed: int, start: int, count: int) -> Int64s:
    places: Int64s = (_uniform(seed, start, count) * number).astype(np.int64)
    return places


def _geometric(mean: int, seed: int, start: int, count: int) -> Int64s:
    """Lengths from 1 on with a mean: each row is the last of its piece by the same chance."""
    if mean == 1:
        return np.ones(count, dtype=np.int64)
    drawn = np.ceil(np.log(_uniform(seed, start, count)) / np.log1p(-1.0 / mean))
    lengths: Int64s = np.maximum(drawn, 1.0).astype(np.int64)
    return lengths
