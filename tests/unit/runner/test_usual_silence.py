"""Silence that is measured by a stream's own gaps is the same live, restarted at any commit, and replayed."""

from __future__ import annotations

import random

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.config import built_in
from tests.unit.runner.test_end_to_end import check_once, published, replayed, serve


def test_it_counts_by_pane(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a least silence of 2 s: streams that wait, whose reference comes amid silence, and that stand still."""
    monkeypatch.setattr(built_in, "LEAST_SILENCE_MS", 2000)
    limits: list[float] = []
    for seed in (1, 2, 3):
        with capture_logs():
            service = serve(seed, random.Random(seed) if seed > 1 else None)
        check_once(service)
        live = published(service.bus)
        assert sorted(live) == sorted((m.topic, m.key, m.value) for m in replayed(service))
        alerts = [msgspec.json.decode(value)["data"] for topic, _, value in live if topic == "alerts"]
        limits += [a["evidence"]["threshold"] for a in alerts if a["labels"]["alertname"] == "NoData"]
    assert len(limits) >= 4
    assert len(set(limits)) >= 2
    assert min(limits) >= 2
