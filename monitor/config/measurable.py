"""Which metrics of performance a model has: of the others, what it lacks.

A rule of many models is for those of them that have its metric, and is refused if none has.
"""

from __future__ import annotations

from monitor.config.comparison import Comparison
from monitor.config.expression import ExpressionError, parse
from monitor.config.metrics import METRICS, OF_PROBABILITIES, SILENCE, Metric, Need
from monitor.config.model import ModelEntry, RuleEntry

ADD_LABELS = "needs labels: add streams.labels, and the columns id and label"
ADD_TOLERANCE = "of a regression needs `performance: {tolerance: NUMBER}`, the largest error of a right prediction"
_ADD: dict[Need, str] = {
    "probability": "needs the column `probability`",
    "tolerance": ADD_TOLERANCE,
    "costs": "needs `performance: {costs: {TRUTH: {PREDICTED: NUMBER}}}`",
}


def on_performance(comparison: Comparison) -> bool:
    """Return true if a rule is about performance."""
    return METRICS[comparison.metric].subject == "performance"


def is_on_performance(rule: RuleEntry) -> bool:
    """Return true if a rule is about performance, as far as its expression can be read."""
    comparison = _parsed(rule)
    return comparison is not None and on_performance(comparison)


def is_on_silence(rule: RuleEntry) -> bool:
    """Return true if a rule is about silence, as far as its expression can be read."""
    comparison = _parsed(rule)
    return comparison is not None and comparison.metric == SILENCE


def has_rule(model: ModelEntry, rule: RuleEntry) -> bool:
    """Return true if a model of its group has a rule: one on performance only if it lacks nothing for it."""
    comparison = _parsed(rule)
    if comparison is None or not on_performance(comparison):
        return True
    return lack_for_rule(comparison, rule.confidence, model) is None


def _parsed(rule: RuleEntry) -> Comparison | None:
    try:
        return parse(rule.expr, rule.recovery_threshold)
    except ExpressionError:
        return None


def lack_for_rule(comparison: Comparison, confidence: float | None, model: ModelEntry) -> str | None:
    """Return what a model lacks for a rule on performance, as a sentence; None if it has all."""
    name, metric = comparison.metric, METRICS[comparison.metric]
    if lack := lack_for_metric(metric, model):
        return lack
    if comparison.selectors and model.task != "classification_multiclass":
        return f"{name!r} has an average in classification_multiclass only, because {model.task} has one class"
    if comparison.needs_baseline and (model.performance is None or name not in model.performance.baseline):
        return f"the baseline of {name!r} is missing: write `performance: {{baseline: {{{name}: NUMBER}}}}`"
    if confidence is not None and model.task not in metric.estimated:
        of_task = f" in {model.task}" if metric.estimated else ""
        return f"{name!r} has no interval{of_task}: leave out `confidence`"
    return None


def lack_for_metric(metric: Metric, model: ModelEntry) -> str | None:
    """Return what a model lacks for a metric of performance, as a sentence; None if it has all."""
    if model.streams.labels is None:
        return f"{metric.name!r} {ADD_LABELS}"
    if model.task not in metric.tasks:
        return f"{metric.name!r} {_other_task(metric, model)}"
    need, performance = metric.needs(model.task), model.performance
    there = {
        "probability": model.columns.probability is not None,
        "tolerance": performance is not None and performance.tolerance is not None,
        "costs": performance is not None and bool(performance.costs),
    }
    return f"{metric.name!r} {_ADD[need]}" if need is not None and not there[need] else None


def _other_task(metric: Metric, model: ModelEntry) -> str:
    if metric.name in OF_PROBABILITIES and model.task == "classification_multiclass":
        why = "its `probability` is that of the predicted class, and says nothing of the others"
        return f"is not there for {model.task}: {why}"
    return f"is for {' and '.join(metric.tasks)}, not for {model.task}"
