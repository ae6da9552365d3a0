"""Messages of incidents: CloudEvents 1.0 in structured JSON, one problem each, with a title for people.

The title is a sentence by the likeliest cause of its alerts, with the earliest change of those that have it, and the
first columns. Columns of broken data come first, then those of features, of predictions, of outcomes. Those that an
alert names in an order stand in that order, behind them the others, by how far they are beyond their threshold, times
their importance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from monitor.codec.canonical import canonical_json, time_text
from monitor.codec.cloud_events import CloudEvent, JsonObject, MessageType
from monitor.evaluate.alerts import Place, cut, shortened
from monitor.evaluate.incident_life import SEVERITIES, Incident, IncidentStatus
from monitor.evaluate.incidents import CAUSES
from monitor.evaluate.messages import Message
from monitor.evaluate.state import Cause, IncidentMember
from monitor.events import STREAMS

TITLES: Final[Mapping[Cause, str]] = {
    "pipeline": "Data have been missing or late",
    "upstream": "Data have been broken",
    "concept": "Predictions have been wrong more often",
    "data": "Data have drifted",
}
"""What a title says, by the likeliest cause."""
_BROKEN: Final[Sequence[Cause]] = ("pipeline", "upstream")
NAMED = 20
"""Most alerts, and most columns, that a message names."""
_NAME = 64
"""Most characters of a name in a message."""
_TYPES: Mapping[IncidentStatus, MessageType] = {
    "opened": "streamdrift.incident.opened.v1",
    "updated": "streamdrift.incident.updated.v1",
    "closed": "streamdrift.incident.closed.v1",
    "reopened": "streamdrift.incident.reopened.v1",
}


def incident_message(model: str, incident: Incident, status: IncidentStatus, at: int, place: Place) -> Message:
    """The message of an incident at the judgement `at`, ms of the judging clock."""
    data = _data(model, incident, status, at)
    value = CloudEvent(
        type=_TYPES[status],
        source=place.source,
        id=f"{incident.id}/{time_text(at)}/{status}/{incident.messages}",
        at=at,
        subject=f"{cut(model, _NAME)}/{incident.id}",
        key=incident.id,
        data={**data, "config": {"version": place.version}},
    ).encode()
    return Message("incidents", at, model, incident.id, value, canonical_json(data), status)


def _data(model: str, incident: Incident, status: IncidentStatus, at: int) -> JsonObject:
    members = sorted(incident.members.values(), key=_order)
    columns = columns_of(members)
    taken = incident.acknowledged
    acknowledged = {} if taken is None else {"by": taken.by, "at": time_text(taken.at), "comment": taken.comment}
    return {
        "status": status,
        "incident": incident.id,
        "model": model,
        "title": title_of(members, columns),
        "severity": incident.severity,
        "cause": _cause(members),
        "since": time_text(_since(members)),
        "startsAt": time_text(incident.begun_at),
        "endsAt": time_text(at) if status == "closed" else None,
        "columns": [cut(column, _NAME) for column in columns[:NAMED]],
        "columns_count": len(columns),
        "alerts": [_alert(member) for member in members[:NAMED]],
        "alerts_count": len(members) + incident.forgotten,
        "firing_count": len(incident.firing),
        "episode": incident.episode,
        **({"acknowledged": acknowledged} if acknowledged else {}),
    }


def _alert(member: IncidentMember) -> JsonObject:
    return {
        "fingerprint": member.fingerprint,
        "alertname": member.alert,
        "stream": member.stream,
        **({} if member.column is None else {"column": cut(member.column, _NAME)}),
        "severity": member.severity,
        "cause": member.cause,
        "changedAt": time_text(member.change),
        "startsAt": time_text(member.starts_at),
        "endsAt": None if member.ended is None else time_text(member.ended),
    }


def title_of(members: Sequence[IncidentMember], columns: Sequence[str]) -> str:
    """One sentence: what has happened, since when, and in which columns."""
    number = f"{len(columns)} columns: " if len(columns) > 1 else ""
    where = f" in {number}{shortened([cut(column, _NAME) for column in columns])}" if columns else ""
    cause = _cause(members)
    since = _since([member for member in members if member.cause == cause])
    return f"{TITLES[cause]} since {time_text(since)}{where}"


def columns_of(members: Sequence[IncidentMember]) -> list[str]:
    """All columns that alerts are about, the likeliest to be behind it first."""
    ranked = [
        (_place(member), member.column is not None, place, -member.weight, column)
        for member in members
        for place, column in enumerate(member.columns)
    ]
    return list(dict.fromkeys(column for *_, column in sorted(ranked)))


def _place(member: IncidentMember) -> int:
    """The place of an alert's columns among those of others: broken data first, then by stream."""
    return CAUSES.index(member.cause) if member.cause in _BROKEN else len(CAUSES) + STREAMS.index(member.stream)


def _cause(members: Sequence[IncidentMember]) -> Cause:
    return min((member.cause for member in members), key=CAUSES.index)


def _since(members: Sequence[IncidentMember]) -> int:
    return min(member.change for member in members)


def _order(member: IncidentMember) -> tuple[bool, int, int, float, str]:
    """Return a key by which alerts stand in a message: those that fire, the most severe, the likeliest cause first."""
    severity, cause = -SEVERITIES.index(member.severity), CAUSES.index(member.cause)
    return member.ended is not None, severity, cause, -member.weight, member.fingerprint
