"""Moments against a loop over rows, whatever the steps, and as bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.drift.moments import (
    BLOCK_ROWS,
    BlockSums,
    MomentSums,
    group_scores,
    group_slices,
    moments_of,
    pack_moments,
    unpack_moments,
)
from monitor.drift.scores import UNIT, ScoreTables
from monitor.errors import FormatError
from tests.unit.drift.making import Lane, normal, rows_of


def a_lane(seed: int = 1, columns: int = 3) -> Lane:
    values = normal(seed, 400, columns)
    values[::7, 0] = np.nan
    return Lane(rows_of(values, [[f"v{i % 5}" for i in range(400)]]))


def test_scores_of_rows_add_up_to_those_of_their_counts() -> None:
    """An invalid cell adds nothing, and over the reference a score is 0 on average, to its unit."""
    lane = a_lane()
    tables = ScoreTables(lane.grid, lane.counts)
    scores = tables.of_codes(lane.codes)
    assert scores.sum(axis=0).tolist() == tables.sums(lane.grid.layout.count(lane.codes)).tolist()
    assert not scores[::7, 0].any()
    assert np.abs(scores.mean(axis=0)).max() < 1
    assert np.abs(scores).max() <= UNIT


@pytest.mark.parametrize("step", [1, 7, 400])
def test_moments_are_those_of_a_loop_over_rows(step: int) -> None:
    lane = a_lane()
    tables = ScoreTables(lane.grid, lane.counts)
    sums = MomentSums(tables)
    for start in range(0, len(lane.codes), step):
        sums.add(lane.codes[start : start + step])
    found = sums.moments()
    rows = tables.of_codes(lane.codes).astype(int).tolist()
    series = len(lane.grid.series)
    for i in range(2 * series):
        assert found.groups[0].fourth[i] == sum(row[i] ** 4 for row in rows)
        for j in range(2 * series):
            assert found.groups[0].second[i, j] == sum(row[i] * row[j] for row in rows)
    assert found.groups[0].squares[0, 1] == sum(row[0] ** 2 * row[1] ** 2 for row in rows)
    assert found.block_sums[3].tolist() == [sum(row[i] for row in rows[30:40]) for i in range(2 * series)]
    assert found.block_rows.tolist() == [BLOCK_ROWS] * 40


def test_moments_are_the_same_as_bytes_and_damaged_ones_are_refused() -> None:
    lane = a_lane(columns=60)
    packed = pack_moments(lane.moments)
    again = unpack_moments(packed, 61)
    assert [part.stop - part.start for part in group_slices(61)] == [50, 11]
    assert group_scores(slice(50, 52), 61).tolist() == [50, 51, 111, 112]
    for one, other in zip(again.groups, lane.moments.groups, strict=True):
        assert one.second.tolist() == other.second.tolist()
        assert one.squares.tolist() == other.squares.tolist()
        assert one.fourth.tolist() == other.fourth.tolist()
    assert again.block_sums.tolist() == lane.moments.block_sums.tolist()
    with pytest.raises(FormatError, match="other series"):
        unpack_moments(packed, 40)
    with pytest.raises(FormatError):
        unpack_moments(packed, 62)


def test_the_order_of_rows_shows_in_the_blocks_only() -> None:
    """Second moments are of the rows as a set."""
    lane = a_lane()
    tables = ScoreTables(lane.grid, lane.counts)
    shuffled = lane.codes[np.random.default_rng(1).permutation(len(lane.codes))]
    one, other = lane.moments, moments_of(tables, [shuffled])
    for mine, theirs in zip(one.groups, other.groups, strict=True):
        assert (mine.second == theirs.second).all()
        assert (mine.squares == theirs.squares).all()
        assert (mine.fourth == theirs.fourth).all()
    assert (one.block_sums.sum(axis=0) == other.block_sums.sum(axis=0)).all()
    assert (one.block_sums != other.block_sums).any()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=200), st.data())
def test_blocks_are_merged_as_they_become_too_many(lengths: list[int], data: st.DataObject) -> None:
    """They hold every row in order but for the last few, are at most as many as allowed, and the same in any steps."""
    allowed = data.draw(st.integers(2, 40))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lengths)), max_size=10)))
    stretches, sums = np.array(lengths), np.arange(2 * len(lengths)).reshape(-1, 2)

    def blocks(parts: list[int]) -> tuple[list[int], list[list[int]]]:
        held = BlockSums(2, most=2 * allowed)
        for rows, their in zip(np.split(stretches, parts), np.split(sums, parts), strict=True):
            held.add(rows, their)
        found_rows, found_sums = held.blocks()
        return found_rows.tolist(), found_sums.tolist()

    rows, their = blocks([])
    assert blocks(cuts) == (rows, their)
    assert len(rows) <= allowed
    held = int(np.searchsorted(np.cumsum(stretches), sum(rows))) + 1 if rows else 0
    assert sum(rows) == sum(lengths[:held])
    assert [sum(column) for column in zip(*their, strict=True)] == (sums[:held].sum(axis=0).tolist() if held else [])
    assert sum(lengths[held:]) < 4 * max(rows, default=BLOCK_ROWS)
