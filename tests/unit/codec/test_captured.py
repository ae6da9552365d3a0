"""The captured log: what is read is what was written, or the file is refused by line."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.codec.captured import (
    FORMAT,
    CapturedHeader,
    CapturedLog,
    CapturedRange,
    CapturedTopic,
    header_line,
    is_captured,
    record_line,
    trailer_line,
)
from monitor.contract import ColumnSpec, ModelContract, StreamContract
from monitor.errors import FormatError
from monitor.events import Record

CONTRACT = ModelContract(
    "m", 10, 1, 2, 3, 4, 5, (StreamContract("features", "in", "at", (ColumnSpec("x", "x", "numerical"),)),)
)
HEADER = CapturedHeader({"in": CapturedTopic(2, (CapturedRange(0, 5, 9),))}, (CONTRACT,), "/here", "1", "http://x")
BYTES = st.one_of(st.none(), st.binary(max_size=8), st.text(max_size=8).map(str.encode))
RECORD = Record("in", 0, 5, 99, b"k", b'{"a": "\xc3\xa9"}\n', (("h", b"\xff"), ("h", b"text")))


def written(records: list[Record]) -> list[bytes]:
    counts = Counter(record.topic for record in records)
    return [header_line(HEADER), *map(record_line, records), trailer_line(counts)]


@given(
    st.lists(
        st.builds(
            Record,
            st.text(max_size=3),
            st.integers(0, 9),
            st.integers(0, 1 << 50),
            st.integers(-1, 1 << 50),
            BYTES,
            BYTES,
            st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=4)), max_size=2).map(tuple),
        ),
        max_size=5,
    )
)
def test_records_come_back_byte_for_byte(records: list[Record]) -> None:
    """Keys, values and headers are exact, whatever bytes they are; a line is a line."""
    lines = written(records)
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)
    log = CapturedLog(lines)
    assert log.header == HEADER
    assert list(log.records()) == records


def test_text_stays_readable_and_other_bytes_are_base64() -> None:
    """A value is quoted as text where it is UTF-8."""
    line = json.loads(record_line(RECORD._replace(key=b"\xff")))
    assert line["value"] == '{"a": "é"}\n'
    assert line["key_base64"] == "/w=="
    assert "key" not in line
    assert line["headers"] == [["h", {"base64": "/w=="}], ["h", "text"]]


def test_a_file_that_was_cut_off_is_refused_after_its_last_good_line() -> None:
    """Without its trailer, or with half a line, a log is not whole."""
    lines = written([RECORD, RECORD])
    log = CapturedLog(lines[:-1]).records()
    assert [next(log), next(log)] == [RECORD, RECORD]
    with pytest.raises(FormatError, match="ends after line 3 without the trailer"):
        next(log)
    with pytest.raises(FormatError, match=r"line 3 .* the last good line is 2"):
        list(CapturedLog([lines[0], lines[1], lines[2][:20]]).records())


def test_counts_must_be_those_of_the_trailer() -> None:
    """A line that was lost is noticed, and one that was added behind the trailer."""
    lines = written([RECORD, RECORD])
    with pytest.raises(FormatError, match="the trailer counts"):
        list(CapturedLog([lines[0], lines[1], lines[3]]).records())
    with pytest.raises(FormatError, match="goes on after its trailer"):
        list(CapturedLog([*lines, lines[1]]).records())


def test_other_files_and_newer_formats_are_refused_by_name() -> None:
    """A plain JSONL file is no captured log; one of a newer version is, and says so."""
    newer = header_line(HEADER).replace(FORMAT.encode(), b"streamdrift.captured/3")
    assert is_captured(newer)
    assert not is_captured(b'{"event_id": "e"}\n')
    for line, message in ((b"", "not the header"), (b"{}", "not the header"), (newer, "this version reads")):
        with pytest.raises(FormatError, match=message):
            CapturedLog([line])
    with pytest.raises(FormatError, match="is not a record"):
        list(CapturedLog([header_line(HEADER), record_line(RECORD).replace(b'"/w=="', b'"/w"')]).records())
