"""Partitions of one process that feed the same model restore as one: muting ends for all of them at once."""

from __future__ import annotations

import random

import pytest
from structlog.testing import capture_logs

from monitor.runner import loop
from monitor.runner.profile import ProfileStage
from tests.unit.runner.fleet import Fleet, check_against_replay, config, inputs_of, new_bus, send


def stage_of(fleet: Fleet, name: str) -> ProfileStage:
    stage = fleet.stages[name]
    assert isinstance(stage, ProfileStage)
    return stage


@pytest.mark.parametrize("seed", range(3))
def test_none_passes_its_position_before_all_have_reached_theirs(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the polls fall; and nothing is handed out as long as one of them folds again."""
    monkeypatch.setattr(loop, "MAX_RECORDS", 40)
    rng = random.Random(seed)
    fleet = Fleet(new_bus(), config())
    with capture_logs():
        for name in ("profile-1", "evaluate-1"):
            fleet.join(name)
        for second in range(0, 40, 4):
            for tp in inputs_of(fleet.bus):
                send(fleet.bus, tp, (second + i * 4 / 30 for i in range(rng.choice([2, 30, 90]))))
            fleet.now += 0.25
            fleet.turn()
        fleet.join("profile-1")
        stage = stage_of(fleet, "profile-1")
        fleet.turn("profile-1")
        committed = {tp: held.task.committed for tp, held in stage._inputs.items()}
        seen = 0
        while any(held.task.restoring for held in stage._inputs.values()):
            positions = {tp: held.task.fold.position for tp, held in stage._inputs.items()}
            assert all(positions[tp] <= committed[tp] for tp in committed)
            assert stage.take_work() is None
            seen += any(positions[tp] == committed[tp] for tp in committed)
            fleet.turn("profile-1")
        assert seen  # some had to wait
        fleet.settle()
        check_against_replay(fleet.bus)


def test_a_partition_that_joins_lets_the_others_of_its_models_wait() -> None:
    """They hand out nothing while it folds again, and go on where they stood."""
    fleet = Fleet(new_bus(), config())
    for tp in inputs_of(fleet.bus):
        send(fleet.bus, tp, (i * 0.1 for i in range(300)))
    with capture_logs():
        for name in ("profile-1", "profile-2", "evaluate-1"):
            fleet.join(name)
        for _ in range(12):
            fleet.now += 0.25
            fleet.turn()
        fleet.leave("profile-2")
        fleet.turn("profile-1")
        stage = stage_of(fleet, "profile-1")
        assert stage.paused() < set(inputs_of(fleet.bus))
        for tp in inputs_of(fleet.bus):
            send(fleet.bus, tp, (30 + i * 0.1 for i in range(300)), shift=2.0)
        fleet.settle()
        check_against_replay(fleet.bus)
