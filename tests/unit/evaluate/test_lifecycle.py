"""The life cycle of alerts: the table row by row, and random sequences against a slow oracle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.expression import parse
from monitor.config.resolved import Rule, WindowSpec
from monitor.evaluate import model_alerts
from monitor.evaluate.lifecycle import FIRES, TABLE, Answer, State, Status, fingerprint
from monitor.evaluate.model_alerts import ModelAlerts, Transition
from monitor.events import Observation, Verdict

STEP = 30_000


def a_rule(for_ms: int = 0, keep_ms: int = 0, alert: str = "Drift", expr: str = "psi > 0.25") -> Rule:
    return Rule(
        group="drift",
        alert=alert,
        comparison=parse(expr),
        window=WindowSpec(events=100, every=10, time_ms=None, every_ms=None),
        for_ms=for_ms,
        keep_firing_for_ms=keep_ms,
        min_events=0,
        labels={"severity": "warning"},
        annotations={},
    )


def always(verdict: Verdict) -> bool:
    """All is there that was."""
    return True


def a_verdict(violated: bool, column: str = "amount", window: Observation | None = None) -> Verdict:
    labels = (("alertname", "Drift"), ("column", column), ("metric", "psi"), ("model", "m"), ("severity", "warning"))
    value = 0.5 if violated else 0.1
    return Verdict(labels, "features", column, value, ">", 0.25, "constant", None, violated, window)


def play(rule: Rule, answers: str, alerts: ModelAlerts | None = None) -> list[str]:
    """One letter a judgement: V violated, c clear, - no verdict. Returns per judgement the state and what is said."""
    alerts = alerts or ModelAlerts()
    reported = []
    for k, answer in enumerate(answers):
        judged = [] if answer == "-" else [(rule, a_verdict(answer == "V"))]
        published = alerts.judge(k * STEP, judged)
        state = "firing" if alerts.firing() else "pending" if alerts.pending() else "inactive"
        reported.append(state + "".join(f"!{t.status}" for t in published))
    return reported


@pytest.mark.parametrize(
    ("for_steps", "keep_steps", "answers", "reported"),
    [
        (0, 0, "V", "firing!firing"),
        (0, 0, "c", "inactive"),
        (0, 0, "Vc", "firing!firing inactive!resolved"),
        (0, 0, "VV", "firing!firing firing"),
        (1, 0, "V", "pending"),
        (1, 0, "VV", "pending firing!firing"),
        (2, 0, "VVcVVV", "pending pending inactive pending pending firing!firing"),
        (2, 0, "V--V", "pending pending pending firing!firing"),
        (0, 2, "VccV", "firing!firing firing inactive!resolved firing!firing"),
        (0, 2, "VcVccc", "firing!firing firing firing firing inactive!resolved inactive"),
        (0, 2, "V----c", "firing!firing firing firing firing firing inactive!resolved"),
        (0, 0, "V---", "firing!firing firing firing firing"),
    ],
)
def test_the_table(for_steps: int, keep_steps: int, answers: str, reported: str) -> None:
    """Each row: raise after `for`, keep for `keep_firing_for`; silence neither raises nor clears."""
    assert play(a_rule(for_steps * STEP, keep_steps * STEP), answers) == reported.split()


def a_window(end: int) -> Observation:
    return Observation("m", "", "features", "events=100,every=10", end - STEP, end, 100, (), {}, {})


@pytest.mark.parametrize(
    ("ends", "answers", "reported"),
    [
        ([1, 2, 3, 4], "VVVV", "pending pending firing!firing firing"),
        ([1, 2, 3, 4, 5], "VVcVV", "pending pending inactive pending pending"),
        ([1, 2, 2, 2, 3], "VVVVV", "pending pending pending pending firing!firing"),
        ([1, 2, 3, 4, 9], "V--VV", "pending pending pending pending firing!firing"),
        ([1, 2, 3, 4, 5], "VVVcV", "pending pending firing!firing inactive!resolved pending"),
    ],
)
def test_windows_in_a_row_are_counted_once_each(ends: list[int], answers: str, reported: str) -> None:
    """`for_windows: 3`: a clear one begins again, one without a verdict counts neither way, nor one judged again."""
    rule, alerts, found = replace_rule(a_rule(), for_windows=3), ModelAlerts(), list[str]()
    for k, (end, answer) in enumerate(zip(ends, answers, strict=True)):
        judged = [(rule, a_verdict(answer == "V", window=a_window(end * STEP)))] if answer != "-" else []
        published = alerts.judge(k * STEP, judged)
        state = "firing" if alerts.firing() else "pending" if alerts.pending() else "inactive"
        found.append(state + "".join(f"!{t.status}" for t in published))
    assert found == reported.split()


@pytest.mark.parametrize(
    ("keep_steps", "answers", "reported"),
    [
        (0, "b", "inactive"),
        (0, "Vbc", "firing!firing firing inactive!resolved"),
        (0, "Vbbcb", "firing!firing firing firing inactive!resolved inactive"),
        (2, "Vcbccc", "firing!firing firing firing firing inactive!resolved inactive"),
    ],
)
def test_an_alert_that_fires_ends_on_the_safe_side_of_its_recovery_threshold(
    keep_steps: int, answers: str, reported: str
) -> None:
    """b: between both thresholds. That raises nothing, and counts as violated while it fires."""
    rule, alerts, found = a_rule(keep_ms=keep_steps * STEP), ModelAlerts(), list[str]()
    for k, answer in enumerate(answers):
        value = {"V": 0.5, "b": 0.2, "c": 0.1}[answer]
        verdict = replace(a_verdict(answer == "V"), value=value, recovery_threshold=0.1)
        published = alerts.judge(k * STEP, [(rule, verdict)])
        state = "firing" if alerts.firing() else "inactive"
        found.append(state + "".join(f"!{t.status}" for t in published))
    assert found == reported.split()


def test_the_table_is_whole() -> None:
    """Each state has a row for each answer; only those that fire are asked whether they are alone."""
    assert set(TABLE) == {
        (state, answer)
        for state in get_args(State)
        for answer in get_args(Answer)
        if answer != "alone" or state in FIRES
    }


@dataclass
class Oracle:
    """An alert told from its whole history of (time, violated), anew at each judgement."""

    for_ms: int
    keep_ms: int
    history: list[tuple[int, bool]] = field(default_factory=list)

    def reported(self) -> list[tuple[int, Status]]:
        published: list[tuple[int, Status]] = []
        stretch: int | None = None
        last = 0
        for at, violated in self.history:
            fires = bool(published) and published[-1][1] == "firing"
            if violated:
                last = at
                stretch = at if stretch is None else stretch
                if not fires and at >= stretch + self.for_ms:
                    published.append((at, "firing"))
            elif not fires:
                stretch = None
            elif at >= last + self.keep_ms:
                published.append((at, "resolved"))
                stretch = None
        return published


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from("VVcc-")), max_size=40),
    st.integers(0, 6),
    st.integers(0, 6),
)
def test_any_sequence_publishes_what_its_history_gives(
    steps: list[tuple[int, str]], for_steps: int, keep_steps: int
) -> None:
    """Random judgements at random distances give the oracle's transitions; firing and resolved alternate."""
    rule = a_rule(for_steps * STEP, keep_steps * STEP)
    alerts, oracle = ModelAlerts(), Oracle(rule.for_ms, rule.keep_firing_for_ms)
    published: list[Transition] = []
    at = 0
    for distance, answer in steps:
        at += distance * STEP
        if answer == "-":
            published += alerts.judge(at, [])
            continue
        oracle.history.append((at, answer == "V"))
        published += alerts.judge(at, [(rule, a_verdict(answer == "V"))])
    assert [(t.at, t.status) for t in published] == oracle.reported()
    assert [t.alert.episode for t in published] == [k // 2 + 1 for k in range(len(published))]
    assert all(t.at - t.alert.pending_since >= rule.for_ms for t in published)


def test_starts_at_is_the_first_violated_judgement() -> None:
    """`pending_since` is the begin of the stretch that fired, also in the resolved message."""
    rule, alerts = a_rule(for_ms=STEP), ModelAlerts()
    published = []
    for at, violated in [(0, True), (1, False), (2, True), (2 + STEP, True), (3 + STEP, False)]:
        published += alerts.judge(at, [(rule, a_verdict(violated))])
    assert [(t.status, t.alert.pending_since) for t in published] == [("firing", 2), ("resolved", 2)]


def test_the_resolving_judgement_is_the_evidence() -> None:
    """A resolved alert carries the verdict that cleared it."""
    rule, alerts = a_rule(), ModelAlerts()
    alerts.judge(0, [(rule, a_verdict(True))])
    (resolved,) = alerts.judge(1, [(rule, a_verdict(False))])
    assert resolved.alert.verdict.value == 0.1


def test_other_columns_of_the_rule_are_named() -> None:
    """`also_drifting`: the other columns that violate the same rule at the same judgement, sorted."""
    rule, other = a_rule(), a_rule(alert="Other")
    judged = [(rule, a_verdict(v, c)) for c, v in [("z", True), ("b", True), ("quiet", False), ("a", True)]]
    judged.append((other, replace(a_verdict(True, "unrelated"), labels=(("alertname", "Other"),))))
    published = ModelAlerts().judge(0, judged)
    assert [t.also_drifting for t in published] == [("a", "b"), ("a", "z"), ("b", "z"), ()]
    assert [t.also_drifting_count for t in published] == [2, 2, 2, 0]


def test_of_many_other_columns_twenty_are_named_and_all_are_counted() -> None:
    """A storm of 300 columns and 3 rules: as many names are kept as messages hold, whichever column it is."""
    rules = [a_rule(alert=f"A{i}") for i in range(3)]
    columns = [f"c{i:03}" for i in range(300)]
    judged = [
        (rule, replace(a_verdict(True, c), labels=(("alertname", rule.alert), ("column", c))))
        for rule in rules
        for c in columns
    ]
    published = ModelAlerts().judge(0, judged)
    assert len(published) == 900
    assert {t.also_drifting_count for t in published} == {299}
    for transition in published:
        others = [c for c in columns if c != transition.alert.verdict.column]
        assert transition.also_drifting == tuple(others[:20])


def test_labels_are_digested_once_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20,000 quiet verdicts each is looked up at every judgement, and none is digested again."""
    digested: list[object] = []

    def counted(labels: tuple[tuple[str, str], ...]) -> str:
        digested.append(labels)
        return fingerprint(labels)

    monkeypatch.setattr(model_alerts, "fingerprint", counted)
    rule, alerts = a_rule(), ModelAlerts()
    quiet = [(rule, replace(a_verdict(False), labels=(("column", str(i)),))) for i in range(20_000)]
    for at in range(3):
        alerts.judge(at, quiet)
    assert len(digested) == 20_000


def test_alerts_of_rules_that_are_gone_are_resolved() -> None:
    """New rules: what fires under a rule that is gone is resolved with its last evidence; durations may change."""
    gone, kept = a_rule(), a_rule(alert="Kept")
    alerts = ModelAlerts()
    verdicts = [(gone, a_verdict(True)), (kept, replace(a_verdict(True), labels=(("alertname", "Kept"),)))]
    alerts.judge(0, verdicts)
    (published,) = alerts.withdraw(STEP, [a_rule(alert="Kept", keep_ms=STEP)], always)
    assert (published.status, published.alert.fingerprint, published.alert.verdict) == (
        "resolved",
        fingerprint(verdicts[0][1].labels),
        verdicts[0][1],
    )
    (still,) = alerts.firing()
    assert still.rule.keep_firing_for_ms == STEP
    assert alerts.withdraw(2 * STEP, [kept], always) == []


def test_a_fingerprint_is_a_digest_of_the_sorted_labels() -> None:
    """The order of labels does not matter; 16 hex digits, the same for ever."""
    labels = (("alertname", "Drift"), ("model", "m"))
    assert fingerprint(labels) == fingerprint(tuple(reversed(labels))) == "3192c1767632efc8"


def test_alerts_that_never_fired_are_not_kept() -> None:
    """Pending and back leaves no state behind."""
    alerts, rule = ModelAlerts(), a_rule(for_ms=STEP)
    alerts.judge(0, [(rule, a_verdict(True))])
    alerts.judge(1, [(rule, a_verdict(False))])
    assert not alerts._states


@pytest.mark.parametrize("edited", ["psi > 0.26", "psi >= 0.9", "psi > reference_mean + 3 * reference_std"])
def test_an_edited_threshold_window_or_duration_keeps_the_state(edited: str) -> None:
    """An alert is group, alert and labels: it goes on firing, with its start and its episode, and is resolved once."""
    alerts = ModelAlerts()
    alerts.judge(0, [(a_rule(), a_verdict(True))])
    rule = replace_rule(a_rule(expr=edited, for_ms=5 * STEP), window=WindowSpec(events=50))
    assert alerts.withdraw(STEP, [rule], always) == []
    (firing,) = alerts.firing()
    assert (firing.episode, firing.pending_since, firing.rule) == (1, 0, rule)
    assert alerts.judge(2 * STEP, [(rule, a_verdict(True))]) == []
    (published,) = alerts.judge(3 * STEP, [(rule, a_verdict(False))])
    assert (published.status, published.alert.episode) == ("resolved", 1)


@pytest.mark.parametrize(
    ("edited", "kept"),
    [
        ('psi{column="amount"} > 0.25', True),
        ('psi{column=~"am.*", stream="features"} > 0.25', True),
        ('psi{column!="amount"} > 0.25', False),
        ('psi{stream="predictions"} > 0.25', False),
        ("ks > 0.25", False),
    ],
)
def test_what_a_rule_no_longer_selects_is_resolved(edited: str, kept: bool) -> None:
    """Another selector or metric: nobody would judge that alert again."""
    alerts = ModelAlerts()
    alerts.judge(0, [(a_rule(), a_verdict(True))])
    published = [t.status for t in alerts.withdraw(STEP, [a_rule(expr=edited)], always)]
    assert published == ([] if kept else ["resolved"])
    assert len(alerts.firing()) == kept


def test_two_rules_of_one_name_keep_their_own_alerts() -> None:
    """The built-in NoData is two rules of one group, name and labels: each goes on under the one that selects it."""
    silence, vanished = a_rule(expr="seconds_since_last_event > 9"), a_rule(expr="vanished > 0")
    verdict = a_verdict(True)
    labels = tuple((name, "vanished" if name == "metric" else value) for name, value in verdict.labels)
    alerts = ModelAlerts()
    alerts.judge(0, [(vanished, replace(verdict, labels=labels))])
    assert alerts.withdraw(STEP, [a_rule(expr="seconds_since_last_event > 12"), vanished], always) == []
    assert alerts.firing()[0].rule == vanished
    assert [t.status for t in alerts.withdraw(STEP, [silence], always)] == ["resolved"]


def replace_rule(rule: Rule, **fields: object) -> Rule:
    return rule.model_copy(update=fields)
