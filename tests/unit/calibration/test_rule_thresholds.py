"""Thresholds of calibrated rules."""

from __future__ import annotations

import pytest

from benchmarks.calibration import TRAFFIC, ar1, sample_of
from monitor.calibration.drawn import streams
from monitor.calibration.rule_thresholds import WITHOUT, RuleStreams
from monitor.config import load_unlocked

CONFIG = """version: 1
models:
  m:
    task: regression
    streams: {features: {topic: t}}
    columns: {timestamp: at, numerical: [x0]}
    reference: {first: 2000}
groups:
  - name: g
    models: [m]
    rules: [{alert: A, expr: 'EXPR', window: {events: 200, every: 100}}]
"""
ROWS = 8_000


def rule_streams(expr: str) -> RuleStreams:
    model = load_unlocked(CONFIG.replace("EXPR", expr), "alerts.yaml").models[0]
    rules = tuple(rule for rule in model.rules.rules if rule.alert == "A")
    own = model.rules.model_copy(update={"rules": rules})
    sample = sample_of(ar1(0.0, 2_000, 1, 1))
    return RuleStreams(sample, TRAFFIC, model.contract, model.contract.streams[0], own, ROWS)


@pytest.mark.parametrize(("metric", "op", "sign"), [("mean", ">", 1), ("mean", "<", -1), ("ks", ">", 1)])
def test_a_threshold_lies_on_the_side_where_the_rule_fires(metric: str, op: str, sign: int) -> None:
    """And the fewer alarms are allowed, the further from the mean it lies."""
    rules = rule_streams(f'{metric} {op} calibrated("1 per day")')
    drawn = streams(rules.sample, rules.sample.pieces, "a", 6, ROWS)
    judged = [rules.judged(one) for one in drawn]
    near, far = (rules.solve(judged, [rows])[0].z for rows in (2_000.0, 200_000.0))
    assert 0.5 < sign * near < sign * far


def test_a_rule_whose_series_never_leave_their_mean_has_no_threshold_at_it() -> None:
    """A first missing cell would else be an alarm."""
    rules = rule_streams('missing_rate > calibrated("1 per day")')
    judged = [rules.judged(one) for one in streams(rules.sample, rules.sample.pieces, "b", 2, ROWS)]
    assert rules.solve(judged, [1e5])[0] == (WITHOUT, True)
