"""A reference that trails: the rows of a lane's newest stretch of event time, but for those that windows still hold.

It begins with the slices of the lane's first reference, and counts the panes behind them. Each day from where the first
reference counts on, or each span if that is shorter, another one is made: of the slices that lie whole in a span that
ends a window's length before now. Windows are compared with the newest of these; `drift`, detectors and their ranks
keep the first reference, because a reference that follows the data learns each drift that is slow.

No rows are kept and no moments; slices as long as they may be asked for.
"""

from __future__ import annotations

from monitor.codec.counts import pack_counts
from monitor.codec.durations import duration_text
from monitor.evaluate.growth import CountedSlice, counted, in_panes, restored_slice, slice_state
from monitor.evaluate.reference import MOST_SLICES, Reference, ReferenceSlice
from monitor.evaluate.state import TrailingState
from monitor.panes.grid import Grid
from monitor.panes.merging import MergedPane

DAY_MS = 86_400_000


class Trailing:
    """Those of one lane. `since`: where the first reference counts from; `pane_ms`, `span_ms`: lengths, ms."""

    def __init__(self, grid: Grid, first: Reference, since: int, pane_ms: int, span_ms: int) -> None:
        self._grid = grid
        self._first = first
        self._since = since
        self._pane_ms = pane_ms
        self._span_ms = span_ms
        self._every_ms = in_panes(min(DAY_MS, span_ms), pane_ms)
        self._slice_ms = in_panes(-(-span_ms // MOST_SLICES), pane_ms)
        self._slices = [
            CountedSlice(part.events, part.first_time, part.last_time, counts)
            for part, counts in zip(first.slices, first.by_slice, strict=True)
        ]
        self.due = since + self._every_ms
        """The begin of the pane that the next reference is made at, ms."""

    def add(self, pane_end: int, pane: MergedPane) -> None:
        """Take a pane of the lane."""
        if not pane.events:
            return
        begin = pane_end - self._pane_ms
        last = begin if pane.last_time is None else pane.last_time
        new = CountedSlice(pane.events, begin, last, counted(pane, self._grid))
        if self._slices and self._number(self._slices[-1]) == (begin - self._since) // self._slice_ms:
            self._slices[-1] = self._slices[-1].joined(new)
        else:
            self._slices.append(new)

    def _number(self, part: CountedSlice) -> int:
        """The number of a slice since the first reference; that one's own have negative ones."""
        return -1 if part.first is None else (part.first - self._since) // self._slice_ms

    def made(self, window_ms: int, least: int) -> Reference | None:
        """The reference that is due; None if its span has fewer rows than `least`.

        `window_ms`: length of the longest window.
        """
        ends = self.due - min(window_ms, self._span_ms)
        slices = [part for part in self._slices if _lies_in(part, ends - self._span_ms, ends)]
        events = sum(part.events for part in slices)
        if events < least:
            return None
        return Reference(
            model=self._first.model,
            stream=self._first.stream,
            grid=self._grid.digest,
            width=self._grid.layout.width,
            origin=f"trailing {duration_text(self._span_ms)}: {events} events",
            slices=tuple(ReferenceSlice(*part[:3], pack_counts(part.normalised(self._grid))) for part in slices),
        )

    def pass_over(self, at: int) -> None:
        """Panes up to the one that begins at `at` (ms) have their reference; forget what none asks for any more."""
        if at < self.due:
            return
        self.due += ((at - self.due) // self._every_ms + 1) * self._every_ms
        oldest = self.due - 2 * self._span_ms - self._every_ms
        self._slices = [part for part in self._slices if part.first is not None and part.first >= oldest]

    # ------------------------------------------------------------------ state

    def state(self) -> TrailingState:
        """What it has taken, beside the first reference."""
        return TrailingState(self.due, tuple(slice_state(part, self._grid) for part in self._slices))

    def restore(self, state: TrailingState) -> None:
        """Go on from there; raises FormatError."""
        self.due = state.due
        self._slices = [restored_slice(part, self._grid) for part in state.slices]


def _lies_in(part: CountedSlice, start: int, end: int) -> bool:
    return part.first is not None and part.last is not None and start <= part.first and part.last < end
