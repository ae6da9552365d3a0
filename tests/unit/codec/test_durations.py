"""Durations as text, wherever somebody writes one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.codec.durations import duration_text, parse_duration
from monitor.config import load
from monitor.errors import ConfigurationError
from producers.schedule import load_schedule


@pytest.mark.parametrize(
    ("text", "ms", "canonical"),
    [
        ("10s", 10_000, "10s"),
        ("5m", 300_000, "5m"),
        ("90m", 5_400_000, "1h30m"),
        ("1h30m", 5_400_000, "1h30m"),
        ("7d", 604_800_000, "7d"),
        ("1w", 604_800_000, "7d"),
        ("250ms", 250, "250ms"),
        ("1m5ms", 60_005, "1m5ms"),
        ("0s", 0, "0s"),
    ],
)
def test_durations_have_one_canonical_text(text: str, ms: int, canonical: str) -> None:
    """Equal durations are equal texts, whatever units they were written in."""
    assert parse_duration(text) == ms
    assert duration_text(ms) == canonical


@pytest.mark.parametrize("text", ["", "10", "5 m", "1m1h", "-5s", "1.5h", "10S", "10 minutes", "٣s", "5m\n", "4000d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Units are needed, largest first, and nothing is guessed."""
    with pytest.raises(ValueError, match=r"duration|ten years"):
        parse_duration(text)


@given(st.integers(0, 3650 * 86_400_000))
def test_canonical_text_reads_back(ms: int) -> None:
    """No duration is lost in its text."""
    assert parse_duration(duration_text(ms)) == ms


CONFIG = """\
version: 1
defaults: {max_lead: "%s"}
models:
  m: {task: regression, streams: {features: {topic: f}}, columns: {numerical: [x]}}
"""
SCHEDULE = '- {at: "%s", column: x, kind: step, size: 1}\n'


def of_the_configuration(text: str) -> int | None:
    try:
        return load(CONFIG % text, "f").models[0].max_lead_ms
    except ConfigurationError:
        return None


def of_a_drift_schedule(text: str) -> int | None:
    try:
        return load_schedule(SCHEDULE % text, "f", {"x": "numerical"})[0].start
    except ConfigurationError:
        return None


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", 90_000),
        ("1h30m", 5_400_000),
        ("1d", 86_400_000),
        ("1h250ms", 3_600_250),
        ("1w", 604_800_000),
        ("1m1h", None),
        ("1h1h", None),
        ("1.5h", None),
        ("1 h", None),
        ("1H", None),
        ("-1h", None),
        ("", None),
        ("s", None),
        ("5", None),
        ("1h ", None),
        ("9999999999s", None),
    ],
)
def test_alerts_yaml_and_schedules_have_one_grammar(text: str, ms: int | None) -> None:
    """The same texts are durations in both, and mean the same."""
    assert of_the_configuration(text) == ms
    assert of_a_drift_schedule(text) == ms
