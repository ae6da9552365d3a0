"""Metrics of pairs of two classes, 0 and 1 (positive), with or without a probability of class 1.

With tp, fp, fn, tn pairs of (truth, predicted) = (1, 1), (0, 1), (1, 0), (0, 0):

    accuracy (tp + tn) / n, error_rate (fp + fn) / n, precision tp / (tp + fp), recall tp / (tp + fn),
    f1 2 tp / (2 tp + fp + fn), false_positive_rate fp / (fp + tn)

and of the pairs that have a probability p, with y their truth:

    roc_auc             see `roc.py`, on bins of p; beside it roc_auc_error
    log_loss            mean of -ln q, q the probability of the true class, or 1e-15 if that is smaller
    brier               mean of (p - y)²
    calibration_error   sum over ten equal bins of p: |sum of p - sum of y| in it, over all pairs

Whatever divides by zero is undefined, and roc_auc is if there are only pairs of one true class.

M. Naeini, G. Cooper and M. Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isnan

import numpy as np

from monitor.events import Float32s, Float64s, Int64s
from monitor.stats import roc
from monitor.stats.exact import log, significant
from monitor.stats.intervals import Interval, normal_quantile, of_area, of_f1, of_mean, of_share, rounded
from monitor.stats.limbs import SUM_LIMBS
from monitor.stats.performance import (
    MOMENT_LIMBS,
    UNITS,
    Pairs,
    Tally,
    mean_and_variance,
    moments_at,
    places_of,
    sums_at,
    units_of,
)

_CALIBRATION_BINS = 10
_LEAST = 1e-15
"""The smallest probability of the true class that log loss knows."""


@dataclass(frozen=True)
class BinaryLayout:
    """Counts by truth and predicted class; with probabilities, also scores in bins, and moments of the losses.

    `score_edges`: ascending edges of the bins of probabilities, those of the predictions' grid; None if the model has
    no probabilities. They are taken as float32, as probabilities are, so that a value that is an edge stays one.

    >>> from monitor.stats.performance import vector
    >>> truth, p = np.array([0, 0, 1, 1], dtype=np.uint8), np.array([0.1, 0.6, 0.4, 0.9], dtype=np.float32)
    >>> layout = BinaryLayout(np.array([0.25, 0.5, 0.75]))
    >>> sums = vector(layout, Pairs(truth, (p >= 0.5).astype(np.uint8), p))
    >>> layout.metrics(sums)["precision"], layout.metrics(sums)["roc_auc"], layout.intervals(sums, 0.95)["precision"]
    (0.5, 0.75, (0.0945312057342, 0.905468794266))
    """

    score_edges: Float64s | None

    @cached_property
    def _edges(self) -> Float32s | None:
        """Edges above 0 and up to 1: no probability lies beyond the others."""
        if self.score_edges is None:
            return None
        edges = self.score_edges.astype(np.float32)
        # an atom's bin, which is one double wide, becomes one float32 wide, and does not vanish
        repeats = np.flatnonzero(edges[1:] == edges[:-1])
        edges[repeats + 1] = np.nextafter(edges[repeats], np.float32(np.inf))
        return np.unique(edges[(edges > 0) & (edges <= 1)])

    @cached_property
    def _widths(self) -> dict[str, int]:
        widths = {"cells": 4}
        if self._edges is not None:
            widths |= {
                "scores": 2 * (len(self._edges) + 1),
                "bins": 2 * _CALIBRATION_BINS,
                "probabilities": SUM_LIMBS * _CALIBRATION_BINS,
                "log_loss": MOMENT_LIMBS,
                "brier": MOMENT_LIMBS,
            }
        return widths

    @cached_property
    def _places(self) -> dict[str, slice]:
        return places_of(self._widths)

    @property
    def width(self) -> int:
        """Length of a vector."""
        return sum(self._widths.values())

    def added_up(self, pairs: Pairs, tally: Tally) -> Int64s:
        """Sum of the pairs of each cohort: (cohorts, width)."""
        cells = tally.counts(2 * pairs.truth.astype(np.int64) + pairs.prediction.astype(np.int64), 4)
        if self._edges is None:
            return cells
        scored = ~np.isnan(pairs.probability)
        pairs, tally = pairs.part(scored), tally.part(scored)
        is_positive = pairs.truth.astype(np.int64)
        p = np.clip(pairs.probability, 0.0, 1.0)
        scores = np.searchsorted(self._edges, p, side="right")
        bins = np.minimum(np.floor(p.astype(np.float64) * _CALIBRATION_BINS), _CALIBRATION_BINS - 1).astype(np.int64)
        of_truth = _probability_of_truth(pairs)
        losses = -log(np.maximum(of_truth, _LEAST))
        blocks = (
            cells,
            tally.counts(is_positive * (len(self._edges) + 1) + scores, 2 * (len(self._edges) + 1)),
            tally.counts(is_positive * _CALIBRATION_BINS + bins, 2 * _CALIBRATION_BINS),
            tally.unit_sums(units_of(p.astype(np.float64)), bins, _CALIBRATION_BINS),
            tally.moments(units_of(losses)),
            tally.moments(units_of((1.0 - of_truth) * (1.0 - of_truth))),
        )
        return np.concatenate(blocks, axis=1)

    def confusion(self, vector: Int64s) -> Int64s:
        """Pairs by [truth, predicted class], shape (2, 2)."""
        return vector[self._places["cells"]].reshape(2, 2)

    def counts(self, vector: Int64s) -> dict[str, int]:
        """`pairs`, `positives` by truth among them, and `scored`: those that have a probability."""
        cells = self.confusion(vector)
        scored = 0 if self._edges is None else int(vector[self._places["scores"]].sum())
        return {"pairs": int(cells.sum()), "positives": int(cells[1].sum()), "scored": scored}

    def metrics(self, vector: Int64s) -> dict[str, float]:
        """Metric -> its value, to 12 digits. One that is undefined is left out."""
        found = {name: hits / n for name, (hits, n) in self._shares(vector).items() if n}
        hits, n = self._jaccard(vector)
        if n:
            found["f1"] = 2 * hits / (hits + n)
        if self.counts(vector)["scored"]:
            negatives, positives = self._scores(vector)
            found["roc_auc"], found["roc_auc_error"] = (of(negatives, positives) for of in (roc.area, roc.area_error))
            found |= {name: mean for name, (mean, _) in self._means(vector).items()}
            found["calibration_error"] = self._calibration_error(vector)
        return {name: significant(value) for name, value in found.items() if not isnan(value)}

    def intervals(self, vector: Int64s, confidence: float) -> dict[str, Interval]:
        """Metric -> its confidence interval, to 12 digits; calibration_error has none."""
        z = normal_quantile(confidence)
        found = {name: of_share(hits, n, z) for name, (hits, n) in self._shares(vector).items() if n}
        hits, n = self._jaccard(vector)
        if n:
            found["f1"] = of_f1(hits, n, z)
        scored = self.counts(vector)["scored"]
        if scored > 1:
            negatives, positives = self._scores(vector)
            variance = roc.area_variance(negatives, positives)
            if not isnan(variance):
                found["roc_auc"] = of_area(roc.area(negatives, positives), variance, z)
            for name, (mean, variance) in self._means(vector).items():
                found[name] = of_mean(mean, variance, scored, z)
        return {name: rounded(interval) for name, interval in found.items()}

    def errors(self, pairs: Pairs) -> Float64s:
        """1 for each pair whose predicted class is not the true one, else 0: (n,)."""
        return np.not_equal(pairs.truth, pairs.prediction).astype(np.float64)

    def losses(self, pairs: Pairs) -> Float64s:
        """1 - probability of the true class; the error of a pair that has no probability: (n,)."""
        return np.where(np.isnan(pairs.probability), self.errors(pairs), 1.0 - _probability_of_truth(pairs))

    def _shares(self, vector: Int64s) -> dict[str, tuple[int, int]]:
        """Hits and pairs of each metric that is a share."""
        tn, fp, fn, tp = self.confusion(vector).ravel().tolist()
        return {
            "accuracy": (tp + tn, tp + tn + fp + fn),
            "error_rate": (fp + fn, tp + tn + fp + fn),
            "precision": (tp, tp + fp),
            "recall": (tp, tp + fn),
            "false_positive_rate": (fp, fp + tn),
        }

    def _jaccard(self, vector: Int64s) -> tuple[int, int]:
        _, fp, fn, tp = self.confusion(vector).ravel().tolist()
        return tp, tp + fp + fn

    def _scores(self, vector: Int64s) -> Int64s:
        """Negatives and positives by bin of the probability: (2, bins)."""
        return vector[self._places["scores"]].reshape(2, -1)

    def _means(self, vector: Int64s) -> dict[str, tuple[float, float]]:
        """Mean and variance of each metric that is a mean of the pairs with a probability, of which there are some."""
        n = self.counts(vector)["scored"]
        return {name: mean_and_variance(n, *moments_at(vector[self._places[name]])) for name in ("log_loss", "brier")}

    def _calibration_error(self, vector: Int64s) -> float:
        negatives, positives = vector[self._places["bins"]].reshape(2, -1)
        sums = sums_at(vector[self._places["probabilities"]])
        gap = sum(abs(units - int(y) * UNITS) for units, y in zip(sums, positives, strict=True))
        return gap / (int(negatives.sum() + positives.sum()) * UNITS)


def _probability_of_truth(pairs: Pairs) -> Float64s:
    p = np.clip(pairs.probability, 0.0, 1.0).astype(np.float64)
    return np.where(pairs.truth == 1, p, 1.0 - p)
