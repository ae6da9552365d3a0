"""Windows as alerts.yaml has them: of event time or of events."""

from __future__ import annotations

from typing import Annotated

from pydantic import ValidationInfo, WithJsonSchema, field_validator, model_validator

from monitor.config.entry import Shape
from monitor.config.scalars import DURATION_SCHEMA, Count, PositiveDuration, duration, positive


class WindowEntry(Shape):
    """{events: 5000, every: 500} or {time: 1h, every: 5m}; without `every` windows follow each other."""

    events: Count | None = None
    """The window closes at the first pane end with at least this many events."""
    time: PositiveDuration | None = None
    """Length in event time, a multiple of the pane."""
    every: Annotated[int | None, WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, DURATION_SCHEMA]})] = None
    """Step of a sliding window, in the window's own unit."""

    @field_validator("every", mode="before")
    @classmethod
    def _in_the_unit_of_the_window(cls, every: object, info: ValidationInfo) -> int | None:
        time, events = info.data.get("time"), info.data.get("events")
        if every is None or (time is None and events is None):  # the size is missing, and that is refused by itself
            return None
        if time is not None:
            step = positive(duration(every))
        elif isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError("`every` of a window of events is a number of events, at least 1")
        else:
            step = every
        size = time if time is not None else events
        if size is not None and step > size:
            raise ValueError("`every` is longer than its window: what falls between would never be seen")
        return step

    @model_validator(mode="after")
    def _one_unit(self) -> WindowEntry:
        if (self.events is None) == (self.time is None):
            raise ValueError("a window has either `events` or `time`")
        return self
