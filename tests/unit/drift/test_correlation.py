"""Pairs of columns: which windows are long enough for them."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.drift.correlation import Correlation
from monitor.drift.evidence import LEAST
from monitor.drift.moments import GroupMoments
from monitor.drift.null import Null
from tests.unit.drift.making import Lane, normal, rows_of


@pytest.mark.parametrize("times", [1, 9, 40, 1000])
def test_a_pair_needs_as_many_rows_whatever_the_reference_has(times: int) -> None:
    """Two continuous columns need 39, with a reference of 3,000 rows and with one of three million."""
    lane = Lane(rows_of(normal(1, 3000, 2), []))
    group = lane.moments.groups[0]
    larger = GroupMoments(times * group.second, times * group.squares, times * group.fourth)
    pairs = Correlation(larger, times * lane.rows, slice(0, 2), Null(lane.moments))
    n = np.array([10, 38, 39, 100])
    z = pairs.evidence(np.zeros((len(n), 1), dtype=np.int64), n, times * lane.rows)
    assert (z[:, 0] == LEAST).tolist() == [True, True, False, False]
