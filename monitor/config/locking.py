"""A lock put into the rules that it was solved for: calibrated thresholds become numbers, lanes get their limits."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from monitor.config.comparison import Calibrated
from monitor.config.inputs import lanes_of, series_of
from monitor.config.lock import Lane, Lock, LockedModel, has_budget
from monitor.config.metrics import DRIFT, METRICS
from monitor.config.resolved import Config, ModelConfig, ModelRules, Rule, SolvedLane
from monitor.contract import ModelContract
from monitor.events import StreamName


def asks_for_lock(rules: ModelRules) -> bool:
    """Return true if thresholds of the model are solved, so that it needs a lock."""
    return any(has_budget(rule, rules.budget) for rule in rules.rules)


def solved_lanes(rule: Rule, contract: ModelContract) -> tuple[Lane, ...]:
    """Return the lanes that the threshold of a rule is solved on: those that it selects something of.

    Outcomes, whose reference comes with labels, are only among them if nothing else is selected.
    """
    comparison = rule.comparison
    if comparison.metric == DRIFT:
        found = {lane.stream for lane in lanes_of(contract) if comparison.matches({"stream": lane.stream})}
    else:
        kinds = METRICS[comparison.metric].kinds
        own = [selector for selector in comparison.selectors if selector.label != "quantile"]
        found = {
            one.stream
            for one in series_of(contract)
            if ("numeric" if one.numeric else "categorical") in kinds
            and all(selector.matches({"column": one.name, "stream": one.stream}) for selector in own)
        }
    lanes: tuple[Lane, ...] = tuple(lane for lane in get_args(Lane) if lane in found)
    return lanes if lanes == ("outcomes",) else tuple(lane for lane in lanes if lane != "outcomes")


def with_lock(config: Config, lock: Lock) -> Config:
    """Return the configuration with the numbers of a lock that has passed its check."""
    held = lock.models
    models = (_locked(one, held[one.contract.model]) if asks_for_lock(one.rules) else one for one in config.models)
    return replace(config, models=tuple(models))


def _locked(model: ModelConfig, held: LockedModel) -> ModelConfig:
    solved: dict[StreamName, SolvedLane] = {}
    for stream, lane in held.lanes.items():
        limits = None if lane.drift is None or model.rules.budget is None else lane.drift.limits
        three = None if limits is None else (limits.family, limits.column, limits.correlation)
        solved[stream] = SolvedLane(reference=lane.reference, pieces=lane.pieces, limits=three)
    rules = tuple(_with_z(rule, model.contract, held) for rule in model.rules.rules)
    return replace(model, rules=model.rules.model_copy(update={"rules": rules, "solved": solved}))


def _with_z(rule: Rule, contract: ModelContract, held: LockedModel) -> Rule:
    """Return the rule with its threshold: of several lanes the one that fires most seldom."""
    rate = rule.comparison.rate
    if rate is None:
        return rule
    found = [held.lanes[stream].thresholds[rule.alert].z for stream in solved_lanes(rule, contract)]
    z = max(found) if rule.comparison.op in (">", ">=") else min(found)
    return rule.model_copy(update={"comparison": replace(rule.comparison, right=Calibrated(rate, z))})
