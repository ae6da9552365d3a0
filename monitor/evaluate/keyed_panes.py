"""Keyed rows of one pane, from all partitions, as what the join takes: ids, classes as small integers, values.

Classes of a binary model are 0 and 1; those of others have numbers in the order in which they first came, 100 of them,
and all that come later are OTHER. Predictions stand in canonical order, partition by partition. Labels stand in the
order of traces, by their relative position in their partition's pane: what comes later there counts as later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Literal

import numpy as np

from monitor.codec.columns import class_of
from monitor.config.metrics import Task
from monitor.errors import FormatError
from monitor.evaluate.join_values import NO_CLASS, Labels, Predictions, Values
from monitor.events import Bools, Float32s, Float64s, Int64s
from monitor.panes.keyed import NO_CLASS as NO_TEXT
from monitor.panes.keyed import OTHER_TEXT, KeyedRows
from monitor.stats.performance import OTHER

MOST_CLASSES = OTHER


class Coding:
    """The classes of one model by number, and what of its keyed rows takes no part.

    `positive`: of a binary model the class that is 1, and every other one is 0; None: these are 1 and 0 themselves.
    `threshold`: of a binary model, the least probability that predicts 1 if no class is given.
    """

    def __init__(self, task: Task, positive: str | None, threshold: float) -> None:
        self._task = task
        self._positive = positive
        self._threshold = threshold
        self.classes: list[str] = [] if task == "classification_multiclass" else ["0", "1"]
        """Names by number; of regression they mean nothing."""
        self._numbers = {name: number for number, name in enumerate(self.classes)}
        self.unusable = {"predictions": 0, "labels": 0}
        """Rows so far that have no value, or in a binary model another class than 0 and 1."""

    @property
    def is_regression(self) -> bool:
        return self._task == "regression"

    def classes_of(self, costs: Mapping[str, Mapping[str, float]]) -> list[str]:
        """Names of the classes by number, as costs have them; the last of several is `other`.

        Where the class that is 1 is named, the one other name stands for 0.
        """
        if self._task != "classification_binary":
            return [*self.classes, OTHER_TEXT]
        if self._positive is None:
            return self.classes
        named = {name for truth, of in costs.items() for name in (truth, *of)}
        return [min(named - {self._positive}, default=""), self._positive]

    def restore(self, classes: Sequence[str], unusable: Sequence[int]) -> None:
        """Go on from there. Raises FormatError."""
        if len(classes) > MOST_CLASSES or len(set(classes)) < len(classes):
            raise FormatError("not a snapshot: it has too many classes, or one twice")
        self.classes = list(classes)
        self._numbers = {name: number for number, name in enumerate(self.classes)}
        self.unusable = dict(zip(("predictions", "labels"), unusable, strict=True))

    def numbers(self, classes: Sequence[str]) -> Int64s:
        """Numbers of classes of a model with several, shape (n,); those that are new get theirs in this order."""
        for text in classes:
            self._meet(text)
        return np.array([self._number(text) for text in classes], dtype=np.int64)

    def _meet(self, text: str) -> None:
        """Number a class that is new, if there is room for it."""
        if text not in self._numbers and len(self.classes) < MOST_CLASSES:
            self._numbers[text] = len(self.classes)
            self.classes.append(text)

    # ------------------------------------------------------------------ one pane

    def predictions(self, parts: Iterable[KeyedRows]) -> Predictions:
        """The predictions of a pane."""
        ordered = [part for group in _by_partition(parts) for part in group]
        self.unusable["predictions"] += sum(part.without_id + part.without_value for part in ordered)
        ids = np.concatenate([np.zeros(0, dtype=np.uint64), *(part.ids for part in ordered)])
        probability = np.concatenate([np.zeros(0, dtype=np.float32), *(_probabilities(part) for part in ordered)])
        value = self._values(ordered, "predictions")
        if self._task == "classification_binary":
            undecided = (value == NO_CLASS) & ~np.isnan(probability)
            value = np.where(undecided, probability.astype(np.float64) >= self._threshold, value).astype(np.uint8)
        has = self._has_value(value)
        self.unusable["predictions"] += int(len(has) - has.sum())
        return Predictions(ids[has], value[has], probability[has])

    def labels(self, parts: Iterable[KeyedRows]) -> Labels:
        """The labels of a pane, in the order of traces."""
        groups = _by_partition(parts)
        ordered = [part for group in groups for part in group]
        lengths = [sum(map(len, group)) for group in groups]
        place = np.concatenate([np.zeros(0), *((np.arange(n) + 0.5) / max(n, 1) for n in lengths)])
        order = np.argsort(place, kind="stable")  # equal fractions are equal doubles, and stay in partition order
        ids = np.concatenate([np.zeros(0, dtype=np.uint64), *(part.ids for part in ordered)])[order]
        times = np.concatenate([np.zeros(0, dtype=np.int64), *(part.times for part in ordered)])[order]
        value = self._values(ordered, "labels", order)
        has = self._has_value(value)
        self.unusable["labels"] += int(len(has) - has.sum())
        return Labels(ids[has], value[has], times[has])

    def _values(
        self,
        parts: Sequence[KeyedRows],
        of: Literal["predictions", "labels"],
        order: np.ndarray | None = None,
    ) -> Values:
        """Values of rows, in `order`; classes get their numbers in that order, too."""
        if self.is_regression:
            values = np.concatenate([np.zeros(0), *(_numbers(part) for part in parts)])
            return values if order is None else values[order]
        if self._task == "classification_multiclass" and len(self.classes) < MOST_CLASSES:
            self._meet_all(parts, order)
        coded = [np.zeros(0, dtype=np.uint8)]
        for part in parts:  # a dictionary a part
            table = np.array([*map(self._number, part.classes), NO_CLASS], dtype=np.uint8)
            coded.append(table[_codes(part)])
        values = np.concatenate(coded)
        return values if order is None else values[order]

    def _meet_all(self, parts: Sequence[KeyedRows], order: np.ndarray | None) -> None:
        """Number the classes that are new, in the order in which rows have them."""
        new = sorted({text for part in parts for text in part.classes}.difference(self._numbers))
        if not new:
            return
        place = {text: k for k, text in enumerate(new)}
        rows = np.concatenate(
            [np.array([*(place.get(t, -1) for t in p.classes), -1], dtype=np.int64)[_codes(p)] for p in parts]
        )
        known, first = np.unique(rows if order is None else rows[order], return_index=True)
        for k in known[np.argsort(first)].tolist():
            if k >= 0:
                self._meet(new[k])

    def _number(self, text: str) -> int:
        if self._task == "classification_binary":
            if self._positive is not None:
                return int(class_of(text) == self._positive)
            return self._numbers.get(text, NO_CLASS)
        return self._numbers.get(text, OTHER)

    def _has_value(self, value: Values) -> Bools:
        return np.asarray(~np.isnan(value) if self.is_regression else value != NO_CLASS)


def _by_partition(parts: Iterable[KeyedRows]) -> list[list[KeyedRows]]:
    """The parts of each partition, in order; of a pane that stands on two contracts those of one after the other."""
    ordered = sorted(parts, key=lambda part: (part.tp, part.index, part.contract, part.part))
    return [list(group) for _, group in groupby(ordered, key=lambda part: part.tp)]


def _codes(part: KeyedRows) -> Int64s:
    """The place of each row's class in the part's dictionary; behind its end if it has none."""
    if not len(part.codes):
        return np.full(len(part), len(part.classes), dtype=np.int64)
    return np.where(part.codes == NO_TEXT, len(part.classes), part.codes).astype(np.int64)


def _probabilities(part: KeyedRows) -> Float32s:
    return part.probabilities if len(part.probabilities) else np.full(len(part), np.nan, dtype=np.float32)


def _numbers(part: KeyedRows) -> Float64s:
    return part.values if len(part.values) else np.full(len(part), np.nan)
