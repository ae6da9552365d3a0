"""References of stretches of stored panes: what they hold of their rows, and of some columns alone."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.drift.moments import moments_of
from monitor.drift.scores import ScoreTables
from monitor.evaluate.composed import scaled
from monitor.evaluate.lane_drift import AS_SHIPPED, drift_of
from monitor.evaluate.reference import Reference, decode_reference, encode_reference, reference_in_steps
from monitor.evaluate.stretch import Stretch, StretchReference
from monitor.events import Float64s
from monitor.panes.grid import Grid, encode_rows, make_grid
from monitor.panes.merging import MergedPane
from monitor.panes.rows import take
from monitor.panes.steps import at_once
from tests.unit.evaluate.test_lane_drift import FEATURES, normal, rows_of

BEFORE, PANE, PANE_MS = 2000, 10, 1000
STRETCHES = (1200, 2000, 3000)


def a_reference(values: Float64s) -> tuple[Grid, Reference]:
    """That of rows, and the grid that they make."""
    rows = rows_of(values)
    grid = make_grid(rows, FEATURES)
    return grid, at_once(reference_in_steps(grid, rows, np.arange(len(rows)), "before"))


def panes_of(grid: Grid, values: Float64s) -> list[MergedPane]:
    """The rows in panes of ten."""
    rows = rows_of(values)
    found = []
    for start in range(0, len(rows), PANE):
        part = take(rows, np.arange(start, min(start + PANE, len(rows))))
        codes, counts = encode_rows(grid, part)
        counts[grid.layout.late] = start % 3
        found.append(MergedPane(start // PANE, len(part), int(part.time.max()), counts, codes, (), ()))
    return found


def accepted(grid: Grid, before: Reference, values: Float64s, *columns: str) -> Reference:
    """The reference that is made of these rows."""
    panes = panes_of(grid, values)
    making = StretchReference(grid, Stretch("lane", PANE_MS, 0, len(panes) * PANE_MS, ()), before, columns)
    for pane in panes:
        making.count(pane.index * PANE_MS, pane)
    making.turn(100)
    for pane in panes:
        making.add(pane)
    return making.made("accepted")


def drift_in(grid: Grid, reference: Reference, values: Float64s) -> float:
    """The largest drift of rows from a reference."""
    lane = drift_of(grid, reference, AS_SHIPPED)
    assert lane is not None
    for pane in panes_of(grid, values):
        lane.add(pane.index * PANE_MS, pane)
    return lane.take() or 0.0


def moved(seed: int, rows: int, *columns: int) -> Float64s:
    """Rows whose columns of these numbers lie two deviations higher."""
    values = normal(seed, rows)
    for column in columns:
        values[:, column] += 2.0
    return values


def test_it_holds_all_rows_of_the_stretch() -> None:
    """Counts are theirs, late rows left out; second moments are those of rows in the ranks of all of them."""
    grid, before = a_reference(normal(1, BEFORE))
    values = moved(2, BEFORE, 0)
    found = accepted(grid, before, values)
    codes, counts = encode_rows(grid, rows_of(values))
    grid.layout.normalise(counts)
    assert found.events == BEFORE
    assert [found.total[part].tolist() for part in grid.layout.bins] == [counts[p].tolist() for p in grid.layout.bins]
    assert found.total[grid.layout.late] == 0
    wanted = moments_of(ScoreTables(grid, found.total), [codes])
    assert found.moments is not None
    assert [g.second.tolist() for g in found.moments.groups] == [g.second.tolist() for g in wanted.groups]
    assert decode_reference(encode_reference(found), [grid])[0] == found


def test_what_was_accepted_is_no_drift_and_what_comes_behind_it_is() -> None:
    """By all ways of looking together."""
    grid, before = a_reference(normal(1, BEFORE))
    assert drift_in(grid, before, moved(3, 1000, 0)) > 1
    found = accepted(grid, before, moved(2, BEFORE, 0))
    assert drift_in(grid, found, moved(3, 1000, 0)) < 1
    assert drift_in(grid, found, normal(4, 1000)) > 1


@pytest.mark.parametrize("rows", STRETCHES)
def test_of_some_columns_the_others_stay_what_they_were(rows: int) -> None:
    """Their counts are kept, or scaled to the rows of a shorter stretch; each slice is whole in every column."""
    grid, before = a_reference(normal(1, BEFORE))
    first, second = grid.series[:2]
    found = accepted(grid, before, moved(2, rows, 0, 1), first)
    assert found.events == min(rows, BEFORE)
    for part, counts in zip(found.slices, found.by_slice, strict=True):
        for bins, invalid in zip(grid.layout.bins, grid.layout.invalid, strict=True):
            assert counts[bins.start : invalid.stop].sum() == part.events
    other = grid.layout.bins[grid.series.index(second)]
    gap = found.total[other] / found.events - before.total[other] / before.events
    assert np.abs(gap).max() <= (0 if rows >= BEFORE else len(found.slices) / found.events)
    if rows >= BEFORE:
        sums, squares = grid.layout.whole_sums(found.total), grid.layout.whole_sums(before.total)
        assert [part[1] for part in sums] == [part[1] for part in squares]


@pytest.mark.parametrize("rows", STRETCHES)
def test_of_some_columns_the_drift_of_the_others_is_found(rows: int) -> None:
    """What is accepted is no drift; another column that has moved in that stretch, too, still is one."""
    grid, before = a_reference(normal(1, BEFORE))
    found = accepted(grid, before, moved(2, rows, 0, 1), grid.series[0])
    assert drift_in(grid, found, moved(3, 1000, 0)) < 1
    assert drift_in(grid, found, moved(3, 1000, 0, 1)) > 1
    assert drift_in(grid, found, normal(3, 1000)) > 1


def test_columns_that_go_together_otherwise_than_before_still_factor() -> None:
    """Two that were copies of each other, of which one is accepted as a copy of a third one."""
    values = normal(1, BEFORE)
    values[:, 1] = values[:, 0] + 0.01 * values[:, 1]
    grid, before = a_reference(values)
    other = normal(2, BEFORE)
    other[:, 0] = -other[:, 1]
    found = accepted(grid, before, other, grid.series[0])
    assert np.isfinite(drift_in(grid, found, other))


@pytest.mark.parametrize("seed", range(20))
def test_scaled_counts_add_up_and_stay_in_proportion(seed: int) -> None:
    """Each is at most one away from what it would be as a fraction, and those up to each place half of one."""
    rng = np.random.default_rng(seed)
    counts, n = rng.integers(0, 1000, 30), int(rng.integers(1, 20_000))
    found = scaled(counts, n)
    assert found.sum() == n
    assert np.abs(found - counts * n / counts.sum()).max() <= 1
    assert np.abs(np.cumsum(found) - np.cumsum(counts) * n / counts.sum()).max() <= 0.5
