"""Law 8 over several processes: the pace changes what is held, never what is said, and somebody can always go on."""

from __future__ import annotations

import random

import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus
from monitor.events import TopicPartition
from monitor.runner import loop
from monitor.runner.evaluate import EvaluateStage
from tests.unit.runner.fleet import (
    INPUTS,
    PANE_MS,
    Fleet,
    check_against_replay,
    config,
    inputs_of,
    new_bus,
    published,
    send,
)

FEATURES = [TopicPartition("in.features", p) for p in range(3)]
PREDICTIONS = [TopicPartition("in.predictions", p) for p in range(2)]


def skewed_log(bus: MemoryBus) -> None:
    """90 s in every partition; the first has few records in all that time, so one poll of it is much time."""
    for tp in [*FEATURES, *PREDICTIONS]:
        every = 1.0 if tp == FEATURES[0] else 0.1
        send(bus, tp, (i * every for i in range(int(45 / every))))
        send(bus, tp, (45 + i * every for i in range(int(45 / every))), shift=2.0)


def run(max_lead_ms: int, monkeypatch: pytest.MonkeyPatch) -> tuple[MemoryBus, int]:
    """The whole log through two profile processes and one evaluate; gives the most panes that a model held."""
    monkeypatch.setattr(loop, "MAX_RECORDS", 60)
    fleet = Fleet(new_bus(), config(max_lead_ms))
    skewed_log(fleet.bus)
    for name in ("profile-1", "profile-2", "evaluate-1"):
        fleet.join(name)
    most = 0
    with capture_logs():
        for _ in range(160):
            fleet.now += 0.25
            fleet.turn()
            most = max(most, held_panes(fleet))
        fleet.settle()
    return fleet.bus, most


def held_panes(fleet: Fleet) -> int:
    stage = fleet.stages["evaluate-1"]
    assert isinstance(stage, EvaluateStage)
    models = [model for held in stage._partitions.values() for model in held.task.models.values()]
    return max((len(model._parts._parts) for model in models), default=0)


def test_any_lead_gives_the_same_bytes_and_bounds_what_evaluate_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leading partition waits; nothing of it is dropped, and no message differs."""
    free, held_free = run(3_600_000, monkeypatch)
    paced, held_paced = run(4000, monkeypatch)
    assert published(paced) == published(free) != []
    assert published(paced, "observations") == published(free, "observations")
    check_against_replay(paced)
    assert held_free > 30
    assert held_paced <= 20


@pytest.mark.parametrize("seed", range(5))
def test_whatever_lags_all_processes_finish(seed: int) -> None:
    """Gaps, silent and empty partitions, slow and stopped processes, restarts: no pause lasts for ever."""
    rng = random.Random(seed)
    fleet = Fleet(new_bus(), config(rng.choice([1, 1000, 5000, 60_000])))
    profiles = [f"profile-{i}" for i in range(rng.choice([2, 3]))]
    slow = {name: rng.choice([1.0, 0.5, 0.1]) for name in profiles}
    clock = dict.fromkeys(inputs_of(fleet.bus), 0.0)
    empty = rng.sample(list(clock), rng.choice([0, 0, 1, 2]))
    with capture_logs():
        for name in [*profiles, "evaluate-1"]:
            fleet.join(name)
        for _ in range(80):
            fleet.now += 0.25
            for tp in clock:
                if tp not in empty and rng.random() < 0.3:
                    clock[tp] += rng.choice([0.0, 0.5, 3.0, 20.0])
                    send(fleet.bus, tp, (clock[tp] + i * 0.1 for i in range(rng.randint(1, 40))))
                    clock[tp] += 4.0
            for name in profiles:
                if rng.random() < slow[name]:
                    fleet.turn(name)
                if rng.random() < 0.02:
                    fleet.join(name)  # killed, and back at once
            fleet.turn("evaluate-1")
        fleet.settle(1500)
        check_against_replay(fleet.bus)


def test_a_partition_of_another_process_holds_back_and_is_held_back() -> None:
    """The leader of one process waits for the slowest of the other, and goes on when that has come."""
    fleet = Fleet(new_bus(), config(10_000))
    for tp in inputs_of(fleet.bus):
        send(fleet.bus, tp, (i * 0.1 for i in range(100)))
    with capture_logs():
        fleet.join("profile-1")
        fleet.join("profile-2")
        fleet.join("evaluate-1")
        for _ in range(20):
            fleet.now += 0.25
            fleet.turn()
        ours, theirs = (sorted(fleet.loops[name]._known) for name in ("profile-1", "profile-2"))
        for tp in ours:
            send(fleet.bus, tp, (10 + i * 0.1 for i in range(600)))
        for tp in theirs:
            send(fleet.bus, tp, (10 + i * 0.1 for i in range(600)))
        for _ in range(8):
            fleet.now += 0.25
            fleet.turn("profile-1")
        assert fleet.stages["profile-1"].paused() == set(ours)
        fleet.now += 100  # however long that takes: nobody is declared idle, since there is something to read
        fleet.turn("profile-1")
        assert fleet.stages["profile-1"].paused() == set(ours)
        fleet.settle()
    assert set(INPUTS) == {tp.topic for tp in ours + theirs}
    assert PANE_MS < 10_000
