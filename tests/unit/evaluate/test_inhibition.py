"""Inhibition: random judgements under random inhibit rules, against a slow oracle; and examples of each rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.matchers import parse_matcher
from monitor.config.resolved import InhibitRule, Rule
from monitor.evaluate.findings import NO_FINDINGS, Findings
from monitor.evaluate.lifecycle import AlertState, fingerprint
from monitor.evaluate.model_alerts import ModelAlerts, Transition
from monitor.events import NamedColumn, Verdict
from tests.unit.evaluate.test_under import MINUTE, Answers, History, Subject, a_rule, histories, judged

MATCHERS = ("alertname=A", "alertname=~[AB]", "alertname!=C", "column=a", "stream=features", "column=", "metric=psi")


def inhibit(source: str, target: str, *equal: str) -> InhibitRule:
    """A rule; matchers of a side are separated by blanks."""
    sides = (tuple(map(parse_matcher, side.split())) for side in (source, target))
    return InhibitRule(source=next(sides), target=next(sides), equal=equal)


@st.composite
def inhibit_rules(draw: st.DrawFn) -> list[InhibitRule]:
    """Up to three, which may be about the same alerts on both sides."""
    side = st.lists(st.sampled_from(MATCHERS), min_size=1, max_size=2)
    equal = st.sampled_from([(), ("column",), ("stream",), ("column", "metric")])
    count = draw(st.integers(0, 3))
    return [inhibit(" ".join(draw(side)), " ".join(draw(side)), *draw(equal)) for _ in range(count)]


def some_alerts(rules: Sequence[InhibitRule]) -> ModelAlerts:
    alerts = ModelAlerts()
    alerts.use(MINUTE, rules)
    return alerts


def labels_of(alert: AlertState) -> dict[str, str]:
    return {**dict(alert.verdict.labels), "stream": alert.verdict.stream}


def muters(target: AlertState, firing: Sequence[AlertState], rules: Sequence[InhibitRule]) -> list[str]:
    """Who inhibits an alert, pair by pair and rule by rule, as Alertmanager's documentation has it."""
    found = []
    for source in firing:
        for rule in rules:
            own, other = labels_of(target), labels_of(source)
            is_source, is_target = (
                [all(m.matches(labels) for m in side) for labels in (own, other)] for side in (rule.source, rule.target)
            )
            is_alike = all(own.get(label, "") == other.get(label, "") for label in rule.equal)
            is_both = is_source[0] and is_source[1] and is_target[0] and is_target[1]
            is_seen = source.state == "firing" and source.fingerprint != target.fingerprint
            if is_seen and is_source[1] and is_target[0] and is_alike and not is_both:
                found.append(source.fingerprint)
    return sorted(set(found))


class Seen(NamedTuple):
    """What one message says of an alert."""

    key: str
    status: str
    episode: int
    inhibited_by: tuple[str, ...]


def seen(transitions: Sequence[Transition]) -> list[Seen]:
    return [Seen(t.alert.fingerprint, t.status, t.alert.episode, t.alert.inhibited_by) for t in transitions]


def turns(transitions: Sequence[Transition]) -> list[tuple[str, str, int]]:
    """The messages by which alerts begin and end."""
    return [(one.key, one.status, one.episode) for one in seen(transitions) if one.status != "updated"]


@settings(max_examples=300)
@given(histories(), inhibit_rules(), st.integers(0, 30))
def test_alerts_are_inhibited_as_the_oracle_has_it(
    made: tuple[list[Subject], History], rules: list[InhibitRule], restart: int
) -> None:
    """Hidden or not, restarted at any judgement; alerts begin and end as without inhibit rules."""
    subjects, history = made
    of = list({subject.rule.alert: subject.rule for subject in subjects}.values())
    alerts, plain = some_alerts(rules), some_alerts([])
    newest: dict[str, tuple[str, ...]] = {}
    for k, (at, answers) in enumerate(history):
        if k == restart:
            before, alerts = alerts.state(of), some_alerts(rules)
            alerts.restore(before, of, "m")
            assert alerts.state(of) == before
        found, wanted = alerts.judge(at, judged(answers)), plain.judge(at, judged(answers))
        firing = alerts.firing()
        by = {alert.fingerprint: muters(alert, firing, rules) for alert in firing}
        assert [bool(alert.inhibited_by) for alert in firing] == [bool(by[alert.fingerprint]) for alert in firing]
        assert turns(found) == turns(wanted)
        for one in seen(found):
            if one.status == "resolved":
                assert one.inhibited_by == newest.pop(one.key)
            else:
                assert list(one.inhibited_by) == by[one.key]
                newest[one.key] = one.inhibited_by
        for alert in firing:  # whoever has read all messages knows who is muted, and by one that fires
            if alert.state == "firing":
                assert newest[alert.fingerprint] == alert.inhibited_by
                assert not alert.inhibited_by or not set(by[alert.fingerprint]).isdisjoint(alert.inhibited_by)


NULLS, PSI, DRIFT = a_rule("Nulls"), a_rule("Psi"), a_rule("Drift")
HIDDEN = a_rule("Psi", under="Drift")
NULLS_A, NULLS_B = (Subject(NULLS, "features", column) for column in "ab")
PSI_A = Subject(PSI, "features", "a")
OF_DRIFT = Subject(DRIFT, "features", None)
SHIPPED = (inhibit("alertname=Nulls", "alertname=~Psi|Drift", "column"),)


class Run:
    """Judgements a minute apart; `columns`: those that `drift` names now, with their z."""

    def __init__(self, *rules: InhibitRule) -> None:
        self.columns: dict[str, float | tuple[float, str]] = {}
        self._rules = rules
        self.alerts = self._made()
        self._at = 0

    def _made(self) -> ModelAlerts:
        alerts = ModelAlerts(self._find)
        alerts.use(MINUTE, self._rules)
        return alerts

    def _find(self, verdict: Verdict) -> Findings:
        if verdict.column is not None or not verdict.violated:
            return NO_FINDINGS
        named = []
        for name, said in self.columns.items():
            z, other = said if isinstance(said, tuple) else (said, None)
            named.append(NamedColumn(name, z, "correlation" if other else "location", 0.5, 0.7, other))
        return Findings(7, tuple(named), 5)

    def restart(self, *rules: Rule) -> None:
        """Go on from a snapshot."""
        state, self.alerts = self.alerts.state(rules), self._made()
        self.alerts.restore(state, rules, "m")

    def judge(self, answers: Answers) -> list[str]:
        """One judgement: alert!status, < who inhibits it, -columns that are struck."""
        self._at += MINUTE
        names = {fingerprint(s.labels): s.name for s in (NULLS_A, NULLS_B, PSI_A, OF_DRIFT)}
        return [
            " ".join(
                [
                    f"{t.alert.name}!{t.status}",
                    *(f"<{names[key]}" for key in t.alert.inhibited_by),
                    *(f"-{column}" for column in t.alert.struck),
                ]
            )
            for t in self.alerts.judge(self._at, judged(answers))
        ]


def test_what_begins_together_is_inhibited_from_its_first_message_on() -> None:
    """Whichever rule stands first; other columns are not; and the end of both says who inhibited it."""
    run = Run(*SHIPPED)
    other = Subject(PSI, "features", "b")
    begun = run.judge({PSI_A: True, other: True, NULLS_A: True})
    assert begun == ["Psi/a!firing <Nulls/a", "Psi/b!firing", "Nulls/a!firing"]
    assert run.judge({PSI_A: False, NULLS_A: False}) == ["Psi/a!resolved <Nulls/a", "Nulls/a!resolved"]


def test_an_alert_is_updated_when_it_begins_and_ceases_to_be_inhibited() -> None:
    """With the ids of each update apart, at whatever time."""
    run = Run(*SHIPPED)
    assert run.judge({PSI_A: True}) == ["Psi/a!firing"]
    assert run.judge({NULLS_A: True}) == ["Nulls/a!firing", "Psi/a!updated <Nulls/a"]
    run.restart(PSI, NULLS)
    assert run.judge({}) == []
    assert run.judge({NULLS_A: False}) == ["Nulls/a!resolved", "Psi/a!updated"]
    (alert,) = run.alerts.firing()
    assert (alert.is_muted, alert.mutings) == (False, 2)


def test_none_inhibits_itself_and_a_pair_that_matches_both_sides_does_not_either() -> None:
    """As in Alertmanager: else two alerts of one rule would mute each other, and nobody would see either."""
    run = Run(inhibit("stream=features", "stream=features"))
    assert run.judge({PSI_A: True, NULLS_A: True}) == ["Psi/a!firing", "Nulls/a!firing"]
    half = Run(inhibit("alertname=Nulls", "stream=features"))
    assert half.judge({PSI_A: True, NULLS_A: True}) == ["Psi/a!firing <Nulls/a", "Nulls/a!firing"]


def test_what_is_inhibited_inhibits_others_and_what_is_hidden_does_not() -> None:
    """A chain mutes all of it but its head; nobody knows of a hidden alert."""
    chain = Run(inhibit("alertname=Nulls", "alertname=Psi"), inhibit("alertname=Psi", "alertname=Drift"))
    assert chain.judge({NULLS_A: True, PSI_A: True, OF_DRIFT: True}) == [
        "Nulls/a!firing",
        "Psi/a!firing <Nulls/a",
        "Drift!firing <Psi/a",
    ]
    hidden = Run(inhibit("alertname=Psi", "alertname=Drift"))
    assert hidden.judge({OF_DRIFT: True, Subject(HIDDEN, "features", "a"): True}) == ["Drift!firing"]


def test_columns_of_drift_are_struck_and_it_is_inhibited_when_none_is_left() -> None:
    """One after the other, and back again; what is struck is news when it is not any more."""
    run = Run(*SHIPPED)
    run.columns = {"a": 20.0, "b": 9.0}
    assert run.judge({OF_DRIFT: True, NULLS_A: True}) == ["Drift!firing -a", "Nulls/a!firing"]
    assert run.judge({NULLS_B: True}) == ["Nulls/b!firing", "Drift!updated <Nulls/a <Nulls/b"]
    run.restart(DRIFT, NULLS)
    assert run.judge({NULLS_A: False}) == ["Nulls/a!resolved", "Drift!updated -b"]
    assert run.judge({NULLS_B: False}) == ["Nulls/b!resolved"]
    (alert,) = run.alerts.firing()
    assert alert.struck == ()


def test_what_chance_names_beside_a_struck_column_is_not_left() -> None:
    """A tenth of the columns named is by chance; a clear one counts, and several that are less clear."""
    for columns, is_inhibited in (
        ({"a": 20.0, "b": 3.1}, True),
        ({"a": 20.0, "b": 5.0}, False),
        ({"a": 20.0, **dict.fromkeys("bcde", 4.1)}, False),
    ):
        run = Run(*SHIPPED)
        run.columns = dict(columns)
        (drift, _) = run.judge({OF_DRIFT: True, NULLS_A: True})
        assert drift == ("Drift!firing <Nulls/a" if is_inhibited else "Drift!firing -a")


def test_a_correlation_with_a_struck_column_is_struck() -> None:
    """Whichever of both is broken."""
    run = Run(*SHIPPED)
    run.columns = {"b": (9.0, "a")}
    assert run.judge({OF_DRIFT: True, NULLS_A: True}) == ["Drift!firing <Nulls/a", "Nulls/a!firing"]


def test_an_alert_that_drift_hides_counts_as_a_column_that_is_left() -> None:
    """Else nobody would hear of it: unless it is inhibited, too."""
    run, below = Run(*SHIPPED), [Subject(HIDDEN, "features", column) for column in ("a", "b")]
    run.columns = {"a": 20.0}
    assert run.judge({OF_DRIFT: True, NULLS_A: True, below[0]: True})[0] == "Drift!firing <Nulls/a"
    assert run.judge({below[1]: True}) == ["Drift!updated -a"]
    assert run.judge({below[1]: False}) == ["Drift!updated <Nulls/a"]


def test_drift_that_is_clear_again_stays_as_it_was_until_its_sources_end() -> None:
    """While `keep_firing_for` runs nothing new is known of its columns."""
    keeps, run = Subject(a_rule("Drift", keep=9), "features", None), Run(*SHIPPED)
    run.columns = {"a": 20.0}
    assert run.judge({keeps: True, NULLS_A: True})[0] == "Drift!firing <Nulls/a"
    assert run.judge({keeps: False}) == []
    assert run.judge({NULLS_A: False}) == ["Nulls/a!resolved", "Drift!updated"]


def test_without_its_rules_nothing_stays_inhibited() -> None:
    """At the next judgement, with an update."""
    run = Run(*SHIPPED)
    run.judge({PSI_A: True, NULLS_A: True})
    run.alerts.use(MINUTE)
    assert run.judge({}) == ["Psi/a!updated"]


@pytest.mark.parametrize("silenced", [True, False])
def test_an_alert_is_muted_by_both_at_once(silenced: bool) -> None:
    """One update says both; either is enough to be muted."""
    run = Run(*SHIPPED)
    run.judge({PSI_A: True})
    silences = ("0123456789abcdef",) if silenced else ()
    (_, after) = run.alerts.judge(9 * MINUTE, judged({NULLS_A: True}), lambda alert: silences)
    assert (after.alert.silenced_by, bool(after.alert.inhibited_by)) == (silences, True)
    assert after.alert.mutings == 1
