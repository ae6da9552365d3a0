"""Fixtures of several unit tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from monitor.outages import CONNECTIONS


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """What a test configures of the process's logs is undone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for package in ("monitor", "producers", *CONNECTIONS):
        logging.getLogger(package).setLevel(logging.NOTSET)
    structlog.reset_defaults()
