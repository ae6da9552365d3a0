"""Overdispersion against scipy's contingency table, and against rows that are known to be independent or not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitor.stats.overdispersion import of_means, of_ranks, of_shares

table = st.integers(2, 8).flatmap(
    lambda bins: st.lists(st.lists(st.integers(1, 500), min_size=bins, max_size=bins), min_size=2, max_size=12)
)


@given(table)
def test_that_of_shares_is_scipys_chi_square_over_its_degrees_of_freedom(counts: list[list[int]]) -> None:
    """Of the table of stretches and bins."""
    theirs = stats.chi2_contingency(np.array(counts), correction=False)
    estimate, error = of_shares(np.array(counts))
    assert math.isclose(float(estimate), theirs.statistic / theirs.dof, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(float(error), math.sqrt(2 / theirs.dof), rel_tol=1e-12)


@given(table)
def test_bins_and_stretches_without_rows_change_nothing(counts: list[list[int]]) -> None:
    """They are not there."""
    plain = np.array(counts)
    padded = np.zeros((len(plain) + 2, plain.shape[1] + 1), dtype=np.int64)
    padded[1:-1, 1:] = plain
    for of in (of_shares, of_ranks):
        for ours, with_gaps in zip(of(plain), of(padded), strict=True):
            assert math.isclose(float(ours), float(with_gaps), rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.1] * 10, [0.7, 0.1, 0.1, 0.1], [1 / 256] * 256])
@pytest.mark.parametrize("stretches", [6, 24])
def test_independent_rows_have_one(shares: list[float], stretches: int) -> None:
    """In the mean over 2,000 references, and no estimate varies more than its error says."""
    parts = np.random.default_rng(8).multinomial(300, shares, (2000, stretches))
    for of in (of_shares, of_ranks):
        estimate, error = of(parts)
        assert estimate.mean() == pytest.approx(1.0, abs=5 * estimate.std() / math.sqrt(2000))
        assert estimate.std() <= 1.06 * error.mean()


def test_a_series_of_which_the_overdispersion_is_known() -> None:
    """The mean of an AR(1) series with coefficient 0.9 varies 19 times as much as that of independent values."""
    rng = np.random.default_rng(3)
    values = np.empty((400, 24, 500))
    last = rng.normal(size=400)
    for stretch in range(24):
        for row in range(500):
            last = 0.9 * last + math.sqrt(1 - 0.81) * rng.normal(size=400)
            values[:, stretch, row] = last
    n = np.full((400, 24), 500)
    estimate, _ = of_means(values.mean(axis=2), n, np.ones(400))
    assert estimate.mean() == pytest.approx(19, rel=0.06)
    edges = stats.norm.ppf(np.linspace(0, 1, 11))[1:-1]
    codes = np.searchsorted(edges, values)
    parts = np.stack([(codes == code).sum(axis=2) for code in range(10)], axis=-1)
    assert of_ranks(parts)[0].mean() > of_shares(parts)[0].mean() > 3


@pytest.mark.parametrize("of", [of_shares, of_ranks])
def test_without_two_stretches_or_two_bins_there_is_none(of: object) -> None:
    """Nothing is estimated from nothing."""
    assert callable(of)
    for counts in ([[3, 4]], [[3, 0], [5, 0]], [[0, 0], [0, 0]]):
        assert np.isnan(of(np.array(counts))[0])
