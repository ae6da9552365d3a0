"""The best ramp is that of a slow search with least squares, and its kind that of the sequence it was drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.events import Float64s
from monitor.stats.ramp import LEAST_SEGMENT, MOST, Kind, best_change


def ramp(n: int, at: int, width: int, before: float, after: float) -> Float64s:
    """Levels (n,): `before`, even steps over `width` values from `at` on, `after`."""
    basis = np.clip((np.arange(n) - at + 1) / (width + 1), 0.0, 1.0)
    return before + (after - before) * basis


def slowly(values: Float64s, widths: list[int]) -> tuple[int, int]:
    """Place and width of the ramp with the least squares, by a fit for each."""
    n, best = len(values), (np.inf, 0, 0)
    for width in widths:
        for at in range(LEAST_SEGMENT, n - width - LEAST_SEGMENT + 1):
            design = np.stack([np.ones(n), ramp(n, at, width, 0.0, 1.0)], axis=1)
            levels = np.linalg.lstsq(design, values, rcond=None)[0]
            residual = float(((values - design @ levels) ** 2).sum())
            if residual < best[0] - 1e-9:
                best = (residual, at, width)
    return best[1], best[2]


@pytest.mark.parametrize("seed", range(12))
def test_the_best_ramp_is_that_of_a_slow_search(seed: int) -> None:
    """Place and width agree with a fit of every ramp, whether there is a change or not."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(40, 120))
    at, width = int(rng.integers(10, n - 26)), int(rng.choice([0, 16]))
    values = ramp(n, at, width, 0.2, 0.2 + 0.6 * (seed % 3 > 0)) + rng.normal(0, 0.15, n)
    found = best_change(values)
    assert found is not None
    widths = [0, *(w for w in (16, 24, 36, 54, 81) if w <= n - 2 * LEAST_SEGMENT)]
    assert (found.at, found.width) == slowly(values, widths)
    assert found.first <= found.at <= found.last


@pytest.mark.parametrize(("width", "kind"), [(0, "sudden"), (1500, "gradual")])
def test_a_step_and_a_ramp_are_told_apart(width: int, kind: Kind) -> None:
    """Of 40 sequences of errors most have their kind, at most one another, and the rest none."""
    rng = np.random.default_rng(7)
    levels = ramp(MOST, 1500, width, 0.05, 0.5)
    kinds = [found.kind for _ in range(40) if (found := best_change((rng.random(MOST) < levels).astype(float)))]
    assert len(kinds) == 40
    assert kinds.count(kind) >= 30
    assert kinds.count(kind) + kinds.count(None) >= 39


def test_a_level_that_comes_back_is_recurring() -> None:
    """A stretch of errors between two equal levels is no step."""
    rng = np.random.default_rng(8)
    levels = np.full(3000, 0.05)
    levels[1200:2100] = 0.4
    found = best_change((rng.random(3000) < levels).astype(float))
    assert found is not None
    assert found.kind == "recurring"


def test_nothing_is_said_of_few_or_equal_values() -> None:
    """Fewer than 20 values, and values that are all equal, have no change."""
    assert best_change(np.arange(19.0)) is None
    assert best_change(np.zeros(500)) is None


def test_the_place_of_a_step_is_found() -> None:
    """The median distance from a step of the error from 0.1 to 0.5 is at most 3 values, 100 behind it."""
    rng = np.random.default_rng(9)
    levels = ramp(MOST, 3900, 0, 0.1, 0.5)
    found = [best_change((rng.random(MOST) < levels).astype(float)) for _ in range(60)]
    assert float(np.median([abs(one.at - 3900) for one in found if one is not None])) <= 3
