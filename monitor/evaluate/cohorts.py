"""Cohorts: the stretches of prediction time that predictions wait in, and when each stops taking labels.

The rules of this file:

- A cohort is made of whole panes. The first prediction behind the end of the one before opens it. One of time starts
  and ends at multiples of the step; one of events starts with its first prediction, and ends at the first pane end with
  at least that many.
- They close in the order in which they opened: by age at the first pane that starts `max_delay_ms` or more after their
  end; by budget at the pane that brings more live predictions than may wait, the oldest first, and the newest, too,
  even if it has not ended.
- What comes to a cohort that closed before its end is counted in it and left out. Nothing of it is kept, so an id that
  comes there twice counts twice.
- A pane without rows changes nothing but by age, so a run of such may be passed over up to `next_closing`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from monitor.errors import FormatError
from monitor.evaluate.join_values import Closing, JoinSpec, Why
from monitor.evaluate.state import CohortState
from monitor.events import Int64s


@dataclass(slots=True)
class Cohort:
    """Predictions of event time [start, end), and how many have a label. `end`: None if more events have to come."""

    number: int
    start: int
    end: int | None
    predictions: int = 0
    labelled: int = 0
    closed: Why | None = None

    @property
    def unlabelled(self) -> int:
        """Its predictions without a label."""
        return self.predictions - self.labelled


_NEVER_ENDS = 1 << 62


class CohortColumns(NamedTuple):
    """All cohorts as columns (n,), with the number of the first. `end`: very late while more events have to come.

    `is_live`: 1 while it takes labels, else 0. They are good until the next change.
    """

    first: int
    start: Int64s
    end: Int64s
    predictions: Int64s
    labelled: Int64s
    is_live: Int64s


class _Columns:
    """Columns that are brought up to date by cohorts that have changed: of hundreds a pane changes a few."""

    def __init__(self) -> None:
        self._base = 0
        self._table = np.zeros((5, 0), dtype=np.int64)
        self._changed: dict[int, Cohort] = {}

    def change(self, cohort: Cohort) -> None:
        """A cohort is new, or has changed."""
        self._changed[cohort.number] = cohort

    def of(self, cohorts: Sequence[Cohort]) -> CohortColumns:
        first, stop = (cohorts[0].number, cohorts[-1].number + 1) if cohorts else (0, 0)
        if stop > self._base + self._table.shape[1]:
            self._base, self._table = first, np.zeros((5, 2 * (stop - first) + 64), dtype=np.int64)
            self._changed = {cohort.number: cohort for cohort in cohorts}
        for number, c in self._changed.items():
            if number >= first:
                end = _NEVER_ENDS if c.end is None else c.end
                self._table[:, number - self._base] = c.start, end, c.predictions, c.labelled, c.closed is None
        self._changed.clear()
        return CohortColumns(first, *self._table[:, first - self._base : stop - self._base])


class Cohorts:
    """All cohorts that are not forgotten, in order."""

    def __init__(self, spec: JoinSpec) -> None:
        self._spec = spec
        self._all: deque[Cohort] = deque()
        self._live: deque[Cohort] = deque()
        self._starts: Int64s | None = None
        self._columns = _Columns()
        self.pending = 0
        """Predictions in live cohorts, with and without label."""

    def use(self, spec: JoinSpec) -> None:
        """From the next pane on; the newest cohort ends where it would have, unless that is known from events alone."""
        self._spec = spec

    @property
    def all(self) -> Sequence[Cohort]:
        return self._all

    def columns(self) -> CohortColumns:
        """The same as columns."""
        return self._columns.of(self._all)

    @property
    def oldest_live(self) -> Cohort | None:
        """The first cohort that takes labels."""
        return self._live[0] if self._live else None

    @property
    def newest_is_live(self) -> bool:
        return bool(self._all) and self._all[-1].closed is None

    # ------------------------------------------------------------------ a pane

    def close_old(self, now: int) -> list[Closing]:
        """Close those that are too old at the start of a pane."""
        closed = []
        while (due := self.next_closing()) is not None and due <= now:
            closed.append(self._close("age", None))
        return closed

    def next_closing(self) -> int | None:
        """The start of a pane from which on one closes by age."""
        oldest = self.oldest_live
        return None if oldest is None or oldest.end is None else oldest.end + self._spec.max_delay_ms

    def open(self, start: int) -> int | None:
        """Have a cohort for predictions of the pane that starts there; returns its number if it is new."""
        newest, step = self._all[-1] if self._all else None, self._spec.step_ms
        begin = start if step is None else start // step * step
        if newest is not None:
            if newest.end is None and step is not None:
                newest.end = start  # it was one of events, and those to come are of time
                self._columns.change(newest)
            if newest.end is None or start < newest.end:
                return None
            begin = max(begin, newest.end)
        end = None if step is None else start // step * step + step
        cohort = Cohort(0 if newest is None else newest.number + 1, begin, end)
        self._all.append(cohort)
        self._live.append(cohort)
        self._columns.change(cohort)
        self._starts = None
        return cohort.number

    def add(self, predictions: int, pane_end: int) -> bool:
        """Count predictions of a pane in the newest cohort; returns False if they are left out."""
        newest = self._all[-1]
        newest.predictions += predictions
        self._columns.change(newest)
        if self._spec.step_events is not None and newest.predictions >= self._spec.step_events:
            newest.end = pane_end
        if newest.closed is not None:
            return False
        self.pending += predictions
        return True

    def close_beyond_budget(self, pane_end: int) -> list[Closing]:
        """Close the oldest until no more predictions are live than may wait."""
        oldest = self.oldest_live
        if oldest is None or self.pending <= self._spec.pending:
            return []
        seen = pane_end - oldest.start
        whole = self._spec.max_delay_ms + (pane_end if oldest.end is None else oldest.end) - oldest.start
        needed = max(-(-self.pending * whole // seen), self.pending)
        closed = []
        while self.pending > self._spec.pending:
            closed.append(self._close("budget", needed))
        return closed

    def _close(self, why: Why, needed: int | None) -> Closing:
        cohort = self._live.popleft()
        cohort.closed, self._starts = why, None
        self._columns.change(cohort)
        self.pending -= cohort.predictions
        return Closing(cohort.number, why, cohort.unlabelled, needed)

    # ------------------------------------------------------------------ labels

    def numbers_of(self, times: Int64s) -> Int64s:
        """The numbers of the live cohorts that these times (ms) are in, shape (n,)."""
        if self._starts is None:
            self._starts = np.fromiter((cohort.start for cohort in self._live), np.int64, len(self._live))
        first = self._live[0].number if self._live else 0
        return np.asarray(np.searchsorted(self._starts, times, side="right") - 1 + first, dtype=np.int64)

    def label(self, numbers: Int64s) -> None:
        """Count a first label for each of these numbers of live cohorts."""
        if len(numbers):
            first = self._live[0].number
            counts = np.bincount(numbers - first)
            for place in np.flatnonzero(counts).tolist():  # few cohorts of many labels
                self._live[place].labelled += int(counts[place])
                self._columns.change(self._live[place])

    def forget_before(self, number: int) -> None:
        """Forget those with lower numbers, up to the first that is live; never the newest."""
        while len(self._all) > 1 and self._all[0].number < number and self._all[0].closed:
            self._all.popleft()

    def count(self) -> tuple[int, int]:
        """How many predictions are live, and how many of them have a label."""
        return self.pending, sum(cohort.labelled for cohort in self._live)

    # ------------------------------------------------------------------ state

    def state(self) -> tuple[CohortState, ...]:
        return tuple(CohortState(c.number, c.start, c.end, c.predictions, c.labelled, c.closed) for c in self._all)

    def restore(self, states: Sequence[CohortState]) -> None:
        """Go on from there; raises FormatError."""
        self._all = deque(Cohort(s.number, s.start, s.end, s.predictions, s.labelled, s.closed) for s in states)
        for older, newer in zip(self._all, islice(self._all, 1, None), strict=False):
            follows = newer.number == older.number + 1 and older.end is not None and older.end <= newer.start
            if not follows or (newer.closed and not older.closed):
                raise FormatError("not a snapshot: cohorts of predictions are not in order")
        self._live = deque(cohort for cohort in self._all if cohort.closed is None)
        self._columns = _Columns()
        self.pending = sum(cohort.predictions for cohort in self._live)
