"""The incidents of one model: alerts whose changes lie together in time, or of which one inhibits the other.

The rules of this file:

- An alert joins when a message says that it fires, unless it is of severity info or muted. One that is muted joins when
  it ceases to be, if it still fires; one that is muted later stays. Hidden alerts and notices belong to none.
- It joins the oldest open incident that it matches, else the oldest closed one that may be opened again, else it
  opens one. It matches an incident if a change there lies within `group_for` of its own, if it inhibits an alert of it
  or is or was inhibited by one, or if it was in it and ended no longer than `reopen_within` ago.
- When its change was is what its message says (`evidence.change.at`), else its first violated judgement.
- Of alerts that join at one judgement the more severe come first, then they go by fingerprint. Those that join count
  before those that end: so an incident does not close between them.
- What names an incident is a digest of the model, and of fingerprint and first violated judgement of its first alert.

How an incident goes on is in `incident_life.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from monitor.codec.canonical import canonical_json
from monitor.config.metrics import SILENCE
from monitor.config.resolved import IncidentSpec
from monitor.evaluate.incident_life import SEVERITIES, Incident, IncidentStatus
from monitor.evaluate.lifecycle import FOREVER, AlertState
from monitor.evaluate.model_alerts import Transition
from monitor.evaluate.rules import on_silence
from monitor.evaluate.state import Acknowledged, Cause, IncidentMember, IncidentState, Severity
from monitor.events import StreamName

_INFO = "info"
"""The severity of alerts that are in no incident."""
CAUSES: Sequence[Cause] = ("pipeline", "upstream", "concept", "data")
"""Values of the label `cause`, the likeliest cause of others first."""
_BY_METRIC: Mapping[str, Cause] = {SILENCE: "pipeline", "vanished": "upstream"}
_BY_STREAM: Mapping[StreamName, Cause] = {"outcomes": "concept", "performance": "concept"}
"""Causes of alerts without that label: by metric, by stream, and else the data."""


class Incidents:
    """Those of one model that are not forgotten, the oldest first.

    `now`: gives an alert as it is now, by fingerprint. `changed_at`: when the change behind an alert was, ms.
    """

    def __init__(
        self,
        model: str,
        now: Callable[[str], AlertState | None],
        changed_at: Callable[[AlertState], int],
    ) -> None:
        self._model = model
        self._now = now
        self._changed_at = changed_at
        self._held: dict[str, Incident] = {}
        self._of: dict[str, str] = {}
        """Ids of the incidents that alerts are in which fire, by fingerprint."""

    def use(self, spec: IncidentSpec, importance: Mapping[str, float], columns: int) -> None:
        """Go by these settings from here on. `importance`: of some of the `columns` of the model."""
        self._spec = spec
        self._importance = importance
        self._share = 1 / max(columns, 1) if importance else 1.0

    @property
    def open(self) -> Mapping[str, Incident]:
        """Those that are open, or wait for their first message, by id."""
        return {name: incident for name, incident in self._held.items() if incident.is_open}

    # ------------------------------------------------------------------ judgements

    def take(self, clock: int, transitions: Sequence[Transition]) -> list[Transition]:
        """Let alerts join and leave; return the transitions with the incidents that their alerts are in.

        `clock`: where the judging clock stands.
        """
        self._relate(transitions)
        joining = [one.alert for one in transitions if one.status != "resolved" and self._may_join(one.alert)]
        for alert in sorted(joining, key=lambda a: (-SEVERITIES.index(_severity(a)), a.fingerprint)):
            self._join(alert, clock)
        self._relate(transitions)  # once more, for alerts that those inhibit which have joined here
        named = [replace(one, incident=self._of.get(one.alert.fingerprint, "")) for one in transitions]
        for one in transitions:
            if one.status == "resolved" and one.alert.fingerprint in self._of:
                self._held[self._of.pop(one.alert.fingerprint)].leave(one.alert.fingerprint, clock)
        return named

    def look(self, clock: int) -> Iterator[tuple[Incident, IncidentStatus]]:
        """Move all incidents at a judgement; yield each that says something, as it is then."""
        for name, incident in list(self._held.items()):
            status = incident.look(clock, self._spec)
            if incident.state == "forgotten":
                del self._held[name]
            if status is not None:
                self._refresh(incident)
                yield incident, status

    def next_look(self, clock: int) -> int:
        """When, behind `clock`, one says something if nothing changes; FOREVER if none does."""
        times = (incident.next_look(clock, self._spec) for incident in self._held.values())
        return min((at for at in times if at is not None), default=FOREVER)

    def acknowledge(self, name: str, acknowledged: Acknowledged) -> None:
        """Let somebody have taken on an open incident; of any other it changes nothing."""
        if name in self.open:
            self._held[name].acknowledge(acknowledged)

    # ------------------------------------------------------------------ alerts

    def _may_join(self, alert: AlertState) -> bool:
        is_info = alert.rule.labels.get("severity") == _INFO
        return not is_info and not alert.is_muted and alert.fingerprint not in self._of

    def _relate(self, transitions: Sequence[Transition]) -> None:
        """Remember which alerts inhibit those of an incident, and which these inhibit."""
        for alert in (one.alert for one in transitions if one.alert.inhibited_by):
            if (own := self._of.get(alert.fingerprint)) is not None:
                self._held[own].relate(alert.inhibited_by)
            for name in dict.fromkeys(self._of[key] for key in alert.inhibited_by if key in self._of):
                self._held[name].relate([alert.fingerprint])

    def _join(self, alert: AlertState, clock: int) -> None:
        change = self._changed_at(alert)
        incident = self._matching(alert, change, clock)
        if incident is None:
            name = _id(self._model, alert)
            incident = self._held[name] = Incident(name, clock)
        incident.join(self._member(alert, change), clock, self._spec)
        self._of[alert.fingerprint] = incident.id

    def _matching(self, alert: AlertState, change: int, clock: int) -> Incident | None:
        found = [one for one in self._held.values() if one.matches(alert.fingerprint, change, clock, self._spec)]
        return next((one for one in found if one.is_open), found[0] if found else None)

    def _member(self, alert: AlertState, change: int) -> IncidentMember:
        verdict = alert.verdict
        return IncidentMember(
            fingerprint=alert.fingerprint,
            alert=alert.rule.alert,
            stream=verdict.stream,
            column=verdict.column,
            columns=_columns(alert),
            severity=_severity(alert),
            cause=_cause(alert),
            change=change,
            starts_at=alert.pending_since,
            weight=self._weight(alert),
            ended=None,
        )

    def _refresh(self, incident: Incident) -> None:
        """Take over what its alerts have come to, for a message."""
        for member in incident.firing:
            alert = self._now(member.fingerprint)
            # of one on silence the value grows at judgements that empty runs pass over: it stays as it joined
            if alert is not None and not on_silence(alert.rule):
                weight = max(member.weight, self._weight(alert))
                incident.members[member.fingerprint] = msgspec.structs.replace(
                    member, columns=_columns(alert), weight=weight
                )

    def _weight(self, alert: AlertState) -> float:
        """How far an alert is beyond its threshold, as a multiple of that, times the importance of its column."""
        verdict = alert.verdict
        beyond = abs(verdict.value - verdict.threshold) / (abs(verdict.threshold) or 1.0)
        return beyond * self._importance.get(verdict.column or "", self._share)

    # ------------------------------------------------------------------ snapshots

    def state(self) -> tuple[IncidentState, ...]:
        """Those that are held."""
        return tuple(incident.value() for incident in self._held.values())

    def restore(self, state: Sequence[IncidentState]) -> None:
        """Go on from there."""
        self._held = {value.id: Incident.of(value) for value in state}
        self._of = {member.fingerprint: name for name, one in self._held.items() for member in one.firing}


def _id(model: str, first: AlertState) -> str:
    named = canonical_json([model, first.fingerprint, first.pending_since])
    return hashlib.sha256(named).hexdigest()[:16]


def _severity(alert: AlertState) -> Severity:
    return "critical" if alert.rule.labels.get("severity") == "critical" else "warning"


def _cause(alert: AlertState) -> Cause:
    labels = dict(alert.verdict.labels)
    named = next((cause for cause in CAUSES if labels.get("cause") == cause), None)
    return named or _BY_METRIC.get(labels["metric"]) or _BY_STREAM.get(alert.verdict.stream) or "data"


def _columns(alert: AlertState) -> tuple[str, ...]:
    own, struck = alert.verdict.column, frozenset(alert.struck)
    return tuple(name for name in alert.named.columns if name not in struck) if own is None else (own,)
