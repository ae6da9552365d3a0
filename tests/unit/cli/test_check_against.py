"""`check --against`: what another alerts.yaml means for the service that runs, and whether that can take it."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.bus.memory import MemoryBus
from monitor.cli import check
from monitor.config import load
from tests.unit.runner.fleet import CONFIG, TOPICS, Fleet, inputs_of, new_bus, send


def running() -> MemoryBus:
    bus = new_bus()
    fleet = Fleet(bus, load(CONFIG, "alerts.yaml"))
    fleet.join("evaluate-1")
    fleet.join("profile-1")
    for tp in inputs_of(bus):
        send(bus, tp, [i * 0.2 for i in range(100)])
    fleet.settle()
    without = CONFIG[: CONFIG.index("  w:")] + CONFIG[CONFIG.index("groups:") : CONFIG.index("  - {name: h")]
    for loop in fleet.loops.values():
        loop.reload(load(without, "alerts.yaml"))
    for _ in range(20):
        fleet.now += 0.5
        fleet.turn()
    return bus


def against(bus: MemoryBus, text: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(text)
    monkeypatch.setattr(check, "open_settings_bus_to_read", lambda settings: bus)
    monkeypatch.setattr(check, "ledger_topics", lambda settings: TOPICS)
    monkeypatch.setattr(bus, "close", lambda: None)
    check.check(path, "kafka://localhost:1")


def test_a_file_that_the_service_can_take_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that is gone is new in a file that has it; the threshold of an alert may change."""
    bus = running()
    assert [model.contract.model for model in check.running_on(bus, TOPICS)] == ["m"]
    against(bus, CONFIG.replace("ks > 0.5", "ks > 0.6"), tmp_path / "alerts.yaml", monkeypatch)
    shown = capsys.readouterr().out
    assert "lane features: kept" in shown
    assert "model w: new" in shown


def changed(old: str, new: str) -> str:
    assert old in CONFIG
    return CONFIG.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "features", "predictions"),
    [
        ("numerical: [x], prediction", "numerical: [x, z], prediction", "starts again (columns)", "kept"),
        ("numerical: [x], prediction: y", "numerical: [x]", "kept", "starts again (columns)"),
        ("pane: 2s", "pane: 1s", "starts again (pane)", "starts again (pane)"),
        ("reference: {first: 110}", "reference: {first: 120}", "starts again (reference)", "starts again (reference)"),
        (
            "predictions: {topic: in.predictions}}\n    columns: {numerical: [x], prediction: y}",
            "}\n    columns: {numerical: [x]}",
            "kept",
            "ends (the stream is gone)",
        ),
    ],
)
def test_lanes_start_again_by_what_they_stand_on(
    old: str,
    new: str,
    features: str,
    predictions: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Columns, the length of panes and the reference may change; the other lanes are kept."""
    against(running(), changed(old, new), tmp_path / "alerts.yaml", monkeypatch)
    of_m = capsys.readouterr().out.split("\nm\n")[1].split("\nw\n")[0]
    assert f"  lane features: {features}\n" in of_m
    assert f"  lane predictions: {predictions}\n" in of_m


@pytest.mark.parametrize(
    ("old", "new", "topics"),
    [
        ("predictions: {topic: in.predictions}}", "predictions: {topic: in.more}}", "in.more, in.predictions"),
        (
            ", predictions: {topic: in.predictions}}\n    columns: {numerical: [x], prediction: y}",
            "}\n    columns: {numerical: [x]}",
            "in.predictions",
        ),
        ("numerical: [x], prediction", "numerical: [x, z], prediction", ""),
    ],
)
def test_what_sighup_refuses_needs_a_restart(
    old: str,
    new: str,
    topics: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file by which other topics are read is taken at a start only; the list says so first."""
    against(running(), changed(old, new), tmp_path / "alerts.yaml", monkeypatch)
    shown = capsys.readouterr().out
    line = f"needs a restart, because other topics are read ({topics})\n"
    assert (line in shown) == bool(topics)
    assert ("needs a restart" in shown) == bool(topics)
