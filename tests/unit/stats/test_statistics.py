"""What all statistics keep: empty sides, equal sides, leading axes, order of bins, extremes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.events import Float64s, Int64s
from monitor.stats.chi2 import chi2, cramers_v
from monitor.stats.distance import ks, wasserstein
from monitor.stats.divergence import hellinger, js_distance, psi
from monitor.stats.moments import moments
from monitor.stats.quantiles import quantiles

Score = Callable[[Int64s, Int64s], Float64s]


def chi2_statistic(reference: Int64s, current: Int64s) -> Float64s:
    return chi2(reference, current)[0]


def wasserstein_of_bins(reference: Int64s, current: Int64s) -> Float64s:
    return wasserstein(reference, current, np.arange(reference.shape[-1]) / 3.0, np.array(1.5))


SCORES: dict[str, Score] = {
    "psi": psi,
    "js_distance": js_distance,
    "hellinger": hellinger,
    "chi2": chi2_statistic,
    "cramers_v": cramers_v,
    "ks": ks,
    "wasserstein": wasserstein_of_bins,
}
BOUNDED = ("js_distance", "hellinger", "cramers_v", "ks")
EMPTY = np.zeros(5, dtype=np.int64)
FULL = np.array([4, 0, 3, 2, 1])
every_score = pytest.mark.parametrize("name", SCORES)


@every_score
def test_an_empty_side_gives_nan(name: str) -> None:
    """n = 0 on either side has no score, and there is no warning."""
    score = SCORES[name]
    assert np.isnan([score(EMPTY, FULL), score(FULL, EMPTY), score(EMPTY, EMPTY)]).all()


@every_score
@given(counts=st.lists(st.integers(0, 10**9), min_size=1, max_size=30), factor=st.integers(1, 1000))
def test_equal_shares_give_zero(name: str, counts: list[int], factor: int) -> None:
    """The same shares at another size are at distance 0 (PSI: at the same size, since its half counts weigh)."""
    reference = np.array(counts)
    if reference.sum() > 0:
        assert SCORES[name](reference, reference * (1 if name == "psi" else factor)) == pytest.approx(0.0, abs=1e-9)


@every_score
def test_leading_axes_are_independent(name: str) -> None:
    """A stack of pairs gives, bit for bit, what each pair gives alone; an empty one does not spoil the others."""
    rng = np.random.default_rng(5)
    reference, current = rng.integers(0, 50, (3, 4, 12)), rng.integers(0, 50, (3, 4, 12))
    current[1, 2] = 0
    stacked = SCORES[name](reference, current)
    assert stacked.shape == (3, 4)
    alone = [[float(SCORES[name](reference[i, j], current[i, j])) for j in range(4)] for i in range(3)]
    np.testing.assert_array_equal(stacked, alone)
    assert np.isnan(stacked).sum() == 1


@every_score
def test_one_reference_serves_many_windows(name: str) -> None:
    """The reference is broadcast over the windows."""
    current = np.random.default_rng(6).integers(0, 50, (4, 5))
    each = [float(SCORES[name](FULL, window)) for window in current]
    assert SCORES[name](FULL, current).tolist() == each


@pytest.mark.parametrize("name", BOUNDED)
def test_bounded_scores_reach_one_where_no_bin_is_shared(name: str) -> None:
    """1 is the end of the scale."""
    reference, current = np.array([7, 0]), np.array([0, 900])
    assert float(SCORES[name](reference, current)) == pytest.approx(1.0, abs=1e-12)


@every_score
def test_more_shift_is_a_larger_score(name: str) -> None:
    """Higher is worse: mass moved further along gives more, step by step."""
    reference = np.array([100, 100, 100, 100])
    scores = [float(SCORES[name](reference, np.array([100 - k, 100, 100, 100 + k]))) for k in (0, 10, 40, 90)]
    assert scores == sorted(set(scores))


@pytest.mark.parametrize("name", [name for name in SCORES if name not in ("ks", "wasserstein")])
def test_order_of_bins_makes_no_difference_to_divergences(name: str) -> None:
    """They know bins, not an order; so they serve categories too."""
    reference, current = np.array([5, 0, 9, 2]), np.array([1, 3, 8, 2])
    turned = float(SCORES[name](reference[::-1], current[::-1]))
    assert turned == pytest.approx(float(SCORES[name](reference, current)), rel=1e-12)


@every_score
def test_counts_of_months_do_not_overflow(name: str) -> None:
    """Counts up to 1e12 a bin are within reach."""
    reference, current = np.array([10**12, 10**12]), np.array([10**12, 10**11])
    small = float(SCORES[name](reference // 10**6, current // 10**6))
    ours = float(SCORES[name](reference, current))
    assert ours == pytest.approx(small * (10**6 if name == "chi2" else 1), rel=1e-3)


def test_chi2_of_a_single_bin_knows_no_difference() -> None:
    """One category on both sides: statistic 0, no degrees of freedom, p-value 1."""
    statistic, degrees, p_value = chi2(np.array([0, 5]), np.array([0, 9]))
    assert (float(statistic), int(degrees), float(p_value)) == (0.0, 0, 1.0)


def test_chi2_of_an_empty_side_has_no_p_value() -> None:
    """NaN, so that nobody reads a verdict out of nothing."""
    assert np.isnan(chi2(FULL, EMPTY)[2])


def test_psi_at_ten_bins_stays_below_its_folklore_by_chance() -> None:
    """Why ten bins: at 2,000 rows PSI of a null pair passes 0.25 on 256 bins now and then, on ten never."""
    rng = np.random.default_rng(9)
    passed = {}
    for bins in (10, 256):
        pairs = rng.multinomial(2000, np.full(bins, 1 / bins), (200, 2))
        passed[bins] = float((psi(pairs[:, 0], pairs[:, 1]) > 0.25).mean())
    assert passed[10] == 0.0
    assert passed[256] > 0.1


def test_wasserstein_of_a_constant_reference_is_in_the_columns_units() -> None:
    """A scale of 0 divides by 1, so the score stays finite."""
    reference, current = np.array([10, 0]), np.array([0, 10])
    assert float(wasserstein(reference, current, np.array([5.0, 8.0]), np.array(0.0))) == 3.0


def test_wasserstein_takes_positions_and_scales_by_series() -> None:
    """Positions (series, bins) and scales (series,) against counts (windows, series, bins)."""
    reference, current = np.array([[4, 0], [4, 0]]), np.array([[[0, 4], [2, 2]]])
    positions, scale = np.array([[0.0, 1.0], [10.0, 30.0]]), np.array([1.0, 5.0])
    assert wasserstein(reference, current, positions, scale).tolist() == [[1.0, 2.0]]


def test_bins_that_hold_nothing_change_no_distance() -> None:
    """Padding at the end, as evaluate has it, is invisible."""
    reference, current = np.array([4, 1, 2]), np.array([1, 5, 2])
    positions = np.array([0.0, 1.0, 4.0])
    padded = [np.pad(counts, (0, 3)) for counts in (reference, current)]
    far = np.pad(positions, (0, 3), mode="edge")
    assert ks(padded[0], padded[1]) == ks(reference, current)
    distance = wasserstein(padded[0], padded[1], far, np.array(2.0))
    assert distance == wasserstein(reference, current, positions, np.array(2.0))
    assert quantiles(padded[0], far, far, 0.9) == quantiles(reference, positions, positions, 0.9)


def test_moments_do_not_cancel() -> None:
    """A billion values that differ in one unit have an exact variance, where float sums would give 0 or less."""
    n, q = 10**9, 2**14
    sums, squares = q * n + 1, q * q * (n - 1) + (q + 1) ** 2
    mean, variance = moments(np.array(n), np.array(sums), np.array(squares), np.zeros(1), np.ones(1))
    assert mean.tolist() == [q + 1e-9]
    assert variance.tolist() == pytest.approx([1e-9 - 1e-18], rel=1e-12)


def test_moments_go_by_window_and_series() -> None:
    """n (windows, series) with centers and units (series,); a series without values is NaN."""
    n = np.array([[2, 0], [4, 1]])
    sums, squares = np.array([[2, 0], [8, 3]]), np.array([[4, 0], [20, 9]])
    mean, variance = moments(n, sums, squares, np.array([10.0, 0.0]), np.array([0.5, 2.0]))
    np.testing.assert_array_equal(mean, [[10.5, np.nan], [11.0, 6.0]])
    np.testing.assert_array_equal(variance, [[0.25, np.nan], [0.25, 0.0]])


def test_moments_of_no_series_are_empty() -> None:
    """A stream without numeric columns asks for nothing and gets it."""
    nothing = np.zeros((3, 0), dtype=np.int64)
    mean, variance = moments(nothing, nothing, nothing, np.zeros(0), np.zeros(0))
    assert mean.shape == variance.shape == (3, 0)


def test_quantiles_of_atoms_are_their_values() -> None:
    """A bin of one value gives it exactly, empty bins are stepped over, n = 0 is NaN."""
    lows, highs = np.array([0.0, 0.1, 0.1, 7.0]), np.array([0.1, 0.1, 7.0, 7.0])
    counts = np.array([[0, 5, 0, 5], [0, 0, 0, 0]])
    assert [float(quantiles(counts, lows, highs, q)[0]) for q in (0.0, 0.5, 0.51, 1.0)] == [0.1, 0.1, 7.0, 7.0]
    assert np.isnan(quantiles(counts, lows, highs, 0.5)[1])


@given(st.lists(st.integers(0, 100), min_size=1, max_size=30).filter(any))
def test_quantiles_rise_with_q(counts: list[int]) -> None:
    """A higher q never has a lower quantile."""
    edges = np.arange(len(counts) + 1, dtype=np.float64) ** 2
    values = [float(quantiles(np.array(counts), edges[:-1], edges[1:], q / 20)) for q in range(21)]
    assert values == sorted(values)
