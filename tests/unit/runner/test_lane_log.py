"""What a stage logs when a lane is judged for the first time: rules that will say nothing, each once, and why."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from structlog.testing import capture_logs

from monitor.config import load
from tests.unit.runner import fleet
from tests.unit.runner.fleet import Fleet

CONFIG = """
version: 1
defaults: {window: {events: 120, every: 60}, lateness: 2s, pane: 2s, interval: 2s, idle_timeout: 5s}
models:
  m:
    task: regression
    streams: {features: {topic: in.features}, predictions: {topic: in.predictions}}
    columns: {numerical: [x, z], prediction: y}
    reference: {first: 110}
groups:
  - name: g
    models: [m]
    rules:
      - {alert: Sound, expr: mean > 100, min_events: 20}
      - {alert: Far, expr: mean > 1e12, min_events: 20}
      - {alert: Many, expr: ks > 0.9, window: {events: 400}, min_events: 300}
"""
EVENTS = ("column_never_judged", "rule_never_judged", "threshold_never_reached")


def told(logs: list[MutableMapping[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in one.items() if k not in ("log_level", "model")} for one in logs if one["event"] in EVENTS]


def test_rules_that_will_say_nothing_are_logged_once_and_after_a_restart() -> None:
    """Columns without a reference with their rules; rules with their columns; rules that judge are not named."""
    running = Fleet(fleet.new_bus(), load(CONFIG, "alerts.yaml"))
    for start in (0, 60):
        running.join("profile-1")
        running.join("evaluate-1")
        with capture_logs() as logs:
            for tp in fleet.inputs_of(running.bus):
                fleet.send(running.bus, tp, [start + i / 10 for i in range(600)])
            running.settle()
        found = sorted(told(logs), key=lambda one: (one["stream"], EVENTS.index(one["event"])))
        assert [
            (one["stream"], one["event"], one.get("alert", one.get("alerts")), one.get("columns", one.get("column")))
            for one in found
        ] == [
            ("features", "column_never_judged", ["Sound", "Far", "Many"], "z"),
            ("features", "rule_never_judged", "Many", ["x"]),
            ("features", "threshold_never_reached", "Far", ["x"]),
            ("predictions", "rule_never_judged", "Many", ["prediction"]),
            ("predictions", "threshold_never_reached", "Far", ["prediction"]),
        ]
        assert [one["why"].partition(" than ")[0] for one in found if one["stream"] == "predictions"] == [
            "the reference has 110 rows, fewer",
            found[-1]["why"],
        ]
        assert found[-1]["why"].startswith("on the grid of its reference mean is never above ")
