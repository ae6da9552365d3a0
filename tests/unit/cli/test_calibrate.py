"""`streamdrift calibrate`: from a budget and a table to a lock that `check` and `replay` take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from monitor.alerts_file import read_lock
from monitor.calibration import drift_limits, model_lock
from monitor.cli.main import app

CONFIG = """version: 1
models:
  m:
    task: regression
    streams: {features: {topic: in}}
    columns: {timestamp: at, numerical: [x]}
    reference: REFERENCE
    budget: {false_alarms: 1, per: 20000 rows}
groups:
  - name: g
    models: [m]
    rules:
      - {alert: Drift, expr: drift > 1, keep_firing_for: 5m}
      - {alert: Far, expr: 'ks > calibrated("1 per 5000 rows")', window: {events: 200, every: 100}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of 3,000 rows, one a second; few streams are drawn."""
    monkeypatch.setattr(model_lock, "SOLVED_ON", 2)
    monkeypatch.setattr(model_lock, "TRIED_ON", 1)
    monkeypatch.setattr(drift_limits, "STREAM_BLOCKS", 400)
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(1).normal(size=3000)
    lines = (f"{1_790_000_000 + i},{value:.4f}" for i, value in enumerate(values.tolist()))
    Path("t.csv").write_text("\n".join(["at,x", *lines]) + "\n")
    Path("alerts.yaml").write_text(CONFIG.replace("REFERENCE", "{first: 2000}"))
    return tmp_path


def call(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def test_a_lock_is_taken_by_check_and_replay(folder: Path) -> None:
    """Its digest is that of the reference that the service makes of the same rows, so no alert is unverified."""
    out = call("calibrate", "t.csv")
    assert "m / features: 2000 reference rows, 1.001 rows/s, 2000 pieces" in out
    call("check")
    lock = read_lock(folder / "alerts.lock.yaml")
    lane = lock.models["m"].lanes["features"]
    assert lane.rows == 2000
    assert lane.drift is not None
    assert lane.thresholds.keys() == {"Far"}
    shifted = (folder / "t.csv").read_text().splitlines()
    moved = [f"{line.split(',')[0]},{float(line.split(',')[1]) + 3}" for line in shifted[2501:]]
    Path("later.csv").write_text("\n".join(shifted[:2501] + moved) + "\n")
    call("replay", "later.csv", "--alerts-out", "alerts.jsonl")
    alerts = (folder / "alerts.jsonl").read_text()
    assert '"alertname":"Drift"' in alerts
    assert '"alertname":"Far"' in alerts
    assert "unverified" not in alerts


def test_a_reference_that_is_a_table_needs_no_source(folder: Path) -> None:
    (folder / "alerts.yaml").write_text(CONFIG.replace("REFERENCE", "{path: t.csv}"))
    assert "3000 reference rows" in call("calibrate")
    call("check")


def test_nothing_is_written_without_being_asked(folder: Path) -> None:
    call("calibrate", "t.csv", "--dry-run")
    assert not (folder / "alerts.lock.yaml").exists()


def test_the_same_seed_gives_the_same_lock(folder: Path) -> None:
    call("calibrate", "t.csv")
    first = (folder / "alerts.lock.yaml").read_bytes()
    call("calibrate", "t.csv")
    assert (folder / "alerts.lock.yaml").read_bytes() == first
    call("calibrate", "t.csv", "--seed", "2")
    assert (folder / "alerts.lock.yaml").read_bytes() != first


@pytest.mark.parametrize(
    ("reference", "words", "message"),
    [
        ("{first: 2000}", ("calibrate",), "m: its reference is no file"),
        ("{first: 5000}", ("calibrate", "t.csv"), "too short for the reference of m/features"),
    ],
)
def test_what_has_no_rows_to_draw_from_is_refused(
    folder: Path, reference: str, words: tuple[str, ...], message: str
) -> None:
    (folder / "alerts.yaml").write_text(CONFIG.replace("REFERENCE", reference))
    result = CliRunner().invoke(app, words)
    assert message in str(result.exception)


def test_an_alerts_yaml_without_a_budget_is_refused(folder: Path) -> None:
    text = CONFIG.replace("REFERENCE", "{first: 2000}").replace("    budget: {false_alarms: 1, per: 20000 rows}\n", "")
    (folder / "alerts.yaml").write_text("\n".join(text.splitlines()[:-1]) + "\n")
    result = CliRunner().invoke(app, ["calibrate", "t.csv"])
    assert "asks for no calibration" in str(result.exception)
