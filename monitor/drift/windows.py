"""Windows of the last 1, 2, 4 ... 512 blocks, in 56 vectors.

A *block* is whole panes with at least ten rows together. Level 0 keeps the last eight blocks, level j the last eight
parts of 2ʲ blocks that follow each other; a part is two parts of the level below. So the windows of 1, 2, 4 and 8
blocks move with every block, and the one of 2ʲ · 8 blocks whenever a part of level j is complete. Nothing is ever taken
off a sum, and a window is a sum of at most eight vectors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from monitor.events import Float64s, Int64s

PARTS = 8
LEVELS = 7


class Suffix(NamedTuple):
    """The blocks from some part on up to now. `start`: ms, where they begin; `sums`: (width,)."""

    start: int
    sums: Float64s


class Windows:
    """Vectors (width,) of whole numbers below 2⁵³, as floats. `levels` may be fewer, if long windows are not wanted."""

    def __init__(self, width: int, levels: int = LEVELS) -> None:
        # each part is written twice, eight places apart, so that the last eight always stand side by side
        self._parts = np.zeros((levels, 2 * PARTS, width))
        self._starts = np.zeros((levels, 2 * PARTS), dtype=np.int64)
        self.blocks = 0
        """Blocks so far."""

    @property
    def number(self) -> int:
        """How many windows there are: of 1, 2 and 4 blocks, and one a level."""
        return len(self._parts) + 3

    def _last(self, level: int) -> slice:
        """The places of the last eight parts of a level, oldest first."""
        first = (self.blocks >> level) % PARTS
        return slice(first, first + PARTS)

    def add(self, start: int, block: Float64s) -> None:
        """Add a block that begins at `start` (ms)."""
        place = self.blocks % PARTS
        self.blocks += 1
        self._write(0, place, start, block)
        for level in range(1, len(self._parts)):
            if self.blocks % (1 << level):
                break
            newest = self._last(level - 1).stop - 2
            part = self._parts[level - 1, newest] + self._parts[level - 1, newest + 1]
            place = ((self.blocks >> level) - 1) % PARTS
            self._write(level, place, int(self._starts[level - 1, newest]), part)

    def _write(self, level: int, place: int, start: int, part: Float64s) -> None:
        self._parts[level, place] = self._parts[level, place + PARTS] = part
        self._starts[level, place] = self._starts[level, place + PARTS] = start

    def moved(self) -> Float64s:
        """The windows that the newest block has moved, shortest first, (windows, width); none that is not full yet."""
        stop = self._last(0).stop
        parts = [self._parts[0, stop - size : stop] for size in (1, 2, 4, 8) if size <= self.blocks]
        for level in range(1, len(self._parts)):
            if self.blocks % (1 << level) or self.blocks < PARTS << level:
                break
            parts.append(self._parts[level, self._last(level)])
        found = np.empty((len(parts), self._parts.shape[2]))
        for part, sums in zip(parts, found, strict=True):
            np.add.reduce(part, axis=0, out=sums)
        return found

    def suffixes(self) -> list[Suffix]:
        """All stretches of parts that end now, shortest first: the change begins with one of them."""
        found: list[Suffix] = []
        tail = np.zeros_like(self._parts[0, 0])
        for level in range(len(self._parts)):
            parts, starts = self._parts[level, self._last(level)], self._starts[level, self._last(level)]
            sums = tail
            for k in range(1, min(PARTS, self.blocks >> level) + 1):
                sums = sums + parts[-k]
                start = int(starts[-k])
                if not found or start < found[-1].start:
                    found.append(Suffix(start, sums))
            if (self.blocks >> level) & 1:  # the newest part here belongs to none of the next level yet
                tail = tail + parts[-1]
        return found

    def state(self) -> tuple[int, Int64s, Int64s]:
        """What later windows depend on: blocks, starts (levels, 8), parts (levels, 8, width), oldest first."""
        last = [self._last(level) for level in range(len(self._parts))]
        starts = np.stack([starts[part] for starts, part in zip(self._starts, last, strict=True)])
        parts = np.stack([parts[part] for parts, part in zip(self._parts, last, strict=True)])
        return self.blocks, starts, parts.astype(np.int64)

    def restore(self, blocks: int, starts: Int64s, parts: Int64s) -> None:
        """Go on from there; both of the same shapes."""
        self.blocks = blocks
        for level in range(len(self._parts)):
            places = np.arange(PARTS) + self._last(level).start
            for half in (0, PARTS):
                self._starts[level, places % PARTS + half] = starts[level]
                self._parts[level, places % PARTS + half] = parts[level]
