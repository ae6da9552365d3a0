"""The lanes of one model: those of the contract in use, and the first rows of all that have no grid yet.

The rules of this file:

- The lanes are those of the contract that the newest rules came with. If another one names a stream differently
  (`contract.lane_contract`), the stream's lane is another and starts again; a stream that is gone has none any more.
- A pane belongs to a stream's lane if all its parts stand on that lane's contract. Else it is left out: it is judged
  under neither contract, and counted.
- First rows are kept by what they stand on, from the first that comes: profile may take a contract before its rules
  have come here. They are never dropped before the grid is made, because profile sends them once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from monitor.contract import life_of
from monitor.errors import FormatError
from monitor.evaluate.decisions import Decisions
from monitor.evaluate.first_rows import Certain, FirstRows, sealed_to
from monitor.evaluate.lane import Lane, Passed, passed
from monitor.evaluate.notices import dictionary_limited, limited
from monitor.evaluate.outcomes import Outcomes
from monitor.evaluate.reference import Reference, encode_reference
from monitor.evaluate.state import FirstRowsState, LaneState
from monitor.events import STREAMS, StreamName, TopicPartition
from monitor.ledger.entries import Activation, DecisionKind, Notice, Watermark, new_decision
from monitor.panes.grid import encode_grid
from monitor.panes.keyed import KeyedRows
from monitor.panes.merging import MergedPane, merge
from monitor.panes.open_pane import summarise
from monitor.panes.pane import Pane, RawPane
from monitor.panes.steps import at_once


class ModelLanes:
    """Lanes by stream, in the order of the streams, and first rows by lane."""

    def __init__(self, model: str) -> None:
        self.by_stream: dict[StreamName, Lane] = {}
        self._model = model
        self._first_rows: dict[str, FirstRows] = {}
        self._limits: list[Notice] = []

    def begin_anew(self, life: int) -> ModelLanes:
        """Those of another life of the model: none yet, but perhaps first rows."""
        after = ModelLanes(self._model)
        after._first_rows = {name: rows for name, rows in self._first_rows.items() if life_of(name) >= life}
        return after

    # ------------------------------------------------------------------ decisions

    def use(self, decisions: Decisions, since: int | None) -> None:
        """Go on by the rules in use. `since`: where the silence of streams that are new begins, ms; None: see Lane."""
        contract, rules = decisions.contract, decisions.rules
        if contract is None or rules is None:
            return
        before, after = self.by_stream, dict[StreamName, Lane]()
        for name, (of, stream) in decisions.lanes.items():
            if of is not contract or not stream.has_lane:
                continue
            lane = before.get(stream.stream)
            if lane is None or lane.contract != name:
                lane = Lane(self._model, stream.stream, name, since)
                if stream.stream in before:
                    lane.follow(before[stream.stream])
                lane.refer(decisions.references_from.get(name, 0))
            elif lane.fold is not None:
                lane.fold.use(rules, contract)
            lane.want(contract)
            after[stream.stream] = lane
        self.by_stream = {stream: after[stream] for stream in STREAMS if stream in after}
        self.want(decisions)

    def want(self, decisions: Decisions) -> None:
        """Let the first rows know how many are wanted, as far as rules say it by now."""
        for name, (contract, _) in decisions.lanes.items():
            if name in self._first_rows:
                self._first_rows[name].want(contract.raw_rows)

    def refer(self, name: str, decisions: Decisions) -> None:
        """A lane has got a reference, or another one on its grid."""
        for lane in self.by_stream.values():
            if lane.contract == name and name in decisions.references:  # those of outcomes count with their grid
                lane.refer(decisions.references_from[name])
                if lane.fold is not None:
                    lane.fold.compare_with(decisions.references[name])
                    self._trail(lane, decisions)

    def accept(self, name: str) -> Sequence[StreamName]:
        """The reference that a lane has got was accepted: it forgets what would be judged of the one before.

        Returns the stream, if the lane is still there.
        """
        lanes = [lane for lane in self.by_stream.values() if lane.contract == name]
        for lane in lanes:
            if lane.fold is not None:
                lane.fold.forget_news()
        return [lane.stream for lane in lanes]

    def follow_trailing(self, name: str, decisions: Decisions) -> None:
        """A lane has got a reference of its newest rows."""
        for lane in self.by_stream.values():
            if lane.contract == name:
                lane.follow_trailing(decisions.trailing[name])

    def open(self, decisions: Decisions) -> None:
        """Give lanes their windows and detectors once their grid and reference are there; first rows have served."""
        self._first_rows = {name: rows for name, rows in self._first_rows.items() if name not in decisions.grids}
        for lane in self.by_stream.values():
            name = lane.contract
            if lane.fold is None and name in decisions.references and decisions.rules is not None:
                contract, stream = decisions.lanes[name]
                grid, reference = decisions.grids[name], decisions.references[name]
                if reference.grows_to is None:
                    lane.open(contract, stream, grid, reference, decisions.rules)
                    self._trail(lane, decisions)
                elif lane.growth is None:
                    lane.grow(contract, grid, reference)

    def _trail(self, lane: Lane, decisions: Decisions) -> None:
        """Let the reference of a lane that has been opened follow its rows, if rules ask for that."""
        name, rules = lane.contract, decisions.rules
        if rules is None or rules.reference.trailing_ms is None:
            return
        grid, first, since = decisions.grids[name], decisions.references[name], decisions.references_from[name]
        lane.trail(decisions.lanes[name][0], grid, first, since, rules.reference.trailing_ms)
        if name in decisions.trailing:
            lane.follow_trailing(decisions.trailing[name])

    def follow_outcomes(self, outcomes: Outcomes, decisions: Decisions, at: int) -> None:
        """Open the lane of outcomes from the pane on that begins at `at` (ms), or give it another reference there."""
        lane = self.by_stream.get("outcomes")
        if lane is None or outcomes.grid is None or outcomes.reference is None or not outcomes.has_begun:
            return
        if lane.fold is None and decisions.rules is not None:
            contract, stream = decisions.lanes[lane.contract]
            lane.open(contract, stream, outcomes.grid, outcomes.reference, decisions.rules)
            lane.refer(at)
            return
        outcomes.make_reference()
        if lane.fold is not None and lane.fold.reference.digest != outcomes.reference.digest:
            lane.fold.compare_with(outcomes.reference)
            lane.refer(at)

    def opens_outcomes(self, outcomes: Outcomes) -> bool:
        """Return true if the lane of outcomes opens behind the next pane, whatever that holds."""
        lane = self.by_stream.get("outcomes")
        is_known = outcomes.grid is not None and outcomes.reference is not None
        return lane is not None and lane.fold is None and is_known and outcomes.has_begun

    # ------------------------------------------------------------------ panes

    def collect(self, pane: RawPane, decisions: Decisions) -> None:
        """Take the rows of a raw pane, or of the sample of one that waits."""
        if pane.contract in decisions.grids or pane.contract in decisions.recorded_lanes:
            return
        if pane.contract not in self._first_rows:
            wanted = decisions.lanes[pane.contract][0].raw_rows if pane.contract in decisions.lanes else None
            self._first_rows[pane.contract] = FirstRows(wanted)
        self._first_rows[pane.contract].add(pane)

    def merge(
        self, parts: Sequence[Pane | RawPane], decisions: Decisions
    ) -> dict[StreamName, MergedPane | Passed | None]:
        """What each lane has of a pane, by stream; None: nothing."""
        return {
            stream: self._merge(lane, [part for part in parts if part.stream == stream], decisions)
            for stream, lane in self.by_stream.items()
        }

    def _merge(self, lane: Lane, parts: Sequence[Pane | RawPane], decisions: Decisions) -> MergedPane | Passed | None:
        if not parts:
            return None
        if any(part.contract != lane.contract or (isinstance(part, Pane) and not part.grid) for part in parts):
            return passed(parts, is_left_out=True)
        if lane.waits and not lane.grows:
            return passed(parts)
        panes = self._put_on_grid(parts, decisions)
        if lane.judged_fold is None and not lane.waits:  # once, with the first pane that is judged
            for pane in panes:
                self._limits += dictionary_limited(pane, decisions.grids[lane.contract], pane.start + pane.pane_ms)
        return merge(panes)

    def _put_on_grid(self, parts: Sequence[Pane | RawPane], decisions: Decisions) -> list[Pane]:
        """The parts of a lane that is judged, on its grid."""
        panes = []
        for part in parts:
            grid = decisions.grids[part.contract]
            pane = summarise(part, grid) if isinstance(part, RawPane) else part
            if pane.grid != grid.digest:
                raise FormatError(f"pane {pane.index} of {pane.model} stands on grid {pane.grid}, not on {grid.digest}")
            self._limits += limited(pane, grid, pane.start + pane.pane_ms)
            panes.append(pane)
        return panes

    def take_limits(self) -> list[Notice]:
        """Notices of what has been left out of merged panes since the last call."""
        limits, self._limits = self._limits, []
        return limits

    # ------------------------------------------------------------------ references

    def prepare(self, decisions: Decisions, watermarks: Mapping[TopicPartition, Watermark]) -> Iterator[None]:
        """Make in steps what `references` will give of first rows; without it that makes them at once."""
        for name, certain in self._certain(decisions, watermarks):
            yield from self._first_rows[name].make(decisions.lanes[name][1], certain)

    def references(
        self, decisions: Decisions, watermarks: Mapping[TopicPartition, Watermark], next_pane: int | None
    ) -> Iterator[Activation]:
        """Grid and reference of each lane whose first rows are certain, if nothing else gave them.

        They count from the pane behind those rows, or from the next one where that is later. Also of lanes that begin
        with the next pane: that pane may have to wait for their grid. `next_pane`: where it begins, ms. Then those that
        have grown to the end of their span, and those of the newest rows that are due.
        """
        for name, certain in self._certain(decisions, watermarks):
            stream = decisions.lanes[name][1]
            at = certain.behind if next_pane is None else max(certain.behind, next_pane)
            grid, reference = at_once(self._first_rows[name].make(stream, certain.at(at)))
            made: tuple[tuple[DecisionKind, str], ...] = (
                ("grid", encode_grid(grid).decode()),
                ("reference", encode_reference(reference)),
            )
            for kind, content in made:
                decision = new_decision(self._model, kind, content, stream.stream, lane=name)
                yield Activation(decisions.of_this_life(decision), at)
        if next_pane is None:
            return
        for lane in list(self.by_stream.values()):
            for kind, reference in _due(lane, next_pane):
                content = encode_reference(reference)
                decision = new_decision(self._model, kind, content, lane.stream, lane=lane.contract)
                yield Activation(decisions.of_this_life(decision), next_pane)

    def next_ends(self) -> Iterator[int]:
        """Yield the times (ms) from which on references that are to come count, in order of the lanes."""
        for lane in self.by_stream.values():
            if lane.growth is not None:
                yield lane.growth.ends
            if lane.trailing is not None:
                yield lane.trailing.due

    def _certain(
        self, decisions: Decisions, watermarks: Mapping[TopicPartition, Watermark]
    ) -> Iterator[tuple[str, Certain]]:
        """The lanes whose first rows are certain, if nothing else gave a grid, and what is certain of each."""
        if decisions.has_recorded_changes:
            return
        for name, (contract, stream) in decisions.lanes.items():
            if decisions.partitions is None or name in decisions.grids or name not in self._first_rows:
                continue
            sealed = sealed_to(self._model, decisions.partitions, stream, watermarks, contract.pane_ms)
            # if no partition of its topic is read any more, nothing is certain
            certain = (
                self._first_rows[name].certain(sealed, contract.pane_ms, contract.reference_ms) if sealed else None
            )
            if certain is not None:
                yield name, certain

    # ------------------------------------------------------------------ state

    def state(self) -> tuple[LaneState, ...]:
        """All that later messages of the lanes depend on, beside grids, references and rules."""
        return tuple(lane.state() for lane in self.by_stream.values())

    def first_rows(self) -> tuple[tuple[str, FirstRowsState], ...]:
        """The first rows of each lane that has no grid yet, by lane."""
        return tuple((name, rows.state()) for name, rows in sorted(self._first_rows.items()))

    def blocks(self) -> Mapping[str, bytes]:
        """The first rows as parts that are written once: by the names that the state lists."""
        return {name: value for rows in self._first_rows.values() for name, value in rows.blocks().items()}

    def restore(
        self,
        lanes: Sequence[LaneState],
        first_rows: Sequence[tuple[str, FirstRowsState]],
        blocks: Mapping[str, bytes],
        decisions: Decisions,
    ) -> Iterator[RawPane]:
        """Go on from there, once the decisions are applied; gives back the raw panes kept. Raises FormatError."""
        if [part.stream for part in lanes] != list(self.by_stream):
            raise FormatError(f"not a snapshot: {self._model} has other streams than its decisions give")
        for part in lanes:
            self.by_stream[part.stream].restore(part)
        for name, state in first_rows:
            wanted = decisions.lanes[name][0].raw_rows if name in decisions.lanes else None
            self._first_rows[name] = FirstRows(wanted)
            self._first_rows[name].restore(state, blocks)
            yield from self._first_rows[name].parts


def _due(lane: Lane, at: int) -> Iterator[tuple[DecisionKind, Reference]]:
    """What a lane has made of its panes that counts from the one on that begins at `at` (ms), and how it counts."""
    if lane.growth is not None and lane.growth.is_grown(at):
        yield "reference", lane.growth.made()
    if lane.trailing is not None and lane.fold is not None and not lane.waits and at >= lane.trailing.due:
        reference = lane.trailing.made(lane.fold.longest_window_ms, lane.fold.fewest_rows)
        if reference is not None:
            yield "trailing", reference


def stranger(pane: Pane | RawPane | KeyedRows, model: str, decisions: Decisions) -> bool:
    """Return true if a pane can't be one of a model: of another topic, partition or length, or on another grid."""
    if pane.model != model:
        return True
    if pane.contract in decisions.lanes:
        contract, stream = decisions.lanes[pane.contract]
        # a topic that the newest set has left is still that of a lane until the rules without it count
        is_left = pane.tp.topic not in {tp.topic for tp in decisions.inputs}
        place = (pane.stream, pane.tp.topic, pane.pane_ms)
        if not (is_left or pane.tp in decisions.inputs) or place != (stream.stream, stream.topic, contract.pane_ms):
            return True
    grid = decisions.grids.get(pane.contract)
    if not isinstance(pane, Pane) or grid is None:
        return False
    shape = (pane.grid, len(pane.counts), pane.codes.shape[1])
    return shape not in ((grid.digest, grid.layout.width, len(grid.series)), ("", 0, 0))
