"""What evaluate publishes, as values: messages to the world, in the order in which they were decided."""

from __future__ import annotations

from typing import Literal, NamedTuple

from monitor.evaluate.incident_life import IncidentStatus
from monitor.evaluate.lifecycle import Status

OutputTopic = Literal["alerts", "incidents", "retraining", "observations"]


class Message(NamedTuple):
    """One message to a topic of ours. `at`: the pane end that decided. `key`: fingerprint, incident, model or series.

    `basis`: what it says without what depends on the place (URLs, version): the same wherever the log is folded.
    `status`: of an alert or an incident, what the message says of it; None of all else.
    """

    topic: OutputTopic
    at: int
    model: str
    key: str
    value: bytes
    basis: bytes
    status: Status | IncidentStatus | None = None

    @property
    def ends(self) -> bool:
        """Return true if what it is about, an alert or an incident, is over with it."""
        return self.status in ("resolved", "closed")
