"""The memory budget: above it partitions wait for the slowest ones of their models, and nothing is dropped."""

from __future__ import annotations

import os

import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus
from monitor.runner import loop
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.memory import Budget, resident_bytes
from monitor.telemetry import get_log
from tests.accounts import check_accounts
from tests.unit.runner.fleet import INPUTS, TOPICS, Fleet, config, inputs_of, new_bus, published, send

MB = 1 << 20


def test_resident_size_is_that_of_this_process() -> None:
    """It counts what is touched."""
    before = resident_bytes()
    block = bytearray(os.urandom(MB)) * 64
    assert 60 * MB < resident_bytes() - before < 100 * MB
    del block


def test_memory_is_short_above_the_budget_until_it_is_clearly_below() -> None:
    """What can be given back is given back first; the log says each change once."""
    # measured before and, where it is above the limit, after giving back
    sizes = iter([99, 101, 99, 101, 101, 95, 91, 89])
    given: list[int] = []
    budget = Budget(100 * MB, get_log("test"), lambda: next(sizes) * MB, lambda: given.append(1))
    with capture_logs() as logs:
        assert [budget.measure() for _ in range(5)] == [False, False, True, True, False]
    assert len(given) == 3
    assert [entry["event"] for entry in logs] == ["memory_short", "memory_enough"]


def run(is_crowded: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[MemoryBus, int]:
    """A log of which one partition has few records, with memory short all the time or never; panes held at most."""
    monkeypatch.setattr(loop, "MAX_RECORDS", 50)
    fleet = Fleet(new_bus(), config(3_600_000), is_crowded=is_crowded)
    for tp in inputs_of(fleet.bus):
        every = 1.0 if tp == inputs_of(fleet.bus)[0] else 0.1
        send(fleet.bus, tp, (i * every for i in range(int(60 / every))))
    for name in ("profile-1", "evaluate-1"):
        fleet.join(name)
    most = 0
    stage = fleet.stages["evaluate-1"]
    assert isinstance(stage, EvaluateStage)
    with capture_logs():
        for _ in range(150):
            fleet.now += 0.25
            fleet.turn()
            models = [model for held in stage._partitions.values() for model in held.task.models.values()]
            most = max([most, *(len(model._panes) for model in models)])
        fleet.settle()
    return fleet.bus, most


def test_short_memory_is_a_matter_of_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less is read ahead, each record is in its bucket, and no message differs."""
    free, held_free = run(False, monkeypatch)
    short, held_short = run(True, monkeypatch)
    assert published(short, "observations") == published(free, "observations") != []
    assert published(short) == published(free)
    assert check_accounts(short, TOPICS, INPUTS) == check_accounts(free, TOPICS, INPUTS)
    assert held_short <= 20 < held_free
