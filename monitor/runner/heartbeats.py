"""When a partition stands still: the only place where a wall clock touches event time (law 6).

A partition is idle if records have not moved its watermark for `idle_timeout`. What it is given then depends on the
other partitions of its models, in whatever process:

    others move       the lowest watermark of those that do: it is left behind, and holds back nobody
    none moves:       its own watermark plus the wall time since (without one, the lowest of theirs plus the time
    a stall           since), at most the end of the newest pane that holds a row of any of them
    behind that end   no watermark, but the silence: its largest accepted time plus the wall time since it moved
                      (without one, the largest of the others'), once an interval

A partition of labels follows: it is given a watermark at once, idle or not, if it has been read to its end and the
lowest of its models' features and predictions that move is a pane ahead (if none moves, the lowest of all). So labels
that come late, or carry their prediction's time, hold back nobody, and other labels don't count: two that lag would
hold each other. To features and predictions labels count as moving only if nothing else moves and they are ahead: then
less the lateness, which labels have none of, so that rows on the pace of the labels are in time. Labels report no
silence: how long there were none is counted by the clock of the others.

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
    whether it is paused for now. `lateness_ms`: how far its watermark is behind its rows. `is_labels`: whether it holds
    labels.
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
    lateness_ms: int = 0
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
    """What a partition should be given by now, or None if that is nothing."""
    own = pulses[tp]
    others = [pulse for other, pulse in pulses.items() if other != tp and pulse.models & own.models]
    data, labels = [p for p in others if not p.is_labels], [p for p in others if p.is_labels]
    if own.is_labels:
        return _raised(own, min(_moving(data, now) or _watermarks(data), default=None))
    if not own.is_idle(now):
        return _silence(own, data, now) if own.idle_timeout_s is None else None
    watermarks = _moving(data, now) or _ahead(own, data, labels, now)
    watermark = min(watermarks) if watermarks else _in_a_stall(own, data, labels, now)
    given = _raised(own, watermark)
    return given if given is not None or watermarks else _silence(own, data, now)


def _raised(own: Pulse, watermark: int | None) -> Given | None:
    is_news = watermark is not None and is_worth_it(watermark, own.reached.watermark, own.step_ms)
    return Given(watermark=watermark) if is_news else None


def _watermarks(some: Sequence[Pulse]) -> list[int]:
    return [p.reached.watermark for p in some if p.reached.watermark is not None]


def _moving(data: Sequence[Pulse], now: float) -> list[int]:
    """The watermarks of those that move."""
    return _watermarks([p for p in data if p.reached.natural is not None and p.moves(now)])


def _ahead(own: Pulse, data: Sequence[Pulse], labels: Sequence[Pulse], now: float) -> list[int]:
    """How far labels have come that move and are ahead of a partition; without data there is nothing to be ahead of."""
    known = _watermarks([own]) or _watermarks(data)
    natural = [p.reached.natural for p in labels if p.reached.natural is not None and p.moves(now)]
    return [at - own.lateness_ms for at in natural if known and at - own.lateness_ms > min(known)]


def is_worth_it(watermark: int, before: int | None, step_ms: int) -> bool:
    """Return true if a heartbeat would seal another pane."""
    return before is None or watermark // step_ms > before // step_ms


def _in_a_stall(own: Pulse, data: Sequence[Pulse], labels: Sequence[Pulse], now: float) -> int | None:
    """The watermark of a partition while none moves: not beyond the newest pane that holds a row."""
    rows = [p.reached.highest for p in (own, *data, *labels) if p.reached.highest is not None]
    still = [own] if own.reached.watermark is not None else data
    known = [watermark for p in still if (watermark := p.watermark_by(now)) is not None]
    if not rows or not known:
        return None
    return min(*known, (max(rows) // own.step_ms + 1) * own.step_ms)


def _silence(own: Pulse, data: Sequence[Pulse], now: float) -> Given | None:
    """How far event time would have come by the wall clock, once an interval."""
    if own.beaten_at is not None and now - max(own.beaten_at, own.moved_at) < own.interval_s:
        return None
    own_silence = own.silence_by(now)
    theirs = [silence for p in data if (silence := p.silence_by(now)) is not None]
    silence = own_silence if own_silence is not None else max(theirs, default=None)
    reported = own.reached.silent_to
    return None if silence is None or (reported is not None and silence <= reported) else Given(silent_to=silence)
