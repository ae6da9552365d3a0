"""A lane that waits for its reference rows holds back nobody, and what is published of it is a function of the log.

`python -m tests.lanes.run` is the full run.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.codec.canonical import time_text
from monitor.events import Outgoing
from monitor.runner.evaluate import EvaluateStage
from tests.commands import rebuild_of
from tests.lanes.run import (
    SECONDS,
    SLOT,
    Case,
    Quiet,
    a_fleet,
    check,
    events_of,
    lanes_of,
    restart,
    run,
    send_slot,
    traffic,
)
from tests.snapshots import snapshot
from tests.unit.runner import fleet
from tests.unit.runner.test_snapshots import damage

WANTED = 100
QUIET: list[tuple[int, Quiet]] = [
    (0, "empty"),
    (7, "silent"),
    (WANTED - 1, "empty"),
    (WANTED, "silent"),
    (3 * WANTED, "empty"),
]
"""Rows of the sparse stream, and what the last partition of a topic does."""
RESTARTS = 4


@pytest.mark.parametrize(
    "case",
    [
        Case(features, predictions, rows, quiet, WANTED, features * 100 + rows, RESTARTS)
        for features, predictions in ((1, 1), (3, 3), (1, 3))
        for rows, quiet in QUIET
    ],
    ids=lambda case: f"{case.features}-{case.predictions}-{case.rows}-{case.quiet}",
)
def test_live_restart_and_replay_give_the_same_bytes(case: Case) -> None:
    """A dense stream beside a sparse one, with a partition that falls silent or is empty, killed at any pane."""
    assert check(case) > 0


@pytest.mark.parametrize("rows", [0, 7, WANTED - 1, 2 * WANTED])
def test_a_model_that_is_rebuilt_while_a_lane_waits_says_the_same(rows: int) -> None:
    """Its snapshots are damaged, it stands still for some panes, and all of its ledger is folded again."""
    with capture_logs():
        running = a_fleet(1, 1, WANTED)
        case = Case(1, 1, rows, "silent", WANTED, rows, restarts=0)
        times = traffic(running.bus, case, random.Random(rows))
        for slot in range(SECONDS // SLOT):
            if slot == 12:
                damage(running.bus, "m")
                restart(running)
            if slot == 15:
                running.bus.sender().send(rebuild_of("m", fleet.TOPICS))
            list(send_slot(running, times, slot))
        running.settle()
    expected = fleet.replayed(running.bus)
    live = {topic: fleet.published(running.bus, topic) for topic in expected}
    notices = [value for value in live["alerts"] if b"ModelStopped" in value]
    assert len(notices) == 1
    for messages in (live, expected):
        messages["alerts"] = [value for value in messages["alerts"] if b"ModelStopped" not in value]
    assert live == expected
    assert lanes_of(running.bus, "predictions")[-1][0] == ("judged" if rows > WANTED else "waiting")


def test_a_lane_reports_each_tenth_and_each_change_of_state() -> None:
    """In `observations`, in order; and what made the reference is never judged."""
    bus = run(Case(1, 1, 6 * WANTED, "silent", WANTED, seed=5, restarts=2))
    states = lanes_of(bus, "predictions")
    tenths = [rows * 10 // WANTED for state, rows in states if state == "waiting"]
    assert tenths == sorted(set(tenths))
    assert tenths[0] == 0
    assert [state for state, _ in states if state != "waiting"] == ["reference", "judged"]
    lanes = [e["data"] for e in events_of(bus) if e["type"] == "streamdrift.lane.v1" and e["data"]["state"] == "judged"]
    for lane in lanes:
        windows = [e["data"]["window"]["from"] for e in events_of(bus) if _is_of(e, lane["model"], lane["stream"])]
        assert windows
        assert min(windows) > lane["reference"]["to"]


def _is_of(event: dict[str, Any], model: str, stream: str) -> bool:
    data = event["data"]
    return "window" in data and (data["model"], data["stream"]) == (model, stream)


def test_two_models_of_a_topic_that_reach_their_rows_in_the_same_pane_do_not_wait_for_each_other() -> None:
    """Each has its rows in another partition, as keys by model give it, and neither has a row in the other's."""
    running = a_fleet(2, 1, WANTED)
    tps = fleet.inputs_of(running.bus, ("in.features",))
    sender = running.bus.sender()
    for tp, model in zip(tps, "mw", strict=True):
        for i in range(900):
            event = {"event_id": "e", "model": model, "event_time": time_text(fleet.START + i * 100)}
            value = msgspec.json.encode({**event, "features": {"x": (i * 7919) % 1000 / 250}})
            sender.send(Outgoing(*tp, None, value))
    running.settle()
    fleet.check_against_replay(running.bus)
    assert [lanes_of(running.bus, "features", model)[-1][0] for model in "mw"] == ["judged", "judged"]


def test_a_snapshot_of_a_waiting_lane_does_not_grow_with_the_log() -> None:
    """Its panes are folded on: nothing piles up behind the first prediction."""
    running = a_fleet(1, 1, WANTED)
    (tp,), (sparse,) = (fleet.inputs_of(running.bus, (topic,)) for topic in ("in.features", "in.predictions"))
    sizes = []
    for start in range(0, 400, 40):
        fleet.send(running.bus, tp, [start + i / 10 for i in range(400)])
        fleet.send(running.bus, sparse, [start + 1.0])
        running.settle()
        stage = running.stages["evaluate-1"]
        assert isinstance(stage, EvaluateStage)
        folds = [held.task.models["m"] for held in stage._partitions.values() if "m" in held.task.models]
        sizes.append(sum(len(part) for held in stage._partitions.values() for part in snapshot(held.task).values()))
        assert all(fold.judged_to is not None and fold.judged_to >= fleet.START + (start + 30) * 1000 for fold in folds)
    assert sizes[-1] < 2 * sizes[3]
