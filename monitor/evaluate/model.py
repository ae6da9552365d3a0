"""The fold of one model: its panes in order, decisions by pane, and its lanes, of which none waits for another.

A pane is folded when every partition of the model's topics has sealed it. The first pane is the earliest of any
partition once all have a watermark. A decision counts from the first pane not yet folded when it is read; that pane is
published as an Activation, and a replay is given the activations beforehand. A run of panes that are empty everywhere
is folded in one step.

A lane without a reference gets one from its first rows. They are certain once every partition of its stream has sealed
the pane of the n-th, so no later than that pane is folded; and the reference counts from the pane behind it.

A model that leaves alerts.yaml is gone by a decision: its alerts are resolved at the pane of that, all else of it is
forgotten, and its later entries are passed over. One that comes back is new. Its first pane is one that it has from all
its partitions, none of it from before; that is published as an Activation, too, since it depends on when it came back.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

from monitor.contract import StreamContract
from monitor.errors import FormatError
from monitor.evaluate.alerts import Place
from monitor.evaluate.decisions import DecisionKey, Decisions
from monitor.evaluate.first_rows import sealed_to
from monitor.evaluate.judging import Judge
from monitor.evaluate.lane import Lane, Passed, Standing, passed
from monitor.evaluate.lane_messages import lane_message
from monitor.evaluate.messages import Message
from monitor.evaluate.notices import Notices, limited, notice_message
from monitor.evaluate.reference import encode_reference
from monitor.evaluate.silence_clock import SilenceClock
from monitor.evaluate.state import DecisionState, ModelState, PendingPane
from monitor.events import STREAMS, StreamName, TopicPartition
from monitor.ledger.entries import Activation, Decision, Heartbeat, Notice, Watermark, new_decision
from monitor.panes.grid import encode_grid
from monitor.panes.merging import MergedPane, merge
from monitor.panes.open_pane import summarise
from monitor.panes.pane import Pane, RawPane, decode_pane, decode_raw, encode_pane, encode_raw
from monitor.panes.steps import at_once

Output = Message | Activation
MISSED_MS = 600_000
"""Event time after which a partition that goes on with a model has not seen that it was gone."""


class ModelFold:
    """One model. `recorded`: activations of a captured log; with them, decisions in the ledger are ignored."""

    def __init__(self, model: str, place: Place, recorded: Iterable[Activation] = ()) -> None:
        self.model = model
        self.decisions = Decisions(model, recorded)
        self._judge = Judge(model, place)
        self._lanes: dict[StreamName, Lane] = {}
        self._panes: dict[int, list[Pane | RawPane]] = {}
        self._next: int | None = None
        self._ended: int | None = None
        """The pane at which the model was last gone; None if it never was."""
        self._found: list[Activation] = []
        self.folded = 0
        """Panes folded since this object was made."""
        self._place = place
        self._notices = Notices()
        self._silence = SilenceClock()

    @property
    def judged_to(self) -> int | None:
        """End of the newest pane that is folded, ms; None before the first."""
        return None if self._next is None else self._next * self._pane_ms

    @property
    def work_us(self) -> float:
        """About what the updates of detectors took since this object was made, µs."""
        return sum(lane.fold.work_us for lane in self._lanes.values() if lane.fold is not None)

    @property
    def standings(self) -> list[Standing]:
        """How the lanes stand, in the order of the streams."""
        return [lane.standing for lane in self._lanes.values()]

    @property
    def releases(self) -> Mapping[str, str]:
        """River's classes among its detectors, and the release of River whose answers each gives."""
        folds = [lane.fold for lane in self._lanes.values() if lane.fold is not None]
        return {kind: release for fold in folds for kind, release in fold.releases.items()}

    @property
    def blind_detectors(self) -> int:
        """How many detectors have been told to be blind."""
        return self._judge.blind_detectors

    @property
    def alerts(self) -> Mapping[str, int]:
        """How many alerts fire, and how many are pending."""
        return self._judge.alerts

    # ------------------------------------------------------------------ input

    def read(self, entry: Pane | RawPane | Decision | Notice | Heartbeat) -> list[Output]:
        """One ledger record of this model, or a heartbeat of any partition."""
        if isinstance(entry, Decision):
            return self._decision(entry)
        if isinstance(entry, Heartbeat):
            self._silence.read(entry)
        if isinstance(entry, Heartbeat) or self.is_gone:
            return []
        if isinstance(entry, Notice):
            self._notices.hold(entry)
            return list(self._noticed())
        if self._ended is not None and entry.index < (self._at or 0):
            return []  # of the life before
        if not (isinstance(entry, RawPane) and not entry.complete):
            self._panes.setdefault(entry.index, []).append(entry)
        if isinstance(entry, RawPane) and entry.stream not in self.decisions.grids:
            self._lane(entry.stream).first_rows.add(entry)
        return []

    def _decision(self, decision: Decision) -> list[Output]:
        if self.decisions.is_replay or not self.decisions.is_new(decision):
            return []
        if decision.kind == "gone":
            return self._gone(decision) if self.decisions.newest else []
        if decision.kind == "rebuild" and not self.decisions.newest:
            return []
        activation = Activation(decision, self._at)
        self._take(activation)
        return [activation]

    @property
    def is_gone(self) -> bool:
        """Whether the model is gone, and has not come back."""
        return self._ended is not None and not self.decisions.newest

    @property
    def _at(self) -> int | None:
        """The pane from which a decision counts now; None: from the model's first."""
        return self._ended if self._next is None else self._next

    def _gone(self, decision: Decision) -> list[Output]:
        """The model is gone here; beside the pane is written how far the silence clock has been judged."""
        file = decision.alerts_yaml_sha256
        judged_to = self._judge.silence_judged_to
        written = new_decision(self.model, "gone", "" if judged_to is None else str(judged_to), alerts_yaml_sha256=file)
        activation = Activation(written, self._at)
        return [activation, *self._end(activation)]

    def _end(self, gone: Activation) -> list[Message]:
        """The model is gone from that pane on (None: it never had one)."""
        at, messages = gone.pane, list[Message]()
        if at is not None and self._next is not None:
            messages = self._judge.end(max(at * self._pane_ms, int(gone.decision.content or 0)))
        self.decisions = self.decisions.begin_anew()
        self._judge, self._lanes, self._notices = Judge(self.model, self._place), {}, Notices()
        if at is not None:
            self._ended, self._next = at, None
            # a replay may have read what comes when the model is back; it is told from which pane on that counts
            self._panes = self._panes if self.decisions.is_replay else {}
        return messages

    def _noticed(self) -> Iterator[Message]:
        """The notices up to the newest pane that is folded; the others wait for their pane."""
        if self._next is not None:
            for notice in self._notices.due(self._next * self._pane_ms):
                yield notice_message(notice, self._place)

    def _lane(self, stream: StreamName) -> Lane:
        """The lane of a stream, which begins here if it is not there yet."""
        if stream not in self._lanes:
            lanes = {**self._lanes, stream: Lane(self.model, stream)}
            self._lanes = {s: lanes[s] for s in STREAMS if s in lanes}  # in one order, whichever came first
        return self._lanes[stream]

    # ------------------------------------------------------------------ folding

    def advance(self, watermarks: Mapping[TopicPartition, Watermark], most: int | None = None) -> Iterator[Output]:
        """Fold the panes that every partition has sealed. `most`: of them; a run of empty ones is one."""
        folded = 0
        self._take_recorded()
        yield from self._make_references(watermarks)
        target = self._reach(watermarks)
        while True:
            yield from self._take_found()
            if (yield from self._end_as_recorded()):
                target = self._reach(watermarks)
                continue
            yield from self._pass_silence()
            if target is None or self._next is None or self._next >= target or folded == most:
                return
            folded += 1
            yield from self._begin_pane(self._next)
            if self._next in self._panes:
                yield from self._fold(self._panes.pop(self._next))
                self._next += 1
            else:
                stop, pane_ms = self._end_of_run(target), self._pane_ms
                yield from self._judge.empty_run(self._lanes, (self._next + 1) * pane_ms, stop * pane_ms)
                self._next = stop
            yield from self._noticed()
            target = self._reach(watermarks)
            yield from self._make_references(watermarks)
            yield from self._begin_lanes(self._next)

    def _pass_silence(self, until: int | None = None) -> Iterator[Message]:
        """Judge silence as far as its clock has come before the next pane, or `until` (ms)."""
        if self._next is None:
            return
        folded_to = self._next * self._pane_ms
        clock = self._silence.time(folded_to, folded_to + self._pane_ms)
        yield from self._judge.silence(self._lanes, clock if until is None else min(clock, until), folded_to)

    def _end_as_recorded(self) -> Generator[Message, None, bool]:
        """Whether the model is gone here, as was recorded."""
        gone = self.decisions.ends(self._at)
        if gone is not None:
            yield from self._pass_silence(int(gone.decision.content or 0))
            yield from self._end(gone)
        return gone is not None

    def _take_found(self) -> list[Activation]:
        """What has been found of the model's first pane since the last call."""
        found, self._found = self._found, []
        return found

    def _reach(self, watermarks: Mapping[TopicPartition, Watermark]) -> int | None:
        """The target, after the decisions recorded for the next pane: they may add partitions."""
        target = self._target(watermarks)  # finds the first pane
        return self._target(watermarks) if self._take_recorded() else target

    def _target(self, watermarks: Mapping[TopicPartition, Watermark]) -> int | None:
        """The pane below which every partition has sealed; None as long as one has no watermark for the model."""
        decisions = self.decisions
        if decisions.partitions is None or decisions.rules is None:
            return None
        partitions = decisions.partitions.partitions
        told = [watermark for tp in partitions if (watermark := watermarks.get(tp)) is not None]
        sealed = [at for watermark in told if (at := watermark.watermark_of(self.model)) is not None]
        if len(sealed) < len(partitions) or not sealed:
            return None
        if self._next is None:
            self._find_first(told)
        return None if self._next is None else min(sealed) // self._pane_ms

    def _find_first(self, told: Sequence[Watermark]) -> None:
        """The model's first pane, once its partitions say where they begin. `told`: their newest watermarks."""
        firsts = [first for watermark in told if (first := watermark.first_of(self.model)) is not None]
        if self._ended is None:
            self._next = min(firsts) // self._pane_ms
            return
        if self.decisions.is_replay:
            self._next = self.decisions.begins()
        else:
            ended = self._ended * self._pane_ms
            begins = [self._back_at(watermark, ended) for watermark in told]
            if None not in begins:
                self._next = max(-(-at // self._pane_ms) for at in begins if at is not None)
                self._found.append(Activation(new_decision(self.model, "begun", ""), self._next))
        if self._next is not None:
            self._panes = {index: parts for index, parts in self._panes.items() if index >= (self._next or 0)}

    def _back_at(self, watermark: Watermark, ended: int) -> int | None:
        """From which watermark on a partition has the model again, that was gone at `ended` (ms); None: not yet.

        A partition that has missed that it was gone, since it came back at once, has it from there on.
        """
        at = watermark.again.get(self.model)
        if self.model in watermark.gone:
            return None
        if at is not None and at >= ended:
            return at
        return ended if watermark.watermark >= ended + MISSED_MS else None

    def _end_of_run(self, target: int) -> int:
        """The first pane after `next` that holds something, starts a decision or follows a notice; at most `target`."""
        nexts = list(self._panes)
        nexts += [-(-at // self._pane_ms) for at in self._notices.times]  # told behind their pane, not behind the run
        following = (self._next or 0) + 1
        nexts += [at // self._pane_ms for at in self._silence.later(following * self._pane_ms)]
        nexts = [index for index in nexts if index >= following]
        return min([target, *nexts, *self.decisions.recorded_panes])

    def _fold(self, parts: list[Pane | RawPane]) -> Iterator[Output]:
        self.folded += 1
        merged = {stream: self._merged(lane, parts) for stream, lane in self._lanes.items()}
        index = parts[0].index
        yield from self._judge.pane(self._lanes, merged, (index + 1) * self._pane_ms)

    @property
    def _pane_ms(self) -> int:
        if self.decisions.contract is None:
            raise FormatError(f"the ledger has no rules of {self.model}")
        return self.decisions.contract.pane_ms

    def _merged(self, lane: Lane, parts: list[Pane | RawPane]) -> MergedPane | Passed | None:
        mine = [part for part in parts if part.stream == lane.stream]
        if not mine or lane.waits:
            return passed(mine) if mine else None
        grid = self.decisions.grids[lane.stream]
        panes = [summarise(part, grid) if isinstance(part, RawPane) else part for part in mine]
        for pane in panes:
            if pane.grid != grid.digest:
                raise FormatError(f"pane {pane.index} of {pane.model} stands on grid {pane.grid}, not on {grid.digest}")
            for notice in limited(pane, grid, (pane.index + 1) * self._pane_ms):
                self._notices.hold(notice)
        return merge(panes)

    # ------------------------------------------------------------------ decisions

    def _take_recorded(self) -> bool:
        """Whether a recorded decision was due, and taken."""
        due = self.decisions.due(self._at)
        for activation in due:
            self._take(activation)
        return bool(due)

    def _take(self, activation: Activation) -> None:
        if (applied := self.decisions.take(activation.decision)) is not None:
            self._use(applied, activation.pane)

    def _begin_pane(self, pane: int) -> list[Message]:
        """Begin with a pane: from here on other rules may count, and references. Returns what is published of that."""
        if self.decisions.partitions is not None:
            self._silence.begin_pane(self.decisions.partitions.partitions)
        decision = self.decisions.begin_pane()
        messages: list[Message] = []
        if decision is not None:
            self._use(decision, pane)
            messages = self._judge.withdraw(pane * self._pane_ms)
        return [*messages, *self._begin_lanes(pane)]

    def _begin_lanes(self, pane: int) -> Iterator[Message]:
        """Let the lanes know the next pane; returns what they report, of it and of the pane before."""
        for lane in self._lanes.values():
            lane.begin(pane, pane * self._pane_ms)
            yield from (lane_message(step, self._place) for step in lane.take_steps())

    def _use(self, decision: Decision, pane: int | None) -> None:
        """Fold and judge by a decision that has been applied, from a pane on (None: from the first)."""
        decisions = self.decisions
        if decision.kind == "reference" and decision.stream:
            lane = self._lane(decision.stream)
            lane.refer(pane)
            if lane.fold is not None:
                lane.fold.compare_with(decisions.references[decision.stream])
        if decision.kind == "rules" and decisions.rules is not None and decisions.contract is not None:
            self._judge.use(decisions.rules, decisions.contract, decisions.alerts_yaml_sha256)
            for contract in decisions.contract.streams:
                self._lane(contract.stream).want(decisions.contract.raw_rows)
            for lane in self._lanes.values():
                if lane.fold is not None:
                    lane.fold.use(decisions.rules)
        for stream, lane in self._lanes.items():
            self._open(stream, lane)

    def _open(self, stream: StreamName, lane: Lane) -> None:
        """Give a lane its windows and detectors once its rules, grid and reference are there."""
        decisions = self.decisions
        contract = decisions.stream(stream)
        if contract is None or decisions.rules is None or decisions.contract is None or lane.fold is not None:
            return
        if stream in decisions.grids and stream in decisions.references:
            grid, reference = decisions.grids[stream], decisions.references[stream]
            lane.open(decisions.contract, contract, grid, reference, decisions.rules)

    # ------------------------------------------------------------------ state

    def state(self) -> ModelState:
        """All that later messages depend on, beside the decisions in use. Of a live model, not of a replay's."""
        return ModelState(
            active=_as_state(self.decisions.newest),
            used=_as_state(self.decisions.used),
            files=self.decisions.files,
            ended=self._ended,
            next=self._next,
            lanes=tuple(lane.state() for lane in self._lanes.values()),
            panes=tuple(_pending(part) for index in sorted(self._panes) for part in self._panes[index]),
            judge=self._judge.state(),
            notices=self._notices.state(),
            silence=self._silence.state(),
        )

    def blocks(self) -> Mapping[str, bytes]:
        """The first rows of lanes that wait, as parts that are written once: by the names that the state lists."""
        return {name: value for lane in self._lanes.values() for name, value in lane.first_rows.blocks().items()}

    def restore(self, state: ModelState, decisions: Mapping[str, Decision], blocks: Mapping[str, bytes]) -> None:
        """Go on from there; of a fold just begun. `decisions`: by digest, those in use. `blocks`: those of the state.

        Raises FormatError.
        """
        used = {(kind, stream): digest for kind, stream, digest in state.used}
        newest = {(kind, stream): digest for kind, stream, digest in state.active}
        for decision in self.decisions.restore(used, newest, state.files, decisions):
            self._use(decision, None)
        self._next, self._ended = state.next, state.ended
        for part in state.lanes:
            self._lane(part.stream).restore(part, blocks)
        if [part.stream for part in state.lanes] != list(self._lanes):
            raise FormatError(f"not a snapshot: {self.model} has other streams than its decisions give")
        for lane in self._lanes.values():
            for raw in lane.first_rows.parts:
                self._refuse_a_stranger(raw)
        for pending in state.panes:
            pane = decode_raw(pending.value) if pending.raw else decode_pane(pending.value)
            self._refuse_a_stranger(pane)
            self._panes.setdefault(pane.index, []).append(pane)
        self._judge.restore(state.judge, self._lanes)
        self._notices.restore(state.notices)
        self._silence.restore(state.silence)

    def _refuse_a_stranger(self, pane: Pane | RawPane) -> None:
        """A pane of another model, of a partition that is none of the model's, or on another grid."""
        contract, grid = self.decisions.stream(pane.stream), self.decisions.grids.get(pane.stream)
        partitions = self.decisions.partitions
        strange = pane.model != self.model
        strange |= partitions is not None and pane.tp not in partitions.partitions
        strange |= contract is not None and contract.topic != pane.tp.topic
        if isinstance(pane, Pane) and grid is not None:
            shape = (pane.grid, len(pane.counts), pane.codes.shape[1])
            strange |= shape != (grid.digest, grid.layout.width, len(grid.series))
        if strange:
            raise FormatError(f"not a snapshot: {self.model} holds a pane that is none of its")

    # ------------------------------------------------------------------ references

    def prepare(self, watermarks: Mapping[TopicPartition, Watermark]) -> Iterator[None]:
        """Make in steps what `advance` will publish of first rows; without it that makes them at once."""
        for _, lane, contract, _ in self._certain(watermarks):
            yield from lane.first_rows.make(contract)

    def _certain(
        self, watermarks: Mapping[TopicPartition, Watermark]
    ) -> Iterator[tuple[StreamName, Lane, StreamContract, int]]:
        """Return the lanes whose first rows are certain, where nothing else gave a grid, and the last row's time."""
        decisions = self.decisions
        for stream, lane in self._lanes.items():
            contract = decisions.stream(stream)
            if (
                contract is None
                or decisions.contract is None
                or decisions.partitions is None
                or stream in decisions.grids
            ):
                continue
            sealed = sealed_to(self.model, decisions.partitions, contract, watermarks, self._pane_ms)
            if (last := lane.first_rows.last_time(sealed)) is not None:
                yield stream, lane, contract, last

    def _make_references(self, watermarks: Mapping[TopicPartition, Watermark]) -> Iterator[Output]:
        """Make grid and reference of each lane whose first rows are certain."""
        for stream, lane, contract, last in self._certain(watermarks):
            grid, reference = at_once(lane.first_rows.make(contract))
            made = new_decision(self.model, "grid", encode_grid(grid).decode(), stream)
            first = new_decision(self.model, "reference", encode_reference(reference), stream)
            behind = last // self._pane_ms + 1
            for decision in (made, first):
                activation = Activation(decision, behind)
                yield activation
                self._take(activation)


def _pending(pane: Pane | RawPane) -> PendingPane:
    return PendingPane(True, encode_raw(pane)) if isinstance(pane, RawPane) else PendingPane(False, encode_pane(pane))


def _as_state(decisions: Mapping[DecisionKey, str]) -> tuple[DecisionState, ...]:
    return tuple((kind, stream, digest) for (kind, stream), digest in sorted(decisions.items()))
