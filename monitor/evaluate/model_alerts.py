"""The alerts of one model: each in its life (`lifecycle.py`), and which of them are under another.

The rules of this file:

- At a judgement every alert answers its verdict, those that others are under first: so of alerts that begin together
  only those are published that have none above them. A model's verdicts come in that order.
- Behind all verdicts, alerts that fire join the one that they are under; then those that are alone answer that.
- A rule gives no verdict while an alert fires that stands in its `unless`: on any of both without a column, else on the
  same one. Those are judged before it, so of alerts that begin together only they are raised; those on silence count as
  they stand by their own clock.
- Alerts on silence have a clock of their own and are under none, and none is under them.
- A list of joined alerts holds all that have been there in the episode, whatever has become of them.
- Last, what mutes those that fire is looked at, of all at every judgement: so silences and inhibition begin and end
  by either clock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from monitor.config.comparison import Comparison
from monitor.config.metrics import DRIFT
from monitor.config.resolved import InhibitRule, Rule
from monitor.evaluate.findings import NO_FINDINGS, Findings
from monitor.evaluate.inhibition import NOT_INHIBITED, Inhibition
from monitor.evaluate.lifecycle import FOREVER, AlertState, Reason, Status, accept, advance, fingerprint, stand_alone
from monitor.evaluate.named import FIRST_MS, NO_NAMES, NOTHING, Names
from monitor.evaluate.saved_alerts import alert_of, value_of
from monitor.evaluate.state import AcceptedState, AlertValue
from monitor.events import StreamName, Verdict


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert of which something is published at the judgement `at`.

    `also_drifting`: names, sorted, of other columns that violated the same rule at that judgement, and how many there
    were; at most NAMED are named. `added`: of an update, what no message has named before. `muting`: true of an update
    by which something else mutes it than before. `incident`: id of the incident that the alert is in, if any.
    `reason`: why it is resolved, if not by its verdict or other rules.
    """

    at: int
    status: Status
    alert: AlertState
    also_drifting: tuple[str, ...] = ()
    also_drifting_count: int = 0
    added: Names = NO_NAMES
    muting: bool = False
    incident: str = ""
    reason: Reason | None = None


SilencesOf = Callable[[AlertState], tuple[str, ...]]
"""Gives the ids of the silences that are active for an alert."""


class _Spoken(NamedTuple):
    """An alert of which something is published. `muting`: an update by which something else mutes it than before.

    `names_are_due`: false of an update for the sake of these alone.
    """

    alert: AlertState
    says: Status
    names_are_due: bool = True
    muting: bool = False


NAMED = 20
"""Most columns that an alert names beside its own."""


_Subject = tuple[StreamName, str | None]
"""A stream and one of its columns, or None of a rule on something else."""


class ModelAlerts:
    """Those of one model."""

    def __init__(self, find: Callable[[Verdict], Findings] = lambda _: NO_FINDINGS) -> None:
        self._find = find
        self._interval_ms = FIRST_MS
        self._inhibition = Inhibition()
        self._states: dict[str, AlertState] = {}
        self._firing: dict[tuple[str, StreamName], set[str]] = {}
        """Fingerprints of those that fire, by alert and stream."""
        self._fingerprints: dict[tuple[tuple[str, str], ...], str] = {}
        """Fingerprints of all that rules have selected, by labels: a digest takes longer than a quiet judgement."""

        self.changes = 0
        """How often an alert has begun or ceased to fire."""

    def use(self, interval_ms: int, inhibit_rules: Sequence[InhibitRule] = ()) -> None:
        """Go by judgements that are so far apart, and by these rules."""
        self._interval_ms = interval_ms
        self._inhibition = Inhibition(inhibit_rules)

    # ------------------------------------------------------------------ judging

    def judge(
        self, at: int, judged: Sequence[tuple[Rule, Verdict]], silences: SilencesOf | None = None
    ) -> list[Transition]:
        """Move every alert that has a verdict, then those that are alone; return what to publish, in that order.

        `silences`: None if there are none, and were none at the last judgement.
        """
        spoken = list(self._answer_verdicts(at, judged))
        self._join()
        spoken += self._answer_alone(at, {one.alert.fingerprint for one in spoken})
        return self._transitions(at, self._muted(spoken, silences), judged)

    def judge_silence(
        self, at: int, judged: Sequence[tuple[Rule, Verdict]], silences: SilencesOf | None = None
    ) -> list[Transition]:
        """Move the alerts on silence, at a time of their clock."""
        return self._transitions(at, self._muted(list(self._answer_verdicts(at, judged)), silences), judged)

    def _muted(self, spoken: Sequence[_Spoken], silences: SilencesOf | None) -> list[_Spoken]:
        """Name what mutes the alerts that are published, and add those of which that alone has changed."""
        firing = self.firing()
        inhibited = self._inhibition.of(firing, self._find)
        if silences is None and not inhibited and not any(alert.inhibited_by or alert.struck for alert in firing):
            return list(spoken)
        spoken_of = {one.alert.fingerprint for one in spoken}

        def muted(alert: AlertState, counts: bool) -> AlertState:
            by, struck = inhibited.get(alert.fingerprint, NOT_INHIBITED)
            is_known = alert.fingerprint not in spoken_of and not set(by).isdisjoint(alert.inhibited_by)
            by = alert.inhibited_by if is_known else by  # one of those that it names is enough, and no news
            return _muted_by(alert, () if silences is None else silences(alert), by, struck, counts)

        found = []
        for one in spoken:
            if one.says == "resolved":  # it was inhibited up to now, whatever becomes of its sources
                ids = () if silences is None else silences(one.alert)
                found.append(one._replace(alert=_muted_by(one.alert, ids, one.alert.inhibited_by, one.alert.struck)))
                continue
            alert = self._states[one.alert.fingerprint]
            after = muted(alert, counts=one.says == "updated")
            self._put(after)
            found.append(one._replace(alert=after, muting=after.mutings != alert.mutings))
        for alert in firing:
            is_published = alert.state == "firing"
            after = alert if alert.fingerprint in spoken_of else muted(alert, is_published)
            if after is not alert:
                self._put(after)
            if after.mutings != alert.mutings:
                found.append(_Spoken(after, "updated", names_are_due=False, muting=True))
        return found

    def _answer_verdicts(self, at: int, judged: Sequence[tuple[Rule, Verdict]]) -> Iterator[_Spoken]:
        asked: Rule | None = None
        for rule, verdict in judged:
            if rule is not asked:  # the verdicts of a rule stand together, behind those of all that it waits for
                asked, exclusions = rule, self._exclusions(rule)
            if exclusions and _is_among(verdict, exclusions):
                continue
            key = self._fingerprint(verdict.labels)
            before = self._states.get(key)
            if before is None and not verdict.violated:
                continue  # inactive stays inactive: nearly all verdicts, at no cost
            after, says = advance(before, at, rule, verdict)
            if after.fires and not (before is not None and before.fires):
                after = self._dated(after)
            if after.state == "hidden" and self._is_alone(after):
                after, says = stand_alone(after, has_news=False)
            self._put(after)
            if says is not None:
                yield _Spoken(after, says)

    def _exclusions(self, rule: Rule) -> set[_Subject]:
        """What the alerts are about that fire and keep a rule from giving verdicts."""
        keys = [keys for (alert, _), keys in self._firing.items() if alert in rule.unless]
        verdicts = (self._states[key].verdict for of in keys for key in of)
        return {(verdict.stream, verdict.column) for verdict in verdicts}

    def waiting(self) -> list[AlertState]:
        """Those that are pending or fire and whose rule gives verdicts, as far as what is in its `unless` lets it."""
        alerts = (*self.pending(), *self.firing())
        return [one for one in alerts if not (one.rule.unless and _is_among(one.verdict, self._exclusions(one.rule)))]

    def _dated(self, alert: AlertState) -> AlertState:
        """The alert, which begins to fire, with data from the change on, if that is known."""
        since = self._find(alert.verdict).since
        return alert if since is None else replace(alert, data_since=since)

    def _join(self) -> None:
        """Let alerts that fire join those that fire above them."""
        below: dict[tuple[str, StreamName], list[str]] = {}
        for (_, stream), keys in self._firing.items():
            for alert in (self._states[key] for key in keys):
                if alert.rule.under is not None:
                    below.setdefault((alert.rule.under, stream), []).append(alert.name)
        for place, names in below.items():
            for above in [self._states[key] for key in self._firing.get(place, ())]:
                self._put(replace(above, named=above.named.joined(names)))

    def _answer_alone(self, at: int, but: set[str]) -> Iterator[_Spoken]:
        """Move those that are alone, by fingerprint, but for some that have been published at this judgement."""
        for alert in self.firing():
            if alert.fingerprint not in but and self._is_alone(alert):
                is_looked_at = alert.state == "firing" and alert.named.is_looked_at(at, self._interval_ms)
                has_news = is_looked_at and self._has_news(alert)
                after, says = stand_alone(alert, has_news)
                if says is not None:
                    self._put(after)
                    yield _Spoken(after, says)

    def _is_alone(self, alert: AlertState) -> bool:
        """Return true unless one fires that it is under."""
        return alert.rule.under is None or not self._firing.get((alert.rule.under, alert.verdict.stream))

    def _has_news(self, alert: AlertState) -> bool:
        return any(alert.named.news(self._columns(alert)))

    def _columns(self, alert: AlertState) -> tuple[str, ...]:
        """The columns that messages of an alert may name now."""
        return self._find(alert.verdict).but(alert.struck).names

    def _transitions(
        self, at: int, spoken: Sequence[_Spoken], judged: Sequence[tuple[Rule, Verdict]]
    ) -> list[Transition]:
        drifting, transitions = _Drifting(judged), list[Transition]()
        for alert, says, names_are_due, muting in spoken:
            added = NO_NAMES
            if says != "resolved":  # with those that joined behind its verdict
                alert = self._states[alert.fingerprint]
                columns = self._columns(alert)
                added = alert.named.news(columns) if says == "updated" else added
                counts = says == "updated" and names_are_due
                alert = replace(alert, named=alert.named.published(at, columns, is_update=counts))
                self._put(alert)
            beside = drifting.beside(alert.rule, alert.verdict.column)
            transitions.append(Transition(at, says, alert, *beside, added, muting))
        return transitions

    def _put(self, alert: AlertState) -> None:
        """Keep the state of an alert; of one that has never fired only while it may come to."""
        place = self._firing.setdefault((alert.rule.alert, alert.verdict.stream), set())
        self.changes += alert.fires != (alert.fingerprint in place)
        if alert.fires:
            place.add(alert.fingerprint)
        else:
            place.discard(alert.fingerprint)
        if alert.state == "inactive" and alert.episode == 0:
            self._states.pop(alert.fingerprint, None)
        else:
            kept = alert if alert.fires else replace(_muted_by(alert, (), (), ()), named=NOTHING, mutings=0)
            self._states[alert.fingerprint] = kept

    def _fingerprint(self, labels: tuple[tuple[str, str], ...]) -> str:
        known = self._fingerprints.get(labels)
        if known is None:
            known = self._fingerprints[labels] = fingerprint(labels)
        return known

    def next_update(self, at: int) -> int:
        """When, after the judgement `at`, names become due if nothing changes; FOREVER if there are none."""
        waiting = (a for a in self.firing() if a.state == "firing" and self._is_alone(a))
        return min((alert.named.next_look(at) for alert in waiting if self._has_news(alert)), default=FOREVER)

    # ------------------------------------------------------------------ other rules, snapshots

    def withdraw(self, at: int, rules: Sequence[Rule], is_there: Callable[[Verdict], bool]) -> list[Transition]:
        """New rules: alerts that none of them selects are forgotten, and resolved if they fire (evidence: the last).

        `is_there`: whether what a verdict is about can still be selected.

        The others go on under their rule as it is now, whatever has become of its threshold, window and durations. What
        is hidden is not published by a verdict that another comparison has given.
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
                self._states[key] = _under_rule(alert, selecting[0])
                continue
            del self._states[key]
            self._firing.get((alert.rule.alert, alert.verdict.stream), set()).discard(key)
            if alert.state == "firing":
                ended = max(at, alert.last_violated)  # the silence clock may be ahead of the panes
                transitions.append(Transition(ended, "resolved", replace(alert, state="inactive")))
        return transitions

    def accept(self, at: int, accepted: AcceptedState) -> list[Transition]:
        """End the alerts that compare columns of a stream with a reference in whose place another one was accepted."""
        transitions: list[Transition] = []
        for key in sorted(self._states):
            alert = self._states[key]
            if _is_accepted(alert, accepted):
                after, says = accept(alert)
                self._put(after)
                if says is not None:
                    ended = max(at, alert.last_violated)  # the silence clock may be ahead of the panes
                    transitions.append(Transition(ended, says, after, reason="accepted"))
        return transitions

    def state(self, rules: Sequence[Rule]) -> tuple[AlertValue, ...]:
        """All alerts by fingerprint; `rules`: those that apply."""
        places: dict[object, list[int]] = {}
        for place, rule in enumerate(rules):
            places.setdefault(_identity(rule), []).append(place)
        alerts = [self._states[key] for key in sorted(self._states)]
        like = [places[_identity(alert.rule)] for alert in alerts]
        return tuple(value_of(a, next(p for p in of if rules[p] == a.rule)) for a, of in zip(alerts, like, strict=True))

    def restore(self, state: Sequence[AlertValue], rules: Sequence[Rule], model: str) -> None:
        """Go on from there. Raises FormatError."""
        for value in state:
            self._put(alert_of(value, rules, model))

    def firing(self) -> tuple[AlertState, ...]:
        """All that fire now, hidden or not, by fingerprint."""
        return tuple(self._states[key] for key in sorted(key for keys in self._firing.values() for key in keys))

    def of(self, fingerprint: str) -> AlertState | None:
        """The alert of that fingerprint, if it is pending, fires or has fired."""
        return self._states.get(fingerprint)

    def pending(self) -> tuple[AlertState, ...]:
        """All that wait for their `for`, by fingerprint."""
        return tuple(self._states[key] for key in sorted(self._states) if self._states[key].state == "pending")


def _is_among(verdict: Verdict, subjects: set[_Subject]) -> bool:
    """Return true if one of the subjects is that of a verdict, or one of both has no column."""
    if verdict.column is None or (verdict.stream, verdict.column) in subjects:
        return bool(subjects)
    return any(column is None for _, column in subjects)


def _muted_by(
    alert: AlertState,
    silences: tuple[str, ...],
    inhibited_by: tuple[str, ...],
    struck: tuple[str, ...],
    counts: bool = False,
) -> AlertState:
    """The alert as these mute it. `counts`: whether others than before count as a change."""
    is_same = (silences, inhibited_by) == (alert.silenced_by, alert.inhibited_by)
    if is_same and struck == alert.struck:
        return alert
    mutings = alert.mutings + (counts and not is_same)
    return replace(alert, silenced_by=silences, inhibited_by=inhibited_by, mutings=mutings, struck=struck)


def _is_accepted(alert: AlertState, accepted: AcceptedState) -> bool:
    """Return true if an alert goes by an accepted reference: of `drift`, if all columns that it has named are."""
    if alert.verdict.stream != accepted.stream or not goes_by_reference(alert.rule.comparison):
        return False
    own = alert.named.columns if alert.verdict.column is None else (alert.verdict.column,)
    return not accepted.columns or (bool(own) and set(own) <= set(accepted.columns))


def goes_by_reference(comparison: Comparison) -> bool:
    """Return true if what a rule finds depends on the reference: of windows, of detectors and of `drift`."""
    return comparison.compares or comparison.metric in (DRIFT, "vanished", "change")


def _under_rule(alert: AlertState, rule: Rule) -> AlertState:
    """The alert under its rule as it is now."""
    is_stale = alert.state == "hidden" and rule.comparison != alert.rule.comparison
    verdict = replace(alert.verdict, violated=False) if is_stale else alert.verdict
    return replace(alert, rule=rule, verdict=verdict)


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
        columns = next((columns for one, columns in self._columns if one is rule), [])
        at = bisect_left(columns, column) if column is not None else len(columns)
        is_among = at < len(columns) and columns[at] == column
        named = [name for name in columns[: NAMED + 1] if name != column]
        return tuple(named[:NAMED]), len(columns) - is_among
