"""The fold of one model: its panes in order, changes by pane, and the grid it makes where there is none.

A pane is folded when every partition of the model's topics has sealed it. The first pane is the earliest of any
partition once all have a watermark. A change counts from the first pane not yet folded when it is read; that pane is
told as an Activation, and a replay is given the activations beforehand. A run of panes that are empty everywhere is
folded in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from monitor.config.resolved import ModelRules
from monitor.contract import ModelContract, StreamContract
from monitor.errors import FormatError
from monitor.evaluate.alerts import Place
from monitor.evaluate.judging import Judge
from monitor.evaluate.messages import Message
from monitor.evaluate.notices import Notices, limited, notice_message
from monitor.evaluate.reference import Reference, build_reference, decode_reference, encode_reference
from monitor.evaluate.sampling import FirstRows
from monitor.evaluate.state import ModelState, PendingPane
from monitor.evaluate.stream import StreamFold
from monitor.events import STREAMS, StreamName, TopicPartition
from monitor.panes.grid import Grid, decode_grid, encode_grid, make_grid
from monitor.panes.ledger import Activation, Change, ChangeKind, Notice, PartitionSet, Watermark, new_change
from monitor.panes.merging import MergedPane, merge
from monitor.panes.open_pane import summarise
from monitor.panes.pane import Pane, RawPane, decode_pane, decode_raw, encode_pane, encode_raw

Output = Message | Activation
_ChangeKey = tuple[ChangeKind, StreamName | Literal[""]]


class RulesContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of a rules change: a model's rules (JSON of ModelRules) and the contract they were checked with."""

    rules: str
    contract: ModelContract


class ModelFold:
    """One model. `recorded`: activations of a captured log; with them, changes in the ledger are ignored."""

    def __init__(self, model: str, place: Place, recorded: Iterable[Activation] = ()) -> None:
        self.model = model
        self._recorded = sorted(
            (a for a in recorded if a.change.model == model), key=lambda a: -(1 << 62) if a.pane is None else a.pane
        )
        self._is_replay = bool(self._recorded)
        self._set: PartitionSet | None = None
        self._contract: ModelContract | None = None
        self._rules: ModelRules | None = None
        self._next_rules: Change | None = None
        self._judge = Judge(model, place)
        self._grids: dict[StreamName, Grid] = {}
        self._references: dict[StreamName, Reference] = {}
        self._streams: dict[StreamName, StreamFold] = {}
        self._first_rows: dict[StreamName, FirstRows] = {}
        self._panes: dict[int, list[Pane | RawPane]] = {}
        self._next: int | None = None
        self.folded = 0
        """Panes folded since this object was made."""
        self._active: dict[_ChangeKey, str] = {}
        self._used: dict[_ChangeKey, str] = {}
        self._place = place
        self._notices = Notices()

    @property
    def active(self) -> Mapping[_ChangeKey, str]:
        """Digests of the newest changes by (kind, stream)."""
        return self._active

    @property
    def stands_on(self) -> frozenset[str]:
        """Digests of the changes that a restore has to be given: those that apply, and rules that wait."""
        waiting = () if self._next_rules is None else (self._next_rules.digest,)
        return frozenset([*self._used.values(), *waiting])

    @property
    def rules(self) -> ModelRules | None:
        """The rules that apply now."""
        return self._rules

    @property
    def contract(self) -> ModelContract | None:
        """The contract that the rules were checked with."""
        return self._contract

    @property
    def judged_to(self) -> int | None:
        """End of the newest pane that is folded, ms; None before the first."""
        return None if self._next is None else self._next * self._pane_ms

    @property
    def fed(self) -> int:
        """Values that detectors were given, since this object was made."""
        return sum(fold.fed for fold in self._streams.values())

    @property
    def blind_detectors(self) -> int:
        """How many detectors have been told to be blind."""
        return self._judge.blind_detectors

    @property
    def alerts(self) -> Mapping[str, int]:
        """How many alerts fire, and how many are pending."""
        return self._judge.alerts

    @property
    def active_set(self) -> PartitionSet | None:
        return self._set

    # ------------------------------------------------------------------ input

    def read(self, entry: Pane | RawPane | Change | Notice) -> list[Output]:
        """One ledger record of this model."""
        if isinstance(entry, Notice):
            self._notices.hold(entry)
            return list(self._noticed())
        if isinstance(entry, Change):
            return self._change(entry)
        if not (isinstance(entry, RawPane) and not entry.complete):
            self._panes.setdefault(entry.index, []).append(entry)
        if isinstance(entry, RawPane) and entry.stream not in self._grids:
            self._sampler(entry.stream).add(entry)
        return []

    def _change(self, change: Change) -> list[Output]:
        if self._is_replay or self._active.get((change.kind, change.stream)) == change.digest:
            return []
        at = self._next
        self._take(change)
        return [Activation(change, at)]

    def _noticed(self) -> Iterator[Message]:
        """The notices up to the newest pane that is folded; the others wait for their pane."""
        if self._next is not None:
            for notice in self._notices.due(self._next * self._pane_ms):
                yield notice_message(notice, self._place)

    def _sampler(self, stream: StreamName) -> FirstRows:
        return self._first_rows.setdefault(stream, FirstRows())

    # ------------------------------------------------------------------ folding

    def advance(self, watermarks: Mapping[TopicPartition, Watermark]) -> Iterator[Output]:
        """Fold all panes that every partition has sealed."""
        self._take_recorded()
        yield from self._make_grids(watermarks)
        target = self._reach(watermarks)
        while target is not None and self._next is not None and self._next < target:
            parts = self._panes.get(self._next)
            if parts is not None and not self._foldable(parts):
                return
            yield from self._begin_rules(self._next)
            if parts is not None:
                yield from self._fold(self._panes.pop(self._next))
                self._next += 1
            else:
                stop, pane_ms = self._end_of_run(target), self._pane_ms
                yield from self._judge.empty_run(self._streams, (self._next + 1) * pane_ms, stop * pane_ms)
                self._next = stop
            yield from self._noticed()
            target = self._reach(watermarks)

    def _reach(self, watermarks: Mapping[TopicPartition, Watermark]) -> int | None:
        """The target, after the changes recorded for the next pane: they may add partitions."""
        target = self._target(watermarks)  # finds the first pane
        return self._target(watermarks) if self._take_recorded() else target

    def _target(self, watermarks: Mapping[TopicPartition, Watermark]) -> int | None:
        """The pane below which every partition has sealed; None as long as one has no watermark for the model."""
        if self._set is None or self._rules is None:
            return None
        told = [watermark for tp in self._set.partitions if (watermark := watermarks.get(tp)) is not None]
        sealed = [at for watermark in told if (at := watermark.watermark_of(self.model)) is not None]
        if len(sealed) < len(self._set.partitions) or not sealed:
            return None
        if self._next is None:
            firsts = [first for watermark in told if (first := watermark.first_of(self.model)) is not None]
            self._next = min(firsts) // self._pane_ms
        return min(sealed) // self._pane_ms

    def _end_of_run(self, target: int) -> int:
        """The first pane after `next` that holds something, starts a change or follows a notice; at most `target`."""
        nexts = list(self._panes)
        nexts += [-(-at // self._pane_ms) for at in self._notices.times]  # told behind their pane, not behind the run
        nexts = [index for index in nexts if index > (self._next or 0)]
        nexts += [a.pane for a in self._recorded if a.pane is not None]
        return min([target, *nexts])

    def _foldable(self, parts: list[Pane | RawPane]) -> bool:
        return all(part.stream in self._streams for part in parts)

    def _fold(self, parts: list[Pane | RawPane]) -> Iterator[Output]:
        self.folded += 1
        merged = {stream: self._merged(stream, parts) for stream in self._streams}
        index = parts[0].index
        yield from self._judge.pane(self._streams, merged, (index + 1) * self._pane_ms)

    @property
    def _pane_ms(self) -> int:
        if self._contract is None:
            raise FormatError(f"the ledger has no rules of {self.model}")
        return self._contract.pane_ms

    def _merged(self, stream: StreamName, parts: list[Pane | RawPane]) -> MergedPane | None:
        grid = self._grids[stream]
        panes = [
            summarise(part, grid) if isinstance(part, RawPane) else part for part in parts if part.stream == stream
        ]
        for pane in panes:
            if pane.grid != grid.digest:
                raise FormatError(f"pane {pane.index} of {pane.model} stands on grid {pane.grid}, not on {grid.digest}")
            for notice in limited(pane, grid, (pane.index + 1) * self._pane_ms):
                self._notices.hold(notice)
        return merge(panes) if panes else None

    # ------------------------------------------------------------------ changes

    def _take_recorded(self) -> bool:
        """Whether a recorded change was due, and taken."""
        left = len(self._recorded)
        while self._recorded and (self._recorded[0].pane is None or self._is_reached(self._recorded[0].pane)):
            self._take(self._recorded.pop(0).change)
        return len(self._recorded) < left

    def _is_reached(self, pane: int) -> bool:
        return self._next is not None and pane <= self._next

    def _take(self, change: Change) -> None:
        """Apply a change; but rules in the place of others wait for the next pane, for which the newest count."""
        if change.kind == "rules" and self._rules is not None:
            self._next_rules = change
        else:
            self._apply(change)
        self._active[change.kind, change.stream] = change.digest

    def _begin_rules(self, pane: int) -> list[Message]:
        """What there is to say as other rules count from this pane on."""
        change, self._next_rules = self._next_rules, None
        if change is None:
            return []
        self._apply(change)
        return self._judge.withdraw(pane * self._pane_ms)

    def _apply(self, change: Change) -> None:
        key = (change.kind, change.stream)
        # a stream keeps its first grid
        if not (change.kind == "grid" and key in self._used):
            self._used[key] = change.digest
        _APPLY[change.kind](self, change)

    def _apply_set(self, change: Change) -> None:
        self._set = msgspec.json.decode(change.content, type=PartitionSet)

    def _apply_grid(self, change: Change) -> None:
        grid = decode_grid(change.content.encode())
        self._grids.setdefault(grid.stream, grid)

    def _apply_reference(self, change: Change) -> None:
        reference, _ = decode_reference(change.content, self._grids.values())
        self._references[reference.stream] = reference
        if reference.stream in self._streams:
            self._streams[reference.stream].compare_with(reference)
        else:
            self._open(reference.stream)

    def _apply_rules(self, change: Change) -> None:
        content = msgspec.json.decode(change.content, type=RulesContent)
        self._contract = content.contract
        self._rules = ModelRules.model_validate_json(content.rules)
        self._judge.use(self._rules, content.contract)
        for stream in STREAMS:
            self._open(stream)
        for fold in self._streams.values():
            fold.use(self._rules)

    def _open(self, stream: StreamName) -> None:
        """Begin to fold a stream once its rules, grid and reference are there."""
        contract = self._stream_contract(stream)
        if contract is None or self._rules is None or self._contract is None or stream in self._streams:
            return
        if stream in self._grids and stream in self._references:
            fold = StreamFold(self._contract, contract, self._grids[stream], self._references[stream])
            fold.use(self._rules)
            # the order of streams is fixed, whichever came first
            self._streams = {s: f for s in STREAMS for t, f in [*self._streams.items(), (stream, fold)] if s == t}
            self._first_rows.pop(stream, None)

    def _stream_contract(self, stream: StreamName) -> StreamContract | None:
        streams = self._contract.streams if self._contract is not None else ()
        return next((contract for contract in streams if contract.stream == stream), None)

    # ------------------------------------------------------------------ state

    def state(self) -> ModelState:
        """All that later messages depend on, beside the changes in use. Of a live model, not of a replay's."""
        return ModelState(
            active=tuple((kind, stream, digest) for (kind, stream), digest in sorted(self._active.items())),
            used=tuple((kind, stream, digest) for (kind, stream), digest in sorted(self._used.items())),
            next=self._next,
            streams=tuple(fold.state() for fold in self._streams.values()),
            first_rows=tuple(
                self._first_rows[stream].state(stream) for stream in STREAMS if stream in self._first_rows
            ),
            panes=tuple(_pending(part) for index in sorted(self._panes) for part in self._panes[index]),
            judge=self._judge.state(),
            notices=self._notices.state(),
        )

    def restore(self, state: ModelState, changes: Mapping[str, Change]) -> None:
        """Go on from there; of a fold just begun. `changes`: by digest, those in use among them. Raises FormatError."""
        self._use({(kind, stream): digest for kind, stream, digest in state.used}, changes)
        self._active = {(kind, stream): digest for kind, stream, digest in state.active}
        newest = self._active.get(("rules", ""))
        if newest != self._used.get(("rules", "")):
            self._next_rules = self._change_of("rules", "", newest or "", changes)
        self._next = state.next
        if [part.stream for part in state.streams] != list(self._streams):
            raise FormatError(f"not a snapshot: {self.model} has other streams than its changes give")
        for part in state.streams:
            self._streams[part.stream].restore(part)
        for rows in state.first_rows:
            self._sampler(rows.stream).restore(rows)
            for raw in self._sampler(rows.stream).parts:
                self._refuse_a_stranger(raw)
        for pending in state.panes:
            pane = decode_raw(pending.value) if pending.raw else decode_pane(pending.value)
            self._refuse_a_stranger(pane)
            self._panes.setdefault(pane.index, []).append(pane)
        self._judge.restore(state.judge, self._streams)
        self._notices.restore(state.notices)

    def _refuse_a_stranger(self, pane: Pane | RawPane) -> None:
        """A pane of another model, of a partition that is none of the model's, or on another grid."""
        contract, grid = self._stream_contract(pane.stream), self._grids.get(pane.stream)
        strange = pane.model != self.model
        strange |= self._set is not None and pane.tp not in self._set.partitions
        strange |= contract is not None and contract.topic != pane.tp.topic
        if isinstance(pane, Pane) and grid is not None:
            shape = (pane.grid, len(pane.counts), pane.codes.shape[1])
            strange |= shape != (grid.digest, grid.layout.width, len(grid.series))
        if strange:
            raise FormatError(f"not a snapshot: {self.model} holds a pane that is none of its")

    def _use(self, used: Mapping[_ChangeKey, str], changes: Mapping[str, Change]) -> None:
        """Apply the changes in use again: a reference stands on a grid, and what has both is opened by the rules."""
        for (kind, stream), digest in sorted(used.items(), key=lambda item: _ORDER.index(item[0][0])):
            try:
                self._apply(self._change_of(kind, stream, digest, changes))
            except (msgspec.DecodeError, ValueError) as error:
                raise FormatError(f"the {kind} {digest} of {self.model} can't be read: {error}") from error
        if self._used != used:
            raise FormatError(f"the changes that the snapshot of {self.model} stands on are damaged")

    def _change_of(
        self, kind: ChangeKind, stream: StreamName | Literal[""], digest: str, changes: Mapping[str, Change]
    ) -> Change:
        """By its content: models on the same topics share a set."""
        if digest not in changes:
            raise FormatError(f"the {kind} {digest} that the snapshot of {self.model} stands on is not there")
        return new_change(self.model, kind, changes[digest].content, stream)

    # ------------------------------------------------------------------ grids

    def _make_grids(self, watermarks: Mapping[TopicPartition, Watermark]) -> Iterator[Output]:
        """Grid and reference of a stream from its first rows, where nothing else gave them."""
        for stream in list(self._first_rows):
            contract = self._stream_contract(stream)
            if contract is None or self._contract is None or self._set is None or stream in self._grids:
                continue
            frontiers = _frontiers(self.model, self._set, contract, watermarks, self._contract.pane_ms)
            rows = self._first_rows[stream].rows(frontiers, self._contract.raw_rows, self._pane_ms)
            if rows is None:
                continue
            grid = make_grid(rows, contract)
            reference = build_reference(grid, rows, f"first {len(rows)} events")
            for kind, content in (("grid", encode_grid(grid).decode()), ("reference", encode_reference(reference))):
                change = new_change(self.model, _kind(kind), content, stream)
                yield Activation(change, None)
                self._take(change)


def _pending(pane: Pane | RawPane) -> PendingPane:
    return PendingPane(True, encode_raw(pane)) if isinstance(pane, RawPane) else PendingPane(False, encode_pane(pane))


_ORDER: tuple[ChangeKind, ...] = ("set", "grid", "reference", "rules")
"""In which changes are applied again."""


def _kind(kind: str) -> Literal["grid", "reference"]:
    return "grid" if kind == "grid" else "reference"


_APPLY: Mapping[str, Callable[[ModelFold, Change], None]] = {
    "set": ModelFold._apply_set,
    "grid": ModelFold._apply_grid,
    "reference": ModelFold._apply_reference,
    "rules": ModelFold._apply_rules,
}


def _frontiers(
    model: str,
    partitions: PartitionSet,
    contract: StreamContract,
    watermarks: Mapping[TopicPartition, Watermark],
    pane_ms: int,
) -> dict[TopicPartition, int]:
    """Of each partition of the stream's topic, the event time below which all the model's rows are sealed."""
    frontiers = {}
    for tp in partitions.partitions:
        if tp.topic == contract.topic:
            sealed = watermarks[tp].watermark_of(model) if tp in watermarks else None
            frontiers[tp] = -(1 << 62) if sealed is None else sealed // pane_ms * pane_ms
    return frontiers
