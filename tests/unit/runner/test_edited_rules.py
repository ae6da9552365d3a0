"""A rule that is edited while its alert fires: the alert goes on where it means the same, live, killed and replayed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.config import load
from monitor.config.resolved import Config
from tests.unit.runner import fleet
from tests.unit.runner.fleet import Fleet, check_against_replay
from tests.unit.runner.test_models_that_go import reload, restart, traffic

RETRAINING = """
retraining:
  - {trigger: a, models: [w], when: {any: [Psi]}, cooldown: 0s, training_window: {since: first_violation, max: 1h}}
"""
BASE = fleet.CONFIG + RETRAINING
RULE = "{alert: Psi, expr: psi > 0.8, window: {time: 20s, every: 4s}, min_events: 20}"
ONCE, ANEW = ["firing/1", "resolved/1"], ["firing/1", "resolved/1", "firing/1", "resolved/1"]


def statuses(running: Fleet) -> list[str]:
    """What was published of the alert, by time, each with its episode."""
    events = sorted(map(msgspec.json.decode, fleet.published(running.bus)), key=lambda event: event["time"])
    of_rule = [event for event in events if event["data"]["labels"]["alertname"] == "Psi"]
    return [f"{event['data']['status']}/{event['id'].rsplit('/', 1)[1]}" for event in of_rule]


@pytest.mark.parametrize(
    ("how", "old", "new", "expected"),
    [
        (reload, "psi > 0.8", "psi > 0.7", ONCE),
        (restart, "psi > 0.8", "psi > 0.7", ONCE),
        (reload, "psi > 0.8", "psi > reference_mean + 4 * reference_std", ONCE),
        (restart, "time: 20s", "time: 24s", ONCE),
        (restart, "min_events: 20}", "min_events: 10, for: 20s, annotations: {summary: a}}", ONCE),
        (reload, "psi > 0.8", "hellinger > 0.1", ANEW),
        (restart, "min_events: 20}", "min_events: 20, labels: {severity: page}}", ANEW),
    ],
)
def test_an_edit_of_a_rule_that_fires(
    how: Callable[[Fleet, Config], None], old: str, new: str, expected: list[str]
) -> None:
    """Fires once if it is the same alert, and asks for retraining once; else it is resolved, and another one fires."""
    assert RULE in BASE
    assert old in RULE
    with capture_logs():
        running = Fleet(fleet.new_bus(), load(BASE, "alerts.yaml"))
        restart(running, running.config)
        traffic(running, 0, 60, 0.0)
        traffic(running, 60, 100, 50.0)
        assert statuses(running) == ["firing/1"]
        edited = load(BASE.replace(RULE, RULE.replace(old, new)), "alerts.yaml")
        how(running, edited)
        traffic(running, 100, 104, 50.0)
        restart(running, edited)
        traffic(running, 104, 130, 50.0)
        traffic(running, 130, 180, 0.0)
        running.settle()
    assert statuses(running) == expected
    assert len(fleet.published(running.bus, "retraining")) == expected.count("firing/1")
    check_against_replay(running.bus)
