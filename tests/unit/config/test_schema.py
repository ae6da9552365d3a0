"""The JSON schema of alerts.yaml."""

from __future__ import annotations

import json
from pathlib import Path

from monitor.config import alerts_schema
from monitor.config.model import AlertsFile
from monitor.config.schema import known_keys

ROOT = Path(__file__).parents[3]


def test_the_shipped_schema_is_the_models() -> None:
    """`streamdrift schema > monitor/schema/alerts.schema.json` has been run since the last change."""
    shipped = json.loads((ROOT / "monitor/schema/alerts.schema.json").read_text())
    assert shipped == alerts_schema()


def test_the_modeline_names_the_shipped_schema() -> None:
    """An editor that opens alerts.yaml finds it."""
    first = (ROOT / "alerts.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=./monitor/schema/alerts.schema.json"


def test_every_reference_resolves() -> None:
    """Nothing points to a definition that is not there."""
    schema = alerts_schema()
    text = json.dumps(schema)
    named = {part.split('"')[0] for part in text.split("#/$defs/")[1:]}
    assert named == set(schema["$defs"])


def test_keys_are_known_by_place() -> None:
    """Suggestions for unknown keys come from here."""
    assert "numerical" in known_keys(AlertsFile, ("models", "any", "columns"), "")
    assert "keep_firing_for" in known_keys(AlertsFile, ("groups", 0, "rules", 3), "")
    params = known_keys(AlertsFile, ("detectors", "d", "params"), "KSWIN")
    assert params == ["alpha", "window_size", "stat_size", "seed"]
    assert set(known_keys(AlertsFile, ("detectors", "d"), "ADWIN")) == {"class", "params", "input", "model"}
    assert known_keys(AlertsFile, ("groups", 0, "rules", 0, "labels"), "") == []
