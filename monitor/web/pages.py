"""The pages of a supervisor: /live and /ready (200, or 503 with the reasons), /metrics, and /schemas of messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus

from monitor.telemetry import Sample
from monitor.web.health import StageView, not_live, not_ready
from monitor.web.metrics import CONTENT_TYPE, exposition, stage_samples
from monitor.web.schemas import message_schemas
from monitor.web.server import Page, Pages


def pages_of(stages: Callable[[], Sequence[StageView]], own: Callable[[], Sequence[Sample]]) -> Pages:
    """`stages`: their present state. `own`: numbers of the supervisor itself."""
    return {
        "/live": lambda: _answer(not_live(stages(), time.monotonic())),
        "/ready": lambda: _answer(not_ready(stages(), time.monotonic())),
        "/metrics": lambda: _metrics(stages(), own()),
        **{f"/schemas/{name}.json": partial(_schema, text) for name, text in message_schemas().items()},
    }


def _answer(reasons: list[str]) -> Page:
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return Page(status, "text/plain; charset=utf-8", "".join(f"{line}\n" for line in reasons or ["ok"]))


def _schema(text: str) -> Page:
    return Page(HTTPStatus.OK, "application/schema+json", text)


def _metrics(stages: Sequence[StageView], own: Sequence[Sample]) -> Page:
    return Page(HTTPStatus.OK, CONTENT_TYPE, exposition([*own, *stage_samples(stages, time.monotonic())]))
