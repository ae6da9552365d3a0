"""Several processes a stage in their groups say what one process says, whoever joins, leaves or dies on the way."""

from __future__ import annotations

import random

import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus
from monitor.bus.port import Committed
from monitor.errors import StateDivergence
from monitor.events import TopicPartition
from monitor.runner import loop
from monitor.runner.input_partition import InputPartition
from monitor.runner.profile import ProfileStage
from monitor.runner.reconcile import Known
from monitor.telemetry import get_log
from tests.unit.runner.fleet import TOPICS, Fleet, check_against_replay, config, inputs_of, new_bus, send


@pytest.mark.parametrize("seed", range(2))
def test_a_fleet_that_changes_publishes_what_a_replay_does(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to three profile and three evaluate processes; every message is there once, in the bytes of the replay."""
    monkeypatch.setattr(loop, "MAX_RECORDS", 200)
    rng = random.Random(seed)
    fleet = Fleet(new_bus(), config(rng.choice([5000, 600_000])))
    names = [f"{stage}-{i}" for stage in ("profile", "evaluate") for i in range(3)]
    changes = 0
    with capture_logs():
        for name in ("profile-0", "evaluate-0"):
            fleet.join(name)
        for second in range(0, 100, 2):
            for tp in inputs_of(fleet.bus):
                quiet = tp.partition == 1 and 40 <= second < 70
                shift = 2.0 if second >= 50 else 0.0
                send(fleet.bus, tp, (second + i / 10 for i in range(0 if quiet else 20)), shift)
            fleet.now += 2
            for name in rng.sample(sorted(fleet.loops), len(fleet.loops)):
                fleet.turn(name)
            if rng.random() < 0.4:
                name = rng.choice(names)
                same_stage = [other for other in fleet.loops if other.split("-")[0] == name.split("-")[0]]
                if name not in fleet.loops or rng.random() < 0.3:
                    fleet.join(name)  # new, or killed and started again under its name
                elif len(same_stage) > 1:
                    fleet.leave(name)
                changes += 1
        fleet.settle()
    assert changes > 10
    assert check_against_replay(fleet.bus)


class Overtaken(ProfileStage):
    """Finds, while it takes a partition over, that another process has switched contracts there."""

    def _restored(self, tp: TopicPartition, held: InputPartition, known: Known) -> int:
        super()._restored(tp, held, known)
        raise StateDivergence("the contract that was folded under is not there yet")


def test_a_partition_that_could_not_be_taken_over_is_not_committed() -> None:
    """If somebody else has committed it meanwhile, this process goes on, with its own partitions alone."""
    fleet = Fleet(new_bus(), config())
    tp = inputs_of(fleet.bus)[0]
    with capture_logs():
        fleet.join("profile-1")
        fleet.join("evaluate-1")
        for second in range(10):
            send(fleet.bus, tp, [second + i / 10 for i in range(10)])
            fleet.turn()
        stage = Overtaken(fleet.bus, config(), TOPICS, lambda: 0.0, get_log("test"), lambda: False)
        with pytest.raises(StateDivergence):
            stage.begin(tp, fleet.bus.group("sd.profile").committed[tp])
    with pytest.raises(KeyError):
        stage.position(tp)


class Late(ProfileStage):
    """Takes so long to begin a partition that another process commits it meanwhile."""

    def begin(self, tp: TopicPartition, committed: Committed | None) -> int:
        start = super().begin(tp, committed)
        assert isinstance(self._bus, MemoryBus)
        self._bus.group(self.group).committed[tp] = Committed(start + 1, "another process")
        return start


def test_a_partition_that_was_committed_while_it_was_begun_is_dropped() -> None:
    """What it goes on from is not the newest any more: the next poll tells who has it."""
    bus = new_bus()
    stage = Late(bus, config(), TOPICS, lambda: 0.0, get_log("test"), lambda: False)
    with capture_logs():
        loop.Loop(bus, stage, "profile-1", lambda: 0.0, 0.0).turn(wait_ms=0)
    for tp in inputs_of(bus):
        with pytest.raises(KeyError):
            stage.position(tp)
