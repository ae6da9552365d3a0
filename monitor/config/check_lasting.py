"""Checks of how long a rule has to be violated before its alert fires."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.config.comparison import Comparison
from monitor.config.metrics import DRIFT, METRICS, SILENCE
from monitor.config.model import RuleEntry
from monitor.config.sheet import Path, Sheet
from monitor.errors import Problem


def check_lasting(rule: RuleEntry, comparison: Comparison, path: Path, sheet: Sheet) -> Iterator[Problem]:
    """Yield the problems of `for_windows`."""
    if rule.for_windows is None:
        return
    metric = METRICS[comparison.metric]
    if metric.name in (SILENCE, DRIFT) or metric.subject == "detector":
        message = f"{metric.name!r} is of no window: write `for` with a duration such as 5m instead"
        yield sheet.key_problem((*path, "for_windows"), message)
    elif sheet.has((*path, "for")):
        message = "a rule waits by `for` or by `for_windows`: leave one of them out"
        yield sheet.key_problem((*path, "for_windows"), message)
