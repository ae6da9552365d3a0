"""The streams of a model: their topics, and how long labels are waited for."""

from __future__ import annotations

from typing import Literal

from monitor.config.entry import Shape
from monitor.config.scalars import Count, Duration, PositiveDuration, Sample, Topic


class StreamEntry(Shape):
    """One stream: its topic and the wire format of its events."""

    topic: Topic
    format: Literal["native"] = "native"


class LabelsEntry(StreamEntry):
    """The stream of labels, and how they meet their predictions."""

    max_delay: PositiveDuration = 7 * 86_400_000
    """Longest time between a prediction and its label; what comes later is counted, and takes no part."""
    max_early: Duration = 3_600_000
    """How long a label waits for its prediction, if it comes first."""
    pending: Count = 1_000_000
    """Most predictions that wait for their labels; beyond, the oldest ones leave."""
    sample: Sample = 0
    """Share of the ids that take part, a power of one half: 1/8. The others are left out on both sides."""
    no_data: PositiveDuration | None = None
    """How long the stream may be silent before NoData fires; without it, it never does."""


class StreamsEntry(Shape):
    """The streams of a model."""

    features: StreamEntry | None = None
    predictions: StreamEntry | None = None
    labels: LabelsEntry | None = None
