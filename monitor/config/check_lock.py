"""Checks of a lock beside its alerts.yaml: whether it is of these rules, and has all that they ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from monitor.config.expression import CALIBRATED, parse
from monitor.config.lock import LOCK_NAME, LockedLane, LockedModel, LockSheet, has_budget, rules_digest
from monitor.config.locking import asks_for_lock, solved_lanes
from monitor.config.metrics import DRIFT
from monitor.config.model import AlertsFile
from monitor.config.resolved import Config, ModelConfig, Rule
from monitor.config.selection import models_of
from monitor.config.sheet import Path, Sheet
from monitor.config.suggest import did_you_mean, nearest
from monitor.errors import Problem

CALIBRATE = "run `streamdrift calibrate`"


def check_lock(config: Config, file: AlertsFile, sheet: Sheet, locked: LockSheet | None) -> Iterator[Problem]:
    """Yield what alerts.yaml asks for and the lock lacks, or has of other rules. `locked`: None without a lock."""
    asking = {model.contract.model: model for model in config.models if asks_for_lock(model.rules)}
    if locked is None:
        yield from _lacking(file, sheet, asking, None)
        return
    held = locked.lock.models
    for name in asking.keys() & held.keys():
        yield from _of_model(asking[name], held[name], locked.sheet)
    lacking, unknown = asking.keys() - held.keys(), held.keys() - file.models.keys()
    mistyped = {near: name for name in sorted(unknown) if (near := nearest(name, lacking)) is not None}
    for near, name in mistyped.items():
        yield locked.sheet.key_problem(("models", name), f"there is no model {name!r}; did you mean {near!r}?")
    yield from _lacking(file, sheet, lacking - mistyped.keys(), locked.sheet)


def _lacking(file: AlertsFile, sheet: Sheet, models: Collection[str], lock: Sheet | None) -> Iterator[Problem]:
    """Yield a problem for each budget and each calibrated threshold of models that have no lock."""
    for name in models:
        if file.models[name].budget is not None:
            yield sheet.key_problem(("models", name, "budget"), _needs("a budget", name, lock))
    for i, group in enumerate(file.groups):
        for j, rule in enumerate(group.rules):
            names = [name for name in models_of(group, file.models) if name in models]
            if names and parse(rule.expr).rate is not None:
                message = _needs(f"{CALIBRATED}(...)", names[0], lock)
                yield sheet.problem(("groups", i, "rules", j, "expr"), message, rule.expr.index(CALIBRATED))


def _needs(what: str, model: str, lock: Sheet | None) -> str:
    lacks = f"{LOCK_NAME} beside this file" if lock is None else f"the model {model!r} in {lock.file}"
    return f"{what} needs {lacks}: {CALIBRATE}"


def _of_model(model: ModelConfig, held: LockedModel, sheet: Sheet) -> Iterator[Problem]:
    path: Path = ("models", model.contract.model)
    if held.rules != rules_digest(model):
        other = f"other rules of {model.contract.model!r}, or another `reference`, than alerts.yaml has now"
        message = f"this was solved for {other}: {CALIBRATE}"
        yield sheet.problem((*path, "rules"), message)
        return
    for lack in dict.fromkeys(_lacks(model, held)):
        yield sheet.key_problem((*path, "lanes", *lack.path), f"{lack.what}: {CALIBRATE}")


class _Lack(NamedTuple):
    """What a lock lacks. `path`: of the key that should have it, below `lanes`."""

    path: tuple[str, ...]
    what: str


def _lacks(model: ModelConfig, held: LockedModel) -> Iterator[_Lack]:
    for rule in model.rules.rules:
        if has_budget(rule, model.rules.budget):
            for stream in solved_lanes(rule, model.contract):
                lane = held.lanes.get(stream)
                if lane is None:
                    yield _Lack((), f"the lane {stream!r} is missing")
                else:
                    yield from _lacks_of_rule(rule, stream, lane, {other.alert for other in model.rules.rules})


def _lacks_of_rule(rule: Rule, stream: str, lane: LockedLane, alerts: Collection[str]) -> Iterator[_Lack]:
    if rule.comparison.metric == DRIFT:
        if lane.drift is None:
            yield _Lack((stream,), "the limits of 'drift' are missing, and the model has a budget")
    elif rule.alert not in lane.thresholds:
        mistyped = nearest(rule.alert, lane.thresholds.keys() - set(alerts))
        if mistyped is not None:
            what = f"there is no rule {mistyped!r}{did_you_mean(mistyped, [rule.alert])}"
            yield _Lack((stream, "thresholds", mistyped), what)
        else:
            yield _Lack((stream,), f"the threshold of {rule.alert!r} is missing")
