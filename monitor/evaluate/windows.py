"""Windows over whole panes: exact running integer sums, and when they close.

The rules of this file (n, m, T, E as in `WindowSpec`):

- {events: n}: closes at the first pane end with at least n events since the last closing, then starts again.
- {events: n, every: m}: closes at a pane end at which at least m events came since the last closing and all panes
  held have at least n; the window is the shortest suffix of whole panes with at least n events.
- {time: T, every: E}: closes at pane ends that are multiples of E, once [end - T, end) lies wholly at or after the
  start of the first pane; empty or not. Without `every`, E is T.
- A pane that holds nothing moves no window of events: it can neither close it nor change its sums. So a run of empty
  panes is folded at the cost of the time windows that still hold something.
- Sums are integers: a leaving pane is subtracted, and nothing of it is left. A sum never needs more than int64,
  since the sum of all panes of a window has to fit anyway, and wrapping in between cancels out.

Event time is kept in slices no finer than the window needs: one pane for a sliding window of events, the common
divisor of T and E for a window of time. A slice is dropped as soon as no later window can hold it; all but the newest
are kept sparse, since thin traffic makes thousands of slices with few events each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import gcd
from typing import Protocol

import numpy as np

from monitor.codec.counts import pack_counts, unpack_counts
from monitor.config.resolved import WindowSpec
from monitor.errors import FormatError
from monitor.evaluate.state import (
    SliceState,
    SlidingState,
    TimeState,
    TumblingState,
    WindowsState,
)
from monitor.events import Int64s, OffsetRange


@dataclass(frozen=True, slots=True)
class Closed:
    """One closed window: event time [start, end), its events, the sum of its panes' counts, shape (width,).

    `offsets`: first and last offset of each topic partition over the window's panes, sorted. `counts` may be shared
    between windows of equal content and is not writeable.
    """

    start: int
    end: int
    events: int
    counts: Int64s
    offsets: tuple[OffsetRange, ...]


class Windows(Protocol):
    """The windows of one specification over one stream. Evaluate calls it once a pane, in pane order, without gaps."""

    def add(self, pane_end: int, events: int, counts: Int64s | None, offsets: tuple[OffsetRange, ...]) -> Closed | None:
        """Add one pane; `counts`: None if it is empty. Returns the window that closes at its end."""

    def skip(self, first_end: int, last_end: int) -> list[Closed]:
        """Add a run of empty panes with these ends, both included; returns the windows that close in it, in order.

        Of windows that hold nothing the first and the last.
        """

    def state(self) -> WindowsState:
        """All that later windows depend on."""

    def restore(self, state: WindowsState) -> None:
        """Go on from there; of windows that were just opened. Raises FormatError."""


def open_windows(spec: WindowSpec, pane_ms: int, width: int) -> Windows:
    """The windows of a specification. `width`: length of a pane's flat count vector."""
    if spec.events is not None:
        if spec.every is None:
            return TumblingEvents(spec.events, pane_ms, width)
        return SlidingEvents(spec.events, spec.every, pane_ms, width)
    if spec.time_ms is None:
        raise ValueError("a window specification has neither events nor time")
    return TimeWindows(spec.time_ms, spec.every_ms or spec.time_ms, pane_ms, width)


@dataclass(slots=True)
class _Slice:
    """A stretch of event time: what its panes hold. `counts` None: nothing so far; sparse if `places` are given."""

    start: int
    events: int = 0
    counts: Int64s | None = None
    places: Int64s | None = None
    offsets: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    def absorb(self, events: int, counts: Int64s | None, offsets: Iterable[OffsetRange]) -> None:
        self.events += events
        if counts is not None:
            # never in place: the first vector belongs to the pane
            self.counts = counts if self.counts is None else self.counts + counts
        _widen(self.offsets, offsets)

    def pack(self) -> None:
        """Keep only the counts that are not 0, if that is shorter, because no more panes come."""
        if self.counts is not None and self.places is None:
            places = np.flatnonzero(self.counts)
            if 2 * len(places) < len(self.counts):
                self.counts, self.places = self.counts[places], places

    def leave(self, sums: Int64s) -> None:
        """Subtract what is held here."""
        if self.counts is None:
            return
        if self.places is None:
            sums -= self.counts
        else:
            sums[self.places] -= self.counts

    def state(self) -> SliceState:
        counts = None if self.counts is None else pack_counts(self.counts, self.places)
        return SliceState(self.start, self.events, counts, _ranges([self]))

    @staticmethod
    def of(state: SliceState, width: int) -> _Slice:
        """The slice of its state."""
        held = _Slice(state.start, state.events, None if state.counts is None else unpack_counts(state.counts, width))
        _widen(held.offsets, state.offsets)
        return held


def _refuse(state: WindowsState) -> FormatError:
    return FormatError(f"not a snapshot: windows of another kind, {type(state).__name__}")


def _widen(bounds: dict[tuple[str, int], tuple[int, int]], offsets: Iterable[OffsetRange]) -> None:
    for topic, partition, start, end in offsets:
        known = bounds.get((topic, partition))
        bounds[topic, partition] = (start, end) if known is None else (min(known[0], start), max(known[1], end))


def _ranges(slices: Iterable[_Slice]) -> tuple[OffsetRange, ...]:
    bounds: dict[tuple[str, int], tuple[int, int]] = {}
    for part in slices:
        _widen(bounds, (OffsetRange(*tp, *range_) for tp, range_ in part.offsets.items()))
    return tuple(OffsetRange(*tp, *bounds[tp]) for tp in sorted(bounds))


def _frozen(counts: Int64s) -> Int64s:
    counts = counts.copy()
    counts.flags.writeable = False
    return counts


class TumblingEvents:
    """Windows of at least n events, laid end to end."""

    def __init__(self, events: int, pane_ms: int, width: int) -> None:
        self._least = events
        self._pane_ms = pane_ms
        self._width = width
        self._slice: _Slice | None = None

    def add(self, pane_end: int, events: int, counts: Int64s | None, offsets: tuple[OffsetRange, ...]) -> Closed | None:
        window = self._open(pane_end)
        window.absorb(events, counts, offsets)
        if window.events < self._least:
            return None
        self._slice = _Slice(pane_end)
        sums = np.zeros(self._width, dtype=np.int64) if window.counts is None else window.counts
        return Closed(window.start, pane_end, window.events, _frozen(sums), _ranges([window]))

    def skip(self, first_end: int, last_end: int) -> list[Closed]:
        self._open(first_end)
        return []

    def state(self) -> TumblingState:
        return TumblingState(None if self._slice is None else self._slice.state())

    def restore(self, state: WindowsState) -> None:
        if not isinstance(state, TumblingState):
            raise _refuse(state)
        self._slice = None if state.slice is None else _Slice.of(state.slice, self._width)

    def _open(self, pane_end: int) -> _Slice:
        if self._slice is None:
            self._slice = _Slice(pane_end - self._pane_ms)
        return self._slice


class _RunningSum:
    """Slices in order, with the sum of their events and counts."""

    def __init__(self, width: int) -> None:
        self.slices: deque[_Slice] = deque()
        self.events = 0
        self.counts = np.zeros(width, dtype=np.int64)
        self._frozen: Int64s | None = None

    def open(self, start: int) -> None:
        """Begin a slice at `start`; it is the newest from now on."""
        if self.slices:
            if self.slices[-1].start == start:
                return
            self.slices[-1].pack()
        self.slices.append(_Slice(start))

    def absorb(self, events: int, counts: Int64s, offsets: tuple[OffsetRange, ...]) -> None:
        """Add one pane to the newest slice."""
        self.slices[-1].absorb(events, counts, offsets)
        self.events += events
        self.counts += counts
        self._frozen = None

    def drop(self) -> None:
        """Drop the oldest slice."""
        left = self.slices.popleft()
        self.events -= left.events
        left.leave(self.counts)
        self._frozen = None

    def state(self) -> tuple[SliceState, ...]:
        return tuple(part.state() for part in self.slices)

    def restore(self, states: Sequence[SliceState]) -> None:
        """The same slices; the sums follow from them."""
        if any(later.start <= earlier.start for earlier, later in pairwise(states)):
            raise FormatError("not a snapshot: slices of a window are not in order")
        for state in states:
            held = _Slice.of(state, len(self.counts))
            if self.slices:
                self.slices[-1].pack()
            self.slices.append(held)
            self.events += held.events
            if held.counts is not None:
                self.counts += held.counts
        self._frozen = None

    def close(self, start: int, end: int) -> Closed:
        """Close a window; the same vector of counts as at the last time if nothing has come or gone since."""
        if self._frozen is None:
            self._frozen = _frozen(self.counts)
        return Closed(start, end, self.events, self._frozen, _ranges(self.slices))


class SlidingEvents:
    """Windows of the newest whole panes with at least n events, each m events or more after the one before."""

    def __init__(self, events: int, every: int, pane_ms: int, width: int) -> None:
        self._least = events
        self._every = every
        self._pane_ms = pane_ms
        self._sum = _RunningSum(width)
        self._since_closing = 0

    def add(self, pane_end: int, events: int, counts: Int64s | None, offsets: tuple[OffsetRange, ...]) -> Closed | None:
        if counts is None:
            return None
        running = self._sum
        running.open(pane_end - self._pane_ms)
        running.absorb(events, counts, offsets)
        # the shortest suffix only ever starts later: what is not in it now is in none to come
        while running.events - running.slices[0].events >= self._least:
            running.drop()
        self._since_closing += events
        if self._since_closing < self._every or running.events < self._least:
            return None
        self._since_closing = 0
        return running.close(running.slices[0].start, pane_end)

    def skip(self, first_end: int, last_end: int) -> list[Closed]:
        return []

    def state(self) -> SlidingState:
        return SlidingState(self._sum.state(), self._since_closing)

    def restore(self, state: WindowsState) -> None:
        if not isinstance(state, SlidingState):
            raise _refuse(state)
        self._sum.restore(state.slices)
        self._since_closing = state.since_closing


class TimeWindows:
    """Windows of T ms of event time, closed at multiples of E ms."""

    def __init__(self, time_ms: int, every_ms: int, pane_ms: int, width: int) -> None:
        if time_ms % pane_ms or every_ms % pane_ms:
            raise ValueError(f"time={time_ms}ms,every={every_ms}ms is not made of whole panes of {pane_ms} ms")
        self._time_ms = time_ms
        self._every_ms = every_ms
        self._pane_ms = pane_ms
        self._slice_ms = gcd(time_ms, every_ms)
        self._first: int | None = None
        self._sum = _RunningSum(width)
        self._last: Closed | None = None

    def add(self, pane_end: int, events: int, counts: Int64s | None, offsets: tuple[OffsetRange, ...]) -> Closed | None:
        start = pane_end - self._pane_ms
        self._begin(start)
        if counts is not None:
            self._sum.open(start - start % self._slice_ms)
            self._sum.absorb(events, counts, offsets)
            self._last = None
        return self._close(pane_end) if pane_end % self._every_ms == 0 else None

    def skip(self, first_end: int, last_end: int) -> list[Closed]:
        self._begin(first_end - self._pane_ms)
        first = max(first_end, (self._first or 0) + self._time_ms)  # below it no window closes
        end, last = first + -first % self._every_ms, last_end // self._every_ms * self._every_ms
        closed: list[Closed] = []
        while end <= last:
            if (window := self._close(end)) is not None:
                closed.append(window)
            # a window that holds nothing is followed by such alone: the last of them says it all
            end = end + self._every_ms if self._sum.slices else max(end + self._every_ms, last)
        return closed

    def state(self) -> TimeState:
        return TimeState(self._first, self._sum.state())

    def restore(self, state: WindowsState) -> None:
        if not isinstance(state, TimeState):
            raise _refuse(state)
        if any(part.start % self._slice_ms for part in state.slices):
            raise FormatError("not a snapshot: slices of another window")
        self._first = state.first
        self._sum.restore(state.slices)

    def _begin(self, start: int) -> None:
        if self._first is None:
            self._first = start

    def _close(self, end: int) -> Closed | None:
        start = end - self._time_ms
        if self._first is None or start < self._first:
            return None
        slices = self._sum.slices
        while slices and slices[0].start < start:
            self._sum.drop()
            self._last = None
        if self._last is None:
            self._last = self._sum.close(start, end)
        else:
            # a silent stretch: the same content, so the same vector
            self._last = Closed(start, end, self._last.events, self._last.counts, self._last.offsets)
        return self._last
