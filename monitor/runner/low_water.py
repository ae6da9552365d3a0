"""The low-water mark of a ledger partition: the shared part of its snapshot, at an offset that no model stands below.

Folding again begins there, with the watermarks and sequence numbers of that very offset; each model joins at its own.
So as the ledger is folded, what belongs to no model is remembered now and then, and when the models have moved on, the
newest of these memories that lies below all of them is written.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from monitor.evaluate.state import SharedState
from monitor.ledger.position_records import Snapshot

SHARE = 20
"""The shared part is written when the models' parts since have this many times its bytes."""


class Memory(NamedTuple):
    """What belonged to no model at an offset. `outputs`, `numbers`: digest and numbers of what it published."""

    position: int
    state: SharedState
    outputs: str
    numbers: dict[str, int]


class LowWater:
    """The mark of one ledger partition. `records`: most between a model and its snapshot."""

    def __init__(self, records: int) -> None:
        self.snapshot: Snapshot | None = None
        self.is_wanted = False
        """True if the shared part is to be written again, and has not been yet."""
        self._size = 0
        self._bytes = 0
        self._memories: deque[Memory] = deque()
        self._step = max(1, records // 40)
        self._furthest = records + records // 20

    @property
    def position(self) -> int:
        """The offset at which folding again begins; 0 as long as there is no snapshot."""
        return 0 if self.snapshot is None else self.snapshot.position

    def asks(self, position: int) -> bool:
        """Return true if what belongs to no model is to be remembered at that offset."""
        newest = self._memories[-1].position if self._memories else self.position
        return position >= newest + self._step

    def remember(self, memory: Memory) -> None:
        """Keep what belongs to no model, as of the offset that the fold has come to."""
        if not self._memories or self._memories[-1].position < memory.position:
            self._memories.append(memory)

    def due(self, lowest: int, position: int, size: int) -> Memory | None:
        """The memory to write, if it is time. `lowest`: no model stands below. `size`: of the parts going with it."""
        newest = next((memory for memory in reversed(self._memories) if memory.position <= lowest), None)
        if newest is None or newest.position <= self.position:
            return None
        is_cheap = self._bytes + size >= SHARE * self._size
        return newest if is_cheap or position - self.position >= self._furthest else None

    def begin_anew(self) -> None:
        """Have the shared part written as soon as it can move, and from what is remembered from here on alone."""
        self._size, self.is_wanted = 0, True
        self._memories.clear()

    def add(self, size: int) -> None:
        """Parts of models were written, of this many bytes."""
        self._bytes += size

    def take(self, snapshot: Snapshot, size: int) -> None:
        """The shared part was written, or restored."""
        self.snapshot, self._size, self._bytes, self.is_wanted = snapshot, size, 0, False
        while len(self._memories) > 1 and self._memories[0].position < snapshot.position:
            self._memories.popleft()
