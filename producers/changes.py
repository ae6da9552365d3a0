"""Applies scheduled drifts to columns that were drawn without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from monitor.events import Float64s
from producers.schedule import At, Drift


class Shape(NamedTuple):
    """A numeric column: mean and standard deviation without drift, the least value, and decimals."""

    mean: float
    deviation: float
    least: float
    decimals: int


class Changes:
    """The drifts of some traffic. `seed`: of their own draws, so that they change nothing but their column."""

    def __init__(self, drifts: Sequence[Drift], seed: int) -> None:
        self._drifts = drifts
        self._random = np.random.default_rng([seed, 1])

    def numbers(self, name: str, drawn: Float64s, shape: Shape, at: At) -> Float64s:
        """A numeric column, moved and spread, cut at its least value and rounded."""
        values = drawn
        for drift in self._of(name):
            strength = drift.strength(at)
            if drift.kind == "variance":
                values = shape.mean + (values - shape.mean) * (1.0 + strength * (drift.size - 1.0))
            elif drift.kind != "missingness":
                values = values + strength * drift.size * shape.deviation
        return np.maximum(values, shape.least).round(shape.decimals)

    def labels(self, name: str, drawn: Sequence[str], at: At) -> list[Any]:
        """A categorical column, with new categories and nulls."""
        values = list(drawn)
        for drift in self._of(name):
            if drift.kind == "new_category":
                for i in self._hit(drift, at):
                    values[i] = drift.category
        return self.with_nulls(name, values, at)

    def with_nulls(self, name: str, values: list[Any], at: At) -> list[Any]:
        """The column with its missing values."""
        for drift in self._of(name):
            if drift.kind == "missingness":
                for i in self._hit(drift, at):
                    values[i] = None
        return values

    def _of(self, name: str) -> list[Drift]:
        return [drift for drift in self._drifts if drift.column == name]

    def _hit(self, drift: Drift, at: At) -> list[int]:
        """Places of the rows that a share falls upon."""
        return np.flatnonzero(self._random.random(len(at.number)) < drift.strength(at) * drift.size).tolist()
