"""`check --against`: what another alerts.yaml means for the service that runs, and whether that can take it."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.bus.memory import MemoryBus
from monitor.cli import check
from monitor.config import load
from monitor.config.differences import differences
from monitor.errors import ConfigurationError
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
    monkeypatch.setattr(check, "open_settings_bus", lambda settings: bus)
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


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("numerical: [x], prediction", "numerical: [x, z], prediction", "columns"),
        ("pane: 2s", "pane: 1s", "pane"),
        ("reference: {first: 60}", "reference: {first: 80}", "reference"),
    ],
)
def test_what_the_service_refuses_is_refused_here(
    old: str, new: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason, and the exit code of a wrong file."""
    with pytest.raises(ConfigurationError, match=f"refuses this file.*`{what}`"):
        against(running(), CONFIG.replace(old, new), tmp_path / "alerts.yaml", monkeypatch)
    assert differences((), load(CONFIG, "alerts.yaml"))
