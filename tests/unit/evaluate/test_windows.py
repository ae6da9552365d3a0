"""Windows of whole panes against an oracle that keeps every pane and sums anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.resolved import WindowSpec
from monitor.evaluate.windows import Closed, Windows, open_windows
from monitor.events import Int64s, OffsetRange

PANE = 10
WIDTH = 5


class Seen(NamedTuple):
    """A closed window in values that compare."""

    start: int
    end: int
    events: int
    counts: tuple[int, ...]
    offsets: tuple[OffsetRange, ...]


@dataclass
class PaneIn:
    end: int
    events: int = 0
    counts: Int64s | None = None
    offsets: tuple[OffsetRange, ...] = ()


@dataclass
class Oracle:
    """All panes for ever; every window is summed from them."""

    spec: WindowSpec
    panes: list[PaneIn] = field(default_factory=list)
    last_close: int = -1

    def add(self, pane: PaneIn) -> Seen | None:
        self.panes.append(pane)
        if self.spec.time_ms is not None:
            return self._timed(pane.end)
        least = self.spec.events or 0
        since = sum(p.events for p in self.panes[self.last_close + 1 :])
        first = self._suffix() if self.spec.every is not None else self.last_close + 1
        if first is None:
            return None
        chosen = self.panes[first:]
        if since < (self.spec.every or least) or sum(p.events for p in chosen) < least:
            return None
        self.last_close = len(self.panes) - 1
        return self._sum(chosen, chosen[0].end - PANE)

    def _suffix(self) -> int | None:
        for first in reversed(range(len(self.panes))):
            if sum(p.events for p in self.panes[first:]) >= (self.spec.events or 0):
                return first
        return None

    def _timed(self, end: int) -> Seen | None:
        assert self.spec.time_ms is not None
        start = end - self.spec.time_ms
        if end % (self.spec.every_ms or self.spec.time_ms) or start < self.panes[0].end - PANE:
            return None
        return self._sum([p for p in self.panes if p.end > start], start)

    def _sum(self, panes: list[PaneIn], start: int) -> Seen:
        counts = [0] * WIDTH
        ranges: dict[tuple[str, int], OffsetRange] = {}
        for pane in panes:
            if pane.counts is not None:
                counts = [a + int(b) for a, b in zip(counts, pane.counts, strict=True)]
            for r in pane.offsets:
                known = ranges.get(r[:2], r)
                ranges[r[:2]] = OffsetRange(*r[:2], min(known.start, r.start), max(known.end, r.end))
        events = sum(p.events for p in panes)
        return Seen(start, panes[-1].end, events, tuple(counts), tuple(ranges[k] for k in sorted(ranges)))


def seen(closed: Closed) -> Seen:
    return Seen(closed.start, closed.end, closed.events, tuple(int(c) for c in closed.counts), closed.offsets)


def by_events(events: int, every: int | None = None) -> WindowSpec:
    return WindowSpec(events=events, every=every, time_ms=None, every_ms=None)


def by_time(time_ms: int, every_ms: int | None = None) -> WindowSpec:
    return WindowSpec(events=None, every=None, time_ms=time_ms, every_ms=every_ms)


SPECS = st.one_of(
    st.integers(1, 30).map(by_events),
    st.integers(1, 30).flatmap(lambda n: st.integers(1, n).map(lambda m: by_events(n, m))),
    st.integers(1, 6).map(lambda t: by_time(t * PANE)),
    st.integers(1, 6).flatmap(lambda t: st.integers(1, t).map(lambda e: by_time(t * PANE, e * PANE))),
)


@st.composite
def pane_runs(draw: st.DrawFn) -> list[PaneIn]:
    """Panes in order without gaps; about half are empty, some hold late rows only."""
    panes: list[PaneIn] = []
    first = draw(st.integers(1, 12))
    for k, kind in enumerate(draw(st.lists(st.sampled_from("0000lp"), max_size=40))):
        end = (first + k) * PANE
        if kind == "0":
            panes.append(PaneIn(end))
            continue
        counts = np.array(draw(st.lists(st.integers(-(2**40), 2**40) | st.just(0), min_size=WIDTH, max_size=WIDTH)))
        partitions = draw(st.sets(st.integers(0, 2), min_size=1))
        start = draw(st.integers(0, 50))
        offsets = tuple(OffsetRange("t", p, start, start + 1 + k) for p in partitions)
        panes.append(PaneIn(end, draw(st.integers(1, 12)) if kind == "p" else 0, counts.astype(np.int64), offsets))
    return panes


def one_by_one(windows: Windows, panes: list[PaneIn]) -> list[Seen]:
    closed = [windows.add(p.end, p.events, p.counts, p.offsets) for p in panes]
    return [seen(window) for window in closed if window is not None]


def runs(panes: list[PaneIn], most: int) -> Iterator[list[PaneIn]]:
    """Panes that hold something one by one, empty ones in runs of at most `most`."""
    for is_empty, group in groupby(panes, key=lambda pane: pane.counts is None):
        held = list(group)
        size = most if is_empty else 1
        yield from (held[k : k + size] for k in range(0, len(held), size))


def thinned(closed: list[Seen]) -> list[Seen]:
    """Of the windows that hold nothing the first and the last."""
    nothing = [window for window in closed if not window.offsets]
    return [window for window in closed if window.offsets or window in (nothing[0], nothing[-1])]


@settings(max_examples=300)
@given(SPECS, pane_runs())
def test_every_window_is_the_sum_of_its_panes(spec: WindowSpec, panes: list[PaneIn]) -> None:
    """A window closes where, and holds what, a slow sum over all stored panes says."""
    oracle = Oracle(spec)
    expected = [window for pane in panes if (window := oracle.add(pane)) is not None]
    assert one_by_one(open_windows(spec, PANE, WIDTH), panes) == expected


@settings(max_examples=300)
@given(SPECS, pane_runs(), st.integers(1, 50))
def test_a_run_of_empty_panes_in_one_step_equals_one_by_one(spec: WindowSpec, panes: list[PaneIn], most: int) -> None:
    """Skipping gives the windows of adding empty panes singly; of those that hold nothing the first and the last."""
    single, skipping = open_windows(spec, PANE, WIDTH), open_windows(spec, PANE, WIDTH)
    for run in runs(panes, most):
        expected = one_by_one(single, run)
        if run[0].counts is None:
            assert list(map(seen, skipping.skip(run[0].end, run[-1].end))) == thinned(expected)
        else:
            assert one_by_one(skipping, run) == expected
    assert skipping.state() == single.state()


@pytest.mark.parametrize("days", [1, 365, 3650])
@pytest.mark.parametrize("spec", [by_time(600_000, 10_000), by_time(86_400_000), by_time(3_600_000, 60_000)])
def test_a_hole_costs_what_the_window_holds_however_long_it_is(spec: WindowSpec, days: int) -> None:
    """As many closings as slide over the last rows, and two that hold nothing."""
    windows = open_windows(spec, 10_000, WIDTH)
    windows.add(10_000, 5, np.ones(WIDTH, dtype=np.int64), (OffsetRange("t", 0, 0, 5),))
    closed = windows.skip(20_000, days * 86_400_000)
    assert spec.time_ms is not None
    assert len(closed) <= spec.time_ms // (spec.every_ms or spec.time_ms) + 2
    assert closed[-1].end == days * 86_400_000


def test_windows_of_equal_content_share_their_counts() -> None:
    """Silence leaves one vector, and windows of events don't close in it at all."""
    windows = open_windows(by_time(600_000, 10_000), 10_000, WIDTH)
    windows.skip(10_000, 590_000)
    windows.add(600_000, 5, np.ones(WIDTH, dtype=np.int64), ())
    closed = windows.skip(610_000, 900_000)
    assert closed[0].counts is closed[20].counts
    assert open_windows(by_events(10, 5), 10_000, WIDTH).skip(10_000, 365 * 86_400_000) == []


@pytest.mark.parametrize(
    "spec", [by_events(2), by_events(3, 1), by_time(20), by_time(20, 10)], ids=lambda s: str(s.name)
)
def test_panes_are_not_written_to_and_windows_not_writeable(spec: WindowSpec) -> None:
    """A pane's vector stays as it was, and an old window stays as it was when later panes come."""
    windows = open_windows(spec, PANE, WIDTH)
    panes = [PaneIn(PANE * (k + 1), 1, np.full(WIDTH, k + 1, dtype=np.int64)) for k in range(8)]
    closed: list[Closed] = []
    copies: list[Seen] = []
    for pane in panes:
        if (window := windows.add(pane.end, pane.events, pane.counts, pane.offsets)) is not None:
            closed.append(window)
            copies.append(seen(window))
    assert [seen(window) for window in closed] == copies
    assert all(p.counts is not None and set(p.counts.tolist()) == {k + 1} for k, p in enumerate(panes))
    with pytest.raises(ValueError, match="read-only"):
        closed[0].counts[0] = 1


def test_sums_survive_large_fixed_point_values() -> None:
    """A leaving pane is subtracted exactly, also where sums are near the end of int64."""
    big = 2**62
    windows = open_windows(by_time(2 * PANE, PANE), PANE, WIDTH)
    values = [big, big - 1, -big, 3, 5]
    ends = [windows.add(PANE * (k + 1), 1, np.full(WIDTH, v, dtype=np.int64), ()) for k, v in enumerate(values)]
    assert [int(c.counts[0]) for c in ends if c] == [2 * big - 1, -1, 3 - big, 8]


def test_only_panes_of_later_windows_are_kept() -> None:
    """Memory is bounded by the window, whatever the length of the stream."""
    sliding = open_windows(by_events(50, 10), PANE, WIDTH)
    timed = open_windows(by_time(6 * PANE, 2 * PANE), PANE, WIDTH)
    counts = np.array([1, 0, 0, 0, 0], dtype=np.int64)
    for k in range(1000):
        for windows in (sliding, timed):
            windows.add(PANE * (k + 1), 10, counts, ())
    assert len(sliding._sum.slices) == 5  # type: ignore[attr-defined]  # the promise is about what is held
    assert len(timed._sum.slices) <= 4  # type: ignore[attr-defined]  # the same


def test_windows_in_which_nothing_came_or_went_share_their_counts() -> None:
    """So that what is measured of one need not be measured of the next."""
    windows = open_windows(WindowSpec(time_ms=10 * PANE, every_ms=PANE), PANE, WIDTH)
    windows.add(PANE, 3, np.array([1, 2, 0, 0, 0]), (OffsetRange("t", 0, 0, 3),))
    windows.add(2 * PANE, 1, np.array([0, 0, 1, 0, 0]), (OffsetRange("t", 0, 3, 4),))
    closed = windows.skip(3 * PANE, 30 * PANE)
    held = [window for window in closed if window.events]
    assert {tuple(window.counts.tolist()) for window in held} == {(1, 2, 1, 0, 0), (0, 0, 1, 0, 0)}
    assert len({id(window.counts) for window in held}) == 2
    assert all(not window.counts.any() for window in closed if not window.events)
