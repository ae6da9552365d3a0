"""A lane that waits for its reference rows holds back nobody, and what it says is a function of the log."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from monitor.bus.memory import MemoryBus
from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.events import Outgoing, TopicPartition
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.parts import Rhythm
from tests.snapshots import snapshot
from tests.unit.runner import fleet
from tests.unit.runner.fleet import Fleet

WANTED = 60
SECONDS, SLOT = 120, 4
CONFIG = load(fleet.CONFIG.replace("first: 40", f"first: {WANTED}"), "alerts.yaml")


def a_fleet(features: int, predictions: int, snapshot_panes: int = 7) -> Fleet:
    bus = fleet.new_bus({"in.features": features, "in.predictions": predictions})
    running = Fleet(bus, CONFIG)
    restart(running, snapshot_panes)
    return running


def restart(running: Fleet, snapshot_panes: int = 7) -> None:
    """Both processes anew, the ones before not closed."""
    running.join("profile-1")
    running.join("evaluate-1")
    stage = running.stages["evaluate-1"]
    assert isinstance(stage, EvaluateStage)
    stage._snapshots.rhythm = Rhythm(snapshot_panes)


def traffic(bus: MemoryBus, sparse: int, quiet: str, rng: random.Random) -> dict[TopicPartition, list[float]]:
    """When the events of each partition are: dense features, and so many predictions, evenly over SECONDS.

    `quiet`: whether the last partition of a topic is empty, or falls silent; but not the only one of the predictions.
    """
    times: dict[TopicPartition, list[float]] = {tp: [] for tp in fleet.inputs_of(bus)}
    for topic, rows in (("in.features", SECONDS * 8), ("in.predictions", sparse)):
        tps = fleet.inputs_of(bus, (topic,))
        stops = 0.0 if quiet == "empty" else SECONDS / 3
        for i in range(rows):
            at = i * (SECONDS if topic == "in.features" else SECONDS - 20) / rows
            times[rng.choice(tps if at < stops or len(tps) == 1 else tps[:-1])].append(at)
    return times


def run(features: int, predictions: int, sparse: int, quiet: str, seed: int, restarts: int) -> MemoryBus:
    """The log of a seed through both stages, which are killed so often at places that chance picks.

    The clock goes with event time, and no event is older than what a heartbeat may have told before.
    """
    running, rng = a_fleet(features, predictions), random.Random(seed + restarts)
    times = traffic(running.bus, sparse, quiet, random.Random(seed))
    kills = set(rng.sample(range(SECONDS // SLOT), restarts))
    for slot in range(SECONDS // SLOT):
        for tp, mine in times.items():
            shift = 30.0 if slot * SLOT > SECONDS / 2 else 0.0
            fleet.send(running.bus, tp, [at for at in mine if slot * SLOT <= at < (slot + 1) * SLOT], shift)
        for turn in range(4):
            running.now += SLOT / 4
            running.turn()
            if slot in kills and turn == rng.randint(0, 3):
                restart(running)
    running.settle()
    return running.bus


def events_of(bus: MemoryBus) -> list[dict[str, Any]]:
    return sorted(map(msgspec.json.decode, fleet.published(bus, "observations")), key=lambda event: event["time"])


def lanes_of(bus: MemoryBus, stream: str, model: str = "m") -> list[tuple[str, int]]:
    """State and rows of what was published of a lane, by time."""
    found = [event["data"] for event in events_of(bus) if event["type"] == "streamdrift.lane.v1"]
    return [(lane["state"], lane["rows"]) for lane in found if (lane["model"], lane["stream"]) == (model, stream)]


CASES = [
    (features, predictions, sparse, quiet)
    for features, predictions in ((1, 1), (3, 3), (1, 3))
    for sparse, quiet in ((0, "empty"), (7, "silent"), (WANTED - 1, "empty"), (WANTED, "silent"), (3 * WANTED, "empty"))
]


@pytest.mark.parametrize(("features", "predictions", "sparse", "quiet"), CASES)
def test_live_restart_and_replay_give_the_same_bytes(features: int, predictions: int, sparse: int, quiet: str) -> None:
    """A dense stream beside a sparse one, with a partition that falls silent or is empty, killed at any pane."""
    seed = features * 100 + sparse
    bus = run(features, predictions, sparse, quiet, seed, restarts=4)
    fleet.check_against_replay(bus)
    undisturbed = run(features, predictions, sparse, quiet, seed, restarts=0)
    fleet.check_against_replay(undisturbed)
    # heartbeats follow the clock, so the last panes may be sealed further in one of them
    end = time_text(fleet.START + (SECONDS - 6) * 1000)
    said = [[event for event in events_of(one) if event["time"] <= end] for one in (bus, undisturbed)]
    assert said[0] == said[1]
    assert lanes_of(bus, "features")[-1][0] == "judged"
    judged = {e["data"]["window"]["to"] for e in events_of(bus) if "window" in e["data"]}
    assert max(judged) > time_text(fleet.START + (SECONDS - 20) * 1000)
    states = lanes_of(bus, "predictions")
    assert states[0] == ("waiting", 0)
    assert states[-1][0] == ("waiting" if sparse < WANTED else "reference" if sparse == WANTED else "judged")


def test_a_lane_reports_each_tenth_and_each_change_of_state() -> None:
    """In `observations`, in order; and what made the reference is never judged."""
    bus = run(1, 1, 6 * WANTED, "silent", 5, restarts=2)
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
    running = a_fleet(2, 1)
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
    running = a_fleet(1, 1)
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
