"""What evaluate publishes, as values: messages to the world, in the order in which they were decided."""

from __future__ import annotations

from typing import Literal, NamedTuple

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
