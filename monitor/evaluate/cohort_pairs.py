"""The pairs of each cohort as one vector of integers, on the grid of the predictions.

Vectors need that grid: scores are binned by it, and errors are counted in its spreads. When it comes, the pairs that
are live by then are added at once; those of cohorts that had closed before are lost, which the cohort says. If another
grid takes its place, the vectors are made again in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from monitor.codec.counts import pack_counts, unpack_counts
from monitor.config.metrics import Task
from monitor.evaluate.join_values import Joined, JoinedPairs
from monitor.evaluate.state import CohortPairsState
from monitor.events import Int64s
from monitor.panes.grid import Grid
from monitor.stats.binary import BinaryLayout
from monitor.stats.multiclass import MulticlassLayout
from monitor.stats.performance import PairLayout, Pairs, vectors
from monitor.stats.regression import RegressionLayout

_MOST_ADDED = 1 << 14
"""Pairs that wait to be added up."""


def layout_of(task: Task, grid: Grid, classes: int, tolerance: float | None) -> PairLayout:
    """Return how pairs of a model are counted. `grid`: of its predictions; `classes`: that are known by now."""
    bins = {one.name: one for one in grid.numeric}
    if task == "regression":
        return RegressionLayout(bins["prediction"].spread, tolerance)
    if task == "classification_multiclass":
        return MulticlassLayout(classes)
    return BinaryLayout(bins["probability"].edges if "probability" in bins else None)


class CohortPairs:
    """The vectors of all cohorts that are not forgotten, by number; of one without labels there is none."""

    def __init__(self, task: Task, tolerance: float | None) -> None:
        self._task = task
        self._tolerance = tolerance
        self._vectors: dict[int, Int64s] = {}
        self._changes: dict[int, int] = {}
        self._lost: set[int] = set()
        self._added: list[tuple[JoinedPairs, int]] = []
        """Pairs that have come, or gone, since vectors were last asked for, with their sign."""
        self._rows_added = 0
        self.layout: PairLayout | None = None
        """None before the predictions have a grid."""
        self._classes = 0
        self._grid: Grid | None = None

    @property
    def grid(self) -> Grid | None:
        """The grid of the predictions, once there is one."""
        return self._grid

    # ------------------------------------------------------------------ pairs

    def use(self, grid: Grid, classes: int, live: JoinedPairs, live_from: int) -> None:
        """Count on another grid, from nothing. `live_from`: number of the first cohort that is live."""
        self._count_on(grid, classes)
        self._lost |= {number for number in self._changes if number < live_from}
        self._vectors.clear()
        self._add(live)

    def _count_on(self, grid: Grid | None, classes: int) -> None:
        self._added.clear()
        self._rows_added = 0
        self._grid, self._classes = grid, classes
        self.layout = None if grid is None else layout_of(self._task, grid, classes, self._tolerance)

    def take(self, joined: Joined, classes: int) -> None:
        """Take what a pane has changed."""
        if self._grid is not None and classes != self._classes:  # predictions alone may have brought some
            self._add_up()
            self._count_on(self._grid, classes)
        if not len(joined.added.cohort):  # and so nothing is removed
            return
        for pairs in (joined.added, joined.removed):
            for number, n in _by_cohort(pairs.cohort):
                self._changes[number] = self._changes.get(number, 0) + n
        self._add(joined.added)
        self._add(joined.removed, sign=-1)

    def _add(self, joined: JoinedPairs, sign: int = 1) -> None:
        """Have pairs be added, or with -1 taken away, at the latest when vectors are asked for.

        Counting a few takes as long as counting hundreds, and in a sparse stream each pane has a few.
        """
        if self.layout is None or not len(joined.cohort):
            return
        self._added.append((joined, sign))
        self._rows_added += len(joined.cohort)
        if self._rows_added > _MOST_ADDED:
            self._add_up()

    def _add_up(self) -> None:
        """Bring the vectors up to date."""
        for sign in (1, -1):
            parts = [joined for joined, own in self._added if own == sign]
            if parts and self.layout is not None:
                self._add_at_once(self.layout, JoinedPairs(*map(np.concatenate, zip(*parts, strict=True))), sign)
        self._added.clear()
        self._rows_added = 0

    def _add_at_once(self, layout: PairLayout, joined: JoinedPairs, sign: int) -> None:
        first = int(joined.cohort.min())
        pairs = Pairs(joined.truth, joined.prediction, joined.probability)
        found = vectors(layout, pairs, joined.cohort - first, int(joined.cohort.max()) - first + 1)
        for number, _ in _by_cohort(joined.cohort):
            self._vectors[number] = self._of(number) + sign * found[number - first]

    def _of(self, number: int) -> Int64s:
        """The vector of a cohort in the present layout: it grows with the classes that are known."""
        vector, width = self._vectors.get(number), 0 if self.layout is None else self.layout.width
        if vector is None:
            return np.zeros(width, dtype=np.int64)
        return vector if len(vector) == width else np.concatenate([vector, np.zeros(width - len(vector), np.int64)])

    def forget_before(self, number: int) -> None:
        """Forget cohorts with lower numbers."""
        self._add_up()
        for known in (self._vectors, self._changes):
            for old in [one for one in known if one < number]:
                del known[old]
        self._lost = {one for one in self._lost if one >= number}

    # ------------------------------------------------------------------ what they say

    def changes(self, numbers: range) -> Int64s:
        """How often pairs of each of these cohorts have come or gone, shape (n,)."""
        of = self._changes.get
        return np.array([of(number, 0) for number in numbers], dtype=np.int64)

    def sum_of(self, numbers: Sequence[int]) -> Int64s | None:
        """The vector of these cohorts together; None before there is a grid, and if pairs of one are lost."""
        if self.layout is None or not self._lost.isdisjoint(numbers):
            return None
        self._add_up()
        total = np.zeros(self.layout.width, dtype=np.int64)
        for number in numbers:
            if number in self._vectors:
                total += self._of(number)
        return total

    def is_lost(self, number: int) -> bool:
        """Return true if pairs of a cohort were lost, because it had closed before there was a grid."""
        return number in self._lost

    # ------------------------------------------------------------------ state

    def state(self) -> tuple[CohortPairsState, ...]:
        """The vectors, by number."""
        self._add_up()
        numbers = sorted(self._changes.keys() | self._lost)
        return tuple(
            CohortPairsState(
                number,
                self._changes.get(number, 0),
                number in self._lost,
                pack_counts(self._vectors[number]) if number in self._vectors else None,
            )
            for number in numbers
        )

    def restore(self, states: Sequence[CohortPairsState], grid: Grid | None, classes: int) -> None:
        """Go on from there; raises FormatError. `grid`: of the predictions, if they have one."""
        self._count_on(grid, classes)
        width = 0 if self.layout is None else self.layout.width
        for one in states:
            if one.changes:
                self._changes[one.number] = one.changes
            if one.is_lost:
                self._lost.add(one.number)
            if one.vector is not None:
                self._vectors[one.number] = unpack_counts(one.vector, width)


def _by_cohort(cohort: Int64s) -> Iterator[tuple[int, int]]:
    """The cohorts of pairs, ascending, and how many each has."""
    if len(cohort):
        first = int(cohort.min())
        counts = np.bincount(cohort - first)
        for place in np.flatnonzero(counts).tolist():
            yield first + place, int(counts[place])
