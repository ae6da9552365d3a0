"""Partitions with transactions: records stand in the log at once, and are seen when their marker has landed.

A transaction is decided in one place and told to each partition by a marker of its own, so the partitions learn of it
one after the other, and after a crash of the broker perhaps not all of them the same (`fates`). Readers get to the
last stable offset: the first record whose transaction is still open here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from monitor.bus.memory_log import MemoryLog
from monitor.bus.port import Committed
from monitor.events import Outgoing, TopicPartition

OFFSETS = TopicPartition("", 0)
"""Stands for the group's offsets among the places of a transaction."""


@dataclass(eq=False)
class Transaction:
    """One transaction of a writer. `fates`: whether it counts, at each place where its marker has landed."""

    writer: str
    group: str
    state: Literal["open", "committed", "aborted"] = "open"
    offsets: Mapping[TopicPartition, Committed] = field(default_factory=dict)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    """The positions that go with the offsets."""
    logs: dict[TopicPartition, SimulatedLog] = field(default_factory=dict)
    fates: dict[TopicPartition, bool] = field(default_factory=dict)
    due: dict[TopicPartition, float] = field(default_factory=dict)
    """When the markers of a decided transaction land."""
    torn: frozenset[TopicPartition] = frozenset()
    """Where a decided commit is lost all the same."""
    hangs: bool = False
    """Whether its coordinator has forgotten it: neither time nor its writer's name ends it."""


@dataclass
class _Pending:
    """A record that readers don't see yet."""

    offset: int
    tp: TopicPartition
    outgoing: Outgoing
    now: int
    transaction: Transaction | None

    @property
    def fate(self) -> bool | None:
        return True if self.transaction is None else self.transaction.fates.get(self.tp)


class SimulatedLog(MemoryLog):
    """One partition; the columns hold what readers see, below the last stable offset."""

    def __init__(self, compacted: bool, stamped: bool) -> None:
        super().__init__(compacted, stamped)
        self._pending: deque[_Pending] = deque()

    @property
    def stable(self) -> int:
        return self._pending[0].offset if self._pending else self.end

    def add(self, tp: TopicPartition, outgoing: Outgoing, now: int, transaction: Transaction | None) -> None:
        """One record at the end, of an open transaction or of none."""
        self._pending.append(_Pending(self.end, tp, outgoing, now, transaction))
        self.end += 1
        self.settle()

    def mark(self) -> None:
        """A marker lands: it takes an offset."""
        self.end += 1
        self.settle()

    def settle(self) -> None:
        """Show what is decided, up to the first record that is not."""
        while self._pending and (fate := self._pending[0].fate) is not None:
            first = self._pending.popleft()
            if fate:
                self.show(first.offset, first.outgoing, first.now)
