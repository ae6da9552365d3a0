"""Draws: SplitMix64's own numbers, uniform on the lattice, and cut where the counts say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitor.stats.draws import LATTICE, MOST_ROWS, below, cuts, of_rows, words


def slow(seed: int, count: int) -> list[int]:
    """SplitMix64 as it is published, in Python's integers."""
    mask, state, numbers = (1 << 64) - 1, seed, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        numbers.append(z ^ (z >> 31))
    return numbers


@given(st.integers(0, 2**64 - 1), st.integers(0, 50), st.integers(0, 50))
def test_any_part_of_the_sequence_is_had_without_what_comes_before(seed: int, start: int, count: int) -> None:
    """Against a loop that makes all of it."""
    assert words(seed, start, count).tolist() == slow(seed, start + count)[start:]


@pytest.mark.parametrize("rows", [1, 3, 500, 8192])
def test_a_sample_has_its_rows_and_no_more(rows: int) -> None:
    """All lie on the lattice."""
    (found,) = below(seed=7, numbers=[0], rows=rows, points=np.arange(LATTICE + 1))
    assert (found[0], found[-1]) == (0, rows)
    assert (np.diff(found) >= 0).all()


@given(st.lists(st.integers(0, LATTICE), min_size=1, max_size=30), st.integers(1, 3000))
def test_few_points_and_many_are_counted_alike(points: list[int], rows: int) -> None:
    """Sorted and searched, or looked up in a table; each sample is its own, whatever else is asked for."""
    few = below(9, [4, 2], rows, np.array(points))
    many = below(9, [0, 2, 4], rows, np.array(points * 3000))[:, : len(points)]
    assert few.tolist() == many[[2, 1]].tolist()


def test_samples_are_uniform_and_independent() -> None:
    """Chi-square of all points on 64 bins, and of each sample: their p-values are spread as chance has it."""
    samples = np.diff(below(5, range(200), 4096, np.arange(0, LATTICE + 1, LATTICE // 64)))
    assert stats.chisquare(samples.sum(axis=0)).pvalue > 0.001
    each = stats.chisquare(samples, axis=1).pvalue
    assert stats.kstest(each, "uniform").pvalue > 0.001


@pytest.mark.parametrize("rows", [1, 500, MOST_ROWS])
def test_a_sample_of_few_rows_is_drawn(rows: int) -> None:
    """Row by row."""
    points = np.arange(0, LATTICE + 1, 1 << 10)
    assert of_rows(3, range(4), rows, points).tolist() == below(3, range(4), rows, points).tolist()


@pytest.mark.parametrize("rows", [MOST_ROWS + 1, 100_000, 10_000_000])
def test_a_larger_sample_has_the_moments_of_one_that_was_drawn(rows: int) -> None:
    """In bins of any share: none is below 0, an empty one stays empty, and mean and variance are a binomial's."""
    points = np.array([0, 0, 3, 40, 700, 20_000, 20_000, LATTICE])
    found = of_rows(5, range(4000), rows, points)
    assert (found[:, 0] == 0).all()
    assert (found[:, -1] == rows).all()
    bins = np.diff(found)
    assert (bins >= 0).all()
    shares = np.diff(points) / LATTICE
    assert (bins[:, shares == 0] == 0).all()
    expected, variance = (part[shares > 0] for part in (rows * shares, rows * shares * (1 - shares)))
    bins = bins[:, shares > 0]
    error = np.sqrt(variance / len(bins))
    assert (np.abs(bins.mean(axis=0) - expected) < 4 * error + 0.5).all()  # counts are whole
    assert bins.var(axis=0) == pytest.approx(variance, rel=0.15, abs=1)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50), st.integers(0, 10**9))
def test_bins_are_cut_at_their_cumulated_shares(counts: list[int], others: int) -> None:
    """To half a point of the lattice, ascending, from 0; what is in no bin lies behind the last cut."""
    rows = sum(counts) + others
    if rows == 0:
        return
    found = cuts(np.array(counts), rows)
    true = np.concatenate([[0], np.cumsum(counts)]) / rows * LATTICE
    assert found[0] == 0
    assert (np.diff(found) >= 0).all()
    assert (np.abs(found - true) <= 0.5 + 1e-6).all()
    assert (found[-1] == LATTICE) == (round(true[-1]) == LATTICE)
