"""Event times: the fast reading agrees with the calendar of the standard library."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.codec.event_time import UNREADABLE, read_time, read_times

MOMENTS = st.datetimes(timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ms(moment: datetime) -> int:
    since = moment - EPOCH
    return (since.days * 86400 + since.seconds) * 1000 + since.microseconds // 1000


def text(moment: datetime, form: int) -> str:
    whole = moment.isoformat(timespec="seconds").replace("+00:00", "")
    milli = f"{moment.microsecond // 1000:03d}"
    return (f"{whole}.{milli}Z", f"{whole}.{milli}999+00:00", f"{whole}.{milli}z".replace("T", "t"))[form]


@given(st.lists(st.tuples(MOMENTS, st.integers(0, 2)), max_size=20))
def test_texts_in_any_mixture_are_read_to_the_millisecond(moments: list[tuple[datetime, int]]) -> None:
    """Every moment of the calendar, in every form that the RFC allows."""
    texts = [text(moment, form) for moment, form in moments]
    assert read_times(texts).tolist() == [ms(moment) for moment, _ in moments]
    assert [read_time(one) for one in texts] == [ms(moment) for moment, _ in moments]


@given(st.lists(st.text("0123456789-T:.Z+ é", min_size=19, max_size=25), max_size=5))
def test_one_by_one_and_together_agree_on_nonsense(texts: list[str]) -> None:
    """A text is readable or not whatever stands beside it."""
    assert read_times(texts).tolist() == [read_time(one) for one in texts]


@pytest.mark.parametrize(
    "nonsense",
    [
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00.000Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00.Z",
        "٢026-01-01T00:00:00Z",
        "2026-01-01X00:00:00.000Z",
        "",
    ],
)
def test_what_is_no_time_is_unreadable(nonsense: str) -> None:
    """Days that do not exist, hours that do not exist, times without offset."""
    assert read_time(nonsense) == UNREADABLE
    assert read_times([nonsense, nonsense]).tolist() == [UNREADABLE] * 2


def test_offsets_and_leap_seconds_are_counted() -> None:
    """A numeric offset is taken off; second 60 is the next one."""
    assert read_time("2026-11-21T01:00:00+02:30") == read_time("2026-11-20T22:30:00Z")
    assert read_time("2026-11-21T01:00:00-02:30") == read_time("2026-11-21T03:30:00Z")
    assert read_times(["2016-12-31T23:59:60Z"]).tolist() == [read_time("2017-01-01T00:00:00Z")]
