"""Which commands a model has been given: so that each counts once, however often its record comes.

The newest MOST_KNOWN by their own time are known by id. If there are more, one that is no newer than what was forgotten
counts as known, too: so a record that somebody keeps and sends again years later changes nothing. That outlives the
lives of a model.
"""

from __future__ import annotations

from bisect import insort
from typing import Final

from monitor.evaluate.state import KnownState

MOST_KNOWN: Final = 10_000


class KnownCommands:
    """Those of one model. `most`: how many are known by id."""

    def __init__(self, most: int = MOST_KNOWN) -> None:
        self._most = most
        self._by_time: list[tuple[int, str]] = []
        self._ids: set[str] = set()
        self._forgotten_to: int | None = None
        """Time of the newest command that is forgotten, ms."""

    def has(self, name: str, time: int) -> bool:
        """Return true if a command counts no more. `name`: its id; `time`: its own, ms."""
        return name in self._ids or (self._forgotten_to is not None and time <= self._forgotten_to)

    def add(self, name: str, time: int) -> None:
        """Know a command from now on."""
        insort(self._by_time, (time, name))
        self._ids.add(name)
        if len(self._by_time) > self._most:
            self._forgotten_to, forgotten = self._by_time.pop(0)
            self._ids.discard(forgotten)

    def state(self) -> KnownState:
        """What later answers depend on."""
        return KnownState(tuple(self._by_time), self._forgotten_to)

    def restore(self, state: KnownState) -> None:
        """Go on from there."""
        self._by_time = list(state.by_time)
        self._ids = {name for _, name in self._by_time}
        self._forgotten_to = state.forgotten_to
