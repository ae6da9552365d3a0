"""`streamdrift run --web`: live and ready as orchestrators ask, and numbers that are those of the log."""

from __future__ import annotations

import os
import re
import signal

import pytest

from tests.processes.running import PARTITIONS, PATIENCE_S, Running

pytestmark = pytest.mark.slow


def numbers(text: str) -> dict[str, float]:
    """Samples of an exposition: everything before the value -> the value."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(
        re.fullmatch(r'[a-z_]+(\{[a-z0-9_]+="[^"\n]*"(,[a-z0-9_]+="[^"\n]*")*\})? -?[0-9.e+-]+', x) for x in lines
    )
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_live_ready_and_metrics_of_a_running_service(running: Running) -> None:
    """Every record is in a bucket, nothing is unaccounted, and both stages turn."""
    service = running.service
    service.wait_until(lambda: running.ask("/ready")[0] == 200, "it was ready", PATIENCE_S)
    assert running.ask("/live") == (200, "ok\n")

    def counted() -> bool:
        reported = numbers(running.ask("/metrics")[1])
        panes = [value for name, value in reported.items() if 'bucket="pane"' in name]
        return panes == [running.sent] * PARTITIONS and reported.get('streamdrift_model_waiting{model="m"}') == 0

    service.wait_until(counted, "all records were in panes", PATIENCE_S)
    status, text = running.ask("/metrics")
    reported = numbers(text)
    assert status == 200
    for p in range(PARTITIONS):
        place = f'{{topic="{running.topic}",partition="{p}"}}'
        assert reported[f"streamdrift_input_position{place}"] == running.sent
        assert reported[f"streamdrift_input_unaccounted_records{place}"] == 0
    for name in ("profile", "evaluate"):
        assert reported[f'streamdrift_stage_up{{stage="{name}"}}'] == 1
        assert reported[f'streamdrift_stage_starts_total{{stage="{name}"}}'] == 1
        assert reported[f'streamdrift_stage_transactions_total{{stage="{name}"}}'] > 0
        assert reported[f'streamdrift_stage_memory_bytes{{stage="{name}"}}'] > 1_000_000

    running.config.write_text("nonsense")
    service.signal(signal.SIGHUP)
    failed = "streamdrift_config_reload_failed"
    service.wait_until(lambda: numbers(running.ask("/metrics")[1])[failed] == 1, "the refusal showed", PATIENCE_S)
    assert running.ask("/ready")[0] == 200

    os.kill(service.children()[0], signal.SIGKILL)
    service.wait_until(lambda: running.ask("/ready")[0] == 503, "the loss showed", PATIENCE_S)
    service.wait_until(lambda: running.ask("/ready")[0] == 200, "it was ready again", PATIENCE_S)
    starts = [v for k, v in numbers(running.ask("/metrics")[1]).items() if k.startswith("streamdrift_stage_starts")]
    assert sorted(starts) == [1, 2]
