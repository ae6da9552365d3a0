"""What the shell says of itself: structured logs on stderr, and the list of its metrics."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import structlog

from monitor.log_lines import Limiter, SafeJson, escape_values
from monitor.outages import CONNECTIONS, Outages


def configure_logging(level: str, log_format: Literal["auto", "json", "console"]) -> Outages:
    """Send our logs, and warnings and errors of libraries, to stderr: one JSON object a line, or text for people.

    `level`: debug, info, warning or error. `log_format` auto is console on a terminal and json elsewhere. May be
    called again: the last call counts. Of one kind of line some are written in a minute, and the others counted. What
    Kafka clients log of their connections becomes events of ours (`outages.py`); level debug shows it as well.
    """
    limiter = Limiter(time.monotonic)
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[limiter, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(console)],
        )
    )
    outages = Outages(time.time, _log_outage)
    handler.addFilter(_of_libraries(limiter, outages, is_debugging=level == "debug"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in CONNECTIONS:
        logging.getLogger(name).setLevel(logging.INFO)
    for package in ("monitor", "producers"):
        logging.getLogger(package).setLevel(level.upper())
    return outages


def _rendering(console: bool) -> list[Any]:
    # Plain tracebacks: structlog's other formatters print local variables, and options of the Kafka client are secrets.
    if console:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        return [structlog.processors.format_exc_info, escape_values, renderer]
    return [structlog.processors.format_exc_info, SafeJson()]


def _of_libraries(limiter: Limiter, outages: Outages, is_debugging: bool) -> Callable[[logging.LogRecord], bool]:
    """Return true if a line of the standard library alone is written; ours have passed the limiter by then."""

    def is_written(record: logging.LogRecord) -> bool:
        if isinstance(record.msg, dict):
            return True
        is_taken = outages.take(record)
        if is_taken and (record.levelno < logging.WARNING or not is_debugging):
            return False
        return limiter.filter(record)

    return is_written


def _log_outage(event: str, **keys: object) -> None:
    log = get_log("bus")
    (log.info if event == "broker_back" else log.warning)(event, **keys)


Log = structlog.typing.FilteringBoundLogger
"""A logger of ours: an event is a past fact with keys."""


def get_log(name: str) -> Log:
    """The logger of a part of the service."""
    log: Log = structlog.get_logger(f"monitor.{name}")
    return log


# ---------------------------------------------------------------------- metrics


class Family(NamedTuple):
    """One metric of the endpoint. `labels`: all that each of its samples has."""

    name: str
    kind: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    meaning: str


class Sample(NamedTuple):
    """One number of one metric. `labels`: their values, in the metric's order."""

    name: str
    labels: tuple[str, ...]
    value: float


_INPUT = ("topic", "partition")
_ALL = (
    Family("streamdrift_info", "gauge", ("version", "instance"), "1"),
    Family(
        "streamdrift_config_info",
        "gauge",
        ("stage", "sha256"),
        "1 for the alerts.yaml, and its lock, that the stage runs on",
    ),
    Family("streamdrift_config_reload_failed", "gauge", (), "1 when the newest SIGHUP found a file that was refused"),
    Family("streamdrift_config_reload_seconds", "gauge", (), "when alerts.yaml was last taken, seconds since 1970"),
    Family("streamdrift_stage_up", "gauge", ("stage",), "1 while the stage's process runs"),
    Family("streamdrift_stage_ready", "gauge", ("stage",), "1 when it has its partitions and folds nothing again"),
    Family(
        "streamdrift_stage_starts_total",
        "counter",
        ("stage",),
        "times the stage's process was started; 1 means it was never restarted",
    ),
    Family("streamdrift_stage_turn_age_seconds", "gauge", ("stage",), "time since it last ended a turn"),
    Family("streamdrift_stage_commit_age_seconds", "gauge", ("stage",), "time since its process last committed"),
    Family("streamdrift_stage_transactions_total", "counter", ("stage",), "transactions of its process"),
    Family("streamdrift_stage_memory_bytes", "gauge", ("stage",), "resident memory of its process"),
    Family(
        "streamdrift_input_records_total", "counter", (*_INPUT, "bucket"), "consumed records by what became of them"
    ),
    Family("streamdrift_input_unaccounted_records", "gauge", _INPUT, "offsets in no bucket; anything but 0 is a bug"),
    Family("streamdrift_input_position", "gauge", _INPUT, "offset that profile reads next"),
    Family("streamdrift_input_lag_records", "gauge", _INPUT, "offsets between that and the end, every 10 s"),
    Family("streamdrift_input_watermark_seconds", "gauge", _INPUT, "event time that is sealed, seconds since 1970"),
    Family("streamdrift_input_folding_again", "gauge", _INPUT, "1 while it is folded again after a start"),
    Family("streamdrift_input_paused", "gauge", _INPUT, "1 while it waits for others, or for a grid"),
    Family(
        "streamdrift_hanging_transaction_seconds",
        "gauge",
        ("stage", *_INPUT),
        "how long a hanging transaction has held the partition back; absent if none does",
    ),
    Family("streamdrift_ledger_position", "gauge", ("partition",), "offset that evaluate reads next"),
    Family("streamdrift_ledger_lag_records", "gauge", ("partition",), "offsets between that and the end, every 10 s"),
    Family("streamdrift_ledger_folding_again", "gauge", ("partition",), "1 while it is folded again after a start"),
    Family(
        "streamdrift_commands_total",
        "counter",
        ("partition", "outcome"),
        "commands of people since the stage began by what became of them: taken, repeated, refused, unusable",
    ),
    Family("streamdrift_model_waiting", "gauge", ("model",), "1 until the model's first pane is folded"),
    Family(
        "streamdrift_model_stopped",
        "gauge",
        ("model",),
        "1 while it is not evaluated, until it is rebuilt",
    ),
    Family(
        "streamdrift_model_rebuild_left_records",
        "gauge",
        ("model",),
        "ledger records that its rebuild has still to read; absent while it is not rebuilt",
    ),
    Family(
        "streamdrift_lane_waiting",
        "gauge",
        ("model", "stream", "segment"),
        "1 while it waits for its reference and is not judged",
    ),
    Family(
        "streamdrift_lane_reference_rows",
        "gauge",
        ("model", "stream", "segment"),
        "rows that a waiting lane has for its reference; absent once there is one",
    ),
    Family(
        "streamdrift_lane_reference_rows_wanted",
        "gauge",
        ("model", "stream", "segment"),
        "rows that it needs; absent if it waits for event time",
    ),
    Family(
        "streamdrift_lane_reference_seconds",
        "gauge",
        ("model", "stream", "segment"),
        "event time of its rows, of a waiting lane whose reference is of event time",
    ),
    Family(
        "streamdrift_lane_reference_seconds_wanted",
        "gauge",
        ("model", "stream", "segment"),
        "event time that it needs",
    ),
    Family(
        "streamdrift_lane_panes_left_out_total",
        "counter",
        ("model", "stream", "segment"),
        "panes that hold rows of two contracts, and were judged under neither",
    ),
    Family("streamdrift_model_judged_seconds", "gauge", ("model",), "event time that is judged, seconds since 1970"),
    Family(
        "streamdrift_rule_judgements_total",
        "counter",
        ("model", "alert"),
        "verdicts of the alert's rules from when the stage began or the rules changed",
    ),
    Family(
        "streamdrift_rule_never_judged",
        "gauge",
        ("model", "alert"),
        "columns or streams that its rules select, and have not judged from then on",
    ),
    Family(
        "streamdrift_label_rows_total",
        "counter",
        ("model", "outcome"),
        "predictions and labels by what became of them, over the model's life",
    ),
    Family(
        "streamdrift_label_rows_held",
        "gauge",
        ("model", "kind"),
        "predictions that labels may still come for (pending), labels whose prediction has not come (waiting)",
    ),
    Family(
        "streamdrift_model_alerts",
        "gauge",
        ("model", "state"),
        "alerts by state: firing, hidden (under another that fires), pending",
    ),
    Family(
        "streamdrift_model_open_incidents",
        "gauge",
        ("model",),
        "incidents that are open, those among them that wait for their first message",
    ),
    Family("streamdrift_model_blind_detectors", "gauge", ("model",), "detectors for which DetectorBlind fires"),
)
METRICS = {metric.name: metric for metric in _ALL}
"""All metrics, in the order in which they are shown."""


def sample(name: str, value: float, *labels: object) -> Sample:
    """A number of a metric of the list; labels in its order."""
    if len(labels) != len(METRICS[name].labels):
        raise ValueError(f"{name} has the labels {METRICS[name].labels}")
    return Sample(name, tuple(map(str, labels)), float(value))
