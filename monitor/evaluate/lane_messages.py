"""Messages of lanes: one at each change of state, and at each tenth of the reference of one that waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.codec.canonical import canonical_json, time_text
from monitor.codec.cloud_events import CloudEvent
from monitor.evaluate.alerts import Place, reference_value
from monitor.evaluate.lane import Step, progress_text
from monitor.evaluate.messages import Message


def lane_message(step: Step, place: Place) -> Message:
    """The message of one step, for the topic `observations`."""
    lane = step.standing
    key = f"{lane.model}/{lane.segment}/{lane.stream}/lane"
    data: dict[str, Any] = {
        "model": lane.model,
        "segment": lane.segment,
        "stream": lane.stream,
        "contract": lane.contract,
        "state": lane.state,
        "rows": lane.rows,
        "wanted": lane.wanted,
        "panes_left_out": lane.left_out,
        "reference": reference_value(lane.reference),
    }
    reached = ""
    if lane.event_time is not None:
        data["event_time"] = dict(zip(("reached", "wanted"), lane.event_time, strict=True))
        reached = f"/{lane.event_time[0]}"
    event = CloudEvent(
        type="streamdrift.lane.v1",
        source=place.source,
        id=f"{key}/{time_text(step.at)}/{lane.state}/{lane.rows}/{lane.contract}{reached}",
        at=step.at,
        subject=f"{lane.model}/{lane.stream}",
        key=key,
        data=data,
    )
    return Message("observations", step.at, lane.model, key, event.encode(), canonical_json(data))


def progress_of(data: Mapping[str, Any]) -> str:
    """Return how far the reference has come of a lane that waits, from the data of its message."""
    time = data.get("event_time")
    return progress_text(data["rows"], data["wanted"], None if time is None else (time["reached"], time["wanted"]))
