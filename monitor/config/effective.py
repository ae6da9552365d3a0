"""The settings that hold for a model: its own, else those of the file's defaults, else ours."""

from __future__ import annotations

from typing import Any, NamedTuple

from monitor.config.model import ModelSettings
from monitor.config.scalars import DurationOrOff, Start
from monitor.config.windows import WindowEntry

BUILT_IN = ModelSettings.model_validate(
    {
        "window": {"events": 5000, "every": 500},
        "lateness": "2m",
        "pane": "10s",
        "interval": "10s",
        "idle_timeout": "30s",
        "max_clock_skew": "1m",
        "max_lead": "10m",
        "start": "earliest",
        "grid_rows": 5000,
        "trace_points": 2048,
        "timezone": "UTC",
        "incidents": {"group_for": "1h", "group_wait": "30s", "group_interval": "5m", "reopen_within": "1h"},
    }
)
"""These settings hold if alerts.yaml sets nothing else."""


class Effective(NamedTuple):
    """The settings that hold for one model."""

    window: WindowEntry
    lateness: int
    pane: int
    interval: int
    idle_timeout: DurationOrOff
    max_clock_skew: int
    max_lead: int
    no_data: DurationOrOff | None
    start: Start
    grid_rows: int
    trace_points: int


def effective(model: ModelSettings, defaults: ModelSettings) -> Effective:
    """Return each setting as the model has it, else as the file's defaults have it, else our own default, if any.

    Our own interval is made of whole panes, whatever they are: it is rounded up.
    """
    levels = (model, defaults, BUILT_IN)
    found: dict[str, Any] = {}
    for name in Effective._fields:
        values = (getattr(level, name) for level in levels)
        found[name] = next((value for value in values if value is not None), None)
    if model.interval is None and defaults.interval is None:
        found["interval"] += -found["interval"] % found["pane"]
    return Effective(**found)
