"""What people accept in a random log: a stretch of its features, and the reference that the service makes of that."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from monitor.evaluate.decisions import Decisions
from monitor.evaluate.model import ModelFold
from monitor.evaluate.reference import encode_reference
from monitor.evaluate.stretch import StoredPanes, Stretch, StretchReference
from monitor.events import TopicPartition
from monitor.ledger.commands import Accept, Command
from monitor.ledger.entries import Activation, Decision, Watermark, new_decision
from monitor.panes.merging import MergedPane
from monitor.panes.pane import Pane, RawPane
from monitor.profile.partition import Drained
from monitor.replay import Replay


class Listening(Replay):
    """A replay that keeps what its partitions put out, as the ledger does."""

    entries: list[Pane | RawPane | Watermark]

    def drain(self, tp: TopicPartition) -> Drained:
        """Keep it, too."""
        drained = super().drain(tp)
        self.entries = getattr(self, "entries", [])
        self.entries += [one for one in drained.panes if isinstance(one, Pane | RawPane)]
        self.entries += [] if drained.watermark is None else [drained.watermark]
        return drained

    def fold_of(self, model: str) -> ModelFold:
        """The fold of a model."""
        return self._evaluate.models[model]


def accepted(run: Listening, asked: Command, request: Accept, asked_at: int, at: int) -> list[Activation]:
    """The command as it counts from the pane that begins at `asked_at` (ms), and its answer from that at `at`."""
    answer = _reference(run.entries, run.fold_of(asked.model).decisions, request)
    return [Activation(asked.decision, asked_at), Activation(replace(answer, command=asked.id), at)]


def _reference(entries: Iterable[Pane | RawPane | Watermark], decisions: Decisions, request: Accept) -> Decision:
    own_lanes = ((name, *of) for name, of in decisions.lanes.items() if of[1].stream == request.stream)
    name, contract, stream = next(own_lanes)
    own = () if decisions.partitions is None else decisions.partitions.partitions
    stretch = Stretch(
        name, contract.pane_ms, request.start, request.end, tuple(tp for tp in own if tp.topic == stream.topic)
    )
    grid, before = decisions.grids[name], decisions.references[name]
    stored = StoredPanes(stretch, grid)
    found: list[tuple[int, MergedPane]] = []
    for entry in entries:
        if isinstance(entry, Watermark):
            stored.reach(TopicPartition(entry.topic, entry.partition), entry.watermark_of(contract.model) or 0)
        elif entry.stream == stream.stream and stretch.holds(entry):
            stored.add(entry)
        found += stored.take()
    making = StretchReference(grid, stretch, before, request.columns)
    for start, pane in found:
        making.count(start, pane)
    making.turn(1)  # that it has enough rows is not the question here
    for _, pane in found:
        making.add(pane)
    content = encode_reference(making.made("accepted"))
    return new_decision(contract.model, "reference", content, stream.stream, lane=name)
