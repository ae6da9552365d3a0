"""What snapshots cost: the same for each model, however many there are, and whoever is silent holds nothing back."""

from __future__ import annotations

import pytest

from benchmarks.snapshots import measure
from monitor.runner.parts import Rhythm


@pytest.fixture(scope="module")
def alone() -> float:
    return measure(1, 2, 1, 240, silent=False, rhythm=Rhythm(panes=10)).state_bytes


@pytest.mark.parametrize("models", [10, 40])
def test_a_model_costs_the_same_beside_any_number_of_others(models: int, alone: float) -> None:
    """Bytes of snapshots per model and second of event time, all in one ledger partition."""
    assert measure(models, 2, 1, 240, silent=False, rhythm=Rhythm(panes=10)).state_bytes <= 1.5 * alone


def test_models_that_fall_silent_do_not_hold_the_low_water_mark_back() -> None:
    """Half of them: it lies a quarter more than the bound behind at most, and what the others write stays the same."""
    silent = measure(8, 2, 2, 480, silent=True, rhythm=Rhythm(panes=10, records=400))
    assert 0 < silent.lag <= 500
    assert silent.state_bytes <= 1.5 * measure(1, 2, 1, 480, silent=False, rhythm=Rhythm(panes=10)).state_bytes
