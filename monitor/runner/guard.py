"""Records that end the process: found by marks, folded alone, and at last left out.

A mark in the topic `positions` says how often a process has ended while it folded what follows a committed position.
It is written in a small transaction of its own, before that is folded again; the commit that follows makes it stale.

- Where that happened twice, the batch is folded record by record, each in a transaction that marks the next.
- A record that ended the process three times alone is quarantined.
- Only an end in a fold of that partition counts. The witness of the process's name tells it from all others: a kill
  while the process waits or commits, a transaction that failed. A partition that comes from another process, by a
  rebalance, says nothing. Without a witness (a new container each time) a mark by the same name is taken for one.

So a kill from outside counts only in a fold that it interrupts, and three in the fold of one and the same record do not
happen by chance. Folding again up to the committed position counts for nothing: that has been done before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.events import Outgoing, TopicPartition
from monitor.ledger.position_records import FORMAT, GuardRecord
from monitor.runner.positions import Positions
from monitor.runner.witness import Witness

TWICE, THREE_TIMES = 2, 3


@dataclass(slots=True)
class _Guarded:
    """One partition. `ended`: how often a process ended behind `position`; `alone_to`: end of what is folded alone."""

    position: int
    ended: int
    alone_to: int
    marked: bool = False


class Guard:
    """The marks of one process's partitions. `records`: how many are folded alone where no witness knows the batch."""

    def __init__(self, positions: Positions, instance: str, records: int, witness: Witness) -> None:
        self._positions = positions
        self._instance = instance
        self._records = records
        self._witness = witness
        self._met: set[TopicPartition] = set()
        self._guarded: dict[TopicPartition, _Guarded] = {}

    def begin(self, tp: TopicPartition, position: int) -> None:
        """A partition was assigned; `position` is what was committed of it."""
        newest = self._positions.mark_of(tp)
        mark = newest if newest is not None and newest.position == position else None
        ended, alone_to = (mark.ended, mark.alone_to) if mark is not None else (0, 0)
        if tp not in self._met:
            self._met.add(tp)
            ended += self._ended_in_a_fold(tp, mark)
        if ended >= TWICE and not alone_to:
            ended, alone_to = 0, self._witness.folded_to(tp) or position + self._records
        if ended or alone_to or not self._witness.knows:
            self._guarded[tp] = _Guarded(position, ended, alone_to)

    def _ended_in_a_fold(self, tp: TopicPartition, mark: GuardRecord | None) -> bool:
        """Return true if the previous process of this name ended in a fold of the partition."""
        if self._witness.knows:
            return self._witness.folded_to(tp) > 0
        return mark is not None and mark.instance == self._instance

    def drop(self, tp: TopicPartition) -> None:
        self._guarded.pop(tp, None)

    def take_marks(self, tps: Iterable[TopicPartition]) -> list[Outgoing]:
        """Marks to write before these partitions are folded past their committed positions, each once."""
        marks = []
        for tp in tps:
            guarded = self._guarded.get(tp)
            if guarded is not None and not guarded.marked:
                guarded.marked = True
                marks.append(self._mark(tp, guarded))
        return marks

    def note_commit(self, tp: TopicPartition, position: int) -> None:
        """The partition has come past what it was guarded for."""
        guarded = self._guarded.get(tp)
        if guarded is not None and position > guarded.position and position >= guarded.alone_to:
            del self._guarded[tp]

    def mark_next_alone(self, tp: TopicPartition, position: int) -> list[Outgoing]:
        """The mark of the next record of a partition that is folded alone, for the commit of the one before."""
        guarded = self._guarded[tp]
        guarded.position, guarded.ended, guarded.marked = position, 0, True
        return [self._mark(tp, guarded)]

    def is_alone(self, tp: TopicPartition) -> bool:
        """Return true if the partition's records are folded one by one."""
        return tp in self._guarded and self._guarded[tp].alone_to > 0

    def is_deadly(self, tp: TopicPartition) -> bool:
        """Return true if the next record of the partition has ended its process three times."""
        guarded = self._guarded.get(tp)
        return guarded is not None and guarded.alone_to > 0 and guarded.ended >= THREE_TIMES

    def position(self, tp: TopicPartition) -> int | None:
        """Return where folding what is new begins; None for a partition that needs no guard."""
        guarded = self._guarded.get(tp)
        return None if guarded is None else guarded.position

    @property
    def hurries(self) -> bool:
        """True if a commit is wanted soon, so that a mark counts for as short a time as possible."""
        return any(guarded.marked for guarded in self._guarded.values())

    @property
    def anything_alone(self) -> bool:
        return any(guarded.alone_to for guarded in self._guarded.values())

    def _mark(self, tp: TopicPartition, guarded: _Guarded) -> Outgoing:
        mark = GuardRecord(FORMAT, guarded.position, guarded.ended, guarded.alone_to, self._instance)
        return self._positions.mark(tp, mark)
