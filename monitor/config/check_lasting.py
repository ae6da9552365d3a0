"""Checks of how long a rule has to be violated before its alert fires, and of when it is clear again."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.config.check_thresholds import faults_of_recovery
from monitor.config.comparison import Comparison
from monitor.config.expression import ExpressionError, parse_threshold
from monitor.config.metrics import DRIFT, METRICS, SILENCE
from monitor.config.model import RuleEntry
from monitor.config.sheet import Path, Sheet
from monitor.errors import Problem


def check_lasting(rule: RuleEntry, comparison: Comparison, path: Path, sheet: Sheet) -> Iterator[Problem]:
    """Yield the problems of `for_windows` and `recovery_threshold`."""
    yield from _windows(rule, comparison, path, sheet)
    yield from _recovery(rule, comparison, (*path, "recovery_threshold"), sheet)


def _windows(rule: RuleEntry, comparison: Comparison, path: Path, sheet: Sheet) -> Iterator[Problem]:
    if rule.for_windows is None:
        return
    metric = METRICS[comparison.metric]
    if metric.name in (SILENCE, DRIFT) or metric.subject == "detector":
        message = f"{metric.name!r} is of no window: write `for` with a duration such as 5m instead"
        yield sheet.key_problem((*path, "for_windows"), message)
    elif sheet.has((*path, "for")):
        message = "a rule waits by `for` or by `for_windows`: leave one of them out"
        yield sheet.key_problem((*path, "for_windows"), message)


def _recovery(rule: RuleEntry, comparison: Comparison, path: Path, sheet: Sheet) -> Iterator[Problem]:
    if rule.recovery_threshold is None:
        return
    try:
        recovery = parse_threshold(rule.recovery_threshold)
    except ExpressionError as error:
        yield sheet.problem(path, str(error), error.position)
        return
    faults = faults_of_recovery(comparison, recovery, METRICS[comparison.metric])
    yield from (sheet.problem(path, fault) for fault in faults)
