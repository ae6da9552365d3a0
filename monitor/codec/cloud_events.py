"""The one envelope of all messages that are published: CloudEvents 1.0 in structured JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from monitor.codec.canonical import canonical_json, time_text

JsonObject = dict[str, object]
MessageType = Literal[
    "streamdrift.alert.firing.v1",
    "streamdrift.alert.resolved.v1",
    "streamdrift.alert.updated.v1",
    "streamdrift.incident.closed.v1",
    "streamdrift.incident.opened.v1",
    "streamdrift.incident.reopened.v1",
    "streamdrift.incident.updated.v1",
    "streamdrift.lane.v1",
    "streamdrift.notice.v1",
    "streamdrift.observation.v1",
    "streamdrift.retraining.requested.v1",
]

SCHEMAS: Mapping[MessageType, str] = {
    "streamdrift.alert.firing.v1": "alert-v1",
    "streamdrift.alert.resolved.v1": "alert-v1",
    "streamdrift.alert.updated.v1": "alert-v1",
    "streamdrift.incident.closed.v1": "incident-v1",
    "streamdrift.incident.opened.v1": "incident-v1",
    "streamdrift.incident.reopened.v1": "incident-v1",
    "streamdrift.incident.updated.v1": "incident-v1",
    "streamdrift.lane.v1": "lane-v1",
    "streamdrift.notice.v1": "notice-v1",
    "streamdrift.observation.v1": "observation-v1",
    "streamdrift.retraining.requested.v1": "retraining-v1",
}
"""The JSON schema of the data of each type: the name of its file in `monitor/schemas/`."""


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One message. `at`: event time that decided, ms UTC. `key`: of its record, for consumers that see no record.

    `data` is a tree for `canonical_json`, or JSON that is encoded already.
    """

    type: MessageType
    source: str
    id: str
    at: int
    subject: str
    key: str
    data: JsonObject | msgspec.Raw

    def encode(self) -> bytes:
        """The message as its topic carries it."""
        return canonical_json(
            {
                "specversion": "1.0",
                "type": self.type,
                "source": self.source,
                "id": self.id,
                "time": time_text(self.at),
                "subject": self.subject,
                "datacontenttype": "application/json",
                "dataschema": f"/schemas/{SCHEMAS[self.type]}.json",
                "partitionkey": self.key,
                "data": self.data,
            }
        )
