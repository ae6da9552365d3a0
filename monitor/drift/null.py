"""Null: how sums of consecutive rows vary by chance alone, as the reference shows it.

Rows that depend on those before them make sums vary more than as many independent ones, up to (1 + ρ) / (1 - ρ) times
with a first-order correlation ρ. The *inflation* of n rows is that factor: the variance of sums of stretches of n rows,
over n times the variance of a row. It is measured on stretches of the reference that follow each other, of 10, 20, 40
rows and so on, as long as there are sixteen of them; longer ones are taken from the largest measured. A factor that
chance alone could give, were rows independent, counts as 1.

A *season* makes sums of less than a period vary, and leaves those of whole periods alone: n rows are then whole
periods, whose factor is measured on such, and a rest, which varies by no more than half a period does.

A reference is too short to trust if it holds fewer than eight *pieces*: stretches as long as its dependence reaches,
or as a period. Sums of such stretches no longer grow with their length as those of dependent rows do. A period that
nobody has named is looked for in the autocorrelation; it makes pieces, and no factor smaller.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.drift.evidence import of_chi_square
from monitor.drift.moments import Moments, deviations
from monitor.events import Float64s, Int64s
from monitor.stats.exact import total, total_of_rows

FEWEST_PIECES = 8
"""Independent pieces that a reference needs; with fewer its null is unverified."""
_FEWEST = 16
"""Stretches from which a variance is taken, at least."""
_FEWEST_AT_ALL = 4
"""Stretches from which growth is taken, at least."""
_CLEAR = 4.0
"""The z from which a factor is believed: there are as many as scores and lengths."""
_GROWTH = 1.5
"""Longer stretches whose factors are larger than that, in the mean of dependent scores, depend on each other."""
_MOST_SIZES = 1000
"""Sizes of windows that are remembered."""
_PLACES = 256
"""Stretches in which a period is looked for."""
_LEAST_CORRELATION, _LEAST_Z = 0.5, 6.0
"""How clear a period is, at least."""


class Null:
    """The inflation of sums of scores of one reference. `pieces`: stretches in it as long as its dependence reaches.

    `period`: rows of a season that is known; 0 without one.
    """

    def __init__(self, moments: Moments, period: int = 0) -> None:
        stretches = _Stretches(moments, deviations(moments) ** 2)
        rows = stretches.rows
        periods = rows // period if period else 0
        self._period = period if periods >= FEWEST_PIECES else 0
        self._lengths, self._factors = _measured(stretches, self._period)
        self._whole = stretches.factor(self._period) if self._period else self._factors[-1]
        reach = _reach(stretches, self._lengths, self._factors)
        self.piece_rows = max(reach, period or _period_of(stretches))
        self.pieces = rows // max(self.piece_rows, 1)
        self.is_independent = not (self._factors > 1.0).any() and not (self._whole > 1.0).any()
        """True if no sum of rows varies more than chance makes it."""
        self._ones = np.ones((1, self._factors.shape[1]))
        self._of_sizes: dict[tuple[int, int], Float64s] = {}

    def factors(self, n: int, m: int) -> Float64s:
        """The inflation of each score in windows of n rows beside a reference of m, whose own part is in it.

        Without a season it is that of the next size of two to an octave, which is no smaller.
        """
        size = n if self._period else _size_from(n)
        if (size, m) not in self._of_sizes:
            if len(self._of_sizes) >= _MOST_SIZES:
                self._of_sizes.clear()
            own = size / (size + m)
            self._of_sizes[size, m] = (1.0 - own) * self.inflation(size) + own * self.inflation(m)
        return self._of_sizes[size, m]

    def of_windows(self, n: Float64s, m: int) -> Float64s:
        """The factors of windows of `n` rows each beside a reference of m, (windows, width); (1, width) of ones if all
        rows are independent.
        """
        if self.is_independent:
            return self._ones
        return np.stack([self.factors(int(rows), m) for rows in n.tolist()])

    def inflation(self, rows: int) -> Float64s:
        """The factor of each score (width,) for sums of a number of rows, at least 1.

        Between two measured lengths it is that of the longer one; without a season larger never becomes smaller.
        """
        if self._period and rows >= self._period:
            rest = (self._factors[-1] - 1.0) * (int(self._lengths[-1]) / rows)
            return np.asarray(self._whole + rest)
        place = int(np.searchsorted(self._lengths, rows, side="left"))
        return np.asarray(self._factors[min(place, len(self._factors) - 1)])


def _size_from(rows: int) -> int:
    """The next size from there on: 1, 2, 3, 4, 6, 8, 12 and so on."""
    power: int = 1 << (rows - 1).bit_length()
    return 3 * power // 4 if 4 * rows <= 3 * power else power


class _Cut(NamedTuple):
    """Stretches of one length: rows of each (k,), and how far their sums are off what is expected, (k, width)."""

    rows: Int64s
    gaps: Float64s


class _Stretches:
    """The blocks of a reference, to be cut into stretches of any length. `variance`: of each score of a row."""

    def __init__(self, moments: Moments, variance: Float64s) -> None:
        sums = moments.block_sums
        self._ends = np.cumsum(moments.block_rows)
        self._sums = np.concatenate([np.zeros((1, sums.shape[1]), dtype=np.int64), np.cumsum(sums, axis=0)])
        self.variance = variance
        self.rows = int(self._ends[-1]) if len(self._ends) else 0
        self.block = -(-self.rows // len(self._ends)) if len(self._ends) else 1

    def cut(self, length: int) -> _Cut:
        """Return stretches of about `length` rows, in whole blocks; what is behind the last one is left out."""
        stops = np.searchsorted(self._ends, np.arange(length, self.rows + 1, length)) + 1
        edges = np.unique(np.concatenate([[0], stops]))
        rows = np.diff(np.concatenate([[0], self._ends])[edges])
        mean = self._sums[-1] / max(self.rows, 1)
        return _Cut(rows, np.diff(self._sums[edges], axis=0) - mean * rows[:, np.newaxis])

    def excess(self, length: int) -> tuple[Float64s, float]:
        """The measured factor of each score, and its degrees of freedom; 1 if it can't vary.

        Blocks differ where many rows have the same time: if one holds too many for a few stretches, nothing shows.
        """
        rows, gaps = self.cut(length)
        degrees = float(len(rows) - 1)
        if len(rows) < _FEWEST_AT_ALL:
            return np.ones(len(self.variance)), 1.0
        spread = total_of_rows(gaps * gaps / rows[:, np.newaxis]) / degrees
        return np.where(self.variance > 0, spread / np.maximum(self.variance, 1e-300), 1.0), degrees

    def factor(self, length: int) -> Float64s:
        """The upper end of what is measured, 1 if chance alone could give it."""
        excess, degrees = self.excess(length)
        is_clear = of_chi_square(excess * degrees, np.full(len(excess), degrees)) > _CLEAR
        return np.where(is_clear, np.maximum(excess * (1.0 + np.sqrt(2.0 / degrees)), 1.0), 1.0)


def _measured(stretches: _Stretches, period: int) -> tuple[Int64s, Float64s]:
    """Lengths of stretches and the factor of each score there, (lengths, width); ascending both ways.

    With a period the last length is half of one.
    """
    most = stretches.rows // _FEWEST
    lengths = [1, *_doubled(stretches.block, min(most, period // 2 - 1) if period else most)]
    lengths += [period // 2] if period // 2 > lengths[-1] else []
    factors = [np.ones(len(stretches.variance))]
    factors += [stretches.factor(length) for length in lengths[1:]]
    return np.array(lengths, dtype=np.int64), np.maximum.accumulate(np.stack(factors))


def _doubled(first: int, most: int) -> list[int]:
    return [first << k for k in range(64) if first << k <= most]


def _reach(stretches: _Stretches, lengths: Int64s, factors: Float64s) -> int:
    """The length from which on factors grow no more; 1 without dependence, all rows if it can't be seen."""
    is_dependent = factors[-1] > 1.0
    if not is_dependent.any():
        return 1
    longer = _doubled(int(lengths[-1]), stretches.rows // _FEWEST_AT_ALL)[1:]
    later = [*factors, *(stretches.excess(length)[0] for length in longer)]
    growth = np.stack(later)[:, is_dependent]
    for place, length in enumerate(lengths.tolist()):
        ratio = total(growth[place:] / growth[place]) / int(is_dependent.sum())
        if (ratio <= _GROWTH).all():
            return int(length)
    return stretches.rows


def _period_of(stretches: _Stretches) -> int:
    """The rows of the longest period that the autocorrelation of a score shows; 0 if none does.

    It is a peak behind a trough, so dependence that only fades makes none. How far values lie from the middle has half
    the period of where they lie, so what is the shorter one of a score is not that of its column.
    """
    length = max(stretches.block, -(-stretches.rows // _PLACES))
    gaps = stretches.cut(length).gaps
    places = len(gaps)
    if places < _FEWEST:
        return 0
    energy = np.maximum(total_of_rows(gaps * gaps) / places, 1e-300)
    lags = np.arange(1, places // 2 + 1)
    found = np.stack([total_of_rows(gaps[lag:] * gaps[:-lag]) / (places - lag) / energy for lag in lags.tolist()])
    is_behind = np.cumsum(found < 0.0, axis=0) > 0
    is_clear = (found > _LEAST_CORRELATION) & (found * np.sqrt(places - lags)[:, np.newaxis] > _LEAST_Z)
    is_peak = is_behind & is_clear
    has_begun = np.cumsum(is_peak, axis=0) > 0
    is_first = is_peak & (np.cumsum(has_begun & ~is_peak, axis=0) == 0)  # those of twice the period come later
    periods = lags[np.where(is_first, found, 0.0).argmax(axis=0)][is_peak.any(axis=0)]
    return int(periods.max(initial=0)) * length
