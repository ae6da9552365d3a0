"""The doctor finds each fault of settings, topics, records, clocks and references, with a remedy, and no other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.bus.embedded import EmbeddedBus
from monitor.bus.memory import MemoryBus
from monitor.cli.main import app
from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.config.resolved import Config
from monitor.doctor.examination import examine
from monitor.doctor.finding import Finding, worst
from monitor.doctor.references import references_found
from monitor.doctor.this_host import memory, settings_found
from monitor.doctor.topics import inputs_found, our_topics_found
from monitor.doctor.traffic import traffic_found
from monitor.events import Outgoing
from monitor.runner.topics import create_topics
from monitor.service import ledger_topics
from monitor.settings import Settings, load_settings

NOW = 1_790_000_000_000
TEXT = """
version: 1
models:
  m:
    task: regression
    streams: {{features: {{topic: in.features}}}}
    columns: {{numerical: [x]}}
    reference: {reference}
groups:
  - {{name: g, models: [m], rules: [{{alert: A, expr: psi > 0.25}}]}}
"""


def config_of(reference: str = "{first: 20}") -> Config:
    return load(TEXT.format(reference=reference), "alerts.yaml")


def settings_here(**given: object) -> Settings:
    return load_settings(bus="memory:", **given)


def write(bus: MemoryBus | EmbeddedBus, values: list[bytes], partitions: int = 2) -> None:
    bus.create("in.features", partitions)
    sender = bus.sender()
    for i, value in enumerate(values):
        sender.send(Outgoing("in.features", i % partitions, None, value))
    sender.flush()


def event(at: int, x: object = 1.5) -> bytes:
    return json.dumps({"event_id": "e", "model": "m", "event_time": time_text(at), "features": {"x": x}}).encode()


def statuses(findings: list[Finding], check: str) -> list[str]:
    return [finding.status for finding in findings if finding.check == check]


def looked_at(values: list[bytes]) -> list[Finding]:
    bus = MemoryBus(clock=lambda: NOW)
    write(bus, values)
    return list(traffic_found(bus, config_of(), NOW))


@pytest.mark.parametrize("refused", [0, 1, 30, 31, 60])
def test_the_share_of_records_that_decode_is_counted(refused: int) -> None:
    """A few that are refused are a warning, more than half a failure; the commonest reasons are named."""
    records, *clocks = looked_at([event(NOW - 1000)] * (60 - refused) + [b"{"] * refused)
    assert f"{60 - refused} of the newest 60 records" in records.found
    assert records.status == ("ok" if not refused else "warning" if refused <= 30 else "failed")
    assert ("invalid_json" in records.found) == (refused > 0)
    assert bool(records.remedy) == (refused > 0)
    assert [c.status for c in clocks] == ["ok"] * (refused < 60)


def test_a_topic_without_records_is_a_warning() -> None:
    """Nothing can be said of its producers."""
    (records,) = looked_at([])
    assert (records.check, records.status) == ("records", "warning")


@pytest.mark.parametrize(
    ("lies_ms", "status", "word"),
    [
        (-1000, "ok", "1s"),
        (-40 * 86_400_000, "ok", "40d"),  # a log of old events, written now
        (30_000, "ok", "0s"),
        (3 * 3_600_000, "failed", "ahead of this host's clock, by up to 3h"),
        (-2 * 3_600_000, "warning", "2 h behind"),
    ],
)
def test_clocks_and_time_zones_of_producers_are_looked_at(lies_ms: int, status: str, word: str) -> None:
    """Ahead of this host by more than the skew that is allowed, or whole hours off the records' stamps."""
    _, clock = looked_at([event(NOW + lies_ms - i) for i in range(50)])
    assert (clock.check, clock.status) == ("clocks", status)
    assert word in clock.found
    assert bool(clock.remedy) == (status != "ok")


def test_topics_are_looked_for_with_a_suggestion() -> None:
    """A missing input is a failure; ours are created by the first run, and another number of partitions is found."""
    bus, config, settings = MemoryBus(), config_of(), settings_here()
    bus.create("in.feature", 1)
    (missing,) = inputs_found(bus, config)
    assert (missing.status, "did you mean 'in.feature'?" in missing.remedy) == ("failed", True)
    bus.create("in.features", 3)
    assert [f.found for f in inputs_found(bus, config)] == ["in.features: 3 partition(s)"]
    assert "first run creates them" in our_topics_found(bus, config, settings).found
    create_topics(bus, ledger_topics(settings), ("in.features",))
    assert our_topics_found(bus, config, settings).status == "ok"
    other = our_topics_found(bus, config, settings_here(ledger_partitions=4))
    assert (other.status, other.remedy) == ("failed", "set STREAMDRIFT_LEDGER_PARTITIONS to 8")
    bus.create("more", 1)
    two = load(TEXT.format(reference="{first: 20}").replace("in.features", "more"), "alerts.yaml")
    assert our_topics_found(bus, two, settings).status == "warning"  # dead letters of the new input


def test_references_are_made_as_a_start_would(tmp_path: Path) -> None:
    """Rows, values that can't be used, a file that is missing, and first rows that are not there yet."""
    table = tmp_path / "ref.csv"
    table.write_text("x\n" + "".join(f"{i}\n" for i in range(200)) + "-\n" * 3)
    good = list(references_found(None, config_of(f"{{path: {table}}}")))
    assert [f.status for f in good] == ["ok", "warning"]
    assert "features of 203 rows" in good[0].found
    assert "x: 3 of 203 values" in good[1].found
    (lost,) = references_found(None, config_of(f"{{path: {tmp_path}/nothing.csv}}"))
    assert (lost.status, "nothing.csv" in lost.found) == ("failed", True)
    bus = MemoryBus()
    write(bus, [event(NOW)] * 19)
    assert [f.status for f in references_found(bus, config_of())] == ["warning"]
    write(bus, [event(NOW)])
    assert [f.status for f in references_found(bus, config_of())] == ["ok"]


def test_settings_are_shown_with_their_source_and_secrets_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No value of a secret, nor of an option that is passed on, is anywhere in what is found."""
    given: Mapping[str, str] = {
        "STREAMDRIFT_KAFKA_PASSWORD": "swordfish",
        "STREAMDRIFT_KAFKA_PYTHON_OPTIONS": '{"sasl_oauth_token_provider": "swordfish"}',
        "STREAMDRIFT_MEMORY_MB": "512",
        "STREAMDRIFT_MEMORI_MB": "swordfish",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(bus="sqlite:///a.db")
    first, unknown = settings_found(settings, ["bus"])
    assert "swordfish" not in str((first, unknown))
    for text in ("bus=sqlite:///a.db (flag)", "memory_mb=512 (environment)", "kafka_password=******** (environment)"):
        assert text in first.found
    assert "kafka_python_options={sasl_oauth_token_provider: ********} (environment)" in first.found
    assert (unknown.status, "STREAMDRIFT_MEMORI_MB" in unknown.found) == ("warning", True)
    assert memory(settings, 2).status == "ok"
    assert memory(settings, 1 << 20).status == "warning"


def test_one_look_that_fails_keeps_no_other_from_being_taken(tmp_path: Path) -> None:
    """A bus that can't be reached and a file that is wrong are both found, and so is a reference by file."""
    wrong = tmp_path / "alerts.yaml"
    wrong.write_text(TEXT.format(reference="{first: 20}").replace("psi", "pzi"))
    found = list(examine(load_settings(bus="kafka://localhost:1", config=wrong), [], NOW))
    assert statuses(found, "alerts.yaml") == ["failed"]
    assert statuses(found, "bus") == ["failed"]
    assert worst(found) == "failed"
    assert all(finding.remedy for finding in found if finding.status == "failed")


def test_the_command_ends_with_one_if_something_failed(tmp_path: Path) -> None:
    """Also as JSON, and it makes no file of its own."""
    config, bus = tmp_path / "alerts.yaml", f"sqlite:///{tmp_path}/bus.db"
    config.write_text(TEXT.format(reference="{first: 20}"))
    flags = ["doctor", "--config", str(config), "--bus", bus]
    begun = CliRunner().invoke(app, flags)
    assert (begun.exit_code, "there is no such file yet" in begun.output) == (0, True)
    assert [path.name for path in tmp_path.iterdir()] == ["alerts.yaml"]
    opened = EmbeddedBus(f"{tmp_path}/bus.db")
    opened.create("other", 1)
    opened.close()
    again = CliRunner().invoke(app, [*flags, "--json"])
    value = json.loads(again.stdout)
    assert (again.exit_code, value["status"]) == (1, "failed")
    failed = [finding for finding in value["findings"] if finding["status"] == "failed"]
    assert next((one["check"], one["found"]) for one in failed) == ("topics", "there is no topic in.features")
