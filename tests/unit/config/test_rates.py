"""Rates of false alarms: their text, and what they are in rows."""

from __future__ import annotations

import re

import pytest

from monitor.config.rates import Rate, parse_rate

DAY = 86_400_000


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1 per day", Rate(1, per_ms=DAY)),
        ("2 per week", Rate(2, per_ms=7 * DAY)),
        ("1 per month", Rate(1, per_ms=30 * DAY)),
        ("10 per 12h", Rate(10, per_ms=DAY // 2)),
        ("1 per 50000 rows", Rate(1, per_rows=50_000)),
    ],
)
def test_a_rate_is_a_number_in_a_period(text: str, rate: Rate) -> None:
    """Its canonical text is read as the same rate."""
    assert parse_rate(text) == rate
    assert parse_rate(str(rate)) == rate


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 a week", "'1 a week' is not a rate: write \"1 per week\""),
        ("0 per week", "is not a rate"),
        ("one per week", "is not a rate"),
        ("1 per wek", "'wek' is not a period; did you mean 'week'?"),
        ("1 per year", "'year' is not a period: write day, week, month, a duration such as 12h, or 50000 rows"),
        ("1 per 0 rows", "is not a period"),
        ("1 per 0s", "longer than 0s"),
    ],
)
def test_what_is_no_rate_is_refused_with_the_remedy(text: str, message: str) -> None:
    """And never read as another one."""
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_rate(text)


def test_time_becomes_rows_by_the_traffic() -> None:
    """A week at two rows a second, for half an alarm each."""
    assert parse_rate("2 per week").rows_an_alarm(2.0) == 7 * 86_400.0
    assert parse_rate("4 per 1000 rows").rows_an_alarm(2.0) == 250.0
