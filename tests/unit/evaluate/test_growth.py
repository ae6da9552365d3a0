"""A reference that grows: what it holds, how little it keeps, and that its state is all of it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from monitor.drift.moments import moments_of
from monitor.drift.scores import ScoreTables
from monitor.errors import FormatError
from monitor.evaluate.growth import Growth, end_of_span
from monitor.evaluate.lane_drift import sight_of
from monitor.evaluate.reference import Reference, decode_reference, encode_reference, reference_in_steps
from monitor.evaluate.state import GrowthState
from monitor.events import Rows
from monitor.panes.grid import encode_rows, make_grid
from monitor.panes.merging import MergedPane
from monitor.panes.rows import take
from monitor.panes.steps import at_once
from tests.unit.evaluate.test_lane_drift import FEATURES, normal, rows_of

PANE_MS, FIRST, ROWS = 1000, 120, 2000
SPAN_MS = 200_000
"""Rows come 100 ms apart."""


class Log:
    """Rows of a span; the first have made a grid, and those behind them lie higher."""

    def __init__(self) -> None:
        values = normal(3, ROWS)
        values[500:, 0] += 1.0
        self.rows = rows_of(values)
        self.grid = make_grid(self.part(0, FIRST), FEATURES)
        order = np.arange(FIRST)
        self.first = at_once(reference_in_steps(self.grid, self.part(0, FIRST), order, "first rows", SPAN_MS))
        self.codes, _ = encode_rows(self.grid, self.rows)

    def part(self, start: int, stop: int) -> Rows:
        return take(self.rows, np.arange(start, stop))

    def pane(self, start: int, stop: int, late: int = 0) -> MergedPane:
        codes, counts = encode_rows(self.grid, self.part(start, stop))
        counts[self.grid.layout.late] = late
        return MergedPane(start // 10, stop - start, int(self.rows.time[stop - 1]), counts, codes, (), ())

    def growth(self) -> Growth:
        found = Growth(self.grid, self.first, PANE_MS, SPAN_MS)
        found.open(FIRST // 10 * PANE_MS, is_late=False)
        return found


LOG = Log()


def grown(growth: Growth, start: int = FIRST, stop: int = ROWS) -> Reference:
    for row in range(start, stop, 10):
        growth.add((row // 10 + 1) * PANE_MS, LOG.pane(row, row + 10, late=row % 3))
    return growth.made()


def test_it_holds_the_rows_of_the_whole_span() -> None:
    """Counts, times and gap are those of all rows; moments those of rows scored by the ranks of the first."""
    found = grown(LOG.growth())
    whole = at_once(reference_in_steps(LOG.grid, LOG.rows, np.arange(ROWS), "all"))
    assert found.events == ROWS
    assert found.total[LOG.grid.layout.bins[0]].tolist() == whole.total[LOG.grid.layout.bins[0]].tolist()
    assert found.total[LOG.grid.layout.late] == 0
    assert [a.tolist() for a in LOG.grid.layout.whole_sums(found.total)] == [
        a.tolist() for a in LOG.grid.layout.whole_sums(whole.total)
    ]
    assert (found.info.start, found.info.end) == (whole.info.start, whole.info.end)
    assert found.longest_gap_ms == 10 * 100
    tables = ScoreTables(LOG.grid, found.total, LOG.first.total)
    expected = moments_of(tables, [LOG.codes])
    assert found.moments is not None
    assert found.moments.rows == expected.rows
    assert found.moments.groups[0].second.tolist() == expected.groups[0].second.tolist()
    assert found.moments.block_sums.tolist() == expected.block_sums.tolist()
    assert found.origin == "first 3m20s: 2000 events"


def test_it_reveals_what_a_reference_of_as_many_rows_does() -> None:
    """Nearly, because ranks are those of the first rows, and these lie lower than most."""
    whole = at_once(reference_in_steps(LOG.grid, LOG.rows, np.arange(ROWS), "all"))
    one, other = sight_of(LOG.grid, grown(LOG.growth())), sight_of(LOG.grid, whole)
    assert one is not None
    assert other is not None
    for column, shift in one.shifts[1000].items():
        assert shift == pytest.approx(other.shifts[1000][column], rel=0.15)


def test_its_slices_are_few_and_of_nearly_as_many_rows() -> None:
    growth = LOG.growth()
    for repeat in range(12):
        found = grown(growth)
        rows = [part.events for part in found.slices]
        assert len(rows) <= 48
        assert max(rows) <= 3 * min(rows), repeat
    assert len(msgspec.msgpack.encode(growth.state())) < 100_000


@pytest.mark.parametrize("every", [1, 7, 60])
def test_its_state_is_all_of_it(every: int) -> None:
    growth, whole = LOG.growth(), LOG.growth()
    for number, row in enumerate(range(FIRST, ROWS, 10)):
        if number % every == 0:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(growth.state()), type=GrowthState)
            growth = Growth(LOG.grid, LOG.first, PANE_MS, SPAN_MS)
            growth.restore(state)
        for one in (growth, whole):
            one.add((row // 10 + 1) * PANE_MS, LOG.pane(row, row + 10))
    assert growth.state() == whole.state()
    assert encode_reference(growth.made()) == encode_reference(whole.made())


def test_both_references_come_back_from_their_text() -> None:
    for reference in (LOG.first, grown(LOG.growth())):
        again, _ = decode_reference(encode_reference(reference), [LOG.grid])
        assert again.digest == reference.digest
        assert encode_reference(again) == encode_reference(reference)
    assert LOG.first.moments is None
    assert sight_of(LOG.grid, LOG.first) is None
    with pytest.raises(FormatError, match="does not grow"):
        Growth(LOG.grid, replace(LOG.first, growing=None), PANE_MS, SPAN_MS)


def test_a_lane_that_was_gone_takes_a_whole_span_again() -> None:
    growth = Growth(LOG.grid, LOG.first, PANE_MS, SPAN_MS)
    assert not growth.is_grown(SPAN_MS)
    growth.open(50_000, is_late=True)
    assert (growth.begins, growth.ends) == (50_000, 250_000)
    assert not growth.is_grown(249_000)
    assert growth.is_grown(250_000)


@pytest.mark.parametrize(
    ("first", "span", "ends"), [(0, 1000, 1000), (999, 1000, 1000), (1000, 1, 2000), (7, 1001, 2000)]
)
def test_a_span_begins_with_the_pane_of_its_first_row_and_ends_with_a_pane(first: int, span: int, ends: int) -> None:
    assert end_of_span(first, span, PANE_MS) == ends
