"""Moments of rows that come for days: the same as if the mean of their scores had been known from the first row on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from monitor.drift.growing import GrowingMoments
from monitor.drift.moments import Moments, moments_of
from monitor.drift.scores import ScoreTables
from monitor.errors import FormatError
from monitor.events import Codes
from tests.unit.drift.making import Lane, normal, rows_of


def growing_of(tables: ScoreTables, parts: Iterable[Codes]) -> GrowingMoments:
    """What rows that come some at a time add up to."""
    sums = GrowingMoments(tables)
    for part in parts:
        sums.add_rows(part)
    return sums


class Grown:
    """A lane of 600 rows whose first 100 have chosen the grid, and lie lower than those behind them."""

    def __init__(self, columns: int = 3) -> None:
        values = normal(1, 600, columns)
        values[100:] += 0.7
        values[::7, 0] = np.nan
        names = [f"v{i % 5 + (i > 100)}" for i in range(600)]
        first = Lane(rows_of(values[:100], [names[:100]]))
        self.grid = first.grid
        self.codes = first.encode(rows_of(values, [names]))
        self.counts = self.grid.layout.count(self.codes)
        self.ranked = self.grid.layout.count(self.codes[:100])


def same(one: Moments, other: Moments) -> bool:
    """Whether moments are the same, to the bit."""
    arrays = [
        (getattr(a, name), getattr(b, name))
        for a, b in zip(one.groups, other.groups, strict=True)
        for name in ("second", "squares", "fourth")
    ]
    arrays += [(one.block_rows, other.block_rows), (one.block_sums, other.block_sums)]
    return one.rows == other.rows and all(a.tolist() == b.tolist() for a, b in arrays)


@pytest.mark.parametrize("columns", [3, 60])
def test_rows_that_are_centred_at_the_end_have_the_moments_of_rows_that_were_centred_at_once(columns: int) -> None:
    lane = Grown(columns)
    sums = growing_of(ScoreTables(lane.grid, lane.ranked), [lane.codes[:250], lane.codes[250:]])
    tables = ScoreTables(lane.grid, lane.counts, lane.ranked)
    assert np.abs(tables.shift).max() > 100
    assert same(sums.moments(tables.shift), moments_of(tables, [lane.codes]))


def test_scores_are_centred_on_all_rows_and_invalid_cells_still_add_nothing() -> None:
    lane = Grown()
    scores = ScoreTables(lane.grid, lane.counts, lane.ranked).of_codes(lane.codes)
    assert np.abs(scores.mean(axis=0)).max() < 1
    assert not scores[::7, 0].any()


def test_panes_whose_rows_are_all_taken_add_what_the_rows_add() -> None:
    lane = Grown()
    tables = ScoreTables(lane.grid, lane.ranked)
    sums = GrowingMoments(tables)
    for start in range(0, 600, 25):
        codes = lane.codes[start : start + 25]
        sums.add_pane(25, lane.grid.layout.count(codes), codes, most=25)
    assert sums.state() == growing_of(tables, [lane.codes]).state()


def test_of_a_pane_of_many_rows_some_are_taken_and_its_block_has_them_all() -> None:
    lane = Grown()
    tables = ScoreTables(lane.grid, lane.ranked)
    sums = GrowingMoments(tables)
    for start in range(0, 600, 100):
        codes = lane.codes[start : start + 100]
        sums.add_pane(100, lane.grid.layout.count(codes), codes[::2], most=10)
    none = np.zeros(tables.width, dtype=np.int64)
    found = sums.moments(none)
    taken = np.concatenate([lane.codes[start : start + 100 : 2][::5] for start in range(0, 600, 100)])
    assert found.rows == 60
    assert found.groups[0].second.tolist() == moments_of(tables, [taken]).groups[0].second.tolist()
    assert found.block_rows.tolist() == [100] * 6
    assert found.block_sums.sum(axis=0).tolist() == tables.of_codes(lane.codes).sum(axis=0).tolist()


@pytest.mark.parametrize("cut", [1, 7, 104, 333])
def test_what_is_restored_goes_on_as_if_nothing_had_been(cut: int) -> None:
    lane = Grown()
    tables = ScoreTables(lane.grid, lane.ranked)
    before = growing_of(tables, [lane.codes[:cut]])
    after = GrowingMoments(tables)
    after.restore(before.state())
    after.add_rows(lane.codes[cut:])
    assert after.state() == growing_of(tables, [lane.codes]).state()


def test_a_state_of_another_grid_is_refused() -> None:
    lane, other = Grown(), Grown(4)
    sums = growing_of(ScoreTables(lane.grid, lane.ranked), [lane.codes])
    with pytest.raises(FormatError, match="another size"):
        GrowingMoments(ScoreTables(other.grid, other.ranked)).restore(sums.state())
