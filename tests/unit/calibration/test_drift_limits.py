"""Solved limits of `drift` keep their budget."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.calibration import ar1, keep, sample_of, solved
from monitor.drift.core import SHIPPED


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_solved_limits_keep_their_budget(rho: float) -> None:
    """A small run of the benchmark; the bound is that of a Poisson number of 1.6, at one in a thousand."""
    kept = keep(rho, references=4, rows=20_000, columns=2, number=8)
    assert kept.alarms <= 7


def test_limits_are_lower_than_the_shipped_ones_where_more_is_allowed() -> None:
    """One in 50,000 rows is four times what the shipped ones allow at most, of columns that behave well."""
    found = solved(sample_of(ar1(0.0, 5_000, 2, 1)), 4)
    assert found.is_extrapolated
    assert (np.array(found.limits) < np.array(SHIPPED)).all()
