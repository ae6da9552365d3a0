"""Checks of rules on `drift`, which is of no window and is over its limit already, and of budgets for them."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.config.comparison import Comparison
from monitor.config.expression import ExpressionError, parse
from monitor.config.metrics import DRIFT
from monitor.config.model import AlertsFile, RuleEntry
from monitor.config.selection import models_of
from monitor.config.sheet import Path, Sheet
from monitor.errors import Problem

_KEYS = ("window", "min_events")
"""Keys of rules on windows."""


def check_drift(rule: RuleEntry, comparison: Comparison, path: Path, sheet: Sheet) -> Iterator[Problem]:
    """Yield the problems that only a rule on `drift` has."""
    if comparison.metric != DRIFT:
        return
    if comparison.op not in (">", ">="):
        message = f"{DRIFT!r} is small without drift, and 1 is the limit: write {DRIFT} > 1, found {comparison.op}"
        yield sheet.problem((*path, "expr"), message)
    for key in _KEYS:
        if getattr(rule, key) is not None:
            message = f"{DRIFT!r} looks at stretches of all lengths up to now, so it has no window: leave out {key!r}"
            yield sheet.key_problem((*path, key), message)


def check_budgets(file: AlertsFile, sheet: Sheet) -> Iterator[Problem]:
    """Yield a problem for each model that has a budget, and no rule that it could be for."""
    having = {
        model
        for group in file.groups
        if any(_is_on_drift(rule) for rule in group.rules)
        for model in models_of(group, file.models)
    }
    for name, model in file.models.items():
        if model.budget is not None and name not in having and "groups" not in sheet.lost(()):
            message = f"a budget is for rules on {DRIFT!r}, and {name!r} has none: add one, {DRIFT} > 1"
            yield sheet.key_problem(("models", name, "budget"), message)


def _is_on_drift(rule: RuleEntry) -> bool:
    try:
        return parse(rule.expr).metric == DRIFT
    except ExpressionError:  # it may be meant to be
        return True
