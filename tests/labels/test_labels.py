"""Predictions with their labels, against a slow oracle: windows, counters, outcomes and alerts.

`python -m tests.labels.run --logs 300` is the full run.
"""

from __future__ import annotations

import pytest

from tests.labels import ways


@pytest.mark.parametrize("seed", [0, 2, 14, 16])
def test_the_engine_says_what_the_oracle_says(seed: int) -> None:
    """Every window, counter, outcome and alert on performance, also in random batches and after restarts."""
    assert ways.check(seed) == []
