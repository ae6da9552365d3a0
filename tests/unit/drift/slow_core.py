"""The sequential core as its files define it: one block, one window, one column after the other.

Sums are Python's whole numbers, scores fractions, linear algebra is numpy's, and chi-square scipy's. Only the grid, its
coarse bins, and constants are shared with the fast core.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import cbrt, log, sqrt
from typing import NamedTuple

import numpy as np
from scipy import stats

from monitor.drift.columns import TESTS_A_COLUMN
from monitor.drift.core import SHIPPED
from monitor.events import CellState
from monitor.panes.coarse import CoarseBins, digest_of
from monitor.panes.grid import FIRST_INVALID, INVALID_BASE, CategoryBins
from monitor.panes.numeric_bins import NumericBins
from tests.unit.drift.making import Lane

GROUP = 50
LEAST = -8.0
Bins = NumericBins | CategoryBins
Row = tuple[int, ...]
"""Codes of a row, those of invalid cells as -state."""


def rows_of_codes(codes: np.ndarray) -> list[Row]:
    return [tuple(c if c < FIRST_INVALID else c - INVALID_BASE for c in row) for row in codes.tolist()]


def wilson_hilferty(chi: float, degrees: float) -> float:
    nine = 2 / (9 * degrees)
    return (cbrt(chi / degrees) - (1 - nine)) / sqrt(nine)


def camp(hits: int, others: int, share: float) -> float:
    """z of as many hits or more, of which each is the window's with a probability of `share`."""
    k, n = hits - 1, hits + others
    a, b = 1 / (9 * (n - k)), 1 / (9 * (k + 1))
    ratio = cbrt((k + 1) * (1 - share) / ((n - k) * share))
    return ((1 - b) * ratio - (1 - a)) / sqrt(a + b * ratio * ratio)


# ---------------------------------------------------------------------- scores and cells of a series


def scores_of(bins: Bins, counts: list[int]) -> tuple[list[int], list[int]]:
    """Both scores of each code."""
    rows = sum(counts)
    if not rows:
        return [0] * len(counts), [0] * len(counts)
    order = list(range(len(counts)))
    if isinstance(bins, CategoryBins):
        order = sorted(order[:-1], key=lambda code: digest_of(bins.values[code])) + order[-1:]
    below, ranks = 0, [Fraction(0)] * len(counts)
    for code in order:
        ranks[code] = Fraction(2 * below + counts[code], 2 * rows)
        below += counts[code]
    return centred(ranks, counts), centred([2 * abs(rank - Fraction(1, 2)) for rank in ranks], counts)


def centred(scores: list[Fraction], counts: list[int]) -> list[int]:
    mean = sum((score * count for score, count in zip(scores, counts, strict=True)), Fraction(0)) / sum(counts)
    gaps = [abs(score - mean) for score, count in zip(scores, counts, strict=True) if count]
    return [round(1024 * (score - mean)) if max(gaps) > Fraction(1, 1024) else 0 for score in scores]


class Column:
    """A series: scores of its codes, and what its cells are counted as."""

    def __init__(self, bins: Bins, counts: list[int], invalid: list[int]) -> None:
        """`invalid`: counts of the states 6, 5, ... 1."""
        self.bins, self.codes = bins, len(counts)
        self.both = scores_of(bins, counts)
        coarse = CoarseBins(bins, np.array(counts))
        self._coarse = {
            int(code): place
            for place, codes in enumerate(np.split(coarse.order, coarse.starts[1:]))
            for code in codes.tolist()
        }
        self.shares = [0] * (len(coarse) + 2)
        self.rare = [0] * 5
        for code, count in [*enumerate(counts), *((-state, invalid[-state]) for state in range(1, len(invalid) + 1))]:
            self.count(code, self.shares, self.rare, count)

    def score(self, code: int, kind: int) -> int:
        return self.both[kind][code] if code >= 0 else 0

    def count(self, code: int, shares: list[int], rare: list[int], rows: int = 1) -> None:
        """Add rows with that code to coarse bins, missing, invalid; and to low, high, missing, invalid, new."""
        is_missing = code in (-CellState.NULL, -CellState.ABSENT)
        shares[self._coarse[code] if code >= 0 else -2 if is_missing else -1] += rows
        is_number = isinstance(self.bins, NumericBins)
        first, last = self.bins.usual if isinstance(self.bins, NumericBins) else (0, self.codes)
        kinds = (0 <= code < first, code > last, is_missing, code < 0 and not is_missing, code == self.codes - 1)
        for kind, holds in enumerate(kinds):
            rare[kind] += rows if holds and (kind < 4 or not is_number) else 0


# ---------------------------------------------------------------------- blocks


class Sums:
    """What is added up of rows: scores, cells of each column, and products of pairs over the trace."""

    def __init__(self, core: SlowCore) -> None:
        self.rows, self.traced = 0, 0
        self.scores = [[0] * len(core.columns), [0] * len(core.columns)]
        self.shares = [[0] * len(column.shares) for column in core.columns]
        self.rare = [[0] * 5 for _ in core.columns]
        self.products = [0] * len(core.pairs)

    def plus(self, other: Sums) -> None:
        self.rows, self.traced = self.rows + other.rows, self.traced + other.traced
        for mine, theirs in (
            *zip(self.scores, other.scores, strict=True),
            *zip(self.shares, other.shares, strict=True),
            *zip(self.rare, other.rare, strict=True),
            (self.products, other.products),
        ):
            mine[:] = [a + b for a, b in zip(mine, theirs, strict=True)]


class Inflation:
    """How much more sums of scores vary than those of independent rows."""

    def __init__(self, rows: list[list[int]], variances: list[float]) -> None:
        """`rows`: scores of the reference's rows, in order; `variances`: of each."""
        self.blocks = [
            [sum(row[i] for row in rows[start : start + 10]) for i in range(len(variances))]
            for start in range(0, len(rows) - 9, 10)
        ]
        self._variances = variances
        self._factors = [(1, [1.0] * len(variances))]
        length = 10
        while length <= 10 * len(self.blocks) // 16:
            found = [self._factor(length, i) for i in range(len(variances))]
            before = self._factors[-1][1]
            self._factors.append((length, [max(a, b) for a, b in zip(before, found, strict=True)]))
            length *= 2

    def _factor(self, length: int, i: int) -> float:
        size = length // 10
        stretches = [
            sum(block[i] for block in self.blocks[k : k + size]) for k in range(0, len(self.blocks) - size + 1, size)
        ]
        mean = sum(block[i] for block in self.blocks) / (10 * len(self.blocks))
        degrees = len(stretches) - 1
        excess = sum((sum_ - mean * length) ** 2 for sum_ in stretches) / length / degrees
        excess = excess / self._variances[i] if self._variances[i] else 1.0
        return max(excess * (1 + sqrt(2 / degrees)), 1.0) if wilson_hilferty(excess * degrees, degrees) > 4 else 1.0

    def alone(self, rows: int) -> list[float]:
        return next((factors for length, factors in self._factors if length >= rows), self._factors[-1][1])

    def beside(self, n: int, m: int) -> list[float]:
        size = min(size for k in range(40) for size in (2**k, 3 * 2**k) if size >= n)
        own = size / (size + m)
        return [(1 - own) * a + own * b for a, b in zip(self.alone(size), self.alone(m), strict=True)]


class Found(NamedTuple):
    """z over its limit, of each way of looking."""

    family: float
    column: float
    correlation: float


class SlowCore:
    """The core of a lane. What it keeps is all blocks, and of each window what it has found."""

    def __init__(self, lane: Lane) -> None:
        layout = lane.grid.layout
        self.m = lane.rows
        both: list[Bins] = [*lane.grid.numeric, *lane.grid.categorical]
        self.columns = [
            Column(bins, lane.counts[part].tolist(), lane.counts[invalid].tolist())
            for bins, part, invalid in zip(both, layout.bins, layout.invalid, strict=True)
        ]
        self.series = len(self.columns)
        self.reference = [self.scores(row) for row in rows_of_codes(lane.codes)]
        of_counts = [lane.counts[part].tolist() for part in layout.bins]
        self.powers = [
            [
                Fraction(sum(score**power * n for score, n in zip(column.both[kind], counts, strict=True)), self.m)
                for kind in (0, 1)
                for column, counts in zip(self.columns, of_counts, strict=True)
            ]
            for power in (1, 2, 3, 4)
        ]
        self.mean = self.powers[0]
        self.second = [Fraction(sum(row[i] * row[i] for row in self.reference), self.m) for i in range(2 * self.series)]
        self.inflation = Inflation(self.reference, [float(square) for square in self.second])
        starts = range(0, self.series, GROUP)
        self.groups = [range(start, min(start + GROUP, self.series)) for start in starts]
        self.families = [SlowFamily(self, group) for group in self.groups]
        self.pairs = [pair for group in self.groups for pair in self._usable_pairs(group)]
        self.limits = [
            sqrt(limit**2 + 2 * log(max(tests, 1)))
            for limit, tests in zip(
                SHIPPED, (len(self.groups), TESTS_A_COLUMN * self.series, 2 * len(self.pairs)), strict=True
            )
        ]
        self.blocks: list[Sums] = []
        self._open = Sums(self)
        self._found: dict[int, Found] = {}

    def scores(self, row: Row) -> list[int]:
        """Ranks of all series, then how far they spread."""
        return [column.score(code, kind) for kind in (0, 1) for column, code in zip(self.columns, row, strict=True)]

    def _usable_pairs(self, group: range) -> Iterator[tuple[int, int, Fraction, Fraction, float, float]]:
        """Places of both columns, mean and variance of their product, the rows that it takes, and its skewness."""
        square = {i: sum(row[i] ** 2 for row in self.reference) for i in group}
        heavy = {i: sum(row[i] ** 4 for row in self.reference) * self.m / max(square[i], 1) ** 2 for i in group}
        for i in group:
            for j in range(i + 1, group.stop):
                products = [row[i] * row[j] for row in self.reference]
                mean = Fraction(sum(products), self.m)
                variance = Fraction(sum(product * product for product in products), self.m) - mean * mean
                if variance > 1:
                    apart = float(heavy[i] * heavy[j])
                    less = float(square[i] * square[j] / (self.m * self.m * variance))
                    fourth = min(apart * less**2, float((512 * 512 + abs(mean)) ** 2 / variance))
                    yield i, j, mean, variance, 12 * apart, sqrt(max(fourth - apart, 0.0))

    def add(self, rows: list[Row], trace: list[Row]) -> Found | None:
        """Take a pane; None if no block ends with it."""
        part = self._open
        part.rows, part.traced = part.rows + len(rows), part.traced + len(trace)
        for row in rows:
            for i, score in enumerate(self.scores(row)):
                part.scores[i // self.series][i % self.series] += score
            for column, code, shares, rare in zip(self.columns, row, part.shares, part.rare, strict=True):
                column.count(code, shares, rare)
        for row in trace:
            scores = self.scores(row)
            for place, (i, j, *_) in enumerate(self.pairs):
                part.products[place] += scores[i] * scores[j]
        if part.rows < 10:
            return None
        self.blocks.append(part)
        self._open = Sums(self)
        for size in self._moved():
            self._found[size] = self._judge(size)
        return Found(*(max(way) for way in zip(*self._found.values(), strict=True)))

    def _moved(self) -> list[int]:
        count = len(self.blocks)
        steps = {1: 1, 2: 1, 4: 1} | {8 * 2**level: 2**level for level in range(7)}
        return [size for size, step in steps.items() if count % step == 0 and count >= size]

    def _judge(self, size: int) -> Found:
        window = Sums(self)
        for block in self.blocks[-size:]:
            window.plus(block)
        factors = self.inflation.beside(window.rows, self.m)
        family = max([LEAST, *(one.z(window, factors) for one in self.families)])
        column = max([LEAST, *self._of_columns(window, factors)])
        correlation = max([LEAST, *self._of_pairs(window)]) if size <= 64 else LEAST * self.limits[2]
        return Found(*(z / limit for z, limit in zip((family, column, correlation), self.limits, strict=True)))

    def _of_columns(self, window: Sums, factors: list[float]) -> Iterator[float]:
        n, m = window.rows, self.m
        for j, column in enumerate(self.columns):
            larger = max(factors[j], factors[self.series + j])
            yield of_shares(window.shares[j], column.shares, n, m, larger)
            for hits, others in zip(window.rare[j], column.rare, strict=True):
                yield camp(hits, others, n / (n + m)) / sqrt(larger) if hits else LEAST
        _, square, cube, fourth = self.powers
        for i, factor in enumerate(factors):
            least = max(square[i], Fraction(1, 10**9))
            fewest = 12 * fourth[i] / least**2 + 200 * cube[i] ** 2 / least**3
            gap = float(abs(Fraction(window.scores[i // self.series][i % self.series], n) - self.mean[i]))
            spread = sqrt(self.second[i] * (Fraction(1, n) + Fraction(1, m))) * sqrt(factor)
            yield gap / spread if square[i] and n >= fewest * factor else 0.0

    def _of_pairs(self, window: Sums) -> Iterator[float]:
        n, m = window.traced, self.m
        factors = self.inflation.beside(n, m) if n else []
        for (i, j, mean, variance, fewest, skewness), sum_ in zip(self.pairs, window.products, strict=True):
            if min(n, self.m) < fewest:
                continue
            inflation = sqrt(factors[i] * factors[j])
            z = abs(float(sum_ - n * mean)) / sqrt(float(variance * (n + Fraction(n * n, m))) * inflation)
            yield z / sqrt(1 + z * skewness / 3 / sqrt(n))


def of_shares(window: list[int], reference: list[int], n: int, m: int, inflation: float) -> float:
    """z of the two-sample chi-square of cells of which at least five are expected on both sides."""
    both = [(w, r) for w, r in zip(window, reference, strict=True) if (w + r) * min(n, m) >= 5 * (n + m)]
    if len(both) < 2 or not all(map(sum, zip(*both, strict=True))):
        return LEAST
    chi = stats.chi2_contingency(np.array(both), correction=False).statistic
    return wilson_hilferty(chi / inflation, len(both) - 1)


class SlowFamily:
    """T² of a group by its inverse, and its law by traces."""

    def __init__(self, core: SlowCore, group: range) -> None:
        places = [*group, *(core.series + j for j in group)]
        rows = np.array(core.reference, dtype=object)[:, places]
        mean = [core.mean[i] for i in places]
        second = np.array((rows.T @ rows).tolist(), dtype=object).reshape(len(places), len(places))
        covariance = [
            [Fraction(int(second[i, j]), core.m) - mean[i] * mean[j] for j in range(len(places))]
            for i in range(len(places))
        ]
        fourth = [Fraction(sum(row[i] ** 4 for row in rows.tolist()), core.m) for i in range(len(places))]
        usable = [i for i in range(len(places)) if covariance[i][i] and fourth[i] < 8 * covariance[i][i] ** 2]
        if 3 * len(usable) > core.m:
            usable = [i for i in usable if i < len(group)]
        if 3 * len(usable) > core.m:
            usable = []
        self._core, self._places = core, [places[i] for i in usable]
        self._mean = [mean[i] for i in usable]
        self._deviation = np.array([sqrt(covariance[i][i]) for i in usable])
        matrix = np.array([[float(covariance[i][j]) for j in usable] for i in usable]).reshape(len(usable), -1)
        self._correlation = matrix / np.outer(self._deviation, self._deviation)
        self._inverse = np.linalg.inv(self._correlation + 0.05 * np.eye(len(usable)))
        self._excess = self._excess_of_blocks() if usable else 0.0

    def _square(self, sums: list[int], n: int, error: float) -> float:
        gap = np.array([float(sums[i] - n * mean) for i, mean in zip(self._places, self._mean, strict=True)])
        gap = gap / self._deviation
        return float(gap @ self._inverse @ gap) / (n + error)

    def _law(self, factors: list[float]) -> tuple[float, float]:
        root = np.sqrt([factors[i] for i in self._places])
        a = self._inverse @ (self._correlation * np.outer(root, root))
        return float(np.trace(a)), 2 * float(np.trace(a @ a))

    def _excess_of_blocks(self) -> float:
        inflation = self._core.inflation
        if len(inflation.blocks) < 30:
            return 0.0
        squares = np.array([self._square(block, 10, 0.0) for block in inflation.blocks])
        return max(0.0, 10 * (float(squares.var()) - self._law(inflation.alone(10))[1]))

    def z(self, window: Sums, factors: list[float]) -> float:
        n, m = window.rows, self._core.m
        if not self._places or n < 20:
            return LEAST
        mean, variance = self._law(factors)
        unseen = m / (m - len(self._places))
        mean, variance = mean * unseen, variance * unseen**3 + self._excess / n
        degrees = 2 * mean * mean / variance
        square = self._square(window.scores[0] + window.scores[1], n, n * n / m)
        return wilson_hilferty(square * degrees / mean, degrees)
