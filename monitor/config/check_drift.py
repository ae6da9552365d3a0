"""Checks of rules on `drift`, which is of no window and is over its limit already."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.config.comparison import Comparison
from monitor.config.metrics import DRIFT
from monitor.config.model import RuleEntry
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
