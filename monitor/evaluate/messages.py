"""What evaluate publishes, as values: messages to the world, in the order in which they were decided."""

from __future__ import annotations

from typing import Literal, NamedTuple

from monitor.evaluate.lifecycle import Status

OutputTopic = Literal["alerts", "retraining", "observations"]


class Message(NamedTuple):
    """One message to a topic of ours. `at`: the pane end that decided. `key`: fingerprint, model or series.

    `basis`: what it says without what depends on the place (URLs, version): the same wherever the log is folded.
    `status`: of an alert, what the message says of it; None of all else.
    """

    topic: OutputTopic
    at: int
    model: str
    key: str
    value: bytes
    basis: bytes
    status: Status | None = None
