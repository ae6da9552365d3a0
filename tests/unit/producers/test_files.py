"""Recorded logs as traffic at a speed, and capture."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from monitor.codec.captured import CapturedHeader, CapturedLog, CapturedRange, CapturedTopic
from monitor.errors import ConfigurationError
from monitor.events import Outgoing, Record
from producers.capture import capture
from producers.log import captured_traffic

HEADER = CapturedHeader({"in": CapturedTopic(2, (CapturedRange(1, 5, 8),))}, (), "/s", "1", "http://x")
RECORDS = [
    Record("in", 1, 5, 10_000, b"k", b"\xff", (("h", b"1"),)),
    Record("streamdrift.ledger", 0, 3, 10_100, b"m", b"{}"),
    Record("in", 1, 6, 12_000, None, b"a", (), True),
    Record("in", 1, 7, 11_000, None, b"b"),
]


@pytest.fixture
def captured(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    with path.open("wb") as file:
        capture(HEADER, RECORDS, file.write)
    return path


def test_a_capture_is_read_back_as_it_was(captured: Path) -> None:
    """Header, records and counts."""
    lines: list[bytes] = []
    assert capture(HEADER, RECORDS, lines.append) == Counter({"in": 3, "streamdrift.ledger": 1})
    assert captured.read_bytes() == b"".join(lines)
    log = CapturedLog(lines)
    assert (log.header, list(log.records())) == (HEADER, RECORDS)


def test_a_recorded_log_is_paced_by_its_stamps(captured: Path) -> None:
    """Twice the speed is half the waiting; a stamp that goes back waits for nothing; control records stay out."""
    sent = list(captured_traffic(captured, ["in"], speed=2.0))
    assert [delay for delay, _ in sent] == [0.0, 1.0, 0.0]
    assert sent[0][1] == Outgoing("in", 1, b"k", b"\xff", (("h", b"1"),))
    assert [delay for delay, _ in captured_traffic(captured, ["in"], speed=None)] == [0.0] * 3


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path stands in the error."""
    with pytest.raises(ConfigurationError, match=r"no\.jsonl"):
        list(captured_traffic(tmp_path / "no.jsonl", ["in"], None))
