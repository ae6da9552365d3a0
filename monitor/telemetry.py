"""What the shell says of itself: structured logs on stderr."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog


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
