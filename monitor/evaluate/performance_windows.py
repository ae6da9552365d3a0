"""Windows of performance: sums of cohorts, by the time of the prediction, and how complete their labels are.

A window is *final* once all its cohorts have closed, and takes no labels any more; *mature* while at least a given
share of its predictions has a label; else *provisional*. A window of time ends at multiples of its step, one of events
with a cohort. Those without predictions are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monitor.config.resolved import WindowSpec
from monitor.evaluate.cohorts import CohortColumns
from monitor.events import Bools, Int64s, Standing


class PerformanceWindow(NamedTuple):
    """One window, event time [start, end) of predictions. `cohorts`: their numbers. `changes`: of pairs so far."""

    name: str
    start: int
    end: int
    predictions: int
    labels: int
    changes: int
    standing: Standing
    cohorts: range

    @property
    def coverage(self) -> float:
        """The share of its predictions whose label has come."""
        return self.labels / self.predictions


@dataclass(frozen=True, slots=True)
class WindowTable:
    """All windows of one specification that have ended, in order, as columns (n,)."""

    name: str
    start: Int64s
    end: Int64s
    first: Int64s
    last: Int64s
    predictions: Int64s
    labels: Int64s
    changes: Int64s
    is_final: Bools
    is_mature: Bools

    def window(self, i: int) -> PerformanceWindow:
        """The window at a place."""
        standing: Standing = "final" if self.is_final[i] else "mature" if self.is_mature[i] else "provisional"
        return PerformanceWindow(
            self.name,
            int(self.start[i]),
            int(self.end[i]),
            int(self.predictions[i]),
            int(self.labels[i]),
            int(self.changes[i]),
            standing,
            range(int(self.first[i]), int(self.last[i])),
        )

    def newest(self, least_labels: int, standings: Sequence[Standing]) -> PerformanceWindow | None:
        """The newest one with that many labels."""
        fits = self.labels >= least_labels
        if "provisional" not in standings:
            fits &= (self.is_final | self.is_mature) if "mature" in standings else self.is_final
        found = np.flatnonzero(fits)
        return self.window(int(found[-1])) if len(found) else None

    @property
    def levels(self) -> Int64s:
        """How far each has come: tenths of coverage, 16 more if it is mature or final, and 32 more if it is final."""
        tenths = self.labels * 10 // np.maximum(self.predictions, 1)
        return np.asarray(tenths + 16 * (self.is_mature | self.is_final) + 32 * self.is_final, dtype=np.int64)


def table_of(spec: WindowSpec, cohorts: CohortColumns, changes: Int64s, mature: float, to_ms: int) -> WindowTable:
    """All windows of a specification that end at or before `to_ms`. `changes`: of the pairs of each cohort, (n,)."""
    starts, ends = cohorts.start, cohorts.end
    if spec.time_ms is not None:
        begin, end, first, last = _of_time(spec.time_ms, spec.every_ms or spec.time_ms, starts, to_ms)
    else:
        begin, end, first, last = _of_events(spec.events or 1, spec.every or spec.events or 1, starts, ends, to_ms)
    sums = np.zeros((4, len(starts) + 1), dtype=np.int64)
    for place, column in enumerate((cohorts.predictions, cohorts.labelled, cohorts.is_live, changes)):
        np.cumsum(column, out=sums[place, 1:])
    predictions, labels, live, changed = sums[:, last] - sums[:, first]
    offset = cohorts.first
    is_whole = begin >= starts[0] if offset else np.ones(len(begin), dtype=np.bool_)  # else cohorts of it are forgotten
    kept = (predictions > 0) & is_whole
    return WindowTable(
        spec.name,
        begin[kept],
        end[kept],
        first[kept] + offset,
        last[kept] + offset,
        predictions[kept],
        labels[kept],
        changed[kept],
        live[kept] == 0,
        labels[kept] >= mature * predictions[kept],
    )


_Columns = tuple[Int64s, Int64s, Int64s, Int64s]


def _of_time(length: int, step: int, starts: Int64s, to_ms: int) -> _Columns:
    """Begin, end, and the places of the first cohort and the one behind the last."""
    if not len(starts):
        none = np.zeros(0, dtype=np.int64)
        return none, none, none, none
    stop = min(to_ms // step * step, (int(starts[-1]) // step + 1) * step + length - step)
    end = np.arange(int(starts[0]) // step * step + step, stop + 1, step, dtype=np.int64)
    first, last = (np.searchsorted(starts, at, side="left").astype(np.int64) for at in (end - length, end))
    return end - length, end, first, last


def _of_events(size: int, step: int, starts: Int64s, ends: Int64s, to_ms: int) -> _Columns:
    """Begin, end and places as `_of_time` has them: of the last `size / step` cohorts, at the end of each."""
    many, done = size // step, int(np.count_nonzero(ends <= to_ms))
    last = np.arange(many, done + 1, dtype=np.int64)
    first = last - many
    return starts[first], ends[last - 1], first, last
