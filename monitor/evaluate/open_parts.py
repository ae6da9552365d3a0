"""The partial panes of one model that are not folded yet, and their keyed rows, by where they end.

Panes may have several lengths for a while, if that changes. A part of another length counts where it ends: that it is
written by then is all that is certain when a pane is folded.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable

from monitor.contract import life_of
from monitor.evaluate.state import PendingPane
from monitor.panes.keyed import KeyedRows, decode_keyed, encode_keyed
from monitor.panes.pane import Pane, RawPane, decode_pane, decode_raw, encode_pane, encode_raw

Part = Pane | RawPane | KeyedRows


class OpenParts:
    """Parts as they come. Times: ms UTC."""

    def __init__(self) -> None:
        self._parts: dict[int, list[Part]] = {}
        self._ends: list[int] = []
        """Ends of all parts, ascending, each once: a lane far ahead of another keeps thousands."""

    def add(self, part: Part) -> None:
        """Keep a part until its time is folded."""
        end = part.start + part.pane_ms
        if end not in self._parts:
            self._parts[end] = []
            insort(self._ends, end)
        self._parts[end].append(part)

    def take(self, end: int) -> list[Part]:
        """All parts that end at or before `end`, by where they end, and then as they came."""
        count = bisect_right(self._ends, end)
        past, self._ends = self._ends[:count], self._ends[count:]
        return [part for at in past for part in self._parts.pop(at)]

    def keep_from(self, life: int) -> None:
        """Forget the parts of lanes before that life of the model."""
        kept = {end: [part for part in parts if life_of(part.contract) >= life] for end, parts in self._parts.items()}
        self._parts = {end: parts for end, parts in kept.items() if parts}
        self._ends = sorted(self._parts)

    def next(self, start: int) -> int | None:
        """End of the first part behind `start`; None without any."""
        place = bisect_right(self._ends, start)
        return self._ends[place] if place < len(self._ends) else None

    def state(self) -> tuple[PendingPane, ...]:
        """All parts."""
        return tuple(_pending(part) for end in self._ends for part in self._parts[end])

    def restore(self, state: tuple[PendingPane, ...], check: Callable[[Part], None]) -> None:
        """Go on from there; raises FormatError, as `check` does for a part that can't be one."""
        for part in map(_part, state):
            check(part)
            self.add(part)


def rewritten(pending: PendingPane) -> PendingPane:
    """A part as this release writes it: another one may write fields that are not known here. Raises FormatError."""
    return _pending(_part(pending))


def _pending(part: Part) -> PendingPane:
    match part:
        case RawPane():
            return PendingPane("raw", encode_raw(part))
        case KeyedRows():
            return PendingPane("keyed", encode_keyed(part))
        case _:
            return PendingPane("pane", encode_pane(part))


def _part(pending: PendingPane) -> Part:
    match pending.kind:
        case "raw":
            return decode_raw(pending.value)
        case "keyed":
            return decode_keyed(pending.value)
        case _:
            return decode_pane(pending.value)
