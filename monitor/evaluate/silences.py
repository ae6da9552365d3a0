"""The silences of one model: which alerts people have silenced, and until when.

A silence mutes nothing by itself: an alert that is silenced lives on, and its messages name its silences
(`silencedBy`). When they change while it fires, it is updated.

    a silence is    from                                              until
    coming          the pane that its command counts from             its start
    active          its start                                         its end, or an `expire`
    over            its end

These times are compared with the judging clock: the newest pane end that was judged or, where all traffic stands still,
the silence clock (`silence_clock.py`), whichever is later. So it never goes back, and a silence ends by itself at the
first judgement at or behind its end, without traffic, too. How long one lasts counts from where that clock stood when
its command came.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from monitor.config.matchers import matched_labels
from monitor.evaluate.lifecycle import FOREVER, AlertState
from monitor.evaluate.state import SilenceValue
from monitor.ledger.commands import Silence

MOST_SILENCES = 1000
"""Silences of a model that are not over; another one is refused."""


def span_of(silence: Silence, clock: int) -> tuple[int, int]:
    """Start and end of a silence whose command came when the judging clock stood at `clock`, ms."""
    start = max(clock, silence.start or clock)
    return start, silence.end if silence.end is not None else start + (silence.lasts_ms or 0)


class Silences:
    """Those of one model that are not over, in the order in which they came. Times: ms UTC."""

    def __init__(self) -> None:
        self._held: dict[str, SilenceValue] = {}
        self._matching: dict[str, tuple[str, ...]] = {}
        """Ids of the silences whose matchers accept an alert, whenever they are active; by its fingerprint."""

    @property
    def are_any(self) -> bool:
        """Return true if there is one that is not over, or that was not over at the last judgement."""
        return bool(self._held)

    @property
    def ids(self) -> Sequence[str]:
        """The ids of those."""
        return tuple(self._held)

    def add(self, name: str, silence: Silence, clock: int) -> None:
        """Take a silence. `clock`: where the judging clock stands."""
        start, end = span_of(silence, clock)
        self._held[name] = SilenceValue(name, silence.matchers, start, end)
        self._matching.clear()

    def expire(self, name: str, clock: int) -> None:
        """End a silence where the judging clock stands; one that is over or unknown stays so."""
        silence = self._held.get(name)
        if silence is not None:
            self._held[name] = replace(silence, end=min(silence.end, clock))

    def of(self, alert: AlertState, clock: int) -> tuple[str, ...]:
        """The ids of the silences that are active for an alert, in the order in which they came."""
        held = (self._held[name] for name in self._matching_of(alert))
        return tuple(silence.id for silence in held if silence.start <= clock < silence.end)

    def _matching_of(self, alert: AlertState) -> tuple[str, ...]:
        known = self._matching.get(alert.fingerprint)
        if known is None:
            labels = matched_labels(alert.verdict)
            accepting = (s.id for s in self._held.values() if all(m.selector.matches(labels) for m in s.matchers))
            known = self._matching[alert.fingerprint] = tuple(accepting)
        return known

    def next_change(self, clock: int) -> int:
        """When, behind `clock`, one begins or ends; FOREVER if none does."""
        times = (at for silence in self._held.values() for at in (silence.start, silence.end) if at > clock)
        return min(times, default=FOREVER)

    def forget(self, clock: int) -> None:
        """Drop those that are over at `clock`, once all alerts have been judged there."""
        over = [name for name, silence in self._held.items() if silence.end <= clock]
        for name in over:
            del self._held[name]
        if over:
            self._matching.clear()

    def state(self) -> tuple[SilenceValue, ...]:
        """Those that are held."""
        return tuple(self._held.values())

    def restore(self, state: Sequence[SilenceValue]) -> None:
        """Go on from there."""
        self._held = {silence.id: silence for silence in state}
