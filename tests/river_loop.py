"""River's own answers, in the loop of River's documentation: what ours are compared with."""

from __future__ import annotations

from typing import Any

from monitor.events import Float64s


def detections_of(river: Any, values: Float64s) -> list[int]:
    """Return the places of the values at which one of River's detectors detects a change."""
    found = []
    for place, value in enumerate(values.tolist()):
        river.update(value)
        if river.drift_detected:
            found.append(place)
    return found
