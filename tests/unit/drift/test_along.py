"""The core along many rows at once gives what it gives pane by pane."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.drift.along import evidence_along, panes_a_block
from monitor.drift.core import SHIPPED, Drift, Evidence, Limits
from monitor.events import Codes, Float64s
from tests.unit.drift.making import Lane, feed, normal, rows_of


def a_lane_and_rows(seed: int, rows: int) -> tuple[Lane, Codes]:
    rng = np.random.default_rng(seed)

    def values(n: int) -> tuple[Float64s, list[list[str]]]:
        numeric = rng.normal(size=(n, 3))
        numeric[rng.random((n, 3)) < 0.02] = np.nan
        return numeric, [[f"v{v}" for v in rng.geometric(0.1, n).tolist()]]

    lane = Lane(rows_of(*values(2_000)))
    return lane, lane.encode(rows_of(*values(rows)))


@pytest.mark.parametrize(("pane", "rows"), [(10, 6_000), (3, 1_200), (40, 4_000)])
def test_evidence_along_rows_is_that_of_one_pane_after_the_other(pane: int, rows: int) -> None:
    lane, codes = a_lane_and_rows(pane, rows)
    expected = [tuple(evidence) for evidence in feed(lane.core(), lane, codes, pane) if evidence is not None]
    found = evidence_along(lane.core(), codes, pane, trace=pane)
    assert len(expected) == rows // pane // panes_a_block(pane)
    assert [tuple(one) for one in found.tolist()] == expected


def test_limits_at_an_evidence_make_it_one() -> None:
    lane = Lane(rows_of(normal(1, 1_000), []))
    evidence = Evidence(0.9, 1.1, 0.8)
    limits = lane.core().limits_at(evidence)
    codes = lane.encode(rows_of(normal(2, 2_000), []))
    before = evidence_along(lane.core(), codes, 10, 10)
    after = evidence_along(Drift(lane.grid, lane.counts, lane.rows, lane.moments, limits), codes, 10, 10)
    assert after == pytest.approx(before / np.array(evidence), rel=1e-12)
    assert lane.core().limits_at(Evidence(1.0, 1.0, 1.0)) == pytest.approx(SHIPPED, rel=1e-12)


def test_a_limit_of_one_test_does_not_fall_below_the_lowest() -> None:
    lane = Lane(rows_of(normal(1, 1_000), []))
    assert min(lane.core().limits_at(Evidence(0.1, 0.1, 0.1))) == 0.1
    assert isinstance(lane.core().limits_at(Evidence(0.1, 0.1, 0.1)), Limits)
