"""Judging one model: rules at pane ends that are multiples of the interval, alerts, and retraining requests.

Rules on silence, and triggers that name one, go by the silence clock (`silence_clock.py`): it follows the pane ends,
and goes on where all partitions stand still. They are judged at every multiple of the interval that it passes, and
again, at the same time, if a pane with rows is folded below it. Their alerts have the clock's times.

What mutes an alert is looked at in every judgement of either clock; its silences go by the later of both.

A run of panes that are empty everywhere is judged where something may change (`empty_runs.py`), and gives exactly what
judging all of it would give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from monitor.config.built_in import DETECTOR_BLIND, usual_silence_ms
from monitor.config.inputs import series_of
from monitor.config.metrics import DRIFT
from monitor.config.resolved import ModelRules
from monitor.contract import ModelContract
from monitor.errors import FormatError
from monitor.evaluate.alerts import AlertContext, Place, alert_message
from monitor.evaluate.coverage import Coverage
from monitor.evaluate.detection import Sighting
from monitor.evaluate.empty_runs import Quiet, Timetable
from monitor.evaluate.incident_messages import incident_message
from monitor.evaluate.incidents import Incidents
from monitor.evaluate.lane import Passed
from monitor.evaluate.lane_evidence import LaneEvidence, Lanes
from monitor.evaluate.lifecycle import FOREVER, AlertState
from monitor.evaluate.messages import Message
from monitor.evaluate.model_alerts import ModelAlerts, SilencesOf, Transition
from monitor.evaluate.observations import observation_key, observation_message
from monitor.evaluate.past_offsets import NOTHING, PastOffsets
from monitor.evaluate.performance import Performance
from monitor.evaluate.retraining import Retraining, retraining_message
from monitor.evaluate.rules import Judgement, RuleSet, Silence, on_silence
from monitor.evaluate.silences import Silences
from monitor.evaluate.state import AcceptedState, JudgeState
from monitor.evaluate.stream import StreamFold
from monitor.evaluate.subjects import Subjects
from monitor.events import Observation, StreamName
from monitor.panes.merging import MergedPane

_PAST_OF_DRIFT_MS = 86_400_000
"""Event time of which offsets are kept at least for messages of `drift`, ms."""
_BEFORE_RULES = JudgeState((), (), NOTHING, None, None)


class Judge:
    """Rules, alerts and retraining triggers of one model."""

    def __init__(self, model: str, place: Place) -> None:
        self._model = model
        self._place = place
        self._past = PastOffsets()
        self._evidence = LaneEvidence(model, lambda: self._lanes, lambda: self.performance, self._past)
        self._alerts = ModelAlerts(self._evidence.find)
        self._lanes: Lanes = {}
        self._rules: ModelRules | None = None
        self._begun_at: int | None = None
        self._silence_at: int | None = None
        self.incidents = Incidents(model, self._alerts.of, self._changed_at)
        """Those of its alerts."""
        self.performance: Performance | None = None
        """Windows by the time of the prediction, if the model has labels."""
        self.silences = Silences()
        """Those of alerts."""
        self._accepted: list[AcceptedState] = []
        """What has got another reference, because people asked for it: its alerts end at the next judgement."""
        self.silence_ends: int | None = None
        """The time behind which silence is not judged, because the log has ended there but for labels, ms."""

    def use(self, rules: ModelRules, contract: ModelContract, alerts_yaml_sha256: str) -> None:
        """Judge by new rules from the next pane on; `withdraw` what those before had raised."""
        first = self._rules is None
        self._rules = rules
        self._alerts_yaml_sha256 = alerts_yaml_sha256
        self._pane_ms = contract.pane_ms
        self._lateness_ms = contract.lateness_ms
        self._stream_names = tuple(stream.stream for stream in contract.streams)
        self._subjects = Subjects(rules, contract)
        self._rule_set = RuleSet(rules)
        self._coverage = Coverage(rules, contract, self._rule_set)
        asks_for_drift = any(rule.comparison.metric == DRIFT for rule in rules.rules)
        longest = max([0, *(trigger.max_ms for trigger in rules.retraining), _PAST_OF_DRIFT_MS * asks_for_drift])
        self._past.keep(longest, contract.pane_ms)
        self._timetable = Timetable(rules)
        self._alerts.use(rules.interval_ms, rules.inhibit_rules)
        self._evidence.importance = rules.importance
        self.incidents.use(rules.incidents, rules.importance, len(series_of(contract)))
        if first:
            self._retraining = Retraining(rules)
        else:
            self._retraining.use(rules)

    def accept(self, streams: Iterable[StreamName], columns: Sequence[str]) -> None:
        """Columns of these streams have got a reference that somebody has accepted; all of them if none is named.

        What was found against the one before ends.
        """
        self._accepted += [AcceptedState(stream, tuple(columns)) for stream in streams]

    def _resolve_accepted(self, at: int) -> Iterator[Message]:
        """Resolve, at a judgement, the alerts of references in whose place others were accepted."""
        accepted, self._accepted = self._accepted, []
        if accepted:
            yield from self._publish(at, [one for part in accepted for one in self._alerts.accept(at, part)])

    def withdraw(self, at: int) -> list[Message]:
        """Resolve, at the time `at` (ms), the alerts of rules that are gone."""
        return (
            list(self._publish(at, self._alerts.withdraw(at, self._rules.rules, self._subjects.has)))
            if self._rules is not None
            else []
        )

    def clock(self, at: int) -> int:
        """The judging clock, ms. `at`: end of the newest pane that was judged, or is."""
        return at if self._silence_at is None else max(at, self._silence_at)

    @property
    def silence_judged_to(self) -> int | None:
        """Up to which time of its clock silence has been judged, ms; None if never."""
        return self._silence_at

    def end(self, at: int) -> list[Message]:
        """Resolve, at the time `at` (ms), all that fires, because the model is gone."""
        if self._rules is None:
            return []
        return list(self._publish(at, self._alerts.withdraw(at, (), self._subjects.has)))

    @property
    def blind_detectors(self) -> int:
        """How many detectors have been reported as blind."""
        return len(self._reported_blind())

    @property
    def alerts(self) -> Mapping[str, int]:
        """How many alerts fire, how many of these are hidden and not among them, and how many are pending."""
        firing = Counter(alert.state for alert in self._alerts.firing())
        return {"firing": firing["firing"], "hidden": firing["hidden"], "pending": len(self._alerts.pending())}

    def state(self) -> JudgeState:
        """All that later messages depend on, beside the rules."""
        if self._rules is None:
            return _BEFORE_RULES
        alerts, asked = self._alerts.state(self._rules.rules), self._retraining.state()
        past, silences = self._past.state(), self.silences.state()
        incidents, accepted = self.incidents.state(), tuple(self._accepted)
        return JudgeState(alerts, asked, past, self._begun_at, self._silence_at, silences, incidents, accepted)

    def restore(self, state: JudgeState, lanes: Lanes) -> None:
        """Go on from there, once the rules have been given. Raises FormatError."""
        self._lanes = lanes
        if self._rules is None:
            if state != _BEFORE_RULES:
                raise FormatError("not a snapshot: alerts of a model without rules")
            return
        self._alerts.restore(state.alerts, self._rules.rules, self._model)
        self._retraining.restore(state.asked)
        self._past.restore(state.offsets)
        self._begun_at, self._silence_at = state.begun_at, state.silence_at
        self.silences.restore(state.silences)
        self.incidents.restore(state.incidents)
        self._accepted = list(state.accepted)

    @property
    def _folds(self) -> Mapping[StreamName, StreamFold]:
        """Windows and detectors of the lanes whose reference counts, whenever it became known."""
        return {stream: lane.fold for stream, lane in self._lanes.items() if lane.fold is not None and not lane.waits}

    @property
    def coverage(self) -> Coverage | None:
        """What the rules in use have judged; None before there are any."""
        return None if self._rules is None else self._coverage

    # ------------------------------------------------------------------ panes

    def judge_pane(
        self, lanes: Lanes, merged: Mapping[StreamName, MergedPane | Passed | None], pane_end: int
    ) -> Iterator[Message]:
        """Fold one pane of all lanes, then judge if an interval ends with it."""
        self._lanes = lanes
        self._begin(pane_end)
        for stream, lane in lanes.items():
            yield from self._observed(lane.add(pane_end, merged[stream]))
        offsets = [part for pane in merged.values() if pane is not None for part in pane.offsets]
        self._past.add(pane_end, offsets)
        if self._rules is not None and pane_end % self._rules.interval_ms == 0:
            yield from self._judge(pane_end, -FOREVER)
        if (
            self._silence_at is not None
            and pane_end <= self._silence_at
            and any(p and p.events for p in merged.values())
        ):
            yield from self._judge_silence_at(self._silence_at)  # what held by the clock may not be true any more

    def judge_empty_run(self, lanes: Lanes, first_end: int, last_end: int) -> Iterator[Message]:
        """Fold a run of panes, with these ends, that are empty in every lane."""
        self._lanes = lanes
        if self._rules is None:
            return
        self._begin(first_end)
        interval, done = self._rules.interval_ms, first_end - self._pane_ms
        at, last, since = first_end + -first_end % interval, last_end // interval * interval, -FOREVER
        # Where silence was judged ahead of the run, other rules may count since: they see it where it goes on.
        changed_at, goes_on = at, (self._silence_at or -FOREVER) // interval * interval + interval
        while at <= last:
            yield from self._skip(done, at)
            changes = self._alerts.changes
            yield from self._judge(at, since)
            changed_at = at if self._alerts.changes > changes else changed_at
            done, at = at, self._timetable.next(at, self._quiet(at, last, changed_at)) if at < last else last + interval
            at = goes_on if done < goes_on < at else at
            since = at - interval
        yield from self._skip(done, last_end)

    def judge_silence(self, lanes: Lanes, clock: int, folded_to: int) -> Iterator[Message]:
        """The silence clock has come to `clock` behind the panes that end at `folded_to`: judge what goes by it."""
        self._lanes = lanes
        if self._rules is None or self._begun_at is None:
            return
        interval = self._rules.interval_ms
        at, last = max(self._silence_at or folded_to, folded_to) // interval * interval, clock // interval * interval
        if at < last:
            at += interval  # whatever the timetable says, because the rules may be others than at the judgement before
            yield from self._judge_silence_at(at)
        while at < last:
            alerts = [a for a in [*self._alerts.pending(), *self._alerts.firing()] if on_silence(a.rule)]
            asks_at = self._retraining.next_due(at, self._reasons(), self._newest(), by_clock=True)
            changes_at = self.silences.next_change(at)
            incidents_at = self.incidents.next_look(at)
            due = asks_at, FOREVER, changes_at, -FOREVER, incidents_at
            quiet = Quiet(last, (), alerts, self._silent().values(), *due)
            at = self._timetable.next(at, quiet)
            yield from self._judge_silence_at(at)

    def _skip(self, done: int, end: int) -> Iterator[Message]:
        if end > done:
            observations = [o for lane in self._lanes.values() for o in lane.skip(done + self._pane_ms, end)]
            yield from self._observed(sorted(observations, key=lambda observation: observation.end))

    def _quiet(self, at: int, last: int, changed_at: int) -> Quiet:
        """What the timetable asks behind the judgement `at` of an empty run whose last one is `last`."""
        unsettled = {name for fold in self._folds.values() for name in fold.unsettled()}
        clocks = (self._retraining.next_due(at, self._reasons(), self._newest(), by_clock=by) for by in (False, True))
        asks_at = min(clocks)
        alerts, updates_at = self._alerts.waiting(), self._alerts.next_update(at)
        changes_at = self.silences.next_change(self.clock(at))
        incidents_at = self.incidents.next_look(self.clock(at))
        due = asks_at, updates_at, changes_at, changed_at, incidents_at
        return Quiet(last, unsettled, alerts, self._silent().values(), *due)

    def _observed(self, observations: Iterable[Observation]) -> Iterator[Message]:
        for observation in observations:
            reference = self._folds[observation.stream].measure.reference.info
            thresholds = self._rule_set.thresholds(observation, self._spreads, reference.events)
            value = observation_message(observation, self._place, reference.id, thresholds)
            key, basis = observation_key(observation), value[value.index(b'"data":') :]
            yield Message("observations", observation.end, self._model, key, value, basis)

    def _observed_performance(self, performance: Performance, at: int) -> Iterator[Message]:
        """Publish windows by the time of the prediction that have come further."""
        info = performance.info
        for observation in performance.observations(at):
            reference = "" if info is None else info.id
            value = observation_message(observation, self._place, reference, (), at)
            key, basis = observation_key(observation), value[value.index(b'"data":') :]
            yield Message("observations", at, self._model, key, value, basis)

    # ------------------------------------------------------------------ silence and blindness

    def _blind(self) -> dict[Sighting, bool]:
        """Detectors that can see no change any more, and those whose alert fires: they may see again, or be gone."""
        found = {sighting for fold in self._folds.values() for sighting in fold.blind()}
        return {sighting: sighting in found for sighting in found | set(self._reported_blind())}

    def _reported_blind(self) -> list[Sighting]:
        verdicts = [alert.verdict for alert in self._alerts.firing() if alert.rule.alert == DETECTOR_BLIND]
        return [(dict(v.labels)["detector"], v.stream, v.column) for v in verdicts if v.column is not None]

    def _begin(self, pane_end: int) -> None:
        """The first pane begins with the lateness before the first row of any stream, and that is no silence."""
        if self._begun_at is None:
            self._begun_at = pane_end - self._pane_ms + self._lateness_ms

    def _silent(self) -> dict[StreamName, Silence]:
        """Since when each stream is silent (its newest row; if none has come, the beginning), and what is usual."""
        since = dict.fromkeys(self._stream_names, self._begun_at)
        since |= {stream: lane.since for stream, lane in self._lanes.items() if lane.since is not None}
        since |= {stream: lane.last_time for stream, lane in self._lanes.items() if lane.last_time is not None}
        if self.performance is not None and self.performance.last_label is not None:
            since["labels"] = self.performance.last_label
        gaps = {stream: lane.longest_gap_ms for stream, lane in self._lanes.items()}
        return {
            stream: Silence(time, usual_silence_ms(gaps.get(stream)))
            for stream, time in since.items()
            if time is not None and stream in self._stream_names
        }

    def _newest(self) -> int | None:
        """Time of the model's newest row."""
        return max((lane.last_time for lane in self._lanes.values() if lane.last_time is not None), default=None)

    # ------------------------------------------------------------------ judging

    def _judge(self, at: int, since: int) -> Iterator[Message]:
        """Judge at the pane end `at` the windows that have closed behind `since`, and silence unless it was there."""
        yield from self._resolve_accepted(at)
        streams = self._folds
        observations = {(s, name): o for s, fold in streams.items() for name, o in fold.observations().items()}
        moved = {(s, name) for s, fold in streams.items() for name in fold.take_moved(since)}
        self._coverage.add(observations[key] for key in moved if key in observations)
        performance = self.performance
        if performance is not None:
            yield from self._observed_performance(performance, at)
        judged = self._rule_set.judge(
            Judgement(
                at=at,
                performance=None if performance is None else performance.take_moved(),
                observations=observations,
                moved=moved,
                changes={key: value for fold in streams.values() for key, value in fold.take_seen().items()},
                blind=self._blind(),
                silences={},
                spreads=self._spreads,
                reference_rows={s: fold.measure.reference.events for s, fold in streams.items()},
                drift={s: value for s, fold in streams.items() if (value := fold.take_drift()) is not None},
            )
        )
        yield from self._publish(at, self._alerts.judge(at, judged, self._silencing(at)))
        self.silences.forget(self.clock(at))
        yield from self._ask(at, by_clock=False)
        if self._silence_at is None or at > self._silence_at:
            yield from self._judge_silence_at(at)

    def _judge_silence_at(self, at: int) -> Iterator[Message]:
        """Judge the rules on silence, at a time of the silence clock."""
        if self.silence_ends is not None and at > self.silence_ends:
            return
        self._silence_at = at
        yield from self._resolve_accepted(at)
        judged = self._rule_set.judge(Judgement(at, {}, set(), {}, {}, self._silent(), self._spreads, {}))
        yield from self._publish(at, self._alerts.judge_silence(at, judged, self._silencing(at)))
        self.silences.forget(self.clock(at))
        yield from self._ask(at, by_clock=True)

    def _silencing(self, at: int) -> SilencesOf | None:
        """What gives the silences of an alert at the judgement `at`; None if there are none."""
        clock = self.clock(at)
        return (lambda alert: self.silences.of(alert, clock)) if self.silences.are_any else None

    def _reasons(self) -> tuple[AlertState, ...]:
        """The alerts that fire and may be a reason for training: one that is muted is none."""
        return tuple(alert for alert in self._alerts.firing() if not alert.is_muted)

    def _ask(self, at: int, by_clock: bool) -> Iterator[Message]:
        """Publish the requests of the triggers that go by the silence clock, or of the others."""
        for request in self._retraining.judge(at, self._reasons(), self._newest(), by_clock):
            value = retraining_message(request, self._place, self._past.ranges)
            basis = repr((request.trigger, self._past.ranges(request.start, request.end))).encode()
            yield Message("retraining", at, self._model, self._model, value, basis)

    def _spreads(
        self, stream: StreamName, metric: str, columns: Sequence[str], events: int
    ) -> Mapping[str, tuple[float, float]]:
        return self._folds[stream].spreads(metric, columns, events)

    def _publish(self, at: int, transitions: list[Transition]) -> Iterator[Message]:
        """Publish what a judgement at `at` has changed: alerts, and behind them the incidents that they are in."""
        clock = self.clock(at)
        yield from self._messages_of(self.incidents.take(clock, transitions))
        for incident, status in self.incidents.look(clock):
            yield incident_message(self._model, incident, status, clock, self._place)

    def _changed_at(self, alert: AlertState) -> int:
        """When the change behind an alert was, ms: as its messages say, else its first violated judgement."""
        change = self._evidence.change(alert.verdict)
        if change is not None:
            return change.at
        since = alert.data_since if alert.rule.comparison.metric == DRIFT else None
        return alert.pending_since if since is None else since

    def _messages_of(self, transitions: list[Transition]) -> list[Message]:
        if not transitions:
            return []
        context = self._evidence.context(self._place, self._alerts_yaml_sha256)
        return [self._message(transition, context) for transition in transitions]

    def _message(self, transition: Transition, context: AlertContext) -> Message:
        key, value = transition.alert.fingerprint, alert_message(self._evidence.with_rows(transition), context)
        return Message("alerts", transition.at, self._model, key, value, _basis(transition), transition.status)


def _basis(transition: Transition) -> bytes:
    alert = transition.alert
    verdict = alert.verdict
    names = alert.named.under, *transition.added
    basis = transition.status, alert.episode, alert.pending_since, verdict.value, verdict.threshold
    muting = (alert.silenced_by, alert.inhibited_by, alert.mutings) if alert.is_muted or alert.mutings else ()
    incident = (transition.incident,) if transition.incident else ()
    reason = () if transition.reason is None else (transition.reason,)
    return repr((*basis, *names, *muting, *alert.struck, *incident, *reason)).encode()
