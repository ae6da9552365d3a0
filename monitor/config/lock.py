"""alerts.lock.yaml: the thresholds that `streamdrift calibrate` has solved for the budgets of an alerts.yaml.

It stands beside alerts.yaml and is read with it. Digests say what it was solved for: the rules of each model that have
a budget, and the reference of each lane.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field

from monitor.codec.canonical import canonical_json
from monitor.config.document import compose
from monitor.config.entry import Shape
from monitor.config.inputs import series_of
from monitor.config.metrics import DRIFT
from monitor.config.rates import Rate
from monitor.config.resolved import ModelConfig, Rule
from monitor.config.scalars import Column, Name
from monitor.config.shape import validate
from monitor.config.sheet import Sheet
from monitor.errors import ConfigurationError, Problem

LOCK_NAME = "alerts.lock.yaml"
Format = Literal["streamdrift.lock/1"]
FORMAT: Format = "streamdrift.lock/1"
_COMMENT = "# Written by `streamdrift calibrate`, and read with alerts.yaml: run it again instead of editing this.\n"

Lane = Literal["features", "predictions", "outcomes"]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{32,64}$")]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[_Number, Field(gt=0)]
_AtLeastZero = Annotated[_Number, Field(ge=0)]
_Rows = Annotated[int, Field(ge=0)]


def _by_name(named: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(named.items()))


_ByName = AfterValidator(_by_name)


class Limits(Shape):
    """The z of each way of looking that `drift` is compared with, as `drift.core.Limits` has them."""

    family: _Positive
    column: _Positive
    correlation: _Positive


class Achieved(Shape):
    """What thresholds have given on pieces of the reference that they were not solved on."""

    false_alarms: _Rows
    rows: _Rows
    per_budget: _AtLeastZero
    """False alarms by those that the budget allows in as many rows: 1 is all of it."""
    interval: Annotated[list[_AtLeastZero], Field(min_length=2, max_length=2)]
    """Bounds of `per_budget`, at 95 %."""


class LockedDrift(Shape):
    """The limits of `drift` in one lane."""

    limits: Limits
    achieved: Achieved
    smallest_shift: Annotated[dict[Column, _AtLeastZero], _ByName] = Field(default_factory=dict)
    """The shift of each column that 1,000 rows reveal in half of the cases, in deviations; without those that none
    does."""
    extrapolated: bool
    """True if the reference can't show so rare an alarm, so that the limits are read off the tail of its curve."""


class LockedThreshold(Shape):
    """The threshold of one rule: reference_mean + z * reference_std."""

    z: _Number
    """Deviations from the mean; negative of a rule that fires below its threshold."""
    achieved: Achieved
    extrapolated: bool


class LockedLane(Shape):
    """One lane: the reference that its thresholds were solved for, and they."""

    reference: Digest
    rows: _Rows
    rows_per_second: _AtLeastZero
    """Rows of the reference in a second of event time, by which budgets in time become rows."""
    pieces: _Rows
    """Stretches of the reference that are independent of each other; eight and more can be trusted."""
    drift: LockedDrift | None = None
    thresholds: Annotated[dict[Name, LockedThreshold], _ByName] = Field(default_factory=dict)
    """Named by the alert of the rule."""


class LockedModel(Shape):
    """One model. `rules`: digest of its rules that have a budget."""

    rules: Digest
    lanes: Annotated[dict[Lane, LockedLane], _ByName]


class Lock(Shape):
    """alerts.lock.yaml."""

    format: Format
    models: Annotated[dict[Name, LockedModel], _ByName]


class LockText(NamedTuple):
    """The text of a lock. `file`: what problems call it."""

    text: str
    file: str


class LockSheet(NamedTuple):
    """A lock that is right by itself, and the places in its file."""

    lock: Lock
    sheet: Sheet


def sheet_of_lock(text: str, file: str) -> LockSheet:
    """Return the lock of a text with its places; raises ConfigurationError with all problems. `file`: name in them."""
    root, problems = compose(text, file)
    lock, sheet = None, None
    if root is not None:
        sheet = Sheet(file, root)
        lock, of_shape = validate(sheet, Lock)
        places = {(problem.line, problem.column) for problem in problems}
        problems += [problem for problem in of_shape if (problem.line, problem.column) not in places]
    if lock is None or sheet is None or problems:
        raise _refusal(problems)
    return LockSheet(lock, sheet)


def lock_text(lock: Lock) -> str:
    """Return the text of a lock, names in order: equal locks have equal texts."""
    return _COMMENT + "\n".join(_lines(lock.model_dump(exclude_none=True), "")) + "\n"


def rules_digest(model: ModelConfig) -> str:
    """Return the digest of what thresholds of a model depend on beside what its references hold.

    `model`: as alerts.yaml has it, without the numbers of a lock.
    """
    rules = model.rules
    series = [[one.stream, one.name, one.numeric] for one in series_of(model.contract)]
    budgets = [_of_rule(rule) for rule in rules.rules if has_budget(rule, rules.budget)]
    value = {
        "pane_ms": rules.pane_ms,
        "interval_ms": rules.interval_ms,
        "season_ms": rules.season_ms,
        "reference": rules.reference.model_dump(exclude_none=True),
        "budget": None if rules.budget is None else str(rules.budget),
        "series": series,
        "rules": sorted(budgets, key=canonical_json),
    }
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()[:32]


def has_budget(rule: Rule, budget: Rate | None) -> bool:
    """Return true if a threshold of the rule is solved: one that is calibrated, or that of `drift` with a budget."""
    return rule.comparison.rate is not None or (budget is not None and rule.comparison.metric == DRIFT)


def _of_rule(rule: Rule) -> dict[str, Any]:
    comparison = rule.comparison
    return {
        "alert": rule.alert,
        "metric": comparison.metric,
        "selectors": [[one.label, one.op, one.value] for one in comparison.selectors],
        "op": comparison.op,
        "threshold": comparison.source if comparison.rate is None else str(comparison.rate),
        "window": None if comparison.metric == DRIFT else rule.window.name,
        "for_ms": rule.for_ms,
        "keep_firing_for_ms": rule.keep_firing_for_ms,
        "min_events": rule.min_events,
        **({} if rule.for_windows == 1 else {"for_windows": rule.for_windows}),
        **({} if comparison.recovery is None else {"recovery_threshold": repr(comparison.recovery)}),
    }


def _refusal(problems: list[Problem]) -> ConfigurationError:
    ordered = tuple(sorted(set(problems)))
    return ConfigurationError("\n".join(map(str, ordered)), ordered)


# ---------------------------------------------------------------------- writing

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./:-]*")
_WORDS = ("null", "true", "false")
_SHORT = ("limits", "achieved")
"""Mappings that stand on one line."""


def _lines(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Yield the lines of a mapping."""
    for key, item in value.items():
        if isinstance(item, dict) and key not in _SHORT:
            yield f"{indent}{_word(key)}:" if item else f"{indent}{_word(key)}: {{}}"
            yield from _lines(item, indent + "  ")
        else:
            yield f"{indent}{_word(key)}: {_inline(item)}"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_word(key)}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return _word(value) if isinstance(value, str) else json.dumps(value)


def _word(text: str) -> str:
    is_plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS and not text.endswith(":")
    return text if is_plain else json.dumps(text, ensure_ascii=False)
