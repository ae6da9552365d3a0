"""The memory budget: above it partitions wait for the slowest ones of their models, and nothing is dropped."""

from __future__ import annotations

import gc
import os

import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus
from monitor.runner import loop
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.memory import Budget, resident_bytes, uncollected
from monitor.runner.profile import ProfileStage
from monitor.telemetry import get_log
from tests.accounts import check_accounts
from tests.unit.runner.fleet import INPUTS, TOPICS, Fleet, config, inputs_of, new_bus, published, replayed, send

MB = 1 << 20


def test_resident_size_is_that_of_this_process() -> None:
    """It counts what is touched."""
    before = resident_bytes()
    block = bytearray(os.urandom(MB)) * 64
    assert 60 * MB < resident_bytes() - before < 100 * MB
    del block


def test_garbage_is_searched_for_again_behind_a_restore() -> None:
    """Also where the restore fails, and where restores are nested."""

    def restore() -> None:
        with uncollected():
            with uncollected():
                assert not gc.isenabled()
            assert not gc.isenabled()
            raise ValueError("damaged")

    assert gc.isenabled()
    with pytest.raises(ValueError, match="damaged"):
        restore()
    assert gc.isenabled()


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
            most = max([most, *(len(model._parts._parts) for model in models)])
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


def test_rows_that_wait_for_a_grid_are_bounded_and_no_message_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense traffic before the first grid: the partitions begin again with it, without a crash, and a replay agrees."""
    monkeypatch.setattr(loop, "MAX_RECORDS", 300)
    fleet = Fleet(new_bus(), config())
    for tp in inputs_of(fleet.bus):
        send(fleet.bus, tp, (i / 200 for i in range(200 * 12)))
        send(fleet.bus, tp, (12 + i / 10 for i in range(300)), shift=2.0)
    fleet.join("evaluate-1")
    for _ in range(4):
        fleet.turn()  # it names the models' partitions, and is away then
    fleet.leave("evaluate-1")
    fleet.join("profile-1")
    profile = fleet.stages["profile-1"]
    assert isinstance(profile, ProfileStage)
    most = 0
    with capture_logs() as logs:
        for _ in range(12):
            fleet.now += 0.25
            fleet.turn()
            models = [model for held in profile._inputs.values() for model in held.task.fold.lanes.models.values()]
            most = max([most, *(len(rows) for model in models for pane in model._open.values() for rows in pane.raw)])
        fleet.join("evaluate-1")
        fleet.settle()
    assert 0 < most <= 2 * 60 + 300
    assert [entry["event"] for entry in logs].count("partition_restored") >= 3
    check_accounts(fleet.bus, TOPICS, INPUTS)
    again = replayed(fleet.bus)
    assert published(fleet.bus) == again["alerts"] != []
    assert published(fleet.bus, "observations") == again["observations"]
