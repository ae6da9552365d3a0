"""The partial panes of one model that are not folded yet, by where they end.

Panes may have several lengths for a while, if that changes. A part of another length counts where it ends: that it is
written by then is all that is certain when a pane is folded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from monitor.contract import life_of
from monitor.evaluate.state import PendingPane
from monitor.panes.pane import Pane, RawPane, decode_pane, decode_raw, encode_pane, encode_raw


class OpenParts:
    """Parts as they come. Times: ms UTC."""

    def __init__(self) -> None:
        self._parts: dict[int, list[Pane | RawPane]] = {}

    def add(self, part: Pane | RawPane) -> None:
        """Keep a part until its time is folded."""
        self._parts.setdefault(part.start + part.pane_ms, []).append(part)

    def take(self, start: int, end: int) -> list[Pane | RawPane]:
        """All parts that end in (start, end], as they came; those that ended before are forgotten with them."""
        past = sorted(at for at in self._parts if at <= end)
        taken = [(at, self._parts.pop(at)) for at in past]
        return [part for at, parts in taken if at > start for part in parts]

    def keep_from(self, life: int) -> None:
        """Forget the parts of lanes before that life of the model."""
        kept = {end: [part for part in parts if life_of(part.contract) >= life] for end, parts in self._parts.items()}
        self._parts = {end: parts for end, parts in kept.items() if parts}

    def next(self, start: int) -> int | None:
        """End of the first part behind `start`; None without any."""
        return min((at for at in self._parts if at > start), default=None)

    def state(self) -> tuple[PendingPane, ...]:
        """All parts."""
        return tuple(_pending(part) for end in sorted(self._parts) for part in self._parts[end])

    def restore(self, state: tuple[PendingPane, ...], check: Callable[[Pane | RawPane], None]) -> None:
        """Go on from there; raises FormatError, as `check` does for a part that can't be one."""
        for part in _parts(state):
            check(part)
            self.add(part)


def _pending(pane: Pane | RawPane) -> PendingPane:
    return PendingPane(True, encode_raw(pane)) if isinstance(pane, RawPane) else PendingPane(False, encode_pane(pane))


def _parts(state: tuple[PendingPane, ...]) -> Iterator[Pane | RawPane]:
    for pending in state:
        yield decode_raw(pending.value) if pending.raw else decode_pane(pending.value)
