"""What people have accepted as normal, from the command until its reference is made.

    a command is    from                                     until
    asked           the pane that it counts from             its reference is read back from the ledger, or a refusal
    over            that pane

The reference is made of stored panes beside the fold (`runner/accepted.py`), by the owner of the ledger partition;
whoever takes that over begins once more, because what is asked is state of the model. Both answers are decisions: they
count by pane, and a replay is given them. A lane has at most one that is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from monitor.config.suggest import did_you_mean
from monitor.evaluate.lane import Lane
from monitor.events import StreamName
from monitor.ledger.commands import Accept, command_of, id_of
from monitor.ledger.entries import Decision, new_decision

ACCEPTED_STREAMS: tuple[Literal["features", "predictions"], ...] = ("features", "predictions")
"""Streams whose panes are stored. The reference of outcomes is of predictions with their labels."""


class Refusal(msgspec.Struct, frozen=True):
    """Content of a refusal decision: why a command that was taken has come to nothing, and who says so."""

    command: str
    text: str
    topic: str
    partition: int


class Accepting:
    """Those of one model that are asked, by id, in the order in which they came."""

    def __init__(self) -> None:
        self._asked: dict[str, Decision] = {}

    def __iter__(self) -> Iterator[tuple[str, Decision]]:
        return iter(tuple(self._asked.items()))

    def __contains__(self, name: str) -> bool:
        return name in self._asked

    def add(self, decision: Decision) -> None:
        """A command has come."""
        self._asked[id_of(decision.digest)] = decision

    def end(self, name: str) -> tuple[str, ...]:
        """Its answer has come. Returns the columns that it is about; none if it is about all."""
        asked = self._asked.pop(name, None)
        request = None if asked is None else command_of(asked).request
        return request.columns if isinstance(request, Accept) else ()

    @property
    def requests(self) -> list[Accept]:
        """What is asked."""
        found = (command_of(decision).request for decision in self._asked.values())
        return [request for request in found if isinstance(request, Accept)]

    def state(self) -> tuple[str, ...]:
        """The content of each."""
        return tuple(decision.content for decision in self._asked.values())

    def restore(self, model: str, state: Sequence[str]) -> None:
        """Go on from there; raises FormatError."""
        for content in state:
            decision = new_decision(model, "accept", content)
            command_of(decision)
            self.add(decision)


def lane_to_accept(lanes: Mapping[StreamName, Lane], stream: StreamName | str) -> Lane | str:
    """The lane that a command is about, or why there is none."""
    own = {name: lane for name, lane in lanes.items() if name in ACCEPTED_STREAMS}
    if stream and stream not in own:
        return f"the model has no stream {stream}; it has {', '.join(own)}"
    if not stream and len(own) != 1:
        return "say which stream it is about: --stream features or --stream predictions"
    lane = own[next(name for name in own if stream in ("", name))]
    if lane.waits or lane.fold is None:
        return f"the stream {lane.stream} has no reference yet: {lane.standing.progress}"
    return lane


def fault_of_accept(request: Accept, lanes: Mapping[StreamName, Lane], accepting: Accepting, judged_to: int) -> str:
    """Why a command can't be taken, empty if it can. `judged_to`: end of the newest pane that is folded, ms."""
    lane = lane_to_accept(lanes, request.stream)
    if isinstance(lane, str):
        return lane
    series = () if lane.fold is None else lane.fold.grid.series
    if unknown := [name for name in request.columns if name not in series]:
        return f"the stream {lane.stream} has no column {unknown[0]!r}{did_you_mean(unknown[0], series)}"
    if request.columns and lane.trailing is not None:
        return f"the reference of {lane.stream} trails, so all columns go on together; leave out --columns"
    asked = (lane_to_accept(lanes, other.stream) for other in accepting.requests)
    if any(other is lane for other in asked):
        return f"another reference of {lane.stream} is being made; try again when it is there"
    if request.end > judged_to:
        return "the stretch ends behind the event time to which the model is judged"
    return ""
