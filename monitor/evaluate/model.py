"""The fold of one model: its panes in order, decisions by pane, and its lanes, of which none waits for another.

A pane is folded when every partition of the model's topics has sealed it. The first pane is the earliest of any
partition once all have a watermark. A decision counts from the first pane not yet folded when it is read; where that
begins is published as an Activation, and a replay is given the activations beforehand. A run of panes that are empty
everywhere is folded in one step.

A lane without a reference gets one from its first rows. They are certain once every partition of its stream has sealed
the pane of the n-th, so no later than that pane is folded; and the reference counts from the pane behind it.

If the length of panes changes, the first of the new length begins where the last of the old one ended, or as soon
behind it as one can.

Panes are named by where they begin, ms UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping

import msgspec

from monitor.contract import life_of
from monitor.errors import FormatError
from monitor.evaluate.accepting import Accepting, Refusal
from monitor.evaluate.alerts import Place
from monitor.evaluate.coverage import RuleCoverage, Totals
from monitor.evaluate.decisions import Decisions
from monitor.evaluate.incidents import Incidents
from monitor.evaluate.judging import Judge
from monitor.evaluate.known_commands import KnownCommands
from monitor.evaluate.lane import Lane, LaneStanding
from monitor.evaluate.lane_drift import Sight
from monitor.evaluate.lane_messages import lane_message
from monitor.evaluate.messages import Message
from monitor.evaluate.model_labels import ModelLabels
from monitor.evaluate.model_lanes import ModelLanes, stranger
from monitor.evaluate.model_life import ModelLife
from monitor.evaluate.notices import Notices, notice_message
from monitor.evaluate.open_parts import OpenParts
from monitor.evaluate.silence_clock import SilenceClock
from monitor.evaluate.silences import Silences
from monitor.evaluate.state import Acknowledged, DecisionState, ModelState
from monitor.events import StreamName, TopicPartition
from monitor.ledger.commands import Accept, Acknowledge, Expire, Silence, command_of, id_of
from monitor.ledger.entries import COMMANDS, Activation, Decision, DecisionKey, Heartbeat, Notice, Watermark
from monitor.panes.keyed import KeyedRows
from monitor.panes.pane import Pane, RawPane

Output = Message | Activation


class ModelFold:
    """One model. `recorded`: activations of a captured log; with them, decisions in the ledger are ignored."""

    def __init__(self, model: str, place: Place, recorded: Iterable[Activation] = ()) -> None:
        self.model = model
        self.decisions = Decisions(model, recorded)
        self._judge = Judge(model, place)
        self._lanes = ModelLanes(model)
        self._parts = OpenParts()
        self._next: int | None = None
        self._life = ModelLife(model)
        self.folded = 0
        """Panes folded since this object was made."""
        self._place = place
        self._notices = Notices()
        self._silence = SilenceClock()
        self._labels = ModelLabels(model)
        self.known = KnownCommands()
        """Commands that it has been given, in whatever life."""
        self.accepting = Accepting()
        """Stretches that are to be references, which are being made."""

    @property
    def judged_to(self) -> int | None:
        """End of the newest pane that is folded, ms; None before the first."""
        return self._next

    @property
    def goes_by_record(self) -> bool:
        """Return true while what comes next may differ with the next record, however the ledger is polled.

        So it is if rules have come that count from the next pane on, and until the first pane is found.
        """
        return self.decisions.has_waiting_rules or (self._next is None and self.decisions.rules is not None)

    @property
    def work_us(self) -> float:
        """About the time that updates of detectors took since this object was made, µs."""
        return sum(lane.fold.work_us for lane in self._lanes.by_stream.values() if lane.fold is not None)

    @property
    def standings(self) -> list[LaneStanding]:
        """The standing of each lane, in the order of the streams."""
        return [lane.standing for lane in self._lanes.by_stream.values()]

    def coverage(self) -> list[RuleCoverage]:
        """What each rule has judged, or never and why."""
        found = self._judge.coverage
        return [] if found is None else found.by_rule(self._lanes.by_stream, self._labels.performance)

    def sights(self) -> Iterator[Sight]:
        """How small a shift `drift` can see in each lane that has a rule on it."""
        for lane in self._lanes.by_stream.values():
            if lane.judged_fold is not None and (sight := lane.judged_fold.sight()) is not None:
                yield sight

    @property
    def totals(self) -> list[Totals]:
        """How often each alert's rules have judged, and how many columns or streams they never have."""
        found = self._judge.coverage
        return [] if found is None else found.totals()

    @property
    def labels(self) -> Mapping[str, int]:
        """What has become of predictions and labels; nothing for a model without labels."""
        return self._labels.counters

    @property
    def keyed_rows(self) -> int:
        """Predictions and labels joined since this object was made."""
        return self._labels.rows

    @property
    def releases(self) -> Mapping[str, str]:
        """River's classes among its detectors, and the release of River whose answers each gives."""
        folds = [lane.fold for lane in self._lanes.by_stream.values() if lane.fold is not None]
        return {kind: release for fold in folds for kind, release in fold.releases.items()}

    @property
    def blind_detectors(self) -> int:
        """How many detectors have been reported as blind."""
        return self._judge.blind_detectors

    @property
    def lanes(self) -> Mapping[StreamName, Lane]:
        """Its lanes by stream."""
        return self._lanes.by_stream

    @property
    def silences(self) -> Silences:
        """Those of its alerts."""
        return self._judge.silences

    @property
    def incidents(self) -> Incidents:
        """Those of its alerts."""
        return self._judge.incidents

    @property
    def clock(self) -> int | None:
        """The judging clock, ms UTC; None before the first pane is found."""
        return None if self._next is None else self._judge.clock(self._next)

    @property
    def alerts(self) -> Mapping[str, int]:
        """How many alerts fire, and how many are pending."""
        return self._judge.alerts

    # ------------------------------------------------------------------ input

    def read(self, entry: Pane | RawPane | KeyedRows | Decision | Notice | Heartbeat) -> list[Output]:
        """One ledger record of this model, or a heartbeat of any partition."""
        if isinstance(entry, Decision):
            return self._take_decision(entry)
        if isinstance(entry, Heartbeat):
            if self.model not in entry.without:
                self._silence.read(entry)
            return []
        if isinstance(entry, Notice):
            if self.is_gone:
                return []
            self._notices.hold(entry)
            return list(self._publish_notices())
        if life_of(entry.contract) < self.decisions.life:
            return []
        if not (isinstance(entry, RawPane) and not entry.complete):
            self._parts.add(entry)
        if isinstance(entry, RawPane):
            self._lanes.collect(entry, self.decisions)
        return []

    def _take_decision(self, decision: Decision) -> list[Output]:
        decision = self.decisions.of_this_life(decision)
        if decision.kind in COMMANDS:
            return self._take_command(decision)
        if decision.command:
            return self._take_answer(decision)
        if self.decisions.is_replay or not self.decisions.is_new(decision):
            return []
        if decision.kind == "gone":
            return self._take_gone(decision) if self.decisions.newest else []
        judged_to = self._judge.silence_judged_to if decision.kind == "rules" else None
        activation = Activation(decision, self._at, judged_to)
        self._take(activation)
        return [activation]

    def _take_command(self, decision: Decision) -> list[Output]:
        """Obey a command, once; one that comes before the model's first pane counts for nothing."""
        command = command_of(decision)
        if self.decisions.is_replay or self.known.has(command.id, command.time):
            return []
        self.known.add(command.id, command.time)
        if self._next is None:
            return []
        activation = Activation(decision, self._next, self._judge.silence_judged_to)
        self._obey(activation)
        return [activation]

    def _take_answer(self, decision: Decision) -> list[Output]:
        """Take the reference that somebody has asked for, or the refusal, once."""
        if self.decisions.is_replay or decision.command not in self.accepting:
            return []
        activation = Activation(decision, self._next, self._judge.silence_judged_to)
        return [activation, *self._hear(activation)]

    def _obey(self, activation: Activation) -> None:
        """Let a command count from here: what it changes of alerts is published with the next judgement.

        A rebuild is for who owns the ledger partition, and changes nothing in a fold.
        """
        at = activation.at or 0
        clock = at if activation.silence_judged_to is None else max(at, activation.silence_judged_to)
        command = command_of(activation.decision)
        match command.request:
            case Acknowledge() as asked:
                self.incidents.acknowledge(asked.incident, Acknowledged(command.author, clock, asked.comment))
            case Silence() as silence:
                self.silences.add(id_of(activation.decision.digest), silence, clock)
            case Expire() as expire:
                self.silences.expire(expire.silence, clock)
            case Accept():
                self.accepting.add(activation.decision)

    def _hear(self, activation: Activation) -> Iterator[Message]:
        """Let the answer to a command count from here."""
        decision = activation.decision
        columns = self.accepting.end(decision.command)
        if decision.kind == "reference":
            self._take(activation)
            self._judge.accept(self._lanes.accept(decision.lane), columns)
            return
        refusal = msgspec.json.decode(decision.content, type=Refusal)
        place, labels = (refusal.topic, refusal.partition), (("command", refusal.command),)
        self._notices.hold(Notice(self.model, "CommandRefused", activation.at or 0, *place, labels, refusal.text))
        yield from self._publish_notices()

    def resume(self, activation: Activation, is_answered: bool) -> None:
        """Obey a command from where it counted, of a fold whose first panes are not there any more.

        `is_answered`: its answer is known as well.
        """
        command = command_of(activation.decision)
        self.known.add(command.id, command.time)
        if not is_answered:
            self._obey(activation)

    def end_silence(self, at: int) -> None:
        """Judge silence up to the time `at` (ms): there the log ends, but for labels of what came before."""
        self._judge.silence_ends = at

    @property
    def is_gone(self) -> bool:
        """Return true if the model is gone, and has not come back."""
        return self.decisions.life > 0 and not self.decisions.newest

    @property
    def _at(self) -> int | None:
        """The begin of the pane from which a decision counts now; None: from the model's first."""
        return self._life.ended if self._next is None else self._next

    def _take_gone(self, decision: Decision) -> list[Output]:
        """End the life of the model here, by a decision that was read."""
        gone = Activation(decision, self._at, self._judge.silence_judged_to)
        return [gone, *self._end(gone)]

    def _end(self, gone: Activation) -> list[Message]:
        """Resolve what fires and forget the rest: the model is gone from that pane on (None: it never had one)."""
        at, messages = gone.at, list[Message]()
        if at is not None and self._next is not None:
            messages = self._judge.end(max(at, gone.silence_judged_to or at))
        self.decisions = self.decisions.begin_anew()
        self._judge, self._notices = Judge(self.model, self._place), Notices()
        self.accepting = Accepting()
        self._labels.forget()
        self._lanes = self._lanes.begin_anew(self.decisions.life)  # of the next life some may be there
        self._parts.keep_from(self.decisions.life)
        self._life.ended, self._next = at, None
        return messages

    def _publish_notices(self) -> Iterator[Message]:
        """Publish the notices up to the newest pane that is folded; the others wait for their pane."""
        if self._next is not None:
            for notice in self._notices.take_due(self._next):
                yield notice_message(notice, self._place)

    # ------------------------------------------------------------------ folding

    def advance(self, watermarks: Mapping[TopicPartition, Watermark], most: int | None = None) -> Iterator[Output]:
        """Fold the panes that every partition has sealed. `most`: of them; a run of empty ones is one."""
        folded = 0
        self._take_recorded()
        yield from self._make_references(watermarks)
        sealed = self._reach(watermarks)
        yield from self._show_references()
        while True:
            yield from self._life.take_found()
            yield from self._obey_recorded()
            if (yield from self._end_as_recorded()):
                sealed = self._reach(watermarks)
                continue
            yield from self._pass_silence()
            if not self._is_sealed(sealed) or folded == most:
                return
            folded += 1
            yield from self._begin_pane(watermarks)
            yield from self._fold_next(sealed)
            yield from self._publish_notices()
            sealed = self._reach(watermarks)
            yield from self._make_references(watermarks)
            yield from self._show_references()

    def _is_sealed(self, sealed: int | None) -> bool:
        """Return true if the next pane, of the length that it will have, ends at or below `sealed` (ms)."""
        end = self._next_end
        return sealed is not None and end is not None and end <= sealed

    @property
    def _next_end(self) -> int | None:
        """The end of the next pane, of the length that it will have, ms."""
        pane_ms = self.decisions.next_pane_ms
        if self._next is None or pane_ms is None:
            return None
        return -(-self._next // pane_ms) * pane_ms + pane_ms

    def _fold_next(self, sealed: int | None) -> Iterator[Output]:
        """Fold the next pane, or the run of empty panes that begins there."""
        start, pane_ms = self._next or 0, self._pane_ms
        self._labels.begin(start, self._lanes, self.decisions)
        for lane in self._lanes.by_stream.values():
            lane.begin(start)
        yield from self._report_lanes()
        held = [part for part in self._parts.take(start + pane_ms) if part.tp in self.decisions.inputs]
        before = [part for part in held if part.start + part.pane_ms <= start]  # it has no pane there
        taken = held[len(before) :]
        self._labels.pass_over([part for part in before if isinstance(part, KeyedRows)])
        parts = [part for part in taken if not isinstance(part, KeyedRows)]
        keyed = [part for part in taken if isinstance(part, KeyedRows)]
        outcomes, left_out = self._labels.fold(start, keyed, is_replay=self.decisions.is_replay)
        for notice in left_out:
            self._notices.hold(notice)
        if parts:
            self.folded += 1
            merged = self._lanes.merge(parts, self.decisions)
            if "outcomes" in merged:
                merged["outcomes"] = outcomes
            for notice in self._lanes.take_limits():
                self._notices.hold(notice)
            yield from self._judge.judge_pane(self._lanes.by_stream, merged, start + pane_ms)
            self._next = start + pane_ms
        else:
            stop = self._end_of_run(sealed or start)
            yield from self._judge.judge_empty_run(self._lanes.by_stream, start + pane_ms, stop)
            self._next = stop
        self._labels.end(self._next, self._lanes, self.decisions)
        yield from self._report_lanes()

    def _pass_silence(self) -> Iterator[Message]:
        """Judge silence as far as its clock has come before the next pane."""
        if self._next is not None and self._next_end is not None:
            clock = self._silence.advance(self._next, self._next_end)
            yield from self._judge_silence(max(clock, self.decisions.silence_judged_to or clock))

    def _judge_silence(self, clock: int) -> Iterator[Message]:
        """Judge silence as far as `clock` (ms)."""
        if self._next is not None:
            yield from self._judge.judge_silence(self._lanes.by_stream, clock, self._next)

    def _obey_recorded(self) -> Iterator[Message]:
        """Obey what was recorded of commands for the next pane, each behind the silence that was judged before it."""
        while self._next is not None and (activation := self.decisions.take_command(self._next)) is not None:
            if activation.silence_judged_to is not None:
                yield from self._judge_silence(activation.silence_judged_to)
            if activation.decision.command:
                yield from self._hear(activation)
                yield from self._show_references()
            else:
                self._obey(activation)
            self._take_recorded()

    def _end_as_recorded(self) -> Generator[Message, None, bool]:
        """End the life of the model if that was recorded for the next pane; return true if so."""
        gone = self.decisions.take_end(self._at)
        if gone is not None:
            if gone.silence_judged_to is not None:
                yield from self._judge_silence(gone.silence_judged_to)
            yield from self._end(gone)
        return gone is not None

    def _reach(self, watermarks: Mapping[TopicPartition, Watermark]) -> int | None:
        """Take the decisions recorded for the next pane, which may add partitions, and return what is sealed then."""
        sealed = self._find_sealed(watermarks)
        while self._take_recorded():  # with them the first pane may be found, and others count from there
            sealed = self._find_sealed(watermarks)
        return sealed

    def _find_sealed(self, watermarks: Mapping[TopicPartition, Watermark]) -> int | None:
        """Find the time below which every partition has sealed; None as long as one has no watermark for the model."""
        decisions = self.decisions
        if decisions.partitions is None or decisions.rules is None:
            return None
        partitions = decisions.partitions.partitions
        known = [watermark for tp in partitions if (watermark := watermarks.get(tp)) is not None]
        sealed = [at for watermark in known if (at := watermark.watermark_of(self.model)) is not None]
        if len(sealed) < len(partitions) or not sealed:
            return None
        if self._next is None:
            of_data = [watermarks[tp] for tp in decisions.partitions.data_partitions]
            self._next = self._life.find_first_pane(decisions, of_data, self._pane_ms)
        return None if self._next is None else min(sealed)

    def _end_of_run(self, sealed: int) -> int:
        """The begin of the first pane behind the next that holds something, starts a decision or follows a notice.

        At most the newest one that is sealed ends there.
        """
        pane_ms = self._pane_ms
        following = (self._next or 0) + pane_ms
        part = self._parts.next(following)
        nexts = [(part - 1) // pane_ms * pane_ms] if part is not None else []
        nexts += [at // pane_ms * pane_ms for at in self._silence.later(following)]
        later = [*self._notices.times, *self.decisions.recorded]  # published behind their pane, not behind the run
        later += [*self.decisions.references_from.values(), *self._lanes.next_ends()]  # of panes of another length, too
        nexts += [-(-at // pane_ms) * pane_ms for at in later if at > (self._next or 0)]
        stop = self._labels.next_stop(self._next or 0, following, self._lanes)
        nexts += [] if stop is None else [stop]
        return min([sealed // pane_ms * pane_ms, *(at for at in nexts if at >= following)])

    @property
    def _pane_ms(self) -> int:
        if self.decisions.contract is None:
            raise FormatError(f"the ledger has no rules of {self.model}")
        return self.decisions.contract.pane_ms

    # ------------------------------------------------------------------ decisions

    def _take_recorded(self) -> bool:
        """Take the recorded decisions that count now; return true if there was one."""
        due = self.decisions.take_due(self._at)
        for activation in due:
            self._take(activation)
        return bool(due)

    def _take(self, activation: Activation) -> None:
        if (applied := self.decisions.take(activation, has_panes=self._next is not None)) is not None:
            self._use(applied)
        self._lanes.want(self.decisions)

    def _begin_pane(self, watermarks: Mapping[TopicPartition, Watermark]) -> Iterator[Output]:
        """Begin with the next pane, which is sealed: from here on other rules may count, and references."""
        if self.decisions.partitions is not None:
            self._silence.begin_pane(self.decisions.partitions.data_partitions)
        at = self._next or 0
        decision = self.decisions.begin_pane()
        if decision is not None:
            self._use(decision)
            self._next = -(-at // self._pane_ms) * self._pane_ms
            yield from self._judge.withdraw(at)
            yield from self._make_references(watermarks)  # of lanes that begin here, of what came before
            self._take_recorded()

    def _show_references(self) -> Iterator[Message]:
        """Let lanes that have begun report a reference that counts from the next pane; others begin with that pane."""
        for lane in self._lanes.by_stream.values():
            if lane.has_begun and self._next is not None:
                lane.begin(self._next)
        yield from self._report_lanes()

    def _report_lanes(self) -> Iterator[Message]:
        """Publish what the lanes report of the pane that begins, or has been folded."""
        for lane in self._lanes.by_stream.values():
            yield from (lane_message(step, self._place) for step in lane.take_steps())

    def _use(self, decision: Decision) -> None:
        """Fold and judge by a decision that has been applied."""
        decisions = self.decisions
        if decision.kind == "reference":
            self._lanes.refer(decision.lane, decisions)
        if decision.kind == "trailing":
            self._lanes.follow_trailing(decision.lane, decisions)
        if decision.kind == "rules" and decisions.rules is not None and decisions.contract is not None:
            self._judge.use(decisions.rules, decisions.contract, decisions.alerts_yaml_sha256)
            # what is added to a model that runs is silent from here on; the lateness passes before its first row
            self._lanes.use(decisions, None if self._next is None else self._next + decisions.contract.lateness_ms)
            self._labels.use(decisions.rules, decisions.contract)
            self._judge.performance = self._labels.performance
        self._lanes.open(decisions)

    # ------------------------------------------------------------------ state

    def state(self) -> ModelState:
        """All that later messages depend on, beside the decisions in use. Of a live model, not of a replay's."""
        return ModelState(
            active=_as_state(self.decisions.newest),
            used=_as_state(self.decisions.used),
            files=self.decisions.files,
            references_from=tuple(sorted(self.decisions.references_from.items())),
            life=self.decisions.life,
            ended=self._life.ended,
            next=self._next,
            lanes=self._lanes.state(),
            first_rows=self._lanes.first_rows(),
            panes=self._parts.state(),
            judge=self._judge.state(),
            notices=self._notices.state(),
            silence=self._silence.state(),
            performance=self._labels.state(),
            known=self.known.state(),
            accepted_over=tuple(sorted(self.decisions.accepted_over.items())),
            accepting=self.accepting.state(),
        )

    def blocks(self) -> Mapping[str, bytes | None]:
        """Rows that wait, as parts that are written once, by the names that the state lists; None: it is written.

        They are the first rows of lanes without a reference, and predictions and labels.
        """
        return {**self._lanes.blocks(), **self._labels.blocks()}

    def forget_bytes(self, names: Collection[str]) -> None:
        """These parts are written."""
        self._labels.forget_bytes(names)

    def restore(self, state: ModelState, decisions: Mapping[str, Decision], blocks: Mapping[str, bytes]) -> None:
        """Go on from there; of a fold just begun. `decisions`: by digest, those in use. `blocks`: those of the state.

        Raises FormatError.
        """
        used, newest = ({(kind, stream, lane): d for kind, stream, lane, d in of} for of in (state.used, state.active))
        begun, over = dict(state.references_from), dict(state.accepted_over)
        for decision in self.decisions.restore(state.life, used, newest, state.files, begun, over, decisions):
            self._use(decision)
        self._next, self._life.ended = state.next, state.ended
        self._labels.restore(state.performance, blocks, self._next, self._lanes, self.decisions)
        for raw in self._lanes.restore(state.lanes, state.first_rows, blocks, self.decisions):
            self._refuse_a_stranger(raw)
        self._parts.restore(state.panes, self._refuse_a_stranger)
        self._judge.restore(state.judge, self._lanes.by_stream)
        self._notices.restore(state.notices)
        self._silence.restore(state.silence)
        self.known.restore(state.known)
        self.accepting.restore(self.model, state.accepting)

    def _refuse_a_stranger(self, pane: Pane | RawPane | KeyedRows) -> None:
        if stranger(pane, self.model, self.decisions):
            raise FormatError(f"not a snapshot: {self.model} holds a pane of another model")

    # ------------------------------------------------------------------ references

    def prepare(self, watermarks: Mapping[TopicPartition, Watermark]) -> Iterator[None]:
        """Make in steps what `advance` will publish of first rows; without it that makes them at once."""
        return self._lanes.prepare(self.decisions, watermarks)

    def _make_references(self, watermarks: Mapping[TopicPartition, Watermark]) -> Iterator[Output]:
        """Publish grid and reference of each lane whose first rows are certain, if nothing else gave them."""
        for activation in self._lanes.references(self.decisions, watermarks, self._next):
            yield activation
            self._take(activation)


def _as_state(decisions: Mapping[DecisionKey, str]) -> tuple[DecisionState, ...]:
    return tuple((*key, digest) for key, digest in sorted(decisions.items()))
