"""Thresholds in observations: those that alerts on the same window were judged by, and no others."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from monitor.config import load
from monitor.config.resolved import ModelConfig
from tests.unit.evaluate.test_empty_runs import a_log, fold_all

SEEDS = [1, 3, 9]
"""Logs in which every rule of CONFIG raises an alert."""
CONFIG = """
version: 1
defaults: {window: {events: 30, every: 10}, lateness: 2s, pane: 2s, interval: 2s}
models:
  m:
    task: classification_binary
    streams: {features: {topic: ml.features}}
    columns: {numerical: [x, y], categorical: [c]}
    reference: {first: 5000}
groups:
  - name: g
    models: [m]
    rules:
      - {alert: Psi, expr: psi > 0.2, min_events: 0}
      - {alert: Psi, expr: psi > 0.4, min_events: 0, labels: {severity: page}}
      - {alert: Far, expr: ks > reference_mean + 0.5 * reference_std, window: {time: 12s}, min_events: 0}
      - {alert: One, expr: 'ks{column="x"} > reference_mean', min_events: 0}
      - {alert: Median, expr: 'quantile{quantile="0.5"} > reference_mean', min_events: 0}
      - {alert: Many, expr: events > 22, window: {time: 12s}, min_events: 20}
"""


def a_model() -> ModelConfig:
    return load(CONFIG, "alerts.yaml").models[0]


@pytest.fixture(scope="module", params=SEEDS)
def published(request: pytest.FixtureRequest) -> list[tuple[str, dict[str, Any]]]:
    """Alerts and observations of a log, as (topic, data)."""
    panes = a_log(random.Random(request.param))
    found = fold_all(a_model(), panes, [panes[-1].index + 1])
    return [(message.topic, msgspec.json.decode(message.value)["data"]) for message in found]


def test_an_alert_was_judged_by_the_threshold_of_its_window(published: list[tuple[str, dict[str, Any]]]) -> None:
    """Found by rule, labels and metric, then by column if it depends on the reference."""
    windows = {
        (data["window"]["name"], data["window"]["from"], data["window"]["to"], data["window"]["events"]): data
        for topic, data in published
        if topic == "observations" and "window" in data
    }
    judged = set[str]()
    for topic, data in published:
        window = data.get("evidence", {}).get("window")
        if topic != "alerts" or window is None:
            continue
        observation = windows[window["name"], window["from"], window["to"], window["events"]]
        labels, rule = data["labels"], data["config"]["rule"]
        (threshold,) = [
            one
            for one in observation["thresholds"]
            if one["rule"] == rule
            and one["labels"].items() <= labels.items()
            and one["labels"].get("severity") == labels.get("severity")
            and one["metric"] in (labels["metric"], f"quantile_{labels.get('quantile')}")
        ]
        limit = threshold["threshold"] if "threshold" in threshold else threshold["by_column"][labels["column"]]
        assert (threshold["op"], limit) == (data["evidence"]["op"], data["evidence"]["threshold"])
        judged.add(rule)
    assert judged >= {"g/Psi", "g/Far", "g/One", "g/Median", "g/Many"}


def test_an_observation_names_its_reference_and_the_rules_of_its_window(
    published: list[tuple[str, dict[str, Any]]],
) -> None:
    """Those on windows of another kind, on silence, or that ask for more events are not in force."""
    observations = [data for topic, data in published if topic == "observations" and "window" in data]
    assert len({data["reference"] for data in observations}) == 1
    for data in observations:
        rules = {one["rule"] for one in data["thresholds"]}
        if data["window"]["name"] == "time=12s":
            assert rules <= {"g/Far", "g/Many"}
            assert ("g/Many" in rules) == (data["window"]["events"] >= 20)
        else:
            assert rules <= {"g/Psi", "g/One", "g/Median", "streamdrift/NoData"}
            assert all(set(one["by_column"]) == {"x"} for one in data["thresholds"] if one["rule"] == "g/One")
