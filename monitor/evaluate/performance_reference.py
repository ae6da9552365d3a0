"""The reference of performance: labelled rows of a file, or the first cohorts whose labels are nearly all there.

Labels that come fast are unlike slow ones, so a cohort counts once it is mature or final. The mean is the metric of all
pairs of the reference. The deviation is that of windows with as many labels as the one that is judged, made of whole
slices of the reference, which are drawn with replacement: so it holds what differs from one stretch of time to the
next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import isnan, nan, sqrt

import msgspec
import numpy as np

from monitor.codec.counts import pack_counts
from monitor.evaluate.cohort_pairs import CohortPairs
from monitor.evaluate.cohorts import Cohort
from monitor.evaluate.keyed_panes import Coding
from monitor.evaluate.labelled_reference import LabelledReference
from monitor.evaluate.state import PerformanceReferenceState
from monitor.events import Float64s, Int64s, ReferenceInfo
from monitor.panes.grid import Grid
from monitor.stats.draws import seed_of, words
from monitor.stats.exact import significant, total
from monitor.stats.multiclass import MulticlassLayout
from monitor.stats.performance import PairLayout

SLICE_LABELS = 200
"""Fewest labels of a slice: whole cohorts that follow each other."""
FEWEST_SLICES = 8
DRAWS = 400


class PerformanceReference:
    """Slices of pairs, each as one vector. `start`, `end`: event time of their predictions, ms; None if unknown."""

    def __init__(self, start: int | None, end: int | None, labels: int, slices: Sequence[Int64s]) -> None:
        self.start = start
        self.end = end
        self.labels = labels
        self._slices = tuple(slices)
        self._drawn: dict[tuple[int, int], Mapping[str, tuple[float, float]]] = {}

    @property
    def slices(self) -> int:
        """How many slices it has."""
        return len(self._slices)

    @cached_property
    def info(self) -> ReferenceInfo:
        """What messages say of it."""
        text = msgspec.json.encode((self.start, self.end, self.labels, [pack_counts(one) for one in self._slices]))
        digest = hashlib.sha256(text).hexdigest()[:32]
        return ReferenceInfo("sha256:" + digest, self.labels, self.start, self.end)

    def spread(self, metric: str, layout: PairLayout, labels: int) -> tuple[float, float] | None:
        """Mean and deviation of a metric in windows with that many labels; the deviation is NaN if it is undefined.

        None if the reference has no such metric. `layout`: the present one, which may know more classes.
        """
        vectors = self._grown(layout)
        mean = layout.metrics(vectors.sum(axis=0)).get(metric)
        if mean is None:
            return None
        slices = labels * len(vectors) / self.labels
        return mean, self._deviation(metric, layout, vectors, slices)

    def _grown(self, layout: PairLayout) -> Int64s:
        """The slices in a layout that may know more classes than theirs, shape (slices, width)."""
        vectors = np.zeros((len(self._slices), layout.width), dtype=np.int64)
        for place, one in enumerate(self._slices):
            vectors[place, : len(one)] = one
        return vectors

    def _deviation(self, metric: str, layout: PairLayout, vectors: Int64s, slices: float) -> float:
        """The deviation in windows of that many slices; it goes with 1 / sqrt(slices) between sizes that are drawn."""
        if len(vectors) < FEWEST_SLICES or not slices:
            return nan
        drawn = _rung(slices)
        if (drawn, layout.width) not in self._drawn:
            self._drawn[drawn, layout.width] = _deviations(layout, vectors, drawn)
        deviation = self._drawn[drawn, layout.width].get(metric, (nan, nan))[1]
        return nan if isnan(deviation) else significant(deviation * sqrt(drawn / slices))

    def state(self) -> PerformanceReferenceState:
        """All of it."""
        slices = tuple((len(one), pack_counts(one)) for one in self._slices)
        return PerformanceReferenceState(self.start, self.end, self.labels, slices)


def _rung(slices: float) -> int:
    """The nearest size that is drawn: two to an octave, from one slice on."""
    rungs = [1 << k for k in range(13)] + [3 << k for k in range(11)]
    return min(sorted(rungs), key=lambda rung: abs(rung - slices))


def _deviations(layout: PairLayout, vectors: Int64s, slices: int) -> dict[str, tuple[float, float]]:
    """Metric -> mean and deviation over draws of that many slices; without those that a draw leaves undefined."""
    drawn = words(seed_of(f"performance/{len(vectors)}/{slices}"), 0, DRAWS * slices) % np.uint64(len(vectors))
    times = np.zeros((DRAWS, len(vectors)), dtype=np.int64)
    np.add.at(times, (np.repeat(np.arange(DRAWS), slices), drawn.astype(np.int64)), 1)
    found = [layout.metrics(one) for one in times @ vectors]
    names = set(found[0]).intersection(*found[1:])
    return {name: _mean_and_deviation(np.array([metrics[name] for metrics in found])) for name in sorted(names)}


def _mean_and_deviation(values: Float64s) -> tuple[float, float]:
    mean = float(total(values)) / len(values)
    gaps = values - mean
    return mean, sqrt(float(total(gaps * gaps)) / (len(values) - 1))


def first_complete(cohorts: Sequence[Cohort], mature: float, now: int) -> list[Cohort]:
    """Return the first cohorts, as far as each is final, or has ended by `now` (ms) and is mature.

    Those without labels are passed over.
    """
    found = []
    for cohort in cohorts:
        has_ended = cohort.end is not None and cohort.end <= now
        is_mature = has_ended and cohort.labelled >= mature * cohort.predictions
        if cohort.closed is None and not is_mature:
            break
        found.append(cohort)
    return [cohort for cohort in found if cohort.labelled]


def reference_of_file(labelled: LabelledReference, grid: Grid, coding: Coding) -> PerformanceReference:
    """Return the reference of labelled rows. `grid`: of the predictions; `coding`: numbers their classes."""
    layout, slices = labelled.layout(grid), labelled.vectors(grid)
    if isinstance(layout, MulticlassLayout):
        codes = coding.numbers(labelled.classes)
        known = MulticlassLayout(len(coding.classes))
        slices = [layout.renumbered(one, codes, known) for one in slices]
    return PerformanceReference(labelled.pairs[0].first_time, labelled.pairs[-1].last_time, labelled.rows, slices)


def make_reference(
    complete: Sequence[Cohort], pairs: CohortPairs, wanted: int, now: int
) -> PerformanceReference | None:
    """Return the reference of the first of these cohorts that have `wanted` labels; None if they have not, or no grid.

    Cohorts whose pairs were lost are passed over. One that closed before its end counts up to `now`, ms.
    """
    chosen, labels = list[Cohort](), 0
    for cohort in complete:
        if labels >= wanted:
            break
        if not pairs.is_lost(cohort.number):
            chosen.append(cohort)
            labels += cohort.labelled
    if labels < wanted or pairs.layout is None:
        return None
    slices = list[Int64s]()
    held, of = list[int](), 0
    for cohort in chosen:
        held.append(cohort.number)
        of += cohort.labelled
        if of >= SLICE_LABELS and (vector := pairs.sum_of(held)) is not None:
            slices.append(vector)
            held, of = [], 0
    if held and (rest := pairs.sum_of(held)) is not None:
        slices = [*slices[:-1], slices[-1] + rest] if slices else [rest]
    return PerformanceReference(chosen[0].start, chosen[-1].end or now, labels, slices)
