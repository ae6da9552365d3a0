"""Checks of what a lock has to say: the budgets and calibrated thresholds of alerts.yaml."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.config.expression import CALIBRATED, parse
from monitor.config.model import AlertsFile
from monitor.config.sheet import Path, Sheet
from monitor.errors import Problem

CALIBRATE = "`streamdrift calibrate` solves it"


def without_lock(file: AlertsFile, sheet: Sheet) -> Iterator[Problem]:
    """Yield a problem for each budget and each calibrated threshold, because there is no lock."""
    for name, model in file.models.items():
        if model.budget is not None:
            message = f"a budget needs alerts.lock.yaml beside this file: {CALIBRATE}"
            yield sheet.key_problem(("models", name, "budget"), message)
    for i, group in enumerate(file.groups):
        for j, rule in enumerate(group.rules):
            if parse(rule.expr).rate is not None:
                path: Path = ("groups", i, "rules", j, "expr")
                message = f"{CALIBRATED}(...) needs alerts.lock.yaml beside this file: {CALIBRATE}"
                yield sheet.problem(path, message, rule.expr.index(CALIBRATED))
