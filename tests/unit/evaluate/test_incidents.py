"""Which alerts are one incident, and how it goes on: against a slow oracle, then example by example."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.expression import parse
from monitor.config.resolved import IncidentSpec, Rule, WindowSpec
from monitor.evaluate.alerts import Place
from monitor.evaluate.incident_life import MOST_CHANGES, MOST_MEMBERS, TABLE, Event, Incident, IncidentStatus
from monitor.evaluate.incident_messages import NAMED, TITLES, incident_message
from monitor.evaluate.incidents import CAUSES, Incidents
from monitor.evaluate.lifecycle import FOREVER, AlertState, Status, fingerprint
from monitor.evaluate.model_alerts import Transition
from monitor.evaluate.named import Named
from monitor.evaluate.state import Acknowledged, Cause, IncidentStanding, IncidentState
from monitor.events import StreamName, Verdict

MINUTE, HOUR = 60_000, 3_600_000
PLACE = Place("/s", "http://localhost", "0", "c")
Spoken = list[tuple[str, IncidentStatus]]


def an_alert(
    name: str,
    *,
    severity: str = "warning",
    column: str | None = None,
    value: float = 0.5,
    stream: StreamName = "features",
    since: int = 0,
    named: Sequence[str] = (),
    cause: str = "",
    metric: str = "psi",
) -> AlertState:
    labels = {"alertname": name, "metric": metric, "model": "m", "severity": severity}
    labels |= {key: text for key, text in (("column", column), ("cause", cause)) if text}
    rule = Rule(
        group="g",
        alert=name,
        comparison=parse(f"{metric} > 0.25"),
        window=WindowSpec(events=100),
        for_ms=0,
        keep_firing_for_ms=0,
        min_events=0,
        labels={key: labels[key] for key in ("severity", "cause") if key in labels},
        annotations={},
    )
    sorted_labels = tuple(sorted(labels.items()))
    verdict = Verdict(sorted_labels, stream, column, value, ">", 0.25, "constant", None, violated=True, window=None)
    return AlertState(
        fingerprint(sorted_labels), rule, "firing", since, None, since, 1, verdict, Named(columns=tuple(named))
    )


class Model:
    """Incidents of one model, fed as its judgements feed them. Changes of alerts are those that tests say."""

    def __init__(self, spec: IncidentSpec | None = None, importance: dict[str, float] | None = None) -> None:
        self.spec = spec or IncidentSpec()
        self.changes: dict[str, int] = {}
        self.now: dict[str, AlertState] = {}
        self.importance = importance or {}
        self.incidents = self._fresh()

    def _fresh(self) -> Incidents:
        incidents = Incidents("m", self.now.get, lambda alert: self.changes.get(alert.fingerprint, alert.pending_since))
        incidents.use(self.spec, self.importance, 10)
        return incidents

    def restart(self) -> None:
        """Go on from a snapshot, as bytes."""
        written = msgspec.msgpack.encode(self.incidents.state())
        self.incidents = self._fresh()
        self.incidents.restore(msgspec.msgpack.decode(written, type=tuple[IncidentState, ...]))
        assert msgspec.msgpack.encode(self.incidents.state()) == written

    def judge(self, clock: int, *news: tuple[Status, AlertState]) -> tuple[list[str], list[tuple[Incident, str]]]:
        """One judgement: the incident of each transition, and what incidents say."""
        for status, alert in news:
            if status == "resolved":
                self.now.pop(alert.fingerprint, None)
            else:
                self.now[alert.fingerprint] = alert
        named = self.incidents.take(clock, [Transition(clock, status, alert) for status, alert in news])
        return [one.incident for one in named], list(self.incidents.look(clock))

    def fire(self, clock: int, *alerts: AlertState) -> list[str]:
        return self.judge(clock, *(("firing", alert) for alert in alerts))[0]

    def end(self, clock: int, *alerts: AlertState) -> list[str]:
        """Let alerts end; gives what incidents say."""
        return [status for _, status in self.judge(clock, *(("resolved", alert) for alert in alerts))[1]]

    def look(self, clock: int) -> list[str]:
        return [status for _, status in self.judge(clock)[1]]

    def message(self, incident: Incident, status: IncidentStatus = "opened", at: int = 0) -> dict[str, Any]:
        event: dict[str, Any] = msgspec.json.decode(incident_message("m", incident, status, at, PLACE).value)
        return event


# ---------------------------------------------------------------------- the oracle


@dataclass
class Naive:
    """An incident as the documentation tells it: everything is kept, and everything is looked through."""

    name: str
    began: int
    severity: str = "warning"
    changes: list[int] = field(default_factory=list)
    firing: set[str] = field(default_factory=set)
    ended: dict[str, int] = field(default_factory=dict)
    near: set[str] = field(default_factory=set)
    closed: int | None = None
    is_public: bool = False
    was_public: bool = False
    spoke: int = 0
    news: bool = False
    urgent: bool = False


class Oracle:
    """The rules of `docs/incidents.md`, slowly. Alerts are letters; the first alert and its start name an incident."""

    def __init__(self, spec: IncidentSpec) -> None:
        self.spec = spec
        self.all: list[Naive] = []

    def judge(
        self, clock: int, joins: list[tuple[str, str, int]], ends: list[str], pairs: list[tuple[str, str]]
    ) -> Spoken:
        """`joins`: alert, severity, change. `pairs`: an alert that is muted, and what inhibits it."""
        self._relate(pairs)
        for alert, severity, change in joins:
            self._join(alert, severity, change, clock)
        self._relate(pairs)
        for alert in ends:
            for one in self.all:
                if alert in one.firing:
                    one.firing.remove(alert)
                    one.ended[alert], one.news = clock, True
        return [(one.name, status) for one in self.all if (status := self._say(one, clock))]

    def _relate(self, pairs: list[tuple[str, str]]) -> None:
        for target, source in pairs:
            for one in self.all:
                if one.closed is None and source in one.firing and target not in one.firing:
                    one.near.add(target)
                if one.closed is None and target in one.firing and source not in one.firing:
                    one.near.add(source)

    def _join(self, alert: str, severity: str, change: int, clock: int) -> None:
        matching = [one for one in self.all if self._matches(one, alert, change, clock)]
        found = next((one for one in matching if one.closed is None), matching[0] if matching else None)
        if found is None:
            found = Naive(f"{alert}@{clock}", clock)
            self.all.append(found)
        elif found.closed is not None:
            found.closed, found.began, found.is_public, found.severity = None, clock, False, "warning"
            found.ended, found.urgent = {}, False
        found.urgent |= severity > found.severity
        found.severity = max(found.severity, severity)
        found.changes.append(change)
        found.firing.add(alert)
        found.ended.pop(alert, None)
        found.near.discard(alert)
        found.news = True

    def _matches(self, one: Naive, alert: str, change: int, clock: int) -> bool:
        if one.closed is not None and clock > one.closed + self.spec.reopen_within_ms:
            return False
        is_near = any(abs(change - other) <= self.spec.group_for_ms for other in one.changes)
        comes_back = alert in one.ended and clock <= one.ended[alert] + self.spec.reopen_within_ms
        return is_near or comes_back or alert in one.near

    def _say(self, one: Naive, clock: int) -> IncidentStatus | None:
        if one.closed is not None:
            return None
        if not one.firing:
            one.closed = clock
            return "closed" if one.is_public else None
        if not one.is_public:
            if clock < one.began + self.spec.group_wait_ms and one.severity != "z-critical":
                return None
            again, one.is_public, one.was_public = one.was_public, True, True
            return self._spoken(one, clock, "reopened" if again else "opened")
        if one.urgent or (one.news and clock >= one.spoke + self.spec.group_interval_ms):
            return self._spoken(one, clock, "updated")
        return None

    @staticmethod
    def _spoken(one: Naive, clock: int, status: IncidentStatus) -> IncidentStatus:
        one.spoke, one.news, one.urgent = clock, False, False
        return status


LETTERS = "abcdef"
_SEVERITY = {"a": "critical", "f": "info"}
_RANK = {"warning": "warning", "critical": "z-critical"}
steps = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 7, 31, 61]),
        st.dictionaries(st.sampled_from(LETTERS), st.sampled_from(["flip", "mute", "inhibit"]), max_size=4),
        st.sampled_from([0, 0, 20, 90]),
        st.booleans(),
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_incidents_go_as_the_documentation_says(played: list[tuple[int, dict[str, str], int, bool]]) -> None:
    """Alerts begin, end, are muted and unmuted, with changes long before; across restarts from snapshots."""
    spec = IncidentSpec(group_wait_ms=2 * MINUTE)
    model, oracle, names = Model(spec), Oracle(spec), dict[str, str]()
    letters = {an_alert(one, severity=_SEVERITY.get(one, "warning")).fingerprint: one for one in LETTERS}
    firing: dict[str, AlertState] = {}
    inside: set[str] = set()
    clock = 0
    for minutes, doings, back, restarts in played:
        clock += minutes * MINUTE
        news: list[tuple[Status, AlertState]] = []
        for letter, doing in sorted(doings.items()):
            alert = firing.get(letter)
            if doing == "flip" and alert is not None:
                news.append(("resolved", firing.pop(letter)))
            elif doing == "flip":
                alert = an_alert(letter, severity=_SEVERITY.get(letter, "warning"), since=clock)
                firing[letter] = alert
                model.changes[alert.fingerprint] = clock - back * MINUTE
                news.append(("firing", alert))
            elif alert is not None:
                others = [one.fingerprint for key, one in sorted(firing.items()) if key != letter][:1]
                muted = {"silenced_by": ("s",)} if doing == "mute" or not others else {"inhibited_by": tuple(others)}
                after = replace(alert, **({"silenced_by": (), "inhibited_by": ()} if alert.is_muted else muted))
                firing[letter] = after
                news.append(("updated", after))
        pairs = [(alert.rule.alert, letters[source]) for _, alert in news for source in alert.inhibited_by]
        joining = [
            alert
            for status, alert in news
            if status != "resolved" and not alert.is_muted and alert.rule.alert not in inside
            if alert.rule.labels["severity"] != "info"
        ]
        joining.sort(key=lambda one: (one.rule.labels["severity"] != "critical", one.fingerprint))
        joins = [(a.rule.alert, _RANK[a.rule.labels["severity"]], model.changes[a.fingerprint]) for a in joining]
        ends = [alert.rule.alert for status, alert in news if status == "resolved"]
        inside = (inside | {letter for letter, _, _ in joins}) - set(ends)
        expected = oracle.judge(clock, joins, ends, pairs)
        _, spoken = model.judge(clock, *news)
        for one, naive in zip(model.incidents.open.values(), [n for n in oracle.all if n.closed is None], strict=True):
            assert {member.alert for member in one.firing} == naive.firing
            assert names.setdefault(one.id, naive.name) == naive.name
        assert [(names.get(one.id), status) for one, status in spoken if one.is_open] == [
            pair for pair in expected if pair[1] != "closed"
        ]
        assert [status for _, status in spoken] == [status for _, status in expected]
        if restarts:
            model.restart()


@settings(max_examples=100, deadline=None)
@given(steps)
def test_nothing_is_due_before_it_says_so(played: list[tuple[int, dict[str, str], int, bool]]) -> None:
    """Looks between two judgements without news say something from the announced time on, and not before."""
    model, firing, clock = Model(), dict[str, AlertState](), 0
    for minutes, doings, _, _ in played:
        due = model.incidents.next_look(clock)
        clock += minutes * MINUTE
        if due < clock:
            assert model.look(due - 1) == [] or due - 1 < clock - minutes * MINUTE
            assert model.look(due) != []
        elif due != FOREVER:
            assert model.look(clock - 1) == []
        news: list[tuple[Status, AlertState]] = []
        for letter in sorted(doings):
            if letter in firing:
                news.append(("resolved", firing.pop(letter)))
            else:
                firing[letter] = an_alert(letter, severity=_SEVERITY.get(letter, "warning"), since=clock)
                news.append(("firing", firing[letter]))
        model.judge(clock, *news)


# ---------------------------------------------------------------------- examples


def test_the_table_has_a_row_for_all_that_can_happen() -> None:
    """Nothing that is forgotten goes on, and what is open can't be joined into another state."""
    rows = {(row.next, row.until) for row in TABLE.values()}
    assert {state for pair in rows for state in pair} == set(get_args(IncidentStanding))
    assert {status for row in TABLE.values() if (status := row.says)} == {"opened", "updated", "closed"}
    assert {event for _, event in TABLE} == set(get_args(Event))


def test_concept_drift_that_is_known_days_later_joins_the_incident_of_its_day() -> None:
    model = Model()
    first, late = an_alert("Drift", since=0), an_alert("ConceptDrift", stream="outcomes", since=72 * HOUR)
    model.changes[late.fingerprint] = HOUR
    (one,) = model.fire(0, first)
    assert model.fire(72 * HOUR, late) == [one]


def test_a_drift_that_lasts_swallows_no_new_problem() -> None:
    model = Model()
    (one,) = model.fire(0, an_alert("Drift"))
    (other,) = model.fire(24 * HOUR, an_alert("Nulls", since=24 * HOUR))
    assert one != other
    assert list(model.incidents.open) == [one, other]


def test_the_first_alert_names_its_incident_by_severity_then_fingerprint() -> None:
    """However they are handed in."""
    low, high = (an_alert(name, severity=severity) for name, severity in (("a", "warning"), ("b", "critical")))
    found = {Model().fire(0, *order)[0] for order in ((low, high), (high, low))}
    assert found == {Model().fire(0, high)[0]}


def test_one_that_ends_before_it_was_opened_says_nothing() -> None:
    """And its alert carried its id; what comes within `reopen_within` opens it for the first time."""
    model, alert = Model(), an_alert("a")
    (name,) = model.fire(0, alert)
    assert model.end(20_000, alert) == []
    again = an_alert("a", since=HOUR)
    assert model.fire(HOUR, again) == [name]
    assert model.look(HOUR + 30_000) == ["opened"]


def test_an_incident_is_reopened_within_its_time_and_not_later() -> None:
    model, alert = Model(), an_alert("a")
    (name,) = model.fire(0, alert)
    assert model.look(30_000) == ["opened"]
    assert model.end(5 * HOUR, alert) == ["closed"]
    back = an_alert("a", since=6 * HOUR)
    assert model.fire(6 * HOUR, back) == [name]
    assert model.look(6 * HOUR + 30_000) == ["reopened"]
    assert model.end(12 * HOUR, back) == ["closed"]
    assert model.fire(13 * HOUR + 1, an_alert("a", since=13 * HOUR + 1)) != [name]


def test_a_critical_alert_waits_for_nothing() -> None:
    """Neither the first message nor one of an incident that was only a warning; others wait their time."""
    model = Model()
    assert model.judge(0, ("firing", an_alert("a", severity="critical")))[1][0][1] == "opened"
    calm = Model()
    calm.fire(0, an_alert("b"))
    assert calm.look(30_000) == ["opened"]
    assert [status for _, status in calm.judge(40_000, ("firing", an_alert("c", since=40_000)))[1]] == []
    worse = an_alert("d", severity="critical", since=50_000)
    assert [status for _, status in calm.judge(50_000, ("firing", worse))[1]] == ["updated"]
    assert calm.look(50_000 + 5 * MINUTE) == []


def test_muted_alerts_join_when_they_cease_to_be() -> None:
    """One that is muted later stays; info never joins."""
    model, alert = Model(), an_alert("a")
    muted = replace(alert, silenced_by=("s",))
    assert model.fire(0, muted, an_alert("i", severity="info")) == ["", ""]
    ((name,), _) = model.judge(MINUTE, ("updated", alert))
    assert name
    assert model.judge(2 * MINUTE, ("updated", muted))[0] == [name]
    assert list(model.incidents.open) == [name]


def test_alerts_of_which_one_inhibits_the_other_are_one_incident() -> None:
    """Whichever comes first, however far their changes are apart, and behind the end of the inhibition, too."""
    source, target = an_alert("Nulls", since=48 * HOUR), an_alert("Drift")
    model = Model()
    (name,) = model.fire(0, target)
    inhibited = replace(target, inhibited_by=(source.fingerprint,))
    ids, _ = model.judge(48 * HOUR, ("firing", source), ("updated", inhibited))
    assert ids == [name, name]
    other = Model()
    first, later = an_alert("Nulls"), an_alert("Drift", since=30 * HOUR)
    (one,) = other.fire(0, first)
    assert other.fire(30 * HOUR, replace(later, inhibited_by=(first.fingerprint,))) == [""]
    ids, spoken = other.judge(60 * HOUR, ("resolved", first), ("updated", later))
    assert ids == [one, one]
    assert [status for _, status in spoken] == ["updated"]


def test_what_an_alert_inhibits_that_begins_with_it_belongs_to_it() -> None:
    """When the inhibition ends with its source, long after, it joins that one's incident."""
    model, source, target = Model(), an_alert("Nulls"), an_alert("Drift")
    model.changes[target.fingerprint] = -48 * HOUR
    name, nothing = model.fire(0, source, replace(target, inhibited_by=(source.fingerprint,)))
    assert (bool(name), nothing) == (True, "")
    assert model.judge(HOUR, ("resolved", source), ("updated", target))[0] == [name, name]


def test_an_acknowledgement_is_published_at_once_and_ends_with_the_episode() -> None:
    model, alert = Model(), an_alert("a")
    (name,) = model.fire(0, alert)
    model.look(30_000)
    model.incidents.acknowledge(name, Acknowledged("ann", 40_000, "looking"))
    model.incidents.acknowledge("another", Acknowledged("ann", 40_000, ""))
    model.restart()
    ((incident, status),) = model.judge(40_000)[1]
    assert status == "updated"
    data = model.message(incident)["data"]
    assert data["acknowledged"] == {"by": "ann", "at": "1970-01-01T00:00:40Z", "comment": "looking"}
    model.end(HOUR, alert)
    model.fire(HOUR + 1, an_alert("a", since=HOUR + 1))
    ((incident, status),) = model.judge(HOUR + MINUTE)[1]
    assert status == "reopened"
    assert "acknowledged" not in model.message(incident)["data"]


def test_thirty_columns_are_one_title_with_the_largest_three() -> None:
    """By how far they are beyond their threshold, times importance, and as they are when it is written."""
    model = Model(importance={"c29": 0.0, "c00": 50.0})
    alerts = [an_alert("Psi", column=f"c{k:02}", value=0.5 + k) for k in range(30)]
    assert len(set(model.fire(0, *alerts))) == 1
    grown = an_alert("Psi", column="c05", value=1000.0)
    model.now[grown.fingerprint] = grown
    ((incident, _),) = model.judge(30_000)[1]
    data = model.message(incident)["data"]
    assert data["title"] == "Data have drifted since 1970-01-01T00:00:00Z in 30 columns: c05, c00, c28 and 27 more"
    assert (data["columns_count"], len(data["columns"])) == (30, NAMED)
    assert (data["alerts_count"], data["firing_count"], len(data["alerts"])) == (30, 30, NAMED)


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_has_a_sentence_and_the_likeliest_one_counts(cause: Cause) -> None:
    """Its columns and its time are those of the title; the order is that of the table."""
    model = Model()
    others = [an_alert(f"x{one}", cause=one, column=one) for one in CAUSES[CAUSES.index(cause) :]]
    model.fire(HOUR // 2, an_alert("own", cause=cause, column="own", since=HOUR // 2, value=9.0), *others[1:])
    ((incident, _),) = model.judge(HOUR // 2 + 30_000)[1]
    data = model.message(incident)["data"]
    assert data["cause"] == cause
    assert data["title"].startswith(f"{TITLES[cause]} since 1970-01-01T00:30:00Z in ")


@pytest.mark.parametrize(
    ("alert", "cause"),
    [
        (an_alert("a", metric="seconds_since_last_event"), "pipeline"),
        (an_alert("a", metric="vanished", column="x"), "upstream"),
        (an_alert("a", metric="accuracy", stream="performance"), "concept"),
        (an_alert("a", column="error", stream="outcomes"), "concept"),
        (an_alert("a", column="x", cause="weather"), "data"),
        (an_alert("a", column="error", stream="outcomes", cause="pipeline"), "pipeline"),
    ],
)
def test_a_cause_follows_from_label_metric_and_stream(alert: AlertState, cause: Cause) -> None:
    model = Model()
    (name,) = model.fire(0, alert)
    assert [member.cause for member in model.incidents.open[name].firing] == [cause]


def test_what_is_remembered_is_bounded_and_what_fires_is_not_forgotten() -> None:
    model = Model(IncidentSpec(group_for_ms=0))
    steady = an_alert("steady")
    (name,) = model.fire(0, steady)
    incident = model.incidents.open[name]
    number = MOST_MEMBERS + 50
    inhibited = replace(steady, inhibited_by=tuple(f"{k:016x}" for k in range(number)))
    model.judge(MINUTE, ("updated", inhibited))
    assert len(incident.related) == MOST_CHANGES
    for k in range(number):
        at = MINUTE + 2 * k
        alert = an_alert(f"a{k}", since=at)
        incident.relate([alert.fingerprint])
        model.fire(at, alert)
        model.end(at + 1, alert)
    assert len(incident.members) == MOST_MEMBERS
    assert steady.fingerprint in incident.members
    assert len(incident.changes) == MOST_CHANGES
    assert model.message(incident)["data"]["alerts_count"] == number + 1


def ids(events: Iterable[dict[str, Any]]) -> list[str]:
    return [event["id"] for event in events]


def test_no_two_messages_of_an_incident_have_the_same_id() -> None:
    """Two at one judgement neither, as when both clocks stand at it."""
    model, alert = Model(), an_alert("a", severity="critical")
    model.fire(0, alert)
    (name,) = model.incidents.open
    incident = model.incidents.open[name]
    events = [model.message(incident)]
    model.incidents.acknowledge(name, Acknowledged("ann", 0, ""))
    model.look(0)
    events.append(model.message(incident, "updated"))
    model.incidents.acknowledge(name, Acknowledged("bob", 0, ""))
    model.look(0)
    events.append(model.message(incident, "updated"))
    assert len(set(ids(events))) == len(events)
