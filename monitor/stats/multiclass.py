"""Metrics of pairs of up to a hundred classes and `other`, which stands for all further ones and is never right.

accuracy and error_rate as shares of all pairs. precision, recall and f1 of one class c, with `right` pairs of (c, c):

    precision right / predicted as c, recall right / truly c, f1 2 right / (predicted as c + truly c)

over the classes that are seen in truth or prediction, `other` among them: 0 if right is 0. `_macro` is their plain
mean, `_weighted` their mean by the number of pairs that are truly c.

M. Sokolova and G. Lapalme, A systematic analysis of performance measures for classification tasks, 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from monitor.events import Bools, Float64s, Int64s
from monitor.stats.exact import significant, total
from monitor.stats.intervals import Interval, normal_quantile, of_share, rounded
from monitor.stats.performance import OTHER, Pairs, Tally


@dataclass(frozen=True)
class MulticlassLayout:
    """Counts by truth and predicted class. `classes`: how many are known, 0 to 100; the model's pairs have no others.

    The cells of fewer classes come first: a vector of fewer classes is the beginning of one of more, with 0 behind it.
    So a model's vectors grow as its classes appear.

    >>> from monitor.stats.performance import vector
    >>> truth, predicted = np.array([0, 0, 1, OTHER], dtype=np.uint8), np.array([0, 1, 1, OTHER], dtype=np.uint8)
    >>> layout = MulticlassLayout(2)
    >>> sums = vector(layout, Pairs(truth, predicted, np.full(4, np.nan, dtype=np.float32)))
    >>> layout.confusion(sums).tolist()
    [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    >>> layout.metrics(sums)["accuracy"], layout.metrics(sums)["precision_macro"]
    (0.5, 0.5)
    """

    classes: int

    @property
    def width(self) -> int:
        """Length of a vector."""
        return (self.classes + 1) ** 2

    @cached_property
    def _cells(self) -> Int64s:
        """Place of each [truth, predicted class]; `other` is the last of each."""
        codes = np.append(np.arange(self.classes), OTHER)
        return _place(codes[:, np.newaxis], codes)

    def added_up(self, pairs: Pairs, tally: Tally) -> Int64s:
        """Sum of the pairs of each cohort: (cohorts, width)."""
        return tally.counts(_place(pairs.truth.astype(np.int64), pairs.prediction.astype(np.int64)), self.width)

    def confusion(self, vector: Int64s) -> Int64s:
        """Pairs by [truth, predicted class], shape (classes + 1, classes + 1); `other` is the last of each."""
        return vector[self._cells]

    def renumbered(self, vector: Int64s, codes: Int64s, layout: MulticlassLayout) -> Int64s:
        """Return the same pairs in another layout. `codes` (classes,): the class there, or OTHER, of each here."""
        there, found = np.append(codes, OTHER), np.zeros(layout.width, dtype=np.int64)
        np.add.at(found, _place(there[:, np.newaxis], there), self.confusion(vector))
        return found

    def counts(self, vector: Int64s) -> dict[str, int]:
        """`pairs`, and `other`: those with a class behind the first hundred on either side."""
        confusion = self.confusion(vector)
        pairs = int(confusion.sum())
        return {"pairs": pairs, "other": pairs - int(confusion[:-1, :-1].sum())}

    def metrics(self, vector: Int64s) -> dict[str, float]:
        """Metric -> its value, to 12 digits; those with an average are named like `precision_macro`."""
        confusion, right = self.confusion(vector), self._right(vector)
        predicted, true = confusion.sum(axis=0), confusion.sum(axis=1)
        pairs, hits, seen = int(true.sum()), int(right.sum()), int((predicted + true > 0).sum())
        if pairs == 0:
            return {}
        found = {"accuracy": hits / pairs, "error_rate": (pairs - hits) / pairs}
        of_classes = {
            "precision": right / np.maximum(predicted, 1),
            "recall": right / np.maximum(true, 1),
            "f1": 2 * right / np.maximum(predicted + true, 1),
        }
        for name, values in of_classes.items():
            found[f"{name}_macro"] = float(total(values)) / seen
            found[f"{name}_weighted"] = float(total(values * true)) / pairs
        return {name: significant(value) for name, value in found.items()}

    def intervals(self, vector: Int64s, confidence: float) -> dict[str, Interval]:
        """Metric -> its confidence interval, to 12 digits: those of accuracy and error_rate."""
        hits, pairs = int(self._right(vector).sum()), self.counts(vector)["pairs"]
        if pairs == 0:
            return {}
        z = normal_quantile(confidence)
        of_hits = {"accuracy": hits, "error_rate": pairs - hits}
        return {name: rounded(of_share(share, pairs, z)) for name, share in of_hits.items()}

    def _right(self, vector: Int64s) -> Int64s:
        """Pairs of each class whose prediction is right, (classes + 1,); none of `other`."""
        return np.append(np.diagonal(self.confusion(vector))[:-1], 0)

    def errors(self, pairs: Pairs) -> Float64s:
        """1 for each pair whose predicted class is not the true one, or is `other`; else 0: (n,)."""
        is_wrong: Bools = (pairs.truth != pairs.prediction) | (pairs.truth == OTHER)
        return is_wrong.astype(np.float64)

    def losses(self, pairs: Pairs) -> Float64s:
        """The errors: the probability is that of the predicted class, and says nothing of the true one."""
        return self.errors(pairs)


def _place(truth: Int64s, prediction: Int64s) -> Int64s:
    """Place of classes in the vector: that of the larger class squared, and so on along both sides of its corner.

    `other` is the first class here.

    M. Szudzik, An elegant pairing function, 2006.
    """
    a, b = (np.where(code == OTHER, 0, code + 1) for code in (truth, prediction))
    return np.where(a < b, b * b + a, a * a + a + b)
