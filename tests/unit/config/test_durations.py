"""Durations and times as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.durations import duration_text, parse_duration, parse_time


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


def test_times_keep_their_offset() -> None:
    """The same moment in two time zones is one number."""
    assert parse_time("2026-10-01T00:00:00Z") == 1_790_812_800_000
    assert parse_time("2026-10-01T02:00:00.5+02:00") == 1_790_812_800_500


@pytest.mark.parametrize("text", ["", "2026-10-01", "2026-10-01T00:00:00", "2026-13-01T00:00:00Z", "now"])
def test_times_without_offset_or_of_no_calendar_are_refused(text: str) -> None:
    """A local time would mean another moment on another machine."""
    with pytest.raises(ValueError, match="not a time"):
        parse_time(text)
