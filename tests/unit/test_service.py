"""What a stage's process logs of the references that it makes, and of files that it can't use."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from monitor.alerts_file import load_config
from monitor.bus.memory import MemoryBus
from monitor.errors import ConfigurationError
from monitor.instances import file_of
from monitor.runner.witness import FileWitness, NoWitness
from monitor.service import _witness, make_references
from monitor.settings import load_settings
from monitor.telemetry import get_log
from tests.unit.cli.test_tables import config_of, numbers, times, write_csv


def make(folder: Path, values: list[object]) -> list[dict[str, object]]:
    """The log of a reference of these values in a column `x`."""
    stamps = ["", *(stamp.removesuffix("Z") for stamp in times()[1:])]
    table = write_csv(folder / "reference.csv", {"event_time": stamps, "x": values})
    config = load_config(config_of(folder, "{numerical: [x]}", f"{{path: {table}}}"))
    with capture_logs() as logs:
        make_references(load_settings(bus="memory:"), get_log("test"))(config.models[0], lambda: None)
    return [dict(log) for log in logs if str(log["event"]).startswith("reference_")]


def test_a_stage_goes_on_without_a_witness_that_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the link leads to stays as it is, and the log names the link."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    settings, bus = load_settings(bus="memory:"), MemoryBus()
    place = f"{bus.cluster_id()}/{settings.prefix}"
    link, victim = file_of(place, "host-profile", "witness", settings.bus), tmp_path / "victim"
    victim.write_text("precious")
    link.symlink_to(victim)
    with capture_logs() as logs:
        witness = _witness(bus, settings, "host-profile", get_log("test"))
    assert isinstance(witness, NoWitness)
    assert [(log["event"], log["file"], log["why"]) for log in logs] == [
        ("witness_unusable", str(link), "a symbolic link, and no file of ours")
    ]
    assert victim.read_text() == "precious"
    link.unlink()
    assert isinstance(_witness(bus, settings, "host-profile", get_log("test")), FileWitness)


def test_what_of_a_reference_can_not_be_used_is_logged_without_its_values(tmp_path: Path) -> None:
    """Columns, reasons and counts; and what was taken for granted."""
    logs = make(tmp_path, ["secret", "nan", *numbers(50, 50)[2:]])
    assert [(log["event"], log.get("column"), log.get("reason"), log.get("values")) for log in logs] == [
        ("reference_note", None, None, None),
        ("reference_values_unused", "event_time", "missing_time", 1),
        ("reference_values_unused", "x", "NaN", 1),
        ("reference_values_unused", "x", "of a wrong type", 1),
    ]
    assert {log["model"] for log in logs} == {"m"}
    assert {log["rows"] for log in logs[1:]} == {1200}
    assert "secret" not in str(logs)
    assert make(tmp_path, list(numbers(50, 50)))[1:] == [logs[1]]


def test_a_reference_that_can_not_be_made_is_refused_without_its_values(tmp_path: Path) -> None:
    """Because the refusal becomes a message."""
    table = tmp_path / "reference.csv"
    table.write_text("event_time,x\nsecret,1\nsecret,2\n")
    config = load_config(config_of(tmp_path, "{numerical: [x]}", f"{{path: {table}}}"))
    with capture_logs() as logs, pytest.raises(ConfigurationError, match="2 invalid_time") as raised:
        make_references(load_settings(bus="memory:"), get_log("test"))(config.models[0], lambda: None)
    assert "secret" not in f"{raised.value}{logs}"
