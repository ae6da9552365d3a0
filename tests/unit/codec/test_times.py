"""Times: the fast reading agrees with the calendar of the standard library, and all that read times agree."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli.replay_sources import time_of
from monitor.codec.canonical import time_text
from monitor.codec.times import TIME_PATTERN, UNREADABLE, parse_time, read_time, read_times
from monitor.config import load
from monitor.errors import ConfigurationError

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


def test_a_fraction_is_cut_after_the_millisecond() -> None:
    """However many digits it has: nothing is rounded up into a later pane."""
    assert read_time("2026-11-21T10:31:07.1239999999999999Z") == read_time("2026-11-21T10:31:07.123Z")
    assert read_time("2026-11-21T10:31:07.5Z") == read_time("2026-11-21T10:31:07.500Z")


@pytest.mark.parametrize("text", ["0000-01-01T00:00:00Z", "0000-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"])
def test_the_first_and_the_last_year_read_back(text: str) -> None:
    """What can be read can be written again, as the same text."""
    assert time_text(read_time(text)).replace(".999", "") == text.replace(".999", "")
    assert read_times([text, text]).tolist() == [read_time(text)] * 2


def test_a_text_that_is_no_time_is_refused_with_what_would_be() -> None:
    """The message shows the form."""
    with pytest.raises(ValueError, match="'now' is not a time with its offset: write 2026-"):
        parse_time("now")


CONFIG = """\
version: 1
models:
  m: {task: regression, streams: {features: {topic: f}}, columns: {numerical: [x]}, start: "%s"}
"""


def of_an_event(text: str) -> int | None:
    found = read_times([text, "2026-11-21T10:31:07Z"]).tolist()[0]
    return None if found == UNREADABLE else found


def of_the_configuration(text: str) -> int | str | None:
    try:
        return load(CONFIG % text, "f").models[0].start
    except ConfigurationError:
        return None


def of_a_flag(text: str) -> int | None:
    try:
        return time_of("--from", text)
    except ConfigurationError:
        return None


AT = 1_795_257_067_000
"""2026-11-21T10:31:07Z."""
READ = {
    "2026-11-21T10:31:07Z": AT,
    "2026-11-21T10:31:07.412Z": AT + 412,
    "2026-11-21T10:31:07.1Z": AT + 100,
    "2026-11-21T10:31:07.123456789Z": AT + 123,
    "2026-11-21T10:31:07.1234567890123Z": AT + 123,
    "2026-11-21 10:31:07Z": AT,
    "2026-11-21t10:31:07z": AT,
    "2026-11-21T10:31:07z": AT,
    "2026-11-21T10:31:07+00:00": AT,
    "2026-11-21T10:31:07-00:00": AT,
    "2026-11-21T12:01:07+01:30": AT,
    "2026-11-20T10:32:07-23:59": AT,
    "2026-11-21T10:31:06.9999Z": AT - 1,
    "2016-12-31T23:59:60Z": 1_483_228_800_000,
    "1990-12-31T15:59:60-08:00": 662_688_000_000,
    "2016-12-31T23:59:60.5Z": 1_483_228_800_500,
    "2000-02-29T00:00:00Z": 951_782_400_000,
    "1969-12-31T23:59:59.999Z": -1,
    "0000-01-01T00:00:00Z": -62_167_219_200_000,
    "0001-01-01T00:00:00Z": -62_135_596_800_000,
    "9999-12-31T23:59:59Z": 253_402_300_799_000,
}
REFUSED = [
    "2026-11-21T10:31:07",
    "2026-11-21T10:31Z",
    "2026-11-21",
    "2026-11-21T24:00:00Z",
    "2026-11-21T10:60:00Z",
    "2026-11-21T10:31:61Z",
    "2026-11-21T10:31:07+24:00",
    "2026-11-21T10:31:07+01:60",
    "2026-11-21T10:31:07+01",
    "2026-11-21T10:31:07+0100",
    "2026-11-21T10:31:07 Z",
    "2026-11-21T10:31:07.Z",
    "2026-11-21T10:31:07,5Z",
    "2026-11-21_10:31:07Z",
    "2026-W47-6T10:31:07Z",
    "20261121T103107Z",
    "26-11-21T10:31:07Z",
    "12026-11-21T10:31:07Z",
    "2026-02-29T10:31:07Z",
    "1900-02-29T10:31:07Z",
    "2026-11-31T10:31:07Z",
    "2026-11-21T10:31:07Z ",
    " 2026-11-21T10:31:07Z",
    "0000-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "9999-12-31T23:59:60Z",
    "1795257067000",
    "now",
    "",
]


@pytest.mark.parametrize("text", READ)
def test_events_alerts_yaml_and_flags_read_the_same_times(text: str) -> None:
    """What is a time in one place is the same time in all; the JSON schema knows its form."""
    assert of_an_event(text) == of_the_configuration(text) == of_a_flag(text) == READ[text]
    assert re.search(TIME_PATTERN, text)


@pytest.mark.parametrize("text", REFUSED)
def test_events_alerts_yaml_and_flags_refuse_the_same_times(text: str) -> None:
    """What is no time in one place is none in any."""
    assert of_an_event(text) is of_the_configuration(text) is of_a_flag(text) is None


@given(st.text("0123456789-+T:.Zz ", min_size=19, max_size=30))
def test_all_three_agree_on_texts_that_look_like_times(text: str) -> None:
    """Whatever stands there."""
    assert of_an_event(text) == of_the_configuration(text) == of_a_flag(text)
