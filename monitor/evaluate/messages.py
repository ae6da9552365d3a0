"""What evaluate publishes, as values: messages to the world, in the order in which they were decided."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

from monitor.config.metrics import METRICS

MESSAGES = 1
"""The version of messages, raised by a release that changes what they mean."""


def version_of_messages(release: str) -> str:
    """Return the version in which a release writes messages; a restart compares only messages of the same version.

    The names of the metrics are part of it, because observations give all of them: one more needs no other number.
    """
    metrics = hashlib.sha256(" ".join(sorted(METRICS)).encode()).hexdigest()[:8]
    return f"{MESSAGES}/{release}/{metrics}"


OutputTopic = Literal["alerts", "retraining", "observations"]


class Message(NamedTuple):
    """One message to a topic of ours. `at`: the pane end that decided. `key`: fingerprint, model or series.

    `basis`: what it says without what depends on the place (URLs, version): the same wherever the log is folded.
    `firing`: of an alert, whether it fires from now on or is resolved; None of all else.
    """

    topic: OutputTopic
    at: int
    model: str
    key: str
    value: bytes
    basis: bytes
    firing: bool | None = None
