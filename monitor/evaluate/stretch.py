"""The reference of a stretch of event time, from the panes that the ledger holds of it.

No raw row is left of them, so it stands on the grid that the lane has: of counts, and of traces for the moments. The
panes are gone through twice, in order: scores are ranks in the counts of all of them, so these come first. Memory does
not depend on how long the stretch is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from monitor.codec.counts import pack_counts, unpack_counts
from monitor.drift.growing import MOST_ROWS, GrowingMoments
from monitor.drift.moments import MOST_NUMBERS, Moments
from monitor.drift.scores import ScoreTables
from monitor.evaluate.composed import accepted_series, composed_moments, composed_slices, mixed_counts
from monitor.evaluate.growth import CountedSlice, RowSlices, counted
from monitor.evaluate.reference import Reference, ReferenceSlice
from monitor.events import Bools, Int64s, TopicPartition
from monitor.panes.grid import Grid
from monitor.panes.merging import MergedPane, merge
from monitor.panes.open_pane import summarise
from monitor.panes.pane import Pane, RawPane

MOST_ALIKE = 0.5
"""Most of a column's valid values that may be different ones and yet the same to the grid."""


class StretchRefused(ValueError):
    """The stretch can't be a reference; the message says why."""


class Stretch(NamedTuple):
    """Event time, [start, end) in ms, of the lane of that name, whose rows come from `partitions`."""

    lane: str
    pane_ms: int
    start: int
    end: int
    partitions: tuple[TopicPartition, ...]

    def holds(self, pane: Pane | RawPane) -> bool:
        """Return true if a pane lies in it as a whole."""
        return self.start <= pane.start and pane.start + pane.pane_ms <= self.end


class StoredPanes:
    """The panes of a stretch as the ledger gives them, merged in order once no partition can have more of them."""

    def __init__(self, stretch: Stretch, grid: Grid) -> None:
        self._stretch = stretch
        self._grid = grid
        self._held: dict[int, list[Pane]] = {}
        self._reached = dict.fromkeys(stretch.partitions, -(1 << 62))

    def add(self, pane: Pane | RawPane) -> None:
        """Take a pane of the stretch; raises StretchRefused if it does not stand on the lane's grid."""
        if isinstance(pane, RawPane) and not pane.complete:
            return
        if pane.contract != self._stretch.lane or (isinstance(pane, Pane) and pane.grid != self._grid.digest):
            raise StretchRefused("the stretch holds panes of another grid, before alerts.yaml was changed")
        on_grid = summarise(pane, self._grid) if isinstance(pane, RawPane) else pane
        self._held.setdefault(pane.start, []).append(on_grid)

    def reach(self, tp: TopicPartition, watermark: int) -> None:
        """All panes of an input partition that end at or before `watermark` (ms) have come."""
        if tp in self._reached:
            self._reached[tp] = max(watermark, self._reached[tp])

    def take(self, is_end: bool = False) -> Iterator[tuple[int, MergedPane]]:
        """The panes that are whole, in order, each with where it begins, ms. `is_end`: no more will come."""
        reached = min(self._reached.values())
        for start in sorted(self._held):
            if not is_end and start + self._stretch.pane_ms > reached:
                break
            yield start, merge(self._held.pop(start))


class StretchReference:
    """A reference in the making: `count` all panes of a stretch in order, `turn`, `add` them once more, and `made`.

    `before`: the one that it takes the place of; `columns`: those that are taken from the stretch, all if empty.
    """

    def __init__(self, grid: Grid, stretch: Stretch, before: Reference, columns: Collection[str] = ()) -> None:
        self._grid = grid
        self._before = before
        self._is_accepted = accepted_series(grid, columns)
        self._parts: tuple[ReferenceSlice, ...] = ()
        self._ranked: Int64s | None = None
        self._slices = RowSlices()
        self._last_time: int | None = None
        self._gap = 0
        self._most = max(1, MOST_ROWS * stretch.pane_ms // (stretch.end - stretch.start))
        self._moments: GrowingMoments | None = None
        self._again = 0

    def count(self, start: int, pane: MergedPane) -> None:
        """Take a pane for the first time; `start`: ms."""
        if not pane.events:
            return
        self._slices.add(CountedSlice(pane.events, start, pane.last_time, counted(pane, self._grid)))
        if pane.last_time is not None and self._last_time is not None:
            self._gap = max(self._gap, pane.last_time - self._last_time)
        self._last_time = pane.last_time

    def turn(self, least: int) -> None:
        """All panes are counted; raises StretchRefused if they are no reference. `least`: rows that one needs."""
        if self._slices.events < least:
            raise StretchRefused(f"the stretch has {self._slices.events} rows, and a reference needs {least}")
        total = self._total([part.counts for part in self._slices.held])
        if why := fault_of_grid(self._grid, total, self._is_accepted):
            raise StretchRefused(why)
        slices, before = self._slices.made(), self._before
        if self._is_whole:
            self._parts = tuple(ReferenceSlice(*p[:3], pack_counts(p.normalised(self._grid))) for p in slices)
        else:
            self._parts = composed_slices(self._grid, before, slices, self._is_accepted)
            total = self._total([unpack_counts(part.counts, len(total)) for part in self._parts])
            if before.ranked is not None:
                self._ranked = mixed_counts(self._grid, before.ranked, total, self._is_accepted)
        self._moments = GrowingMoments(ScoreTables(self._grid, total, self._ranked), MOST_NUMBERS)

    def _total(self, counts: Iterable[Int64s]) -> Int64s:
        total = np.zeros(self._grid.layout.width, dtype=np.int64)
        for part in counts:
            total += part
        return total

    @property
    def _is_whole(self) -> bool:
        """Return true if all columns are taken from the stretch."""
        return bool(self._is_accepted.all())

    def add(self, pane: MergedPane) -> None:
        """Take a pane for the second time, once `turn` was called."""
        if self._moments is not None and pane.events:
            self._again += pane.events
            self._moments.add_pane(pane.events, counted(pane, self._grid), pane.codes, self._most)

    def made(self, origin: str) -> Reference:
        """The reference; raises StretchRefused if panes were deleted meanwhile. `origin`: whose will it is."""
        if self._moments is None or self._again != self._slices.events:
            raise StretchRefused("the ledger does not hold all panes of the stretch any more")
        before, gap = self._before, self._gap if self._slices.events > 1 else None
        moments: Moments | None = self._moments.moments(np.zeros(2 * len(self._grid.series), dtype=np.int64))
        if moments is not None and not self._is_whole:
            known = before.moments
            moments = None if known is None else composed_moments(known, moments, self._is_accepted)
        return Reference(
            model=self._grid.model,
            stream=self._grid.stream,
            grid=self._grid.digest,
            width=self._grid.layout.width,
            origin=origin,
            slices=self._parts,
            longest_gap_ms=gap if self._is_whole else before.longest_gap_ms,
            moments=moments,
            ranked=self._ranked,
        )


def fault_of_grid(grid: Grid, counts: Int64s, is_asked: Bools) -> str:
    """Why a grid is none for these series of rows of these counts: it can't tell their values apart; empty if it is."""
    shares = zip(_alike(grid, counts), is_asked.tolist(), strict=True)
    found = sorted((-share, name) for (name, share), asked in shares if asked and share > MOST_ALIKE)
    if not found:
        return ""
    share, name = found[0]
    kind = (
        "lie in one bin of the grid" if name in grid.series[: len(grid.numeric)] else "are categories new to the grid"
    )
    more = f"; so it is with {len(found) - 1} other columns" if found[1:] else ""
    return (
        f"{-share:.0%} of the values of {name} {kind}{more}; another grid comes with another `reference` in alerts.yaml"
    )


def _alike(grid: Grid, counts: Int64s) -> Iterator[tuple[str, float]]:
    """Series -> the share of its valid values in the fullest bin that may hold several, or in new categories."""
    parts = iter(grid.layout.bins)
    for bins in grid.numeric:
        own = counts[next(parts)]
        yield bins.name, float(np.delete(own, bins.atoms).max() / max(own.sum(), 1))
    for category in grid.categorical:
        own = counts[next(parts)]
        yield category.name, float(own[-1] / max(own.sum(), 1))
