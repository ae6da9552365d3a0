"""Logs are one JSON object a line on stderr, or text on a terminal."""

from __future__ import annotations

import json
import logging
from typing import Literal

import pytest
import structlog

from monitor.log_lines import MOST_LINES, Limiter
from monitor.telemetry import configure_logging

pytestmark = pytest.mark.usefixtures("logging_as_it_was")


def test_a_log_line_is_one_json_object_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """An event is a past fact with keys; stdout stays free for output."""
    configure_logging("info", "json")
    structlog.get_logger("monitor.runner").info("pane_sealed", model="fraud", rows=3)
    out, err = capsys.readouterr()
    assert out == ""
    line = json.loads(err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "pane_sealed", "level": "info", "model": "fraud", "rows": 3}


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Level warning drops info."""
    configure_logging("warning", "json")
    structlog.get_logger("monitor.runner").info("pane_sealed")
    assert capsys.readouterr().err == ""


def test_debug_is_written_at_level_debug(capsys: pytest.CaptureFixture[str]) -> None:
    """The standard library's own level does not stand in the way."""
    configure_logging("debug", "json")
    structlog.get_logger("monitor.runner").debug("poll_returned")
    assert json.loads(capsys.readouterr().err)["event"] == "poll_returned"


def test_a_library_warns_in_the_same_form_and_keeps_its_small_talk(capsys: pytest.CaptureFixture[str]) -> None:
    """Through the standard library."""
    configure_logging("info", "json")
    logging.getLogger("some.library").info("connecting")
    logging.getLogger("some.library").warning("connection to %s failed", "broker:9092")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["logger"]) == (
        "connection to broker:9092 failed",
        "warning",
        "some.library",
    )


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_local_variables(
    capsys: pytest.CaptureFixture[str], log_format: Literal["json", "console"]
) -> None:
    """They may hold the options of the Kafka client."""
    configure_logging("info", log_format)
    password = "hunter" + "2"
    try:
        raise ConnectionError("boom")
    except ConnectionError:
        structlog.get_logger("monitor.runner").exception("stage_failed", stage="profile")
    err = capsys.readouterr().err
    assert "ConnectionError: boom" in err
    assert password not in err


def test_an_exception_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Log shippers split at line ends."""
    configure_logging("info", "json")
    try:
        raise ConnectionError("boom")
    except ConnectionError:
        structlog.get_logger("monitor.runner").exception("stage_failed", stage="profile")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "ConnectionError: boom" in json.loads(err)["exception"]


def test_auto_is_json_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Containers get JSON without asking."""
    configure_logging("info", "auto")
    structlog.get_logger("monitor.runner").info("started")
    assert json.loads(capsys.readouterr().err)["event"] == "started"


def test_console_is_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Without colours where stderr is no terminal."""
    configure_logging("info", "console")
    structlog.get_logger("monitor.runner").info("pane_sealed", model="fraud")
    err = capsys.readouterr().err
    assert "pane_sealed" in err
    assert "model=fraud" in err
    assert "\x1b" not in err


def test_the_last_configuration_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """Configured twice, a line is written once."""
    configure_logging("info", "json")
    configure_logging("info", "json")
    structlog.get_logger("monitor.runner").info("started")
    assert capsys.readouterr().err.count("\n") == 1


HOSTILE = "a\x1b[2J\x1b]0;owned\x07 \r\n2026 [info] forged=1 \x9b31m \u202e\u2028 \x00 \x7f ü"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_value_from_a_stream_is_one_value_on_one_line(
    log_format: Literal["json", "console"], capsys: pytest.CaptureFixture[str]
) -> None:
    """It forges no line and steers no terminal, in our own lines, in those of libraries, and inside other values."""
    configure_logging("info", log_format)
    log = structlog.get_logger("monitor.runner")
    log.info("partition_started", topic=HOSTILE, several=[HOSTILE], by_name={"x": HOSTILE})
    log.info(HOSTILE)
    logging.getLogger("some.library").warning("broker says %s", HOSTILE)
    lines = capsys.readouterr().err.split("\n")
    assert lines.pop() == ""
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert all("ü" in line for line in lines)
    if log_format == "json":
        assert json.loads(lines[0])["topic"] == HOSTILE


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_keeps_its_lines_and_nothing_else(
    log_format: Literal["json", "console"], capsys: pytest.CaptureFixture[str]
) -> None:
    """What the error quotes from a stream is written out."""
    configure_logging("info", log_format)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        structlog.get_logger("monitor.runner").exception("stage_failed")
    err = capsys.readouterr().err
    assert all(char.isprintable() or char == "\n" for char in err)
    assert "Traceback" in err


def test_a_flood_of_one_kind_is_cut_short_and_counted() -> None:
    """By event and reason; others are not held up, and the next interval says how many were left out."""
    now = 0.0
    limiter = Limiter(lambda: now, most=3, interval_s=60)

    def say(reason: str) -> dict[str, object] | None:
        try:
            return dict(limiter(None, "info", {"event": "records_rejected", "reason": reason}))
        except structlog.DropEvent:
            return None

    published = [say("late") for _ in range(10)]
    assert [line is not None for line in published] == [True] * 3 + [False] * 7
    assert published[2] == {"event": "records_rejected", "reason": "late", "more_left_out_for_s": 60}
    assert say("invalid_json") is not None
    now = 61.0
    assert say("late") == {"event": "records_rejected", "reason": "late", "left_out_before": 7}
    assert say("late") == {"event": "records_rejected", "reason": "late"}


def test_floods_are_cut_short_where_logs_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Ours and those of libraries, each by its own kind."""
    configure_logging("info", "json")
    for i in range(1000):
        structlog.get_logger("monitor.runner").warning("records_rejected", reason="late", offset=i)
        logging.getLogger("some.library").warning("connection to %s failed", i)
    structlog.get_logger("monitor.runner").warning("data_lost")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines].count("records_rejected") == MOST_LINES
    assert sum("connection to" in line["event"] for line in lines) == MOST_LINES
    assert lines[-1]["event"] == "data_lost"
