"""The life cycle of alerts, as a table: inactive, pending, firing, resolved.

    state     answer    when                            next      says
    inactive  violated  `for` is 0                      firing    firing
    inactive  violated  otherwise                       pending
    inactive  clear                                     inactive
    pending   violated  `for` has passed since pending  firing    firing
    pending   violated  otherwise                       pending
    pending   clear                                     inactive
    firing    violated                                  firing
    firing    clear     `keep_firing_for` has passed    inactive  resolved
                        since it was last violated
    firing    clear     otherwise                       firing
    any       unknown                                   same

Unknown is the absence of a verdict: a window that has not moved, or holds too few events, neither raises nor clears.
Resolved is not a state to stay in: it is published once, and the alert is inactive. Times are those of judgements (pane
ends, ms UTC), so an alert is a function of the log alone. `for` counts from the first violated judgement; an alert's
`startsAt` is that judgement, and `endsAt` the one that resolved it.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from monitor.codec.canonical import canonical_json
from monitor.config.resolved import Rule
from monitor.errors import FormatError
from monitor.evaluate.state import AlertValue, JudgedWindow, LabelledState
from monitor.events import Labelled, Observation, Verdict

State = Literal["inactive", "pending", "firing"]
Answer = Literal["violated", "clear"]
Status = Literal["firing", "resolved"]


class Row(NamedTuple):
    """One row of the table: if `wait` (a duration of the rule) has not passed, the state is `until` and silent."""

    next: State
    says: Status | None = None
    wait: Literal["for", "keep_firing_for"] | None = None
    until: State = "inactive"


TABLE: Mapping[tuple[State, Answer], Row] = {
    ("inactive", "violated"): Row("firing", "firing", "for", "pending"),
    ("inactive", "clear"): Row("inactive"),
    ("pending", "violated"): Row("firing", "firing", "for", "pending"),
    ("pending", "clear"): Row("inactive"),
    ("firing", "violated"): Row("firing"),
    ("firing", "clear"): Row("inactive", "resolved", "keep_firing_for", "firing"),
}


@dataclass(frozen=True, slots=True)
class AlertState:
    """One alert that is pending, firing, or has fired before.

    `pending_since`: first violated judgement of the present stretch. `data_since`: start of the window judged there
    (None if there was none). `last_violated`: newest violated judgement. `episode`: how often it has fired.
    `verdict`: the newest.
    """

    fingerprint: str
    rule: Rule
    state: State
    pending_since: int
    data_since: int | None
    last_violated: int
    episode: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert that began to fire or was resolved at the judgement `at`.

    `also_drifting`: names, sorted, of other columns that violated the same rule at that judgement, and how many there
    were; at most NAMED are named.
    """

    at: int
    status: Status
    alert: AlertState
    also_drifting: tuple[str, ...]
    also_drifting_count: int


NAMED = 20
"""Most columns that an alert names beside its own."""


class Alerts:
    """The alerts of one model."""

    def __init__(self) -> None:
        self._states: dict[str, AlertState] = {}
        self._fingerprints: dict[tuple[tuple[str, str], ...], str] = {}
        """Fingerprints of all that rules have selected, by labels: a digest takes longer than a quiet judgement."""

    def judge(self, at: int, judged: Sequence[tuple[Rule, Verdict]]) -> list[Transition]:
        """Move every alert that has a verdict; return the transitions to publish, in the verdicts' order."""
        transitions: list[Transition] = []
        drifting = _Drifting(judged)
        for rule, verdict in judged:
            key = self._fingerprint(verdict.labels)
            if key not in self._states and not verdict.violated:
                continue  # inactive stays inactive: nearly all verdicts, at no cost
            after, says = advance(self._states.get(key), at, rule, verdict)
            if after is None:
                self._states.pop(key, None)
                continue
            self._states[key] = after
            if says is not None:
                transitions.append(Transition(at, says, after, *drifting.beside(rule, verdict.column)))
        return transitions

    def _fingerprint(self, labels: tuple[tuple[str, str], ...]) -> str:
        known = self._fingerprints.get(labels)
        if known is None:
            known = self._fingerprints[labels] = fingerprint(labels)
        return known

    def withdraw(self, at: int, rules: Sequence[Rule], is_there: Callable[[Verdict], bool]) -> list[Transition]:
        """New rules: alerts that none of them selects are forgotten, and resolved if they fire (evidence: the last).

        `is_there`: whether what a verdict is about can still be selected.

        The others go on under their rule as it is now, whatever has become of its threshold, window and durations.
        """
        self._fingerprints.clear()
        kept: dict[object, list[Rule]] = {}
        for rule in rules:
            kept.setdefault(_identity(rule), []).append(rule)
        transitions: list[Transition] = []
        for key in sorted(self._states):
            alert = self._states[key]
            like = kept.get(_identity(alert.rule), ()) if is_there(alert.verdict) else ()
            selecting = [rule for rule in like if _selects(rule, alert.verdict)]
            if selecting:
                self._states[key] = replace(alert, rule=selecting[0])
                continue
            del self._states[key]
            if alert.state == "firing":
                ended = max(at, alert.last_violated)  # the silence clock may be ahead of the panes
                transitions.append(Transition(ended, "resolved", replace(alert, state="inactive"), (), 0))
        return transitions

    def state(self, rules: Sequence[Rule]) -> tuple[AlertValue, ...]:
        """All alerts by fingerprint; `rules`: those that apply."""
        places: dict[object, list[int]] = {}
        for place, rule in enumerate(rules):
            places.setdefault(_identity(rule), []).append(place)
        alerts = [self._states[key] for key in sorted(self._states)]
        like = [places[_identity(alert.rule)] for alert in alerts]
        return tuple(
            _value_of(a, next(p for p in of if rules[p] == a.rule)) for a, of in zip(alerts, like, strict=True)
        )

    def restore(self, state: Sequence[AlertValue], rules: Sequence[Rule], model: str) -> None:
        """Go on from there. Raises FormatError."""
        for value in state:
            alert = _alert_of(value, rules, model)
            self._states[alert.fingerprint] = alert

    def firing(self) -> tuple[AlertState, ...]:
        """All that fire now, by fingerprint."""
        return tuple(self._states[key] for key in sorted(self._states) if self._states[key].state == "firing")

    def pending(self) -> tuple[AlertState, ...]:
        """All that wait for their `for`, by fingerprint."""
        return tuple(self._states[key] for key in sorted(self._states) if self._states[key].state == "pending")


def advance(
    before: AlertState | None, at: int, rule: Rule, verdict: Verdict
) -> tuple[AlertState | None, Status | None]:
    """One step of the table: the state after a verdict, and what to publish. None: inactive and never fired."""
    alert = before
    if alert is None or (alert.state == "inactive" and verdict.violated):
        since = verdict.window.start if verdict.window is not None else None
        episode = alert.episode if alert is not None else 0
        alert = AlertState(fingerprint(verdict.labels), rule, "inactive", at, since, at, episode, verdict)
    row = TABLE[alert.state, "violated" if verdict.violated else "clear"]
    last_violated = at if verdict.violated else alert.last_violated
    passed = {
        None: True,
        "for": at - alert.pending_since >= rule.for_ms,
        "keep_firing_for": at - last_violated >= rule.keep_firing_for_ms,
    }[row.wait]
    state, says = (row.next, row.says) if passed else (row.until, None)
    episode = alert.episode + (says == "firing")
    if state == "inactive" and episode == 0:
        return None, None
    return (
        replace(alert, rule=rule, state=state, last_violated=last_violated, episode=episode, verdict=verdict),
        says,
    )


def fingerprint(labels: tuple[tuple[str, str], ...]) -> str:
    """What names an alert: 16 hex digits of a digest of its sorted labels."""
    return hashlib.sha256(canonical_json(dict(sorted(labels)))).hexdigest()[:16]


def _value_of(alert: AlertState, rule: int) -> AlertValue:
    verdict, w = alert.verdict, alert.verdict.window
    return AlertValue(
        rule=rule,
        state=alert.state,
        pending_since=alert.pending_since,
        data_since=alert.data_since,
        last_violated=alert.last_violated,
        episode=alert.episode,
        labels=verdict.labels,
        stream=verdict.stream,
        column=verdict.column,
        value=verdict.value,
        op=verdict.op,
        threshold=verdict.threshold,
        threshold_source=verdict.threshold_source,
        reference_mean=verdict.reference_mean,
        violated=verdict.violated,
        window=None if w is None else _judged_window(w),
    )


def _judged_window(window: Observation) -> JudgedWindow:
    of = window.labelled
    labelled = None
    if of is not None:
        labelled = LabelledState(of.standing, of.predictions, of.labels, of.coverage, dict(of.intervals))
    return JudgedWindow(window.window, window.start, window.end, window.events, window.offsets, labelled)


def _alert_of(value: AlertValue, rules: Sequence[Rule], model: str) -> AlertState:
    if value.rule >= len(rules):
        raise FormatError(f"not a snapshot: an alert of rule {value.rule}, of {len(rules)}")
    w = value.window
    window = None
    if w is not None:
        of = w.labelled
        labelled = None if of is None else Labelled(of.standing, of.predictions, of.labels, of.coverage, of.intervals)
        window = Observation(model, "", value.stream, w.window, w.start, w.end, w.events, w.offsets, {}, {}, labelled)
    verdict = Verdict(
        labels=value.labels,
        stream=value.stream,
        column=value.column,
        value=value.value,
        op=value.op,
        threshold=value.threshold,
        threshold_source=value.threshold_source,
        reference_mean=value.reference_mean,
        violated=value.violated,
        window=window,
    )
    return AlertState(
        fingerprint(value.labels),
        rules[value.rule],
        value.state,
        value.pending_since,
        value.data_since,
        value.last_violated,
        value.episode,
        verdict,
    )


def _identity(rule: Rule) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """What must stay for a rule with another threshold, window, durations or annotations to be the same rule."""
    return rule.group, rule.alert, tuple(sorted(rule.labels.items()))


def _selects(rule: Rule, verdict: Verdict) -> bool:
    """Return true if a rule would still judge what the verdict is about: its metric, and its labels."""
    labels = dict(verdict.labels)
    of_metric = labels.get("metric", rule.comparison.metric) == rule.comparison.metric
    return of_metric and rule.comparison.matches({**labels, "stream": verdict.stream})


class _Drifting:
    """Which columns violate each rule at one judgement; found once, and only if something begins or ends."""

    def __init__(self, judged: Sequence[tuple[Rule, Verdict]]) -> None:
        self._judged = judged
        self._columns: list[tuple[Rule, list[str]]] = []

    def beside(self, rule: Rule, column: str | None) -> tuple[tuple[str, ...], int]:
        """The first columns by name beside this one, and how many there are."""
        if not self._columns:
            violated: list[tuple[Rule, set[str]]] = []
            for one, verdict in self._judged:  # the verdicts of a rule stand together
                if not violated or violated[-1][0] is not one:
                    violated.append((one, set()))
                if verdict.violated and verdict.column is not None:
                    violated[-1][1].add(verdict.column)
            self._columns = [(one, sorted(columns)) for one, columns in violated]
        columns = next(columns for one, columns in self._columns if one is rule)
        at = bisect_left(columns, column) if column is not None else len(columns)
        is_among = at < len(columns) and columns[at] == column
        named = [name for name in columns[: NAMED + 1] if name != column]
        return tuple(named[:NAMED]), len(columns) - is_among
