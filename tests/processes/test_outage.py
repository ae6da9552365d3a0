"""A broker that restarts under a running service: two lines of each stage, and nothing of the clients' own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.processes.conftest import service_on
from tests.processes.running import Running

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

STAGES, RESTART_S = 2, 180


def test_a_restart_of_the_broker_is_two_lines_of_each_stage(own_broker: Broker, tmp_path: Path) -> None:
    """Though the stages end, and are started again, as often as they can't work."""
    with service_on(f"kafka://{own_broker.address}", tmp_path) as running:
        own_broker.stop()
        _wait(running, "broker_unreachable")
        running.service.wait_until(lambda: running.published("stage_ended") != [], "a stage ended by it", RESTART_S)
        own_broker.start()
        _wait(running, "broker_back")
        running.service.wait_until(lambda: running.ask("/ready")[0] == 200, "it was ready", RESTART_S)
        assert running.service.stop() == 0, running.service.tail()
    lines = [json.loads(line) for line in running.service.log.read_text().splitlines() if line.startswith("{")]
    reported = [line["event"] for line in lines if "broker" in line]
    assert sorted(reported) == ["broker_back"] * STAGES + ["broker_unreachable"] * STAGES
    assert [line for line in lines if line.get("logger", "").startswith("kafka")] == []


def _wait(running: Running, event: str) -> None:
    running.service.wait_until(lambda: len(running.published(event)) >= STAGES, f"{event} of each stage", RESTART_S)
