"""The level that gives as many alarms as are allowed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from monitor.calibration.alarms import Judged, Waits, peaks
from monitor.calibration.tail import solve
from monitor.events import Float64s

ALONE = Waits(0, 0)


def apart(values: Float64s) -> list[Judged]:
    """Values of which each is an alarm of its own: a clear judgement stands between two."""
    spread = np.zeros(2 * len(values))
    spread[::2] = values
    return [Judged(np.arange(len(spread)), spread)]


def test_a_level_that_was_seen_gives_the_alarms_that_are_allowed() -> None:
    series = apart(np.random.default_rng(1).normal(size=50_000))
    found = solve(series, ALONE, allowed=200, power=2)
    assert found is not None
    assert not found.is_extrapolated
    assert len(peaks(series[0], found.level, ALONE)) == pytest.approx(200, abs=1)


def beyond(values: Float64s, power: int) -> float:
    """The level that is extrapolated for one alarm in ten times as many values."""
    found = solve(apart(values), ALONE, allowed=0.1, power=power)
    assert found is not None
    assert found.is_extrapolated
    return found.level


def test_tails_are_extrapolated_to_a_thousandth_of_what_they_go_on_from() -> None:
    """Normal ones in level², exponential ones in the level: within a factor of two of the true rate, in the middle.

    The mean of 100 peaks has an error of a tenth, so a single one is off by e^0.7 as often as not.
    """
    draws = [np.random.default_rng(seed) for seed in range(20)]
    normal = [2 * norm.sf(beyond(np.abs(rng.normal(size=20_000)), 2)) * 20_000 for rng in draws]
    exponential = [np.exp(-beyond(rng.exponential(size=20_000), 1)) * 20_000 for rng in draws]
    assert 0.05 < np.median(normal) < 0.2
    assert 0.05 < np.median(exponential) < 0.2


def test_what_never_leaves_zero_has_no_level() -> None:
    assert solve(apart(np.zeros(100)), ALONE, allowed=1.0, power=2) is None
