"""One change is one page: what 33 columns, three kinds of rules and `drift` say of it, through the whole of replay."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.cli.explain import explain
from monitor.cli.replay import Options, replay
from monitor.codec.canonical import time_text
from monitor.codec.times import parse_time
from tests.schemas import check_message

COLUMNS = [f"f{k}" for k in range(33)]
START, REFERENCE, CHANGE, ROWS = parse_time("2026-03-01T00:00:00Z"), 2000, 3000, 5500
CONFIG = f"""
version: 1
defaults: {{window: {{events: 500, every: 100}}, lateness: 0s, pane: 10s, interval: 10s}}
models:
  m:
    task: regression
    streams: {{features: {{topic: f}}}}
    columns: {{timestamp: ts, numerical: [{", ".join(COLUMNS)}]}}
    importance: {{f5: 1.0}}
    reference: {{first: {REFERENCE}}}
detectors:
  adwin: {{class: ADWIN, params: {{delta: 0.002, clock: 10}}, input: "*"}}
groups:
  - name: g
    model: m
    rules:
      - {{alert: Shift, expr: ks > 0.15, under: Drift}}
      - {{alert: Psi, expr: psi > 0.25, under: Drift}}
      - {{alert: Change, expr: change > 0, keep_firing_for: 5m, under: Drift}}
      - alert: Drift
        expr: drift > 1
        annotations: {{summary: "{{{{ labels.model }}}}: {{{{ columns }}}}, {{{{ events }}}} rows"}}
"""


def table(path: Path) -> Path:
    """A row a second: columns that depend on each other a little; at CHANGE two thirds of them move, some far."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(ROWS, len(COLUMNS))) + 0.5 * rng.normal(size=(ROWS, 1))
    rows[CHANGE:, :22] += np.linspace(1.2, 0.2, 22)
    lines = [",".join(["ts", *COLUMNS])]
    lines += [f"{time_text(START + 1000 * i)}," + ",".join(f"{x:.4f}" for x in row) for i, row in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def replayed(tmp_path: Path, config: str) -> list[dict[str, Any]]:
    file, out = tmp_path / "alerts.yaml", tmp_path / "alerts.jsonl"
    file.write_text(config)
    replay(Options((str(tmp_path / "rows.csv"),), config=file, alerts_out=out))
    return [check_message(line) for line in out.read_bytes().splitlines()]


def test_one_change_is_one_firing_message_and_at_most_three_updates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names columns and what is under it, says where the change began, and its rows can be printed."""
    table(tmp_path / "rows.csv")
    alerts = replayed(tmp_path, CONFIG)
    first, *updates = alerts
    assert (first["data"]["labels"]["alertname"], first["data"]["status"]) == ("Drift", "firing")
    assert 1 <= len(updates) <= 3
    assert {alert["data"]["status"] for alert in updates} == {"updated"}
    assert len({alert["data"]["fingerprint"] for alert in alerts}) == 1
    changed = START + 1000 * CHANGE
    assert 0 <= parse_time(first["time"]) - changed <= 100_000
    evidence = updates[-1]["data"]["evidence"]
    assert abs(parse_time(evidence["change"]["at"]) - changed) <= 50_000
    assert evidence["columns"][0]["column"] == "f5"
    assert {column["column"] for column in evidence["columns"]} <= set(COLUMNS[:22])
    assert evidence["under_count"] > 20
    (rows,) = evidence["window"]["offsets"]
    assert abs(rows["start"] - CHANGE) <= 50
    assert evidence["window"]["events"] == rows["end"] - rows["start"]
    assert updates[-1]["data"]["annotations"]["summary"].startswith("m: f5, f0, ")
    capsys.readouterr()
    explain(first["data"]["fingerprint"], tmp_path / "alerts.jsonl", None, as_json=False)
    assert shlex.join(["streamdrift", "records", f"f/0:{rows['start']}-{rows['end']}"]) in capsys.readouterr().out


def test_without_under_every_rule_speaks_for_itself(tmp_path: Path) -> None:
    """The same log and rules: what was one page is dozens."""
    table(tmp_path / "rows.csv")
    alerts = replayed(tmp_path, CONFIG.replace(", under: Drift", ""))
    assert sum(alert["data"]["status"] == "firing" for alert in alerts) > 40
