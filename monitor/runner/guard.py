"""Records that end the process: found by marks, folded alone, and at last left out.

A mark in the topic `positions` says how often folding has begun at a committed position. It is written in a small
transaction of its own when a process goes on from where another has ended; the commit that follows makes it stale.

- A position without a mark has been begun at once, by the process that committed it. One that was begun twice and is
  still the committed one ended its process twice: from there on, as many records as a poll may bring are folded one
  by one, each in a transaction that marks the next.
- A record that was begun alone three times, and is still not committed, is quarantined.
- What counts is an end while the partition's records were folded. An end elsewhere (a kill while the process waits or
  commits, a transaction that failed) is told apart by the witness, and does not count; nor does folding again up to the
  committed position, which has been done before.

So a kill from outside counts only in the microseconds of a fold, and three of them in the fold of one and the same
record do not happen by chance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.events import Outgoing, TopicPartition
from monitor.panes.position import FORMAT, Mark
from monitor.runner.positions import Positions
from monitor.runner.witness import Witness

TWICE, THREE_TIMES = 2, 3


@dataclass(slots=True)
class _Guarded:
    """One partition. `begun`: how often its position was begun before; `alone_to`: end of the records folded alone."""

    position: int
    begun: int
    alone_to: int
    marked: bool = False


class Guard:
    """The marks of one process's partitions. `records`: how many are folded alone behind a position of two deaths."""

    def __init__(self, positions: Positions, records: int, witness: Witness) -> None:
        self._positions = positions
        self._witness = witness
        self._met: set[TopicPartition] = set()
        self._records = records
        self._guarded: dict[TopicPartition, _Guarded] = {}

    def begin(self, tp: TopicPartition, position: int, first: bool) -> None:
        """A partition was assigned; `position` is what was committed of it. `first`: nothing was, ever."""
        mark = self._positions.mark_of(tp)
        known = mark is not None and mark.position == position
        begun, alone_to = (mark.begun, mark.alone_to) if mark is not None and known else (not first, 0)
        begun = max(0, begun - self._ended_elsewhere(tp))
        if begun >= TWICE and not alone_to:
            begun, alone_to = 0, position + self._records
        self._guarded[tp] = _Guarded(position, begun, alone_to)

    def _ended_elsewhere(self, tp: TopicPartition) -> bool:
        """Whether it is known that the process before did not end in a fold of this partition."""
        first = tp not in self._met  # later the partition comes from a process that still lives, or of another name
        self._met.add(tp)
        return first and self._witness.ended_in(tp) is False

    def drop(self, tp: TopicPartition) -> None:
        self._guarded.pop(tp, None)

    def to_mark(self, tps: Iterable[TopicPartition]) -> list[Outgoing]:
        """Marks to write before these partitions are folded past their committed positions, each once."""
        marks = []
        for tp in tps:
            guarded = self._guarded.get(tp)
            if guarded is not None and not guarded.marked:
                guarded.marked = True
                marks.append(self._mark(tp, Mark(FORMAT, guarded.position, guarded.begun + 1, guarded.alone_to)))
        return marks

    def committed(self, tp: TopicPartition, position: int) -> None:
        """The partition has come past what it was guarded for."""
        guarded = self._guarded.get(tp)
        if guarded is not None and position > guarded.position and position >= guarded.alone_to:
            del self._guarded[tp]

    def next_alone(self, tp: TopicPartition, position: int) -> list[Outgoing]:
        """The mark of the next record of a partition that is folded alone, for the commit of the one before."""
        guarded = self._guarded[tp]
        guarded.position, guarded.begun, guarded.marked = position, 0, True
        return [self._mark(tp, Mark(FORMAT, position, 1, guarded.alone_to))]

    def is_alone(self, tp: TopicPartition) -> bool:
        """Whether the partition's records are folded one by one."""
        return tp in self._guarded and self._guarded[tp].alone_to > 0

    def is_deadly(self, tp: TopicPartition) -> bool:
        """Whether the next record of the partition has ended its process three times."""
        guarded = self._guarded.get(tp)
        return guarded is not None and guarded.alone_to > 0 and guarded.begun >= THREE_TIMES

    def position(self, tp: TopicPartition) -> int | None:
        """Where folding what is new begins; None for a partition that needs no guard."""
        guarded = self._guarded.get(tp)
        return None if guarded is None else guarded.position

    @property
    def hurries(self) -> bool:
        """Whether a commit is wanted soon, so that a mark counts for as short a time as possible."""
        return any(guarded.marked for guarded in self._guarded.values())

    @property
    def anything_alone(self) -> bool:
        return any(guarded.alone_to for guarded in self._guarded.values())

    def _mark(self, tp: TopicPartition, mark: Mark) -> Outgoing:
        return self._positions.mark(tp, mark)
