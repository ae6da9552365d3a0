"""Cohorts one after the other as slices: what becomes the reference of performance, whether they are kept or forgotten.

Cohorts that no window holds any more are forgotten, so that a model whose labels are few, or never come, keeps no more
of them than others. Until there is a reference they are added up here first; a slice is a sum, so the reference is the
same as if they had been kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from monitor.codec.counts import pack_counts, unpack_counts
from monitor.evaluate.cohort_pairs import CohortPairs
from monitor.evaluate.cohorts import Cohort
from monitor.evaluate.state import CohortSlicesState
from monitor.events import Int64s

SLICE_LABELS = 200
"""Fewest labels of a slice: whole cohorts that follow each other."""


@dataclass(frozen=True, slots=True)
class CohortSlices:
    """Labels and vector of each slice; the last may have too few labels. `start`, `end`: of the predictions, ms."""

    start: int | None = None
    end: int | None = None
    slices: tuple[tuple[int, Int64s], ...] = ()

    @property
    def labels(self) -> int:
        """How many they have together."""
        return sum(labels for labels, _ in self.slices)

    def followed_by(self, cohorts: Iterable[Cohort], pairs: CohortPairs, now: int) -> CohortSlices:
        """Return these and some later cohorts; those without labels, or whose pairs are lost, are passed over.

        One that closed before its end counts up to `now`, ms.
        """
        start, end, slices = self.start, self.end, list(self.slices)
        for cohort in cohorts:
            vector = pairs.sum_of([cohort.number])
            if vector is None or not cohort.labelled:
                continue
            if slices and slices[-1][0] < SLICE_LABELS:
                labels, before = slices[-1]
                slices[-1] = labels + cohort.labelled, sum_of(before, vector)
            else:
                slices.append((cohort.labelled, vector))
            start, end = cohort.start if start is None else start, cohort.end or now
        return CohortSlices(start, end, tuple(slices))

    def vectors(self) -> list[Int64s]:
        """That of each slice; one that has too few labels is part of the one before."""
        found = [vector for _, vector in self.slices]
        if len(found) > 1 and self.slices[-1][0] < SLICE_LABELS:
            return [*found[:-2], sum_of(found[-2], found[-1])]
        return found

    def state(self) -> CohortSlicesState:
        """All of them."""
        slices = tuple((labels, len(vector), pack_counts(vector)) for labels, vector in self.slices)
        return CohortSlicesState(self.start, self.end, slices)


def restored(state: CohortSlicesState) -> CohortSlices:
    """Return what that state says; raises FormatError."""
    slices = tuple((labels, unpack_counts(counts, width)) for labels, width, counts in state.slices)
    return CohortSlices(state.start, state.end, slices)


def sum_of(older: Int64s, newer: Int64s) -> Int64s:
    """The sum of two vectors, of which the newer one may know more classes."""
    total = newer.copy()
    total[: len(older)] += older
    return np.asarray(total, dtype=np.int64)
