"""When a partition stands still: the only place where a wall clock touches event time (law 6).

A partition is idle if records have not moved its watermark for `idle_timeout`. What it is given then depends on the
other partitions of its models, in whatever process:

    others move       the lowest watermark of those that do: it is left behind, and holds back nobody
    none moves:       its own watermark plus the wall time since (without one, the lowest of theirs plus the time
    a stall           since), at most the end of the newest pane that holds a row of any of them
    behind that end   no watermark, but the silence: its largest accepted time plus the wall time since it moved
                      (without one, the largest of the others'), once an interval

A partition of labels is given a watermark at once, idle or not, if it has been read to its end and the lowest of its
models' other partitions that move is a pane ahead (if none moves, the lowest of all): labels that come late, or carry
their prediction's time, hold back nobody. To others it counts as one that moves only if it is ahead of them.

So in a stall all that was seen is judged, at the pace of `lateness`, and rows of later panes are never late, however
long it was. With `idle_timeout: off` nobody is ever idle: no watermark is given, and silence is reported nevertheless.
A partition that is held back counts as moving: it would, if it were read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from monitor.events import TopicPartition


class Reached(NamedTuple):
    """How far a partition has come: watermark by records alone, with heartbeats, and its first; ms.

    `highest`: the largest accepted time. `silent_to`: what it last reported of its silence, if it is silent since.
    """

    natural: int | None = None
    watermark: int | None = None
    first: int | None = None
    highest: int | None = None
    silent_to: int | None = None


class Given(NamedTuple):
    """What a heartbeat holds: one of the two, ms."""

    watermark: int | None = None
    silent_to: int | None = None


@dataclass(slots=True)
class Pulse:
    """One partition, and what the clock (s, monotonic) showed when it moved. `models`: who reads it.

    `idle_timeout_s`: None if nobody is to be left behind. `step_ms`: the shortest pane, `interval_s`: the shortest
    interval of its models. `moved_at`: when records moved it last, `risen_at`: when its watermark rose. `silence`: the
    event time that the wall clock gave it at `silence_at`. `beaten_at`: when its silence was reported last. `held`:
    whether it is paused for now. `is_labels`: whether it holds labels.
    """

    models: frozenset[str]
    idle_timeout_s: float | None
    step_ms: int
    interval_s: float
    moved_at: float
    reached: Reached = field(default_factory=Reached)
    risen_at: float = 0.0
    silence: int | None = None
    silence_at: float = 0.0
    beaten_at: float | None = None
    held: bool = False
    is_labels: bool = False

    def see(self, reached: Reached, now: float) -> None:
        """Records have been folded, or a heartbeat; a process that took a partition over begins further back."""
        before, self.reached = self.reached, reached
        if reached.natural is not None and (before.natural is None or reached.natural > before.natural):
            self.moved_at = now
        if reached.watermark != before.watermark:
            self.risen_at = now
        if (reached.highest, reached.silent_to) != (before.highest, before.silent_to):
            known = [time for time in (reached.highest, reached.silent_to) if time is not None]
            self.silence, self.silence_at = max(known, default=None), now

    def note_heartbeat(self, given: Given, now: float) -> None:
        """It has been given a heartbeat."""
        if given.silent_to is not None:
            self.beaten_at = now

    def is_idle(self, now: float) -> bool:
        """Return true if it no longer holds back others that move."""
        return self.idle_timeout_s is not None and now - self.moved_at >= self.idle_timeout_s

    def is_still(self, now: float) -> bool:
        """Return true if it has stood still for so long that there may be something to tell."""
        least = self.interval_s if self.idle_timeout_s is None else self.idle_timeout_s
        return now - self.moved_at >= least

    def moves(self, now: float) -> bool:
        return self.held or not self.is_idle(now)

    def watermark_by(self, now: float) -> int | None:
        """Its watermark plus the wall time since that rose."""
        watermark = self.reached.watermark
        return None if watermark is None else watermark + int((now - self.risen_at) * 1000)

    def silence_by(self, now: float) -> int | None:
        """Its largest accepted time plus the wall time since it moved."""
        return None if self.silence is None else self.silence + int((now - self.silence_at) * 1000)


def heartbeat(tp: TopicPartition, pulses: Mapping[TopicPartition, Pulse], now: float) -> Given | None:
    """What a partition that stands still should be given by now, or None if that is nothing."""
    own = pulses[tp]
    others = [pulse for other, pulse in pulses.items() if other != tp and pulse.models & own.models]
    if own.is_labels and (followed := _followed(own, others, now)) is not None:
        return Given(watermark=followed)
    if not own.is_idle(now):
        return _silence(own, others, now) if own.idle_timeout_s is None else None
    watermarks = _moving(own, others, now)
    watermark = min(watermarks) if watermarks else _in_a_stall(own, others, now)
    if watermark is not None and is_worth_it(watermark, own.reached.watermark, own.step_ms):
        return Given(watermark=watermark)
    return None if watermarks else _silence(own, others, now)


def _moving(own: Pulse, others: Sequence[Pulse], now: float) -> list[int]:
    """The watermarks of those that move; of labels alone, of those that are ahead."""
    moving = [p for p in others if p.reached.natural is not None and p.moves(now)]
    data = [p.reached.watermark for p in moving if not p.is_labels and p.reached.watermark is not None]
    labels = [p.reached.watermark for p in moving if p.is_labels and p.reached.watermark is not None]
    return data or [at for at in labels if own.reached.watermark is None or at > own.reached.watermark]


def _followed(own: Pulse, others: Sequence[Pulse], now: float) -> int | None:
    """The watermark that labels follow, if that seals another pane of theirs."""
    data = [p for p in others if not p.is_labels and p.reached.watermark is not None]
    moving = [p for p in data if p.reached.natural is not None and p.moves(now)]
    watermark = min((p.reached.watermark or 0 for p in moving or data), default=None)
    is_ahead = watermark is not None and is_worth_it(watermark, own.reached.watermark, own.step_ms)
    return watermark if is_ahead else None


def is_worth_it(watermark: int, before: int | None, step_ms: int) -> bool:
    """Return true if a heartbeat would seal another pane."""
    return before is None or watermark // step_ms > before // step_ms


def _in_a_stall(own: Pulse, others: Sequence[Pulse], now: float) -> int | None:
    """The watermark of a partition while none moves: not beyond the newest pane that holds a row."""
    rows = [p.reached.highest for p in (own, *others) if p.reached.highest is not None]
    still = [own] if own.reached.watermark is not None else others
    known = [watermark for p in still if (watermark := p.watermark_by(now)) is not None]
    if not rows or not known:
        return None
    return min(*known, (max(rows) // own.step_ms + 1) * own.step_ms)


def _silence(own: Pulse, others: Sequence[Pulse], now: float) -> Given | None:
    """How far event time would have come by the wall clock, once an interval."""
    if own.beaten_at is not None and now - max(own.beaten_at, own.moved_at) < own.interval_s:
        return None
    own_silence = own.silence_by(now)
    theirs = [silence for p in others if (silence := p.silence_by(now)) is not None]
    silence = own_silence if own_silence is not None else max(theirs, default=None)
    reported = own.reached.silent_to
    return None if silence is None or (reported is not None and silence <= reported) else Given(silent_to=silence)
