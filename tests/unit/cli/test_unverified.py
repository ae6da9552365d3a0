"""Alerts that can't be trusted as others can: `replay` and `explain` say why, and so does the message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.cli.details import details_of
from monitor.cli.explain import explain
from monitor.cli.replay import Options, replay
from monitor.codec.canonical import time_text
from monitor.codec.times import parse_time
from tests.locks import lock_of
from tests.schemas import check_message

START = parse_time("2026-03-01T00:00:00Z")
CONFIG = """\
version: 1
models:
  m:
    task: regression
    streams: {features: {topic: f}}
    columns: {timestamp: ts, numerical: [x]}
    reference: {first: 500}
    budget: {false_alarms: 1, per: month}
groups:
  - name: g
    model: m
    rules:
      - {alert: Drift, expr: drift > 1}
      - {alert: Far, expr: 'wasserstein > calibrated("1 per week")', window: {events: 200}}
"""
WHY = "alerts.lock.yaml was solved for another reference: run `streamdrift calibrate` again"


def test_replay_and_explain_say_why_alerts_are_unverified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lock of another reference than the first rows make: thresholds hold, and every alert on them is marked."""
    values = np.random.default_rng(3).normal(size=1500)
    values[1000:] += 2
    rows, config, out = tmp_path / "rows.csv", tmp_path / "alerts.yaml", tmp_path / "alerts.jsonl"
    rows.write_text("ts,x\n" + "".join(f"{time_text(START + 1000 * i)},{x:.4f}\n" for i, x in enumerate(values)))
    config.write_text(CONFIG)
    config.with_name("alerts.lock.yaml").write_text(lock_of(CONFIG).text)
    replay(Options((str(rows),), config=config, alerts_out=out))
    printed = capsys.readouterr().out
    messages = [check_message(line) for line in out.read_bytes().splitlines()]
    assert {message["data"]["labels"]["alertname"] for message in messages} == {"Drift", "Far"}
    assert {message["data"]["evidence"]["unverified"] for message in messages} == {WHY}
    assert printed.count(" unverified ") == len(messages)
    assert f"unverified: m/features: {WHY}" in printed
    assert f"unverified: m/x: {WHY}" in printed
    assert details_of(messages[-1]["data"]["evidence"]).endswith(f"unverified: {WHY}")
    explain(messages[0]["data"]["fingerprint"], out, None, as_json=False)
    assert WHY in " ".join(capsys.readouterr().out.split())
