"""The longest gap between rows that follow each other in event time: what silence of a stream is measured by.

Rows may come in any order, as those of several partitions do. They are held as stretches, each with its first and last
time. If they are too many, those within one cell of event time become one stretch, and cells are doubled until they
are few enough. A gap that is longer than a cell lies between stretches, so it is found whatever was joined.
"""

from __future__ import annotations

import numpy as np

from monitor.events import Int64s

MOST_STRETCHES = 1 << 17


class LongestGap:
    """Takes the times of rows. `most`: stretches that are held; as many rows again wait to be joined."""

    def __init__(self, most: int = MOST_STRETCHES) -> None:
        self._most = most
        self._cell_ms = 1
        self._first: list[Int64s] = []
        self._last: list[Int64s] = []
        self._held = 0
        self._rows = 0

    def add(self, time: Int64s) -> None:
        """Take rows. `time`: ms UTC, in any order."""
        self._first.append(time)
        self._last.append(time)
        self._held += len(time)
        self._rows += len(time)
        if self._held > 2 * self._most:
            self._join()
            while self._held > self._most:
                self._cell_ms *= 2
                self._join()

    def ms(self) -> int | None:
        """The longest gap, ms; None of fewer than two rows.

        If more than `most` rows came and it is shorter than a cell, this is the cell's length: less than two spans of
        the rows by `most` less one.
        """
        if self._rows < 2:
            return None
        self._join()
        gaps = self._first[0][1:] - self._last[0][:-1]
        return max(int(gaps.max(initial=0)), self._cell_ms - 1)

    def _join(self) -> None:
        """Join the stretches that lie in one cell."""
        first, last = np.concatenate(self._first), np.concatenate(self._last)
        order = np.argsort(first, kind="stable")
        first, last = first[order], last[order]
        cell = first // self._cell_ms
        begins = np.flatnonzero(np.diff(cell, prepend=cell[0] - 1))
        self._first, self._last = [first[begins]], [np.maximum.reduceat(last, begins)]
        self._held = len(begins)
