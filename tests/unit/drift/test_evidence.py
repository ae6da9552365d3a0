"""Evidence against scipy: z of chi-square statistics, of rare cells, tails and cube roots."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from monitor.drift.evidence import beside, cube_root, log_tail, of_chi_square, of_excess


def test_cube_roots_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).lognormal(0, 30, 20_000)
    assert np.abs(cube_root(values) / np.cbrt(values) - 1).max() < 4e-16
    assert cube_root(np.array([0.0])).tolist() == [0.0]


@pytest.mark.parametrize(("degrees", "low"), [(1, 0.85), (2, 0.89), (5, 0.93), (20, 0.96), (100, 0.98)])
def test_z_of_chi_square_is_never_too_large(degrees: int, low: float) -> None:
    """Up to z = 8 it is a little too small, for few degrees of freedom most."""
    z = np.linspace(2, 8, 30)
    found = of_chi_square(stats.chi2.isf(stats.norm.sf(z), degrees), np.full(30, float(degrees)))
    assert (found <= z + 0.03).all()
    assert (found >= low * z - 0.05).all()


def test_z_of_an_excess_is_never_too_large() -> None:
    """Of all counts that a window may have, beside references with few and with many."""
    for others in (0, 1, 5, 30, 300):
        for n, m in ((10, 2000), (160, 5000), (640, 2000)):
            hits = np.arange(1, 120)
            exact = stats.norm.isf(stats.binom.sf(hits - 1, hits + others, n / (n + m)))
            known = np.isfinite(exact) & (exact < 8) & (exact > 0)
            found = of_excess(hits.astype(float), np.full(119, float(others)), np.full(119, n / (n + m)))
            assert (found <= exact + 0.02)[known].all()
            assert (found >= 0.82 * exact - 0.05)[known].all()


def test_tails_and_limits_are_those_of_the_normal_distribution() -> None:
    z = np.linspace(0, 9, 50)
    assert np.abs(log_tail(z) - stats.norm.logsf(z)).max() < 0.06
    for tests in (1, 10, 1000):
        exact = stats.norm.isf(stats.norm.sf(4.9) / tests)
        assert exact <= beside(4.9, tests) + 1e-9 < exact + 0.12
