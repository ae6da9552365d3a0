"""Moments against a loop over rows, and as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.drift.moments import BLOCK_ROWS, MomentSums, group_scores, group_slices, pack_moments, unpack_moments
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
