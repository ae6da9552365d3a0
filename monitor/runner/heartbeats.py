"""When a partition stands still: the only place where a wall clock touches event time.

A partition is idle when records have not moved its watermark for `idle_timeout`. Its heartbeat is the lowest
watermark among the other partitions of its models that still move, in whatever process; when none moves, its own plus
the wall time since it moved last (lacking one, the lowest of theirs plus the time since). A partition that is held
back counts as moving: it would, if it were read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.events import TopicPartition


@dataclass(slots=True)
class Pulse:
    """One partition: its watermark as records moved it last, and when (s, monotonic). `models`: who reads it.

    `watermark`: with the heartbeats; `first`: its first one. `held`: whether it is paused for now.
    """

    models: frozenset[str]
    idle_timeout_s: float
    step_ms: int
    moved_at: float
    natural: int | None = None
    watermark: int | None = None
    first: int | None = None
    held: bool = False

    def see(self, natural: int | None, watermark: int | None, now: float) -> None:
        """Records have been folded, or a heartbeat; a process that took a partition over begins further back."""
        if natural is not None and (self.natural is None or natural > self.natural):
            self.moved_at = now
        self.natural, self.watermark = natural, watermark

    def idle(self, now: float) -> bool:
        return now - self.moved_at >= self.idle_timeout_s

    def moves(self, now: float) -> bool:
        return self.held or not self.idle(now)


def heartbeat(tp: TopicPartition, pulses: Mapping[TopicPartition, Pulse], now: float) -> int | None:
    """The watermark that an idle partition should have by now, or None where nothing tells."""
    own = pulses[tp]
    others = [p for other, p in pulses.items() if other != tp and p.models & own.models and p.natural is not None]
    moving = [p.watermark for p in others if p.watermark is not None and p.moves(now)]
    if moving:
        return min(moving)
    still = [own] if own.natural is not None else others
    return min((_since(pulse, now) for pulse in still), default=None)


def _since(pulse: Pulse, now: float) -> int:
    return (pulse.natural or 0) + int((now - pulse.moved_at) * 1000)


def is_worth_it(watermark: int, before: int | None, step_ms: int) -> bool:
    """Whether a heartbeat would seal another pane."""
    return before is None or watermark // step_ms > before // step_ms
