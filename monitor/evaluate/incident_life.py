"""The life of an incident, as a table: waiting, open, closed, forgotten.

    state     event    when                                          next       says
    waiting   looked   `group_wait` has passed since it began, or    open       opened
                       an alert of it is critical
    waiting   looked   otherwise                                     waiting
    waiting   emptied                                                closed
    open      looked   there is news, and `group_interval` has       open       updated
                       passed since its newest message, or the news
                       is urgent
    open      looked   otherwise                                     open
    open      emptied                                                closed     closed
    closed    joined   `reopen_within` has not passed                waiting
    closed    looked   `reopen_within` has passed since it closed    forgotten
    closed    looked   otherwise                                     closed

An incident begins as waiting, with its first alert. It is looked at in every judgement, behind the alerts that have
joined it there and those that have ended; it is emptied when the last alert of it has ended. So one that ends before
it was opened is closed without a message. What opens again says `reopened` instead of `opened`, and that is another
episode of it.

News are alerts that have joined or ended; urgent are a severity that no alert of the episode had before, and an
acknowledgement. All times are those of the judging clock, ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from msgspec.structs import asdict, replace

from monitor.config.resolved import IncidentSpec
from monitor.evaluate.state import Acknowledged, IncidentMember, IncidentStanding, IncidentState, News, Severity

Event = Literal["joined", "looked", "emptied"]
IncidentStatus = Literal["opened", "updated", "closed", "reopened"]
Wait = Literal["group_wait", "group_interval", "reopen_within"]
SEVERITIES: Final[tuple[Severity, ...]] = ("warning", "critical")
"""Those of incidents, the lowest first."""
MOST_MEMBERS = 1000
"""Alerts of an incident that are remembered; of more, those that have ended longest ago are only counted."""
MOST_CHANGES = 1000
"""Stretches of event time with changes that an incident remembers, and alerts that are related to its own."""


class Row(NamedTuple):
    """One row of the table: if what `wait` names has not come, the state is `until`, and it says nothing."""

    next: IncidentStanding
    says: IncidentStatus | None = None
    wait: Wait | None = None
    until: IncidentStanding = "closed"


TABLE: Mapping[tuple[IncidentStanding, Event], Row] = {
    ("waiting", "looked"): Row("open", "opened", "group_wait", "waiting"),
    ("waiting", "emptied"): Row("closed"),
    ("open", "looked"): Row("open", "updated", "group_interval", "open"),
    ("open", "emptied"): Row("closed", "closed"),
    ("closed", "joined"): Row("waiting"),
    ("closed", "looked"): Row("forgotten", None, "reopen_within", "closed"),
}


@dataclass(slots=True)
class Incident:
    """One incident.

    `begun_at`: when its episode began; `spoken_at`: of its newest message; `closed_at`: when it closed.
    `episode`: how often it has been opened; `messages`: how many it has. `severity`: the highest in this episode.
    `members`: alerts of this episode by fingerprint, as they joined; `forgotten`: how many of them are only counted.
    `changes`: stretches of event time, ascending, both ends included; all that is between two changes of a stretch is
    within reach of one. `related`: fingerprints of alerts that inhibit its own, or that these inhibit.
    """

    id: str
    begun_at: int
    state: IncidentStanding = "waiting"
    spoken_at: int = 0
    closed_at: int = 0
    episode: int = 0
    messages: int = 0
    severity: Severity = "warning"
    news: News = "none"
    forgotten: int = 0
    acknowledged: Acknowledged | None = None
    changes: list[tuple[int, int]] = field(default_factory=list)
    members: dict[str, IncidentMember] = field(default_factory=dict)
    related: dict[str, None] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Return true unless it is closed; it may still wait for its first message."""
        return self.state in ("waiting", "open")

    @property
    def firing(self) -> list[IncidentMember]:
        """Its alerts that have not ended."""
        return [member for member in self.members.values() if member.ended is None]

    def look(self, clock: int, spec: IncidentSpec) -> IncidentStatus | None:
        """Move it at a judgement, and return what it says."""
        event: Event = "emptied" if self.is_open and not self.firing else "looked"
        row = TABLE[self.state, event]
        if row.wait is not None and not self._has_come(row.wait, clock, spec):
            self.state = row.until
            return None
        if row.next == "closed":
            self.closed_at = clock
        self.state = row.next
        if row.says is None:
            return None
        is_again = row.says == "opened" and self.episode > 0
        self.episode += row.says == "opened"
        self.spoken_at, self.news, self.messages = clock, "none", self.messages + 1
        return "reopened" if is_again else row.says

    def _has_come(self, wait: Wait, clock: int, spec: IncidentSpec) -> bool:
        match wait:
            case "group_wait":
                return self.severity == "critical" or clock >= self.begun_at + spec.group_wait_ms
            case "group_interval":
                is_due = clock >= self.spoken_at + spec.group_interval_ms
                return self.news == "urgent" or (self.news == "some" and is_due)
            case "reopen_within":
                return clock > self.closed_at + spec.reopen_within_ms

    def next_look(self, clock: int, spec: IncidentSpec) -> int | None:
        """When, behind `clock`, it says something if nothing changes; None if it does not."""
        if self.state == "waiting":
            return max(clock + 1, self.begun_at + spec.group_wait_ms)
        is_due = self.state == "open" and self.news != "none"
        return max(clock + 1, self.spoken_at + spec.group_interval_ms) if is_due else None

    # ------------------------------------------------------------------ alerts

    def matches(self, alert: str, change: int, clock: int, spec: IncidentSpec) -> bool:
        """Return true if an alert belongs to it that begins to fire. `change`: when its change was, ms."""
        if not self.is_open and clock > self.closed_at + spec.reopen_within_ms:
            return False
        known = self.members.get(alert)
        comes_back = known is not None and known.ended is not None and clock <= known.ended + spec.reopen_within_ms
        return comes_back or alert in self.related or self._is_near(change, spec.group_for_ms)

    def _is_near(self, change: int, reach: int) -> bool:
        return any(first - reach <= change <= last + reach for first, last in self.changes)

    def join(self, member: IncidentMember, clock: int, spec: IncidentSpec) -> None:
        """Take an alert that fires."""
        if self.state == "closed":
            self.state, self.begun_at = TABLE["closed", "joined"].next, clock
            self.members.clear()
            self.severity, self.forgotten, self.acknowledged, self.news = "warning", 0, None, "none"
        self.members.pop(member.fingerprint, None)
        self.members[member.fingerprint] = member
        self.related.pop(member.fingerprint, None)
        self._add_change(member.change, spec.group_for_ms)
        is_worse = SEVERITIES.index(member.severity) > SEVERITIES.index(self.severity)
        self.severity = member.severity if is_worse else self.severity
        self.news = "urgent" if is_worse or self.news == "urgent" else "some"
        self._forget_members()

    def leave(self, alert: str, clock: int) -> None:
        """Let an alert of it end."""
        self.members[alert] = replace(self.members[alert], ended=clock)
        self.news = "some" if self.news == "none" else self.news

    def relate(self, alerts: Iterable[str]) -> None:
        """Remember alerts that inhibit one of its own, or that one of these inhibits."""
        inside = {member.fingerprint for member in self.firing}
        self.related |= dict.fromkeys(alert for alert in alerts if alert not in inside)
        for alert in list(self.related)[:-MOST_CHANGES]:
            del self.related[alert]

    def acknowledge(self, acknowledged: Acknowledged) -> None:
        """Remember who has taken it on: the newest counts."""
        self.acknowledged, self.news = acknowledged, "urgent"

    def _add_change(self, change: int, reach: int) -> None:
        merged: list[tuple[int, int]] = []
        for first, last in sorted([*self.changes, (change, change)]):
            if merged and first - merged[-1][1] <= 2 * reach:
                merged[-1] = merged[-1][0], max(last, merged[-1][1])
            else:
                merged.append((first, last))
        self.changes = merged[-MOST_CHANGES:]

    def _forget_members(self) -> None:
        if len(self.members) > MOST_MEMBERS:
            ended = [member for member in self.members.values() if member.ended is not None]
            for member in sorted(ended, key=lambda m: m.ended or 0)[: len(self.members) - MOST_MEMBERS]:
                del self.members[member.fingerprint]
                self.forgotten += 1

    # ------------------------------------------------------------------ state

    def value(self) -> IncidentState:
        """It as snapshots hold it."""
        held = {name: getattr(self, name) for name in IncidentState.__struct_fields__}
        lists = {"changes": self.changes, "members": self.members.values(), "related": self.related}
        return IncidentState(**held | {name: tuple(values) for name, values in lists.items()})

    @classmethod
    def of(cls, value: IncidentState) -> Incident:
        """The one that a snapshot holds."""
        members = {member.fingerprint: member for member in value.members}
        lists = {"changes": list(value.changes), "members": members, "related": dict.fromkeys(value.related)}
        return cls(**asdict(value) | lists)
