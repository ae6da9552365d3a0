"""A reference that trails: which rows it holds, how little it keeps, and that its state is all of it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from monitor.evaluate.reference import Reference, decode_reference, encode_reference, reference_in_steps
from monitor.evaluate.state import TrailingState
from monitor.evaluate.trailing import DAY_MS, Trailing
from monitor.panes.grid import encode_rows
from monitor.panes.steps import at_once
from tests.unit.evaluate.test_growth import LOG, PANE_MS

SPAN_MS, FIRST = 60_000, 600
"""The first reference; rows come 100 ms apart. A slice is 3 s long."""
WINDOW_MS = 10_000
REFERENCE = at_once(reference_in_steps(LOG.grid, LOG.part(0, FIRST), np.arange(FIRST), "first 1m: 600 events"))


def trailing() -> Trailing:
    return Trailing(LOG.grid, REFERENCE, SPAN_MS, PANE_MS, SPAN_MS)


def feed(into: Trailing, start: int, stop: int) -> Trailing:
    for row in range(start, stop, 10):
        into.add((row // 10 + 1) * PANE_MS, LOG.pane(row, row + 10, late=row % 3))
    return into


def made(of: Trailing, window_ms: int = WINDOW_MS) -> Reference:
    reference = of.made(window_ms, 100)
    assert reference is not None
    return reference


def test_it_holds_the_whole_slices_of_a_span_that_ends_a_window_before() -> None:
    """At 120 s these are rows from 50 s to 108 s: of the first reference as of the panes behind it; none is late."""
    found = made(feed(trailing(), FIRST, 1200))
    _, counts = encode_rows(LOG.grid, LOG.part(500, 1080))
    assert found.events == 580
    assert found.origin == "trailing 1m: 580 events"
    assert found.total[LOG.grid.layout.bins[0]].tolist() == counts[LOG.grid.layout.bins[0]].tolist()
    assert found.total[LOG.grid.layout.late] == 0
    assert (found.info.start, found.info.end) == (50_000, 107_900)
    decoded, grid = decode_reference(encode_reference(found), [LOG.grid])
    assert (decoded, grid) == (found, LOG.grid)
    assert found.moments is None


def test_a_window_that_is_longer_than_the_span_counts_as_long_as_that() -> None:
    feeding = feed(trailing(), FIRST, 1200)
    assert made(feeding, 10 * SPAN_MS).digest == made(feeding, SPAN_MS).digest


def test_too_few_rows_make_none() -> None:
    """A stream that was away for most of the span is compared with what there was before."""
    away = trailing()
    away.pass_over(180_000)
    assert away.due == 240_000
    feed(away, 1900, 1990)
    assert away.made(WINDOW_MS, 100) is None


def test_one_is_due_each_day_or_each_span_that_is_shorter() -> None:
    assert trailing().due == 2 * SPAN_MS
    week = Trailing(LOG.grid, REFERENCE, SPAN_MS, PANE_MS, 7 * DAY_MS)
    assert week.due == SPAN_MS + DAY_MS
    week.pass_over(SPAN_MS + DAY_MS - PANE_MS)
    assert week.due == SPAN_MS + DAY_MS
    week.pass_over(SPAN_MS + DAY_MS)
    assert week.due == SPAN_MS + 2 * DAY_MS
    week.pass_over(SPAN_MS + 5 * DAY_MS + PANE_MS)
    assert week.due == SPAN_MS + 6 * DAY_MS


def test_it_keeps_no_more_slices_than_may_be_asked_for() -> None:
    kept = trailing()
    pane, most = LOG.pane(0, 10), 0
    for begin in range(SPAN_MS, 20 * SPAN_MS, PANE_MS):
        kept.pass_over(begin)
        kept.add(begin + PANE_MS, replace(pane, last_time=begin))
        most = max(most, len(kept.state().slices) if begin % 10_000 == 0 else 0)
    assert 2 * 20 <= most <= 4 * 24


@pytest.mark.parametrize("stop", [700, 1190, 1200, 1650])
def test_its_state_is_all_of_it(stop: int) -> None:
    """What goes on from a snapshot makes the same."""
    whole = trailing()
    feed(whole, FIRST, stop)
    value = msgspec.msgpack.encode(whole.state())
    again = trailing()
    again.restore(msgspec.msgpack.decode(value, type=TrailingState))
    assert msgspec.msgpack.encode(again.state()) == value
    for one in (whole, again):
        feed(one, stop, 1800)
        one.pass_over(one.due)
    assert made(whole).digest == made(again).digest
