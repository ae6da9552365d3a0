"""What the shell says of itself: structured logs on stderr, and counters whose names are listed once, here."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import structlog


class Metric(NamedTuple):
    """One counter: its name, unit, the names of its labels, and what it counts."""

    name: str
    unit: str
    labels: tuple[str, ...]
    meaning: str


METRICS: tuple[Metric, ...] = (
    Metric(
        "records_total",
        "records",
        ("topic", "bucket"),
        "Consumed records by the one bucket each ends in: pane, late, dead_letter, tombstone or filtered.",
    ),
    Metric(
        "dead_letters_total", "records", ("topic", "reason"), "Records written to the dead-letter topic, by reason."
    ),
    Metric("panes_sealed_total", "panes", ("model",), "Panes that profile sealed and wrote to the ledger."),
    Metric("heartbeats_total", "records", ("topic",), "Heartbeats written because a partition stood still."),
    Metric("alerts_total", "messages", ("model", "status"), "Alert messages published, by status: firing or resolved."),
    Metric("retraining_requests_total", "messages", ("model",), "Retraining requests published."),
    Metric("transactions_total", "transactions", ("stage",), "Commits of outputs and offsets."),
    Metric("muted_total", "records", ("stage",), "Outputs folded again after a restart and not published again."),
    Metric("data_lost_total", "records", ("topic",), "Records that retention took before they were folded."),
)


class Sample(NamedTuple):
    """The value of one counter for one set of labels."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: int


class Counters:
    """The counters of one process; one thread adds to them, once a batch."""

    def __init__(self) -> None:
        self._labels = {metric.name: frozenset(metric.labels) for metric in METRICS}
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}

    def add(self, name: str, labels: Mapping[str, str], n: int = 1) -> None:
        """Add `n` >= 0. A name that is not listed, or other labels than the listed ones, is a bug: ValueError."""
        if self._labels.get(name) != frozenset(labels):
            raise ValueError(f"no metric {name!r} with labels {sorted(labels)}: METRICS lists them")
        if n < 0:
            raise ValueError(f"{name}: a counter never falls, got {n}")
        key = (name, tuple(sorted(labels.items())))
        self._values[key] = self._values.get(key, 0) + n

    def snapshot(self) -> tuple[Sample, ...]:
        """All counters that were ever added to, sorted by name and labels."""
        return tuple(Sample(name, labels, value) for (name, labels), value in sorted(self._values.items()))


def configure_logging(level: str, log_format: Literal["auto", "json", "console"]) -> None:
    """Send our logs, and warnings and errors of libraries, to stderr: one JSON object a line, or text for people.

    `level`: debug, info, warning or error. `log_format` auto is console on a terminal and json elsewhere. May be
    called again: the last call counts.
    """
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
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
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # kafka-python tells every connection at info; its warnings and errors are enough.
    root.setLevel(logging.WARNING)
    for package in ("monitor", "producers"):
        logging.getLogger(package).setLevel(level.upper())


def _rendering(console: bool) -> list[Any]:
    # Plain tracebacks: structlog's other formatters print local variables, and options of the Kafka client are secrets.
    if console:
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]


Log = structlog.typing.FilteringBoundLogger
"""A logger of ours: an event is a past fact with keys."""


def get_log(name: str) -> Log:
    """The logger of a part of the service."""
    log: Log = structlog.get_logger(f"monitor.{name}")
    return log
