"""Canonical JSON and times: one value, one text."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.codec.canonical import canonical_json, time_text
from monitor.codec.times import parse_time


def test_keys_keep_their_order_and_nothing_is_padded() -> None:
    """The writer decides the order; text stays text, not escapes."""
    assert canonical_json({"b": 1, "a": [True, None, "é"], "n": 0.1}) == '{"b":1,"a":[true,null,"é"],"n":0.1}'.encode()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_json_can_not_hold_is_refused(number: float) -> None:
    """A NaN must not become a null on its way out."""
    with pytest.raises(ValueError, match="no place in JSON"):
        canonical_json({"deep": [{"in": (1, number)}]})


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back_exactly(number: float) -> None:
    """The shortest text of a float names that float alone."""
    assert json.loads(canonical_json(number)) == number


@given(st.integers(946_684_800_000, 4_102_444_799_999))
def test_times_read_back_exactly(ms: int) -> None:
    """Milliseconds are written where there are any."""
    assert parse_time(time_text(ms)) == ms


def test_times_are_short_where_they_can_be() -> None:
    """Whole seconds have no decimals."""
    assert time_text(1_795_257_600_000) == "2026-11-21T10:40:00Z"
    assert time_text(1_795_257_600_007) == "2026-11-21T10:40:00.007Z"
