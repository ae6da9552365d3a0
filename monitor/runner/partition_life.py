"""The life of an input partition in a profile process, as a table: what happens to it, and what it may do meanwhile.

    state    event      next     because
    unnamed  named      fresh    a set of partitions names it
    fresh    committed  held     its first commit says where its outputs begin before there are any
    again    arrived    held     what was published before is folded again, up to its committed position
    held     together   reading  nobody who shares a model with it folds again
    held     torn       undone   the same, but a part of its last commit is lost
    undone   committed  held     the lost commit is taken back, because what is published again may differ
    reading  apart      held     one that shares a model with it folds again: they restore as one
    reading  blocked    blocked  a pane that is due waits for its model's grid
    reading  ahead      ahead    it is too far ahead of the slowest of its models (law 8)
    ahead    as reading, and:
    ahead    free       reading  the others have come nearer
    blocked  as reading, and:
    blocked  free       reading  the grid is there
    reading  lacking    stale    a grid needs rows that were forgotten: it is dropped, and begins again where it stands
    ahead    lacking    stale
    blocked  lacking    stale
    again    lacking    stale

An event that a state has no row for changes nothing. All begin as `unnamed`, or as `again` if they have a position.

    state    reads  publishes  commits  beats  switches
    unnamed  -      -          -        -      -
    fresh    -      -          yes      -      -
    again    yes    -          -        -      -         reads up to its committed position
    held     -      -          -        -      -
    undone   -      -          yes      -      -
    reading  yes    yes        yes      yes    yes
    ahead    -      yes        yes      -      yes
    blocked  -      yes        yes      -      -
    stale    -      -          -        -      -
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

State = Literal["unnamed", "fresh", "again", "held", "undone", "reading", "ahead", "blocked", "stale"]
Event = Literal[
    "named", "committed", "arrived", "together", "torn", "apart", "blocked", "ahead", "free", "lacking"
]  # fmt: skip


class Rights(NamedTuple):
    """What a partition may do: read records, publish outputs, commit, write heartbeats, take another contract."""

    read: bool = False
    publish: bool = False
    commit: bool = False
    beat: bool = False
    switch: bool = False


RIGHTS: Mapping[State, Rights] = {
    "unnamed": Rights(),
    "fresh": Rights(commit=True),
    "again": Rights(read=True),
    "held": Rights(),
    "undone": Rights(commit=True),
    "reading": Rights(read=True, publish=True, commit=True, beat=True, switch=True),
    "ahead": Rights(publish=True, commit=True, switch=True),
    "blocked": Rights(publish=True, commit=True),
    "stale": Rights(),
}

_WHILE_IT_FOLDS: Mapping[Event, State] = {"apart": "held", "blocked": "blocked", "ahead": "ahead", "lacking": "stale"}
TABLE: Mapping[State, Mapping[Event, State]] = {
    "unnamed": {"named": "fresh"},
    "fresh": {"committed": "held"},
    "again": {"arrived": "held", "lacking": "stale"},
    "held": {"together": "reading", "torn": "undone"},
    "undone": {"committed": "held"},
    "reading": _WHILE_IT_FOLDS,
    "ahead": {**_WHILE_IT_FOLDS, "free": "reading"},
    "blocked": {**_WHILE_IT_FOLDS, "free": "reading"},
    "stale": {},
}


class PartitionLife:
    """The state of one input partition in its life."""

    def __init__(self, state: State = "unnamed") -> None:
        self.state: State = state

    @property
    def may(self) -> Rights:
        """What it may do now."""
        return RIGHTS[self.state]

    def meet(self, event: Event) -> None:
        """Something has happened to it."""
        self.state = TABLE[self.state].get(event, self.state)
