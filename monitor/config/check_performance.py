"""Checks of rules on performance: who has their metric, their windows, and the keys that only they have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.config.check_windows import check_cohorts
from monitor.config.comparison import Comparison
from monitor.config.expression import ExpressionError, parse
from monitor.config.measurable import lack_for_rule, on_performance
from monitor.config.metrics import AVERAGES, METRICS
from monitor.config.model import ModelEntry, RuleEntry
from monitor.config.model_contract import performance_of
from monitor.config.sheet import Path, Sheet
from monitor.config.suggest import did_you_mean
from monitor.errors import Problem

_OURS = ("min_labels", "maturity", "confidence")
"""Keys of rules on performance alone."""


def check_performance(rule: RuleEntry, models: Mapping[str, ModelEntry], path: Path, sheet: Sheet) -> Iterator[Problem]:
    """Yield the problems of a rule on performance, or of the keys of another one that only such rules have.

    `models`: those that its group is for; none if one of them is not known.
    """
    try:
        comparison = parse(rule.expr, rule.recovery_threshold)
    except ExpressionError:
        return
    if not on_performance(comparison):
        for key in _OURS:
            if getattr(rule, key) is not None:
                message = f"{key!r} is for rules on performance, and this one is on {comparison.metric}"
                yield sheet.key_problem((*path, key), message)
        return
    lacks = {name: lack_for_rule(comparison, None, model) for name, model in models.items()}
    having = [model for name, model in models.items() if lacks[name] is None]
    if lacks and not having and all(sheet.knows_performance(name) for name in models):
        of_labels = (lack for name, lack in lacks.items() if models[name].streams.labels is not None)
        yield sheet.problem((*path, "expr"), str(next(of_labels, next(iter(lacks.values())))))
    yield from _average(comparison, (*path, "expr"), sheet)
    yield from _keys(comparison, rule, having, path, sheet)
    if rule.window is not None:
        for window in dict.fromkeys(performance_of(model).window for model in having):
            yield from check_cohorts(rule.window, window, (*path, "window"), sheet)


def _average(comparison: Comparison, path: Path, sheet: Sheet) -> Iterator[Problem]:
    for selector in comparison.selectors:
        if selector.label == "average" and not any(selector.matches({"average": average}) for average in AVERAGES):
            hint = did_you_mean(selector.value, AVERAGES) or f"; there are {', '.join(AVERAGES)}"
            yield sheet.problem(path, f"there is no average {selector.value!r}{hint}", selector.position)


def _keys(
    comparison: Comparison, rule: RuleEntry, having: list[ModelEntry], path: Path, sheet: Sheet
) -> Iterator[Problem]:
    """Yield the problems of `min_events`, `min_labels`, `maturity` and `confidence`."""
    if rule.min_events is not None:
        yield sheet.key_problem((*path, "min_events"), "a rule on performance goes by labels: write `min_labels`")
    if not METRICS[comparison.metric].of_pairs:
        for key in ("min_labels", "maturity"):
            if getattr(rule, key) is not None:
                message = f"{comparison.metric!r} is judged on final windows, whatever their labels: leave out {key!r}"
                yield sheet.key_problem((*path, key), message)
    yield from _min_labels(rule, having, path, sheet)
    if rule.confidence is not None:
        if comparison.op in ("==", "!="):
            message = f"an interval is never {comparison.op} a number: compare with < or >, or leave out `confidence`"
            yield sheet.problem((*path, "confidence"), message)
        lacks = [lack_for_rule(comparison, rule.confidence, model) for model in having]
        if lacks and all(lacks):
            yield sheet.key_problem((*path, "confidence"), str(lacks[0]))


def _min_labels(rule: RuleEntry, having: list[ModelEntry], path: Path, sheet: Sheet) -> Iterator[Problem]:
    windows = [rule.window or performance_of(model).window for model in having]
    small = [w.events for w in windows if w.events is not None and (rule.min_labels or 0) > w.events]
    if small:
        message = f"min_labels is more than the window of {min(small)} events has"
        yield sheet.problem((*path, "min_labels"), message)
