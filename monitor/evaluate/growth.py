"""A reference that grows: the first rows of a lane, and then its panes until a stretch of event time is over.

What grows is what a reference holds: counts by slice, the longest gap, and moments (`drift/growing.py`); no row of the
panes is kept. The grid stays that of the first rows, and so do the ranks of scores.

Slices have as many rows as those of the first rows, or twice as many and so on: they are merged by two when they become
too many. A gap between panes is one between their newest rows, because more is not known of a pane; so it is longer
than that between rows by a pane at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monitor.codec.counts import pack_counts, unpack_counts
from monitor.codec.durations import duration_text
from monitor.drift.growing import MOST_ROWS, GrowingMoments
from monitor.drift.scores import ScoreTables
from monitor.errors import FormatError
from monitor.evaluate.reference import MOST_SLICES, ROWS_PER_SLICE, Reference, ReferenceSlice
from monitor.evaluate.state import GrowingSlice, GrowthState
from monitor.events import Int64s
from monitor.panes.grid import Grid
from monitor.panes.merging import MergedPane


def end_of_span(time: int, span_ms: int, pane_ms: int) -> int:
    """Return where the first pane begins at or behind the end of a span that begins with the pane of a time, ms.

    >>> end_of_span(27, 25, 10)
    50
    """
    return time // pane_ms * pane_ms + in_panes(span_ms, pane_ms)


def in_panes(span_ms: int, pane_ms: int) -> int:
    """Return the length of the whole panes that hold a span, ms."""
    return -(-span_ms // pane_ms) * pane_ms


def origin_of(span_ms: int, events: int) -> str:
    """Return what a reference of a span of event time has as its origin."""
    return f"first {duration_text(span_ms)}: {events} events"


class CountedSlice(NamedTuple):
    """Rows that follow each other. `first`, `last`: ms; those of a pane begin with it."""

    events: int
    first: int | None
    last: int | None
    counts: Int64s

    def joined(self, other: CountedSlice) -> CountedSlice:
        return CountedSlice(self.events + other.events, self.first, other.last, self.counts + other.counts)

    def normalised(self, grid: Grid) -> Int64s:
        """Its counts as messages and files have them."""
        counts = self.counts.copy()
        grid.layout.normalise(counts)
        return counts


def slice_state(part: CountedSlice, grid: Grid) -> GrowingSlice:
    """Return a slice as a snapshot holds it."""
    return GrowingSlice(*part[:3], pack_counts(part.normalised(grid)))


def restored_slice(state: GrowingSlice, grid: Grid) -> CountedSlice:
    """Return the slice that a snapshot holds; raises FormatError."""
    counts = unpack_counts(state.counts, grid.layout.width)
    return CountedSlice(state.events, state.first_time, state.last_time, counts)


class RowSlices:
    """Slices of rows that come in order, of `length` rows or more each: merged by two when they become too many."""

    def __init__(self, slices: Sequence[CountedSlice] = (), length: int = ROWS_PER_SLICE) -> None:
        self.held = list(slices)
        self.length = length

    @property
    def events(self) -> int:
        """How many rows they have."""
        return sum(part.events for part in self.held)

    def add(self, new: CountedSlice) -> None:
        """Take rows that follow."""
        if self.held and self.held[-1].events < self.length:
            self.held[-1] = self.held[-1].joined(new)
            return
        self.held.append(new)
        if len(self.held) > 2 * MOST_SLICES:
            rest = self.held[len(self.held) // 2 * 2 :]
            pairs = zip(self.held[::2], self.held[1::2], strict=False)
            self.held = [*(one.joined(other) for one, other in pairs), *rest]
            self.length *= 2

    def made(self) -> list[CountedSlice]:
        """The slices of a reference; a last one that is short belongs to the one before."""
        slices = list(self.held)
        if len(slices) > 1 and 2 * slices[-1].events < self.length:
            slices[-2:] = [slices[-2].joined(slices[-1])]
        return slices


def counted(pane: MergedPane, grid: Grid) -> Int64s:
    """The counts of a pane as those of a reference, to which what came late does not belong."""
    counts = pane.counts.copy()
    counts[grid.layout.late] = 0
    return counts


class Growth:
    """The reference of one lane while it grows. `first`: that of its first rows. `pane_ms`, `span_ms`: lengths, ms."""

    def __init__(self, grid: Grid, first: Reference, pane_ms: int, span_ms: int) -> None:
        if first.growing is None or first.grows_to is None:
            raise FormatError(f"the reference {first.digest} of {first.model} does not grow")
        self._grid = grid
        self._first = first
        self._pane_ms = pane_ms
        self._span_ms = span_ms
        self.is_open = False
        """True from the first pane on that it takes."""
        self.ends = first.grows_to
        """The begin of the first pane that the reference counts for, ms."""
        self._most = max(1, MOST_ROWS * pane_ms // span_ms)
        slices = [
            CountedSlice(part.events, part.first_time, part.last_time, counts)
            for part, counts in zip(first.slices, first.by_slice, strict=True)
        ]
        self._slices = RowSlices(slices, max([ROWS_PER_SLICE, *(part.events for part in first.slices)]))
        self._last_time = first.info.end
        self._gap = first.longest_gap_ms or 0
        self._moments = GrowingMoments(ScoreTables(grid, first.total))
        self._moments.restore(first.growing)

    @property
    def begins(self) -> int:
        """The begin of its span, ms."""
        return self.ends - in_panes(self._span_ms, self._pane_ms)

    @property
    def events(self) -> int:
        """How many rows it has by now."""
        return self._slices.events

    def is_grown(self, at: int) -> bool:
        """Return true if the pane that begins at `at` (ms) is one that the reference is to count for."""
        return self.is_open and at >= self.ends

    def open(self, at: int, is_late: bool) -> None:
        """Take panes from the one on that begins at `at` (ms).

        `is_late`: panes behind the first rows have been missed, because the lane was gone; so the span begins here.
        """
        self.is_open = True
        if is_late:
            self.ends = end_of_span(at, self._span_ms, self._pane_ms)

    def add(self, pane_end: int, pane: MergedPane) -> None:
        """Take a pane of the lane."""
        if not pane.events:
            return
        counts = counted(pane, self._grid)
        self._slices.add(CountedSlice(pane.events, pane_end - self._pane_ms, pane.last_time, counts))
        if pane.last_time is not None and self._last_time is not None:
            self._gap = max(self._gap, pane.last_time - self._last_time)
        self._last_time = pane.last_time
        self._moments.add_pane(pane.events, counts, pane.codes, self._most)

    def made(self) -> Reference:
        """The reference as it is now, as that of the whole span."""
        slices = self._slices.made()
        total = np.sum([part.counts for part in slices], axis=0)
        tables = ScoreTables(self._grid, total, self._first.total)
        return Reference(
            model=self._first.model,
            stream=self._first.stream,
            grid=self._grid.digest,
            width=self._grid.layout.width,
            origin=origin_of(self._span_ms, self.events),
            slices=tuple(ReferenceSlice(*part[:3], pack_counts(part.normalised(self._grid))) for part in slices),
            longest_gap_ms=self._gap if self.events > 1 else None,
            moments=self._moments.moments(tables.shift),
            ranked=self._first.total,
        )

    # ------------------------------------------------------------------ state

    def state(self) -> GrowthState:
        """What it has taken, beside its first rows."""
        slices = tuple(slice_state(part, self._grid) for part in self._slices.held)
        return GrowthState(
            self.is_open, self.ends, self._slices.length, slices, self._last_time, self._gap, self._moments.state()
        )

    def restore(self, state: GrowthState) -> None:
        """Go on from there; raises FormatError."""
        self.is_open, self.ends = state.is_open, state.ends
        self._slices = RowSlices([restored_slice(part, self._grid) for part in state.slices], state.length)
        if not self._slices.held:
            raise FormatError("not a snapshot: a reference that grows has no rows")
        self._last_time, self._gap = state.last_time, state.longest_gap
        self._moments.restore(state.moments)
