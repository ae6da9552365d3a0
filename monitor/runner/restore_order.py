"""The order in which a process restores ledger partitions: one after the other, each as fast as it can.

Restored side by side, all would be back only when the last one is. One after the other the first publish again early,
and the last no later. One that brings nothing for a turn gives way, so that no partition waits for a broker's trouble
with another.
"""

from __future__ import annotations

from collections.abc import Mapping

from monitor.events import TopicPartition


class RestoreOrder:
    """Says which of the partitions that are restored wait for another."""

    def __init__(self) -> None:
        self._first: TopicPartition | None = None
        self._position = 0

    def waiting(self, positions: Mapping[TopicPartition, int]) -> frozenset[TopicPartition]:
        """All but one of them. `positions`: how far each has come that is restored; asked once a turn."""
        if not positions:
            return frozenset()
        first = self._first
        if first is None or positions.get(first) in (None, self._position):
            following = [tp for tp in sorted(positions) if first is not None and tp > first]
            first = following[0] if following else min(positions)
        self._first, self._position = first, positions[first]
        return frozenset(positions.keys() - {first})
