"""A parsed expression as data: which series it selects, and when a value violates it.

It travels in the ledger with its rule, so that nobody parses an expression twice.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Annotated, Literal, assert_never, get_args

from pydantic import Field

from monitor.config.metrics import AVERAGED, AVERAGES, COMPARED
from monitor.config.pattern import matches
from monitor.config.rates import Rate

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
    """One condition on a label; an absent label has the value "".

    `position`: place of the label in the text, for problems; it doesn't travel.
    """

    label: str
    op: str
    value: str
    position: Annotated[int, Field(exclude=True)] = field(default=0, compare=False)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return true if the labels fulfil the condition."""
        found = labels.get(self.label, "")
        if self.op in ("=", "!="):
            return (found == self.value) == (self.op == "=")
        return matches(self.value, found) == (self.op == "=~")


ReferenceName = Literal["reference_mean", "reference_std"]
"""Mean and standard deviation of the series in windows of the size that is judged, if nothing has changed."""
BaselineName = Literal["baseline"]
"""What alerts.yaml says a metric of performance is worth normally."""


@dataclass(frozen=True, slots=True)
class Binary:
    """Two terms and the operation between them: + - * /."""

    op: str
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The threshold that gives false alarms at a rate: reference_mean + z * reference_std, with the z of a lock.

    `z`: None as long as no lock has one, and then it is no number.
    """

    rate: Rate
    z: float | None = None


UsualSilence = Literal["usual_silence"]
"""The longest silence of a stream that is usual, s; see `built_in.py`, whose rule alone has it."""
Term = float | ReferenceName | BaselineName | UsualSilence | Binary | Calibrated
"""A threshold, or a part of one: a number, one of reference, baseline or the usual silence, or an operation.

What is calibrated is the whole threshold.
"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A parsed expression. `source`: the threshold as it was written.

    `recovery`: what an alert that fires is compared with instead, if its rule has a `recovery_threshold`.
    """

    metric: str
    selectors: tuple[Selector, ...]
    op: str
    right: Term
    source: str
    recovery: Term | None = None

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return true if all selectors accept a series with these labels."""
        return all(selector.matches(labels) for selector in self.selectors)

    def threshold(
        self,
        reference_mean: float | None,
        reference_std: float | None,
        usual_silence: float | None = None,
        baseline: float | None = None,
    ) -> float:
        """Return the number to compare with; NaN if it divides by zero or needs what is None."""
        return _value(self.right, _known(reference_mean, reference_std, usual_silence, baseline))

    def recovery_threshold(
        self, reference_mean: float | None, reference_std: float | None, baseline: float | None = None
    ) -> float | None:
        """Return the number that an alert which fires is compared with, as `threshold` does; None if it is that."""
        if self.recovery is None:
            return None
        return _value(self.recovery, _known(reference_mean, reference_std, None, baseline))

    @property
    def rate(self) -> Rate | None:
        """The rate of false alarms that the threshold is calibrated to; None if it is not."""
        return self.right.rate if isinstance(self.right, Calibrated) else None

    @property
    def needs_reference_spread(self) -> bool:
        """True if a threshold depends on reference_mean or reference_std."""
        return not self._named.isdisjoint(get_args(ReferenceName))

    @property
    def needs_baseline(self) -> bool:
        """True if a threshold depends on the baseline."""
        return "baseline" in self._named

    @property
    def _named(self) -> frozenset[str]:
        return _names(self.right) | (frozenset() if self.recovery is None else _names(self.recovery))

    @property
    def averages(self) -> tuple[str, ...]:
        """The averages that it is about in a model of many classes; none if its metric is not averaged."""
        if self.metric not in AVERAGED:
            return ()
        return tuple(one for one in AVERAGES if self.matches({"average": one})) if self.selectors else AVERAGES[:1]

    @property
    def compares(self) -> bool:
        """True if a window is compared with the reference, by the metric or by the threshold."""
        return self.metric in COMPARED or self.needs_reference_spread

    @property
    def threshold_source(self) -> str:
        """The threshold as messages describe it: "constant", or its source text."""
        return self.source if _names(self.right) else "constant"

    def holds(self, value: float, threshold: float) -> bool:
        """Return true if the rule is violated."""
        return COMPARE[self.op](value, threshold)


def _known(mean: float | None, std: float | None, silence: float | None, baseline: float | None) -> dict[str, float]:
    names = {"reference_mean": mean, "reference_std": std, "usual_silence": silence, "baseline": baseline}
    return {name: nan if number is None else number for name, number in names.items()}


def _value(term: Term, known: Mapping[str, float]) -> float:
    match term:
        case Binary():
            return _applied(term.op, _value(term.left, known), _value(term.right, known))
        case str():
            return known[term]
        case float():
            return term
        case Calibrated():
            return nan if term.z is None else known["reference_mean"] + term.z * known["reference_std"]
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


def _names(term: Term) -> frozenset[str]:
    """The names in a term."""
    if isinstance(term, Calibrated):
        return frozenset(get_args(ReferenceName))
    if isinstance(term, Binary):
        return _names(term.left) | _names(term.right)
    return frozenset([term] if isinstance(term, str) else [])
