"""Pairs of columns: which windows are long enough for them."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.drift.correlation import Correlation
from monitor.drift.evidence import LEAST
from monitor.drift.moments import GroupMoments
from monitor.drift.null import Null
from tests.unit.drift.making import Lane, normal, rows_of


def least_window(rows: int) -> int | None:
    """The tens of rows from which on a window is judged."""
    lane = Lane(rows_of(normal(1, rows, 2), []))
    pairs = Correlation(lane.moments.groups[0], rows, slice(0, 2), Null(lane.moments))
    n = np.arange(10.0, 1000.0, 10.0)
    judged = np.flatnonzero(pairs.evidence(np.zeros((len(n), 1)), n, rows)[:, 0] != LEAST)
    return int(n[judged[0]]) if len(judged) else None


def test_a_reference_of_fewer_rows_judges_no_pair() -> None:
    """Its own mean of products is no more normal than that of a window."""
    assert [least_window(rows) for rows in (10, 20, 30, 60)] == [None, None, None, 40]


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
