"""Alerts under others, and updates: random judgements of rules in any order above each other, against a slow oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.codec.canonical import canonical_json
from monitor.config.expression import parse
from monitor.config.resolved import Rule, WindowSpec
from monitor.evaluate.findings import NO_FINDINGS, Findings
from monitor.evaluate.lifecycle import Status, fingerprint
from monitor.evaluate.model_alerts import ModelAlerts, Transition
from monitor.evaluate.named import FIRST_MS, Names, by_importance
from monitor.evaluate.rules import depths
from monitor.events import NamedColumn, StreamName, Verdict

MINUTE = 60_000
COLUMNS: tuple[tuple[StreamName, str | None], ...] = (("features", "a"), ("features", "b"), ("predictions", "p"))
PLACES: tuple[tuple[StreamName, str | None], ...] = (*COLUMNS, ("features", None))


class Subject(NamedTuple):
    """What one rule judges of one place."""

    rule: Rule
    stream: StreamName
    column: str | None

    def __hash__(self) -> int:
        return hash((self.rule.alert, self.stream, self.column))

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        place = ("stream", str(self.stream)) if self.column is None else ("column", self.column)
        return tuple(sorted([("alertname", self.rule.alert), ("metric", "psi"), ("model", "m"), place]))

    @property
    def name(self) -> str:
        return self.rule.alert if self.column is None else f"{self.rule.alert}/{self.column}"

    def verdict(self, violated: bool) -> Verdict:
        return Verdict(self.labels, self.stream, self.column, 1.0, ">", 0.5, "constant", None, violated, None)


def a_rule(alert: str, under: str | None = None, for_: int = 0, keep: int = 0) -> Rule:
    return Rule(
        group="g",
        alert=alert,
        comparison=parse("psi > 0.5"),
        window=WindowSpec(events=100),
        for_ms=for_ * MINUTE,
        keep_firing_for_ms=keep * MINUTE,
        min_events=0,
        labels={},
        annotations={},
        under=under,
    )


class Said(NamedTuple):
    """What is published of an alert at one time."""

    at: int
    key: str
    status: Status
    episode: int
    under: tuple[str, ...]
    added: tuple[str, ...]


def said(transitions: Sequence[Transition]) -> list[Said]:
    return [
        Said(t.at, t.alert.fingerprint, t.status, t.alert.episode, t.alert.named.under, t.added.under)
        for t in transitions
    ]


Answers = dict[Subject, bool]
History = list[tuple[int, Answers]]


class Life:
    """Whether one alert fires at each judgement, from all of its verdicts: nothing above it matters for that."""

    def __init__(self, subject: Subject, history: History) -> None:
        self.fires: list[int] = []
        """Number of the episode at each judgement; 0: it does not fire."""
        self.violated: list[bool] = []
        stretch, last, episode, fires, violated = None, 0, 0, False, False
        for at, answers in history:
            violated = answers.get(subject, violated)
            if answers.get(subject) is True:
                last, stretch = at, at if stretch is None else stretch
                if not fires and at - stretch >= subject.rule.for_ms:
                    fires, episode = True, episode + 1
            elif answers.get(subject) is False:
                fires = fires and at - last < subject.rule.keep_firing_for_ms
                stretch = stretch if fires else None
            self.fires.append(episode if fires else 0)
            self.violated.append(violated)


def expected(subjects: Sequence[Subject], history: History, interval: int) -> list[list[Said]]:
    """What is to be published at each judgement, each alert by itself from the lives of all."""
    lives = {subject: Life(subject, history) for subject in subjects}
    above = {s: [o for o in subjects if o.rule.alert == s.rule.under and o.stream == s.stream] for s in subjects}
    below = {s: [o for o in subjects if s in above[o]] for s in subjects}
    found: list[list[Said]] = [[] for _ in history]
    for subject, life in lives.items():
        key = fingerprint(subject.labels)
        names: list[str] = []
        sent: int | None = None
        known = updates = 0
        for k, (at, _) in enumerate(history):
            episode = life.fires[k]
            if episode:
                new = sorted({other.name for other in below[subject] if lives[other].fires[k]} - set(names))
                names += new
                alone = not any(lives[other].fires[k] for other in above[subject])
                if sent is None and alone and life.violated[k]:
                    sent, known, updates = at, len(names), 0
                    found[k].append(Said(at, key, "firing", episode, tuple(names), ()))
                elif sent is not None and alone and known < len(names) and is_due(at - sent, updates, interval):
                    found[k].append(Said(at, key, "updated", episode, tuple(names), tuple(names[known:])))
                    sent, known, updates = at, len(names), updates + 1
            else:
                if sent is not None:
                    found[k].append(Said(at, key, "resolved", life.fires[k - 1], tuple(names), ()))
                names, sent = [], None
    return [sorted(each) for each in found]


def is_due(passed: int, updates: int, interval: int) -> bool:
    """Whether a multiple of FIRST_MS that is long enough lies at this judgement, or between it and the one before."""
    return any(passed - interval < k * FIRST_MS <= passed for k in range(2**updates, passed // FIRST_MS + 1))


@st.composite
def rules(draw: st.DrawFn) -> list[Rule]:
    """Up to five alerts, each under none or under one of those drawn before it, in any order."""
    names = ["A", "B", "C", "D", "E"][: draw(st.integers(1, 5))]
    made = [
        a_rule(name, draw(st.sampled_from([None, *names[:i]])), draw(st.integers(0, 2)), draw(st.integers(0, 3)))
        for i, name in enumerate(names)
    ]
    return draw(st.permutations(made))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Subject], History]:
    """Judgements at random distances, at each of which some alerts have a verdict."""
    of = draw(rules())
    ordered = [rule for _, rule in sorted(zip(depths(of), of, strict=True), key=lambda item: item[0])]
    subjects = [Subject(rule, *place) for rule in ordered for place in PLACES]
    history: History = []
    at = 0
    for _ in range(draw(st.integers(1, 30))):
        at += draw(st.sampled_from([1, 1, 2, 5, 30])) * MINUTE
        letters = draw(st.text("VVVc-", min_size=len(subjects), max_size=len(subjects)))
        changed = draw(st.booleans())
        answers = {s: letter == "V" for s, letter in zip(subjects, letters, strict=True) if letter != "-"}
        history.append((at, answers if changed else {}))
    return subjects, history


def some_alerts(interval: int) -> ModelAlerts:
    """Alerts that are judged so many minutes apart."""
    alerts = ModelAlerts()
    alerts.use(interval * MINUTE)
    return alerts


def judged(answers: Answers) -> list[tuple[Rule, Verdict]]:
    return [(subject.rule, subject.verdict(violated)) for subject, violated in answers.items()]


@settings(max_examples=300)
@given(histories(), st.integers(0, 30), st.sampled_from([1, 2, 5]))
def test_what_is_published_is_what_all_lives_together_give(
    made: tuple[list[Subject], History], restart: int, interval: int
) -> None:
    """However the alerts stand above each other, restarted at any judgement, and updates at their times."""
    subjects, history = made
    alerts, of = some_alerts(interval), list({subject.rule.alert: subject.rule for subject in subjects}.values())
    published = []
    for k, (at, answers) in enumerate(history):
        if k == restart:
            before, alerts = alerts.state(of), some_alerts(interval)
            alerts.restore(before, of, "m")
            assert alerts.state(of) == before
        published.append(sorted(said(alerts.judge(at, judged(answers)))))
    assert published == expected(subjects, history, interval * MINUTE)


@settings(max_examples=200)
@given(histories())
def test_a_run_of_judgements_may_be_passed_over_up_to_the_next_update(made: tuple[list[Subject], History]) -> None:
    """Without verdicts nothing is published but where `next_update` says, as at every minute of an hour and a half."""
    _, history = made
    slow, fast = some_alerts(1), some_alerts(1)
    for at, answers in history:
        slow.judge(at, judged(answers))
        fast.judge(at, judged(answers))
    at, end = history[-1][0], history[-1][0] + 90 * MINUTE
    wanted = [one for time in range(at + MINUTE, end + 1, MINUTE) for one in said(slow.judge(time, []))]
    found: list[Said] = []
    while (at := fast.next_update(at)) <= end:
        found += said(fast.judge(at, []))
    assert found == wanted
    assert all(one.status == "updated" for one in found)


@given(rules())
def test_those_above_are_judged_first(of: list[Rule]) -> None:
    """Each rule is deeper than all rules of the alert that it is under."""
    by_name = {rule.alert: depth for rule, depth in zip(of, depths(of), strict=True)}
    assert all(rule.under is None or by_name[rule.under] < by_name[rule.alert] for rule in of)


DRIFT, PSI = a_rule("Drift"), a_rule("Psi", under="Drift")
ABOVE = Subject(DRIFT, "features", None)
A, B, P = (Subject(PSI, stream, column) for stream, column in COLUMNS)


def play(*steps: dict[Subject, bool]) -> list[str]:
    """One judgement a minute; what is published at each, as alert!status."""
    alerts = ModelAlerts()
    names = {fingerprint(subject.labels): subject.name for subject in (ABOVE, A, B, P)}
    return [
        " ".join(f"{names[t.alert.fingerprint]}!{t.status}" for t in alerts.judge(k * MINUTE, judged(step)))
        for k, step in enumerate(steps)
    ]


@pytest.mark.parametrize(
    ("steps", "published"),
    [
        # what begins together is one message, and all of it ends with one
        ([{ABOVE: True, A: True, B: True}, {ABOVE: False, A: False, B: False}], ["Drift!firing", "Drift!resolved"]),
        # what outlives the alert above is published then, though it has no verdict
        ([{ABOVE: True, A: True}, {ABOVE: False}], ["Drift!firing", "Drift!resolved Psi/a!firing"]),
        # what was published before is resolved below it, and not published again behind it
        (
            [{A: True}, {ABOVE: True, A: True}, {ABOVE: False, A: True}, {A: False}],
            ["Psi/a!firing", "Drift!firing", "Drift!resolved", "Psi/a!resolved"],
        ),
        ([{A: True}, {ABOVE: True}, {A: False}], ["Psi/a!firing", "Drift!firing", "Psi/a!resolved"]),
        # the drift of another stream hides nothing
        ([{ABOVE: True, P: True}], ["Drift!firing Psi/p!firing"]),
    ],
)
def test_examples(steps: list[dict[Subject, bool]], published: list[str]) -> None:
    """One change, one page."""
    assert play(*steps) == published


def test_what_only_keeps_firing_is_not_published_when_the_alert_above_ends() -> None:
    """Its newest verdict is clear: a message would contradict itself. If it is violated again, it is published."""
    keeps = Subject(a_rule("Psi", under="Drift", keep=9), "features", "a")
    answers = [{ABOVE: True, keeps: True}, {keeps: False}, {ABOVE: False}, {keeps: True}]
    alerts = ModelAlerts()
    published = [[t.status for t in alerts.judge(k * MINUTE, judged(step))] for k, step in enumerate(answers)]
    assert published == [["firing"], [], ["resolved"], ["firing"]]
    assert len(alerts.firing()) == 1


def test_updates_wait_twice_as_long_each_time() -> None:
    """A column more every minute for four hours: updates after 5, 10, 20, 40 and 80 minutes, which name all."""
    alerts, named, times = ModelAlerts(), 0, []
    columns = [Subject(PSI, "features", f"c{k:03}") for k in range(240)]
    for k, column in enumerate(columns):
        for t in alerts.judge(k * MINUTE, judged({ABOVE: True, column: True})):
            named += len(t.added.under) if t.status == "updated" else len(t.alert.named.under)
            times.append(k)
    assert times == [0, 5, 15, 35, 75, 155]
    assert named == 156


def test_columns_that_are_found_later_are_updates_too() -> None:
    """Whatever gives the columns of an alert: each is named once as added, at the first update that is due."""
    known = ["a"]

    def find(verdict: Verdict) -> Findings:
        columns = tuple(NamedColumn(name, 9.0, "location", 0.5, 0.7) for name in known)
        return Findings(7, columns, 5) if verdict.column is None else NO_FINDINGS

    alerts = ModelAlerts(find)
    (begun,) = alerts.judge(0, judged({ABOVE: True}))
    assert (begun.alert.named.columns, begun.added) == (("a",), Names())
    assert begun.alert.data_since == 7
    known[:] = ["b", "a"]
    assert alerts.judge(4 * MINUTE, []) == []
    assert alerts.next_update(4 * MINUTE) == 5 * MINUTE
    (update,) = alerts.judge(6 * MINUTE, [])
    assert (update.status, update.added, update.alert.named.columns) == ("updated", Names(("b",)), ("a", "b"))
    known[:] = ["a"]  # what is no longer named is no news
    assert alerts.judge(600 * MINUTE, []) == []


def test_what_new_rules_leave_alone_is_published_at_the_next_judgement() -> None:
    """Not before: the alert above may have another label now, and fire again there."""
    alerts, other = ModelAlerts(), DRIFT.model_copy(update={"labels": {"severity": "page"}})
    alerts.judge(0, judged({ABOVE: True, A: True}))
    (ended,) = alerts.withdraw(MINUTE, [other, PSI], lambda _: True)
    assert ended.alert.rule.alert == "Drift"
    (published,) = alerts.judge(MINUTE, judged({ABOVE._replace(rule=other): True}))
    assert (published.alert.rule, published.alert.named.under) == (other, ("Psi/a",))
    assert alerts.withdraw(2 * MINUTE, [other, a_rule("Psi")], lambda _: True) == []
    (published,) = alerts.judge(2 * MINUTE, [])
    assert (published.status, published.alert.rule.alert) == ("firing", "Psi")


def test_a_verdict_under_another_threshold_publishes_nothing() -> None:
    """A message would say what the rule no longer does; the next verdict decides."""
    alerts, edited = ModelAlerts(), PSI.model_copy(update={"comparison": parse("psi > 0.9")})
    alerts.judge(0, judged({ABOVE: True, A: True, B: True}))
    assert alerts.withdraw(MINUTE, [DRIFT, edited], lambda _: True) == []
    (ended,) = alerts.judge(MINUTE, judged({ABOVE: False}))
    assert (ended.status, ended.alert.rule.alert) == ("resolved", "Drift")
    of = (A._replace(rule=edited), B._replace(rule=edited))
    (published,) = alerts.judge(2 * MINUTE, judged({of[0]: True, of[1]: False}))
    assert (published.status, published.alert.verdict.column) == ("firing", "a")


def test_hidden_alerts_of_rules_that_go_leave_no_message() -> None:
    """No message has ever said that they fire."""
    alerts = ModelAlerts()
    alerts.judge(0, judged({ABOVE: True, A: True}))
    assert [t.alert.rule.alert for t in alerts.withdraw(MINUTE, [], lambda _: True)] == ["Drift"]
    assert alerts.firing() == ()
    assert canonical_json([alert.labels for alert in alerts.state([])]) == b"[]"


def test_columns_stand_by_importance_and_drift() -> None:
    """Four columns of a stream, of which one matters most, one not at all, and two are not named."""
    columns = [NamedColumn(name, z, "location", 0.0, 1.0) for name, z in (("a", 4), ("b", 9), ("c", 4), ("d", 50))]
    ordered = by_importance(columns, {"c": 0.6, "d": 0.0}, number=4)
    assert [column.column for column in ordered] == ["c", "b", "a", "d"]
    assert [column.column for column in by_importance(columns, {}, number=4)] == ["d", "b", "a", "c"]
