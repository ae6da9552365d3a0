"""The heartbeats of one partition that are needed to fold it again, and the silence that they reported last.

A heartbeat that has decided nothing is taken in by the next of its kind, if neither a row nor another contract comes
between them: so a long silence leaves few of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from monitor.ledger.entries import Heartbeat


class KeptHeartbeats:
    """Heartbeats in their order; each moved the watermark (ms) or reported silence up to an event time (ms)."""

    def __init__(self) -> None:
        self.beats: list[Heartbeat] = []
        self._open = 0
        """How many of the last ones have decided nothing, with no row since the first of them."""
        self._silence: tuple[int | None, int | None] = None, None
        """The largest accepted time, and the event time to which it was reported to be silent since."""

    def take(self, beat: Heartbeat, has_decided: bool, highest: int | None) -> None:
        """Keep one more. `has_decided`: on rows that waited; `highest`: the largest accepted time before it."""
        start = len(self.beats) - min(self._open, len(self.beats))
        others = [other for other in self.beats[start:] if (other.watermark is None) != (beat.watermark is None)]
        self.beats[start:] = [*others, beat]
        self._open = 0 if has_decided else len(others) + 1
        if beat.silent_to is not None:
            self._silence = highest, beat.silent_to

    def close(self) -> None:
        """A row has come, or another contract counts: later heartbeats take in none of those before it."""
        self._open = 0

    def silent_to(self, highest: int | None) -> int | None:
        """The newest heartbeat's end of silence; None if a row has moved the largest accepted time since."""
        since, silent_to = self._silence
        return silent_to if since == highest else None

    def silence_at(self, position: int) -> int | None:
        """The event time (ms) to which a heartbeat at that position gave silence last; None if none did."""
        given = [beat.silent_to for beat in self.beats if beat.offset == position and beat.silent_to]
        return max(given, default=None)

    def forget_before(self, low: int, position: int) -> None:
        """Forget those up to offset `low`, because the floor there holds what they gave, but not those at `position`.

        A switch at the present position asks for them.
        """
        self.beats = [beat for beat in self.beats if beat.offset > low or beat.offset == position]

    def restore(self, beats: Iterable[Heartbeat], highest: int | None, silent_to: int | None) -> None:
        """Go on from those of a committed position."""
        self.beats = list(beats)
        self._silence = highest, silent_to
