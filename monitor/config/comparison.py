"""What an expression says, once parsed: which series it selects, and when a value violates it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import nan
from typing import assert_never

COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Selector:
    """One condition on a label; a label that is not there has the value ""."""

    label: str
    op: str
    value: str
    position: int = field(default=0, compare=False)

    def matches(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.label, "")
        if self.op in ("=", "!="):
            return (found == self.value) == (self.op == "=")
        return (re.fullmatch(self.value, found) is not None) == (self.op == "=~")


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class ReferenceMean:
    """Mean of the series over the slices of the reference."""


@dataclass(frozen=True, slots=True)
class ReferenceStd:
    """Standard deviation of the series over the slices of the reference."""


@dataclass(frozen=True, slots=True)
class Binary:
    op: str
    left: Term
    right: Term


Term = Number | ReferenceMean | ReferenceStd | Binary


@dataclass(frozen=True, slots=True)
class Comparison:
    """A parsed expression. `source`: the threshold as it was written."""

    metric: str
    selectors: tuple[Selector, ...]
    op: str
    right: Term
    source: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether all selectors accept a series with these labels."""
        return all(selector.matches(labels) for selector in self.selectors)

    def threshold(self, reference_mean: float | None, reference_std: float | None) -> float:
        """The number to compare with; NaN where it divides by zero or needs what is None."""
        return _value(self.right, nan if reference_mean is None else reference_mean, reference_std)

    @property
    def needs_reference_spread(self) -> bool:
        """Whether the threshold depends on reference_mean or reference_std."""
        return _uses_reference(self.right)

    @property
    def threshold_source(self) -> str:
        """What messages say of the threshold: "constant", or its source text."""
        return self.source if self.needs_reference_spread else "constant"

    def holds(self, value: float, threshold: float) -> bool:
        """Whether the rule is violated."""
        return COMPARE[self.op](value, threshold)


def _value(term: Term, mean: float, std: float | None) -> float:
    match term:
        case Number():
            return term.value
        case ReferenceMean():
            return mean
        case ReferenceStd():
            return nan if std is None else std
        case Binary():
            return _applied(term.op, _value(term.left, mean, std), _value(term.right, mean, std))
    assert_never(term)


def _applied(op: str, left: float, right: float) -> float:
    match op:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            return left / right if right else nan


def _uses_reference(term: Term) -> bool:
    if isinstance(term, Binary):
        return _uses_reference(term.left) or _uses_reference(term.right)
    return not isinstance(term, Number)
