"""Roles that columns can have where events have them: times outside `features`, predictions in events without it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from monitor.inference.roles import Decision, Role
from monitor.inference.sample import Sample

_FEATURES: Final[tuple[Role, ...]] = ("numerical", "binary", "categorical", "arrays")
_PREDICTIONS: Final[tuple[Role, ...]] = ("prediction", "probability")


def in_their_places(decisions: Iterable[Decision], sample: Sample, *, is_topic: bool) -> list[Decision]:
    """Leave out what stands where no stream reads it. A topic carries one kind of events, a file may hold both."""
    carries_features = is_topic and bool(sample.featured)
    placed = []
    for decision in decisions:
        why = None
        if decision.role in _FEATURES and decision.name not in sample.featured:
            why = "stands outside `features`, where an event has its features"
        elif decision.role == "timestamp" and decision.name in sample.featured:
            why = "a time within `features`: an event has its time beside them"
        elif decision.role in _PREDICTIONS and carries_features:
            why = f"a {decision.role} among features: predictions have a topic of their own"
        elif decision.role in _PREDICTIONS and decision.name not in sample.bare:
            why = f"a {decision.role} beside `features`: predictions are events of their own"
        placed.append(decision if why is None else Decision(decision.name, "left out", why))
    return placed
