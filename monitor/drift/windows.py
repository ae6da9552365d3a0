"""Windows of the last 1, 2, 4 ... 512 blocks, in 56 vectors.

A *block* is whole panes with at least ten rows together. Level 0 keeps the last eight blocks, level j the last eight
parts of 2ʲ blocks that follow each other; a part is two parts of the level below. So the windows of 1, 2, 4 and 8
blocks move with every block, and the one of 2ʲ · 8 blocks whenever a part of level j is complete. Nothing is ever taken
off a sum, and a window is a sum of at most eight vectors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.events import Int64s

PARTS = 8
LEVELS = 7


class Suffix(NamedTuple):
    """The blocks from some part on up to now. `start`: ms, where they begin; `sums`: (width,)."""

    start: int
    sums: Int64s


class Windows:
    """Vectors (width,) of integers; `levels` may be fewer, if longer windows are not wanted."""

    def __init__(self, width: int, levels: int = LEVELS) -> None:
        self._parts = np.zeros((levels, PARTS, width), dtype=np.int64)
        self._starts = np.zeros((levels, PARTS), dtype=np.int64)
        self.blocks = 0
        """Blocks so far."""

    @property
    def number(self) -> int:
        """How many windows there are: of 1, 2 and 4 blocks, and one a level."""
        return len(self._parts) + 3

    def add(self, start: int, block: Int64s) -> None:
        """Add a block that begins at `start` (ms)."""
        self.blocks += 1
        self._push(0, start, block)
        level = 1
        while level < len(self._parts) and self.blocks % (1 << level) == 0:
            self._push(level, int(self._starts[level - 1, -2]), self._parts[level - 1, -2:].sum(axis=0))
            level += 1

    def _push(self, level: int, start: int, part: Int64s) -> None:
        self._parts[level, :-1] = self._parts[level, 1:]
        self._starts[level, :-1] = self._starts[level, 1:]
        self._parts[level, -1], self._starts[level, -1] = part, start

    def moved(self) -> Int64s:
        """The windows that the newest block has moved, shortest first, (windows, width); none that is not full yet."""
        parts = self._parts[0]
        found = [parts[-size:].sum(axis=0) for size in (1, 2, 4, 8) if size <= self.blocks]
        for level in range(1, len(self._parts)):
            if self.blocks % (1 << level) or self.blocks < PARTS << level:
                break
            found.append(self._parts[level].sum(axis=0))
        return np.stack(found)

    def suffixes(self) -> list[Suffix]:
        """All stretches of parts that end now, shortest first: the change begins with one of them."""
        found: list[Suffix] = []
        tail = np.zeros_like(self._parts[0, 0])
        for level, parts in enumerate(self._parts):
            sums = tail
            for k in range(1, min(PARTS, self.blocks >> level) + 1):
                sums = sums + parts[-k]
                start = int(self._starts[level, -k])
                if not found or start < found[-1].start:
                    found.append(Suffix(start, sums))
            if (self.blocks >> level) & 1:  # the newest part here belongs to none of the next level yet
                tail = tail + parts[-1]
        return found

    def state(self) -> tuple[int, Int64s, Int64s]:
        """What later windows depend on: blocks, starts (levels, 8), parts (levels, 8, width)."""
        return self.blocks, self._starts, self._parts

    def restore(self, blocks: int, starts: Int64s, parts: Int64s) -> None:
        """Go on from there; both of the same shapes."""
        self.blocks, self._starts, self._parts = blocks, starts.copy(), parts.copy()
