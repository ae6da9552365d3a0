"""Pairs of columns: which windows are long enough for them."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.drift.correlation import Correlation
from monitor.drift.evidence import LEAST
from monitor.drift.moments import GroupMoments
from monitor.drift.null import Null
from monitor.drift.scores import ScoreTables
from monitor.events import Float64s
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


def z_of_copies(windows: int, differ: float) -> Float64s:
    """z of windows of 160 rows, (windows,). Two columns of 0 and 1 differ in 1 of 100 rows of the reference."""
    rng = np.random.default_rng(2)

    def draw(rows: int, share: float) -> Float64s:
        first = rng.integers(0, 2, rows)
        return np.stack([first, np.where(rng.random(rows) < share, 1 - first, first)], axis=1).astype(np.float64)

    lane = Lane(rows_of(draw(5000, 0.01), []))
    tables = ScoreTables(lane.grid, lane.counts)
    pairs = Correlation(lane.moments.groups[0], lane.rows, slice(0, 2), Null(lane.moments))
    sums = [pairs.sums(tables.ranks(lane.encode(rows_of(draw(160, differ), [])), pairs.part)) for _ in range(windows)]
    return pairs.evidence(np.stack(sums), np.full(windows, 160.0), lane.rows)[:, 0]


def test_chance_in_near_copies_is_no_evidence() -> None:
    """Seven rows that differ where 1.6 are expected pass z = 4 as of a normal distribution, in 1 of 1,000 windows."""
    assert z_of_copies(3000, 0.01).max() < 3.5


def test_copies_that_come_apart_are_found() -> None:
    """Their evidence is beyond any limit, although their products are as skewed."""
    assert z_of_copies(20, 0.5).min() > 8
