"""Times of events in all their forms, compared with the standard library; the same from a topic and from a table."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.codec.decode import Decoder
from monitor.codec.event_times import read_texts, read_values
from monitor.codec.formats_of_time import check_format, read_in_format
from monitor.codec.times import UNREADABLE, read_time, read_times
from monitor.codec.zones import UnknownZone, to_utc, zone_names, zone_of
from monitor.contract import ColumnSpec, ModelContract, StreamContract, TimeForm
from monitor.events import Batch, RecordBatch
from monitor.sources.arrow_times import times_of

ZONES = [
    *("Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca"),
    *("Asia/Kolkata", "Asia/Tehran", "Pacific/Apia", "America/Sao_Paulo", "Europe/London", "UTC", "Etc/GMT+5"),
]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
NAIVE = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31))
MARCH = 1772323200000


def ms(time: datetime) -> int:
    return (time.astimezone(UTC) - EPOCH) // MS


@settings(derandomize=True, max_examples=200)
@given(st.lists(NAIVE, min_size=1, max_size=30), st.sampled_from(ZONES))
def test_a_time_on_a_clock_is_what_the_standard_library_says(times: list[datetime], zone: str) -> None:
    """Of an hour that is there twice the first, of one that is not there the offset before it: `fold=0`."""
    local = np.array([(time.replace(tzinfo=UTC) - EPOCH) // MS for time in times])
    assert to_utc(local, zone).tolist() == [ms(time.replace(tzinfo=zone_of(zone))) for time in times]


@pytest.mark.parametrize("zone", ZONES)
def test_every_change_of_an_offset_is_met(zone: str) -> None:
    """Every quarter of an hour of three years, one of them far away."""
    quarter = timedelta(minutes=15)
    times = [datetime(year, 1, 1) + i * quarter for year in (2011, 2026, 2090) for i in range(366 * 96)]
    local = np.array([(time.replace(tzinfo=UTC) - EPOCH) // MS for time in times])
    offsets = [time.replace(tzinfo=zone_of(zone)).utcoffset() or timedelta(0) for time in times]
    assert (to_utc(local, zone) == local - np.array([offset // MS for offset in offsets])).all()


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-29T01:59:59", "2026-03-29T00:59:59Z"),
        ("2026-03-29T02:30:00", "2026-03-29T01:30:00Z"),  # not there: the clock shows 03:30 then
        ("2026-03-29T03:00:00", "2026-03-29T01:00:00Z"),
        ("2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),  # there twice: the first
        ("2026-10-25T03:00:00", "2026-10-25T02:00:00Z"),
        ("2026-10-25", "2026-10-24T22:00:00Z"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z"),
    ],
)
def test_the_hours_of_daylight_saving(text: str, utc: str) -> None:
    """A date is midnight there; an offset goes before the zone. Nothing is taken for granted."""
    assert read_texts([text], TimeForm(zone="Europe/Berlin")) == (np.array([read_time(utc)]), ())


@settings(derandomize=True, max_examples=100)
@given(
    st.lists(NAIVE, min_size=1, max_size=8),
    st.sampled_from(["", ":%S", ":%S.%f"]),
    st.sampled_from([" ", "T"]),
    st.sampled_from(["Z", " UTC", " GMT", " Z", "+00", "-03", "+0530", " +0530", " -03:00", "+05:30", "z"]),
)
def test_an_offset_is_read_however_databases_write_it(
    times: list[datetime], seconds: str, between: str, offset: str
) -> None:
    """With and without seconds, colon and space; nothing is taken for granted, and a zone changes nothing."""
    texts = [time.strftime(f"%Y-%m-%d{between}%H:%M{seconds}") + offset for time in times]
    hours, minutes = {"0": (0, 0), "3": (-3, 0), "5": (5, 30)}[([c for c in offset if c in "35"] or ["0"])[0]]
    away = timedelta(hours=hours, minutes=minutes)
    cut = {"": {"second": 0, "microsecond": 0}, ":%S": {"microsecond": 0}}.get(seconds, {})
    expected = [ms(time.replace(tzinfo=UTC, **cut) - away) for time in times]
    for zone in ("", "Asia/Tokyo"):
        found = read_texts(texts, TimeForm(zone=zone))
        assert (found.times.tolist(), found.notes) == (expected, ())


@pytest.mark.parametrize("ending", ["+1", "+24", "+01:", "+01:60", "CET", " +", "ZZ", "+010", "  Z", "UTC+1", "\u0661"])
def test_what_only_looks_like_an_offset_is_no_time(ending: str) -> None:
    """A zone's short name is not one of places: CST is three of them."""
    assert read_texts([f"2026-03-01T00:00:00{ending}", f"2026-03-01T00:00{ending}"], TimeForm()).times.tolist() == (
        [UNREADABLE] * 2
    )


def test_all_zones_of_the_package_are_there_and_no_others() -> None:
    """A name is no path."""
    assert {"Europe/Berlin", "UTC", "America/Argentina/Ushuaia"} <= set(zone_names())
    for name in zone_names():
        zone_of(name)
    for name in ("../zones", "Europe", "europe/berlin", "", "CEST", "Europe/Berlin ", "/etc/localtime", "zone.tab"):
        with pytest.raises(UnknownZone):
            zone_of(name)


AWARE = st.datetimes(
    datetime(1, 1, 2),
    datetime(9999, 12, 30),
    timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


@settings(derandomize=True, max_examples=200)
@given(st.lists(AWARE, min_size=1, max_size=40), st.sampled_from(["auto", "seconds", "milliseconds", "microseconds"]))
def test_texts_with_offsets_are_what_the_standard_library_says(times: list[datetime], digits: str) -> None:
    """In any company, with a T or a space."""
    for sep in "T ":
        texts = [time.isoformat(sep, digits) for time in times]
        expected = [(datetime.fromisoformat(text) - EPOCH) // MS for text in texts]
        assert read_times(texts).tolist() == expected == [read_time(text) for text in texts]


@settings(derandomize=True)
@given(st.lists(st.text("0123456789-:.TZ +", min_size=19, max_size=32), min_size=9, max_size=12))
def test_what_is_no_time_is_none_in_any_company(texts: list[str]) -> None:
    """One by one and as a matrix."""
    texts = [*texts, *(text[:-6] + "+01:00" for text in texts), *("2026-03-01T00:00:00" + text[19:] for text in texts)]
    assert read_times(texts).tolist() == [read_time(text) for text in texts]


FORMATS = [
    *("%d.%m.%Y %H:%M", "%Y%m%d", "%m/%d/%Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%d.%m.%y", "%d %b %Y", "%Y-%j"),
    *(
        "%Y-%m-%d %I:%M %p",
        "%Y-%m-%d %H:%M:%S%z",
        "%S:%M:%H %d.%m.%Y",
        "um %H Uhr am %d.%m.%Y",
        "%G-W%V-%u",
        "%%%Y%m%d",
    ),
]


@pytest.mark.parametrize("form", FORMATS)
@settings(derandomize=True, max_examples=40)
@given(st.lists(NAIVE, min_size=1, max_size=20), st.data())
def test_a_format_is_read_as_the_standard_library_reads_it(form: str, times: list[datetime], data: Any) -> None:
    """Texts of the format, and those that differ in a letter."""
    check_format(form)
    texts = [time.replace(tzinfo=UTC).strftime(form) for time in times]
    for i in range(0, len(texts), 2):
        place = data.draw(st.integers(0, len(texts[i]) - 1))
        texts[i] = texts[i][:place] + data.draw(st.sampled_from("0123456789 .-/:x")) + texts[i][place + 1 :]
    read, is_utc = read_in_format(texts, form)
    for text, time, aware in zip(texts, read.tolist(), is_utc.tolist(), strict=True):
        try:
            found = datetime.strptime(text, form)
        except ValueError:
            assert time == UNREADABLE
            continue
        assert aware == (found.tzinfo is not None)
        assert time == ((found if found.tzinfo else found.replace(tzinfo=UTC)) - EPOCH) // MS


@pytest.mark.parametrize("form", ["%H:%M", "%Y-%m", "%Q", "%d.%m.", "%Z %Y-%m-%d", "%c", "%x", "", "%", "%Y-%m-%d %Y"])
def test_a_format_that_tells_no_day_is_refused(form: str) -> None:
    """And one that means something else elsewhere."""
    with pytest.raises(ValueError, match=r"directive|read|tell"):
        check_format(form)


FORMS: list[tuple[Any, TimeForm, Any]] = [
    # a value, how alerts.yaml says that times are written, and the time, or the reason why there is none
    *[(value, TimeForm(), MARCH) for value in ("2026-03-01T00:00:00Z", "2026-03-01", "2026-03-01 00:00", MARCH)],
    *[(value, TimeForm(), MARCH) for value in ("1772323200", 1772323200, 1772323200.0, MARCH * 1000, MARCH * 10**6)],
    *[(value, TimeForm(unit="s"), MARCH) for value in (1772323200, 1772323200.0005, "1772323200")],
    *[(value, TimeForm(unit="ms"), MARCH) for value in (MARCH, MARCH + 0.9, str(MARCH), "2026-03-01T00:00:00Z")],
    *[(value, TimeForm(unit="us"), MARCH) for value in (MARCH * 1000, str(MARCH * 1000 + 999))],
    *[(value, TimeForm(unit="ns"), MARCH) for value in (MARCH * 10**6, str(MARCH * 10**6 + 999_999))],
    *[(value, TimeForm(unit="s"), "time_out_of_range") for value in (MARCH, 12, -5, 2**63 - 1, 0.5)],
    *[(value, TimeForm(unit="ns"), "time_out_of_range") for value in (MARCH, 0)],
    *[(value, TimeForm(format="%d.%m.%Y"), MARCH) for value in ("01.03.2026", " 1.3.2026 ")],
    *[(value, TimeForm(format="%Y%m%d"), MARCH) for value in ("20260301", 20260301, 20260301.0)],
    *[(value, TimeForm(format="%d.%m.%Y"), "invalid_time") for value in ("2026-03-01T00:00:00Z", "30.02.2026", 5)],
    ("01.03.2026 01:00", TimeForm(format="%d.%m.%Y %H:%M", zone="Europe/Berlin"), MARCH),
    ("01.03.2026 01:00 +0100", TimeForm(format="%d.%m.%Y %H:%M %z", zone="America/New_York"), MARCH),
    ("2026-03-01 01:00:00", TimeForm(zone="Europe/Berlin"), MARCH),
    ("2026-03-01T00:00:00Z", TimeForm(zone="Europe/Berlin"), MARCH),
    (1772323200, TimeForm(zone="Europe/Berlin"), MARCH),
    *[(value, TimeForm(), "missing_time") for value in (None, "", "  ")],
    *[
        (value, TimeForm(), "invalid_time")
        for value in (True, "soon", "2026-02-30", 12, "12", "1_772_323_200", [MARCH])
    ],
    *[(value, TimeForm(), "time_out_of_range") for value in ("1999-12-31", "2100-01-01 00:00")],
]


def contract(form: TimeForm) -> ModelContract:
    stream = StreamContract("features", "in", "t", (ColumnSpec("x", "x", "numerical"),), times=form)
    return ModelContract("m", 10_000, 0, None, 0, 100, 2048, (stream,))


def decoded(values: list[Any], form: TimeForm) -> Batch:
    texts: list[bytes | None] = [json.dumps({"t": value, "features": {"x": 1}}).encode() for value in values]
    n = len(texts)
    return Decoder("in", [contract(form)]).decode(RecordBatch("in", 0, range(n), [0] * n, [None] * n, texts, [()] * n))


@pytest.mark.parametrize(("value", "form", "expected"), FORMS, ids=str)
def test_an_event_of_a_topic_has_its_time_in_every_form(value: Any, form: TimeForm, expected: Any) -> None:
    """Alone, and beside events of other forms; it needs neither an id nor, on a topic of one model, the model."""
    for beside in ([], ["2026-03-01T00:00:01Z"] * 9, [MARCH, "2026-03-02", 1.5]):
        batch = decoded([value, *beside], form)
        if isinstance(expected, str):
            assert [rejected.reason for rejected in batch.rejected if rejected.offset == 0] == [expected]
        else:
            assert (batch.rows[0].offset[0], batch.rows[0].time[0]) == (0, expected)


@pytest.mark.parametrize(("value", "form", "expected"), FORMS, ids=str)
def test_a_table_reads_a_time_as_a_topic_does(value: Any, form: TimeForm, expected: Any) -> None:
    """From Arrow's texts and numbers."""
    if isinstance(expected, int):
        assert times_of(pa.array([value]), form).times.tolist() == [expected]
    elif expected == "invalid_time":
        assert times_of(pa.array([value]), form).times.tolist() == [UNREADABLE]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_and_dates_of_arrow_are_of_the_zone(unit: str) -> None:
    """If they have none of their own."""
    form = TimeForm(zone="Europe/Berlin")
    local, midnight = pa.array([datetime(2026, 3, 1, 1)], pa.timestamp(unit)), pa.array([datetime(2026, 3, 1).date()])
    aware = pa.array([datetime(2026, 3, 1, tzinfo=UTC)], pa.timestamp(unit, "UTC"))
    assert times_of(local, form) == times_of(aware, form) == (np.array([MARCH]), ())
    assert times_of(midnight, form).times.tolist() == [MARCH - 3_600_000]


def test_what_is_taken_for_granted_is_noted_once() -> None:
    """Only what alerts.yaml does not say."""
    values: list[Any] = ["2026-03-01", "2026-03-01 00:00:00", 1772323200, MARCH, "2026-03-01T00:00:00Z"]
    assert len(read_values(values * 9, TimeForm()).notes) == 4
    assert len(decoded(values * 300, TimeForm()).assumed) == 4
    assert decoded(values[-1:] * 9, TimeForm()).assumed == ()
    assert read_values(values[:2], TimeForm(zone="UTC")).notes == ()
    assert read_values(values[2:3], TimeForm(unit="s")).notes == ()


def test_events_name_their_model_if_a_topic_has_several() -> None:
    """Then one that names none is a dead letter; nobody needs an id, but one that is there has to be one."""
    names = ["m", "n"]
    decoder = Decoder("in", [ModelContract(n, 1, 0, None, 0, 100, 2048, contract(TimeForm()).streams) for n in names])
    texts: list[dict[str, Any]] = [{}, {"model": "n"}, {"model": "n", "event_id": 5}, {"model": None}]
    values: list[bytes | None] = [json.dumps({"t": MARCH, "features": {}, **text}).encode() for text in texts]
    batch = decoder.decode(RecordBatch("in", 0, range(4), [0] * 4, [None] * 4, values, [()] * 4))
    assert [r.reason for r in batch.rejected] == ["missing_model", "invalid_id", "missing_model"]
    assert [(rows.model, rows.offset.tolist()) for rows in batch.rows] == [("n", [1])]
    left_out = Decoder("in", [contract(TimeForm())], frozenset({"n"}))
    batch = left_out.decode(RecordBatch("in", 0, range(2), [0] * 2, [None] * 2, values[:2], [()] * 2))
    assert ([r.reason for r in batch.rejected], batch.filtered.tolist()) == (["missing_model"], [1])
