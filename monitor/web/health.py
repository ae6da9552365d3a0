"""Live and ready: what an orchestrator asks before it restarts a process, or counts on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.runner.status import Status

SILENT_S = 60.0
"""A stage that has not ended a turn for so long does not live: a turn takes a second, or a few."""


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage as its supervisor sees it. `pid`: None while it does not run. `started_at`: s, monotonic.

    `status`: the last word of this process; None before its first.
    """

    name: str
    pid: int | None
    starts: int
    started_at: float
    status: Status | None


def not_live(stages: Sequence[StageView], now: float) -> list[str]:
    """Why a restart of the whole process may help; empty when it lives.

    A stage that ended is no reason: the supervisor is at it. One that hangs is.
    """
    return [
        f"{stage.name} has not ended a turn for {now - _last_sign(stage):.0f} s"
        for stage in stages
        if stage.pid is not None and now - _last_sign(stage) >= SILENT_S
    ]


def not_ready(stages: Sequence[StageView], now: float) -> list[str]:
    """Why results may lag behind; empty when every stage has its partitions and is past what it folds again."""
    return [f"{stage.name}: {why}" for stage in stages if (why := _unready(stage))] or not_live(stages, now)


def _unready(stage: StageView) -> str:
    if stage.pid is None:
        return "does not run"
    return "starting" if stage.status is None else stage.status.unready


def _last_sign(stage: StageView) -> float:
    return stage.started_at if stage.status is None else stage.status.turned_at
