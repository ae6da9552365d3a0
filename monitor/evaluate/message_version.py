"""The version of messages: a restart compares what it publishes with what was published only under the same one.

It names the release and the metrics that observations give, as the code that measures them gives them for a sample. So
one metric more is another version, whether or not anybody has thought of that.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

from monitor.config.metrics import METRICS
from monitor.contract import ColumnSpec, StreamContract
from monitor.evaluate.measure import Measure
from monitor.evaluate.reference import build_reference
from monitor.events import Rows
from monitor.panes.grid import make_grid

MESSAGES = 2
"""Raised by a release that changes what messages mean."""
_ROWS = 4
_COLUMNS = (ColumnSpec("x", "x", "numerical"), ColumnSpec("c", "c", "categorical"))


def version_of_messages(release: str) -> str:
    """Return the version in which a release writes messages."""
    metrics = hashlib.sha256(" ".join(sorted({*METRICS, *_measured()})).encode()).hexdigest()[:8]
    return f"{MESSAGES}/{release}/{metrics}"


@cache
def _measured() -> frozenset[str]:
    """The names of the metrics of a column of numbers and one of categories."""
    offset, part = np.arange(_ROWS), np.zeros(_ROWS, dtype=np.int32)
    numbers, valid = np.zeros((_ROWS, 1)), np.zeros((_ROWS, 1), dtype=np.uint8)
    rows = Rows("sample", "features", "", offset, part, offset * 1000, numbers, valid, (["a"] * _ROWS,), valid)
    grid = make_grid(rows, StreamContract("features", "sample", "event_time", _COLUMNS))
    reference = build_reference(grid, rows, "sample")
    return frozenset(Measure(grid, reference).scores(reference.total[np.newaxis]))
