"""A model that leaves alerts.yaml is gone by a decision, and one that comes back is new."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.config import load
from monitor.config.resolved import Config
from monitor.events import TopicPartition
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.parts import Rhythm
from tests.commands import rebuild_of
from tests.unit.runner import fleet
from tests.unit.runner.fleet import Fleet
from tests.unit.runner.test_snapshots import damage

CONFIG = load(fleet.CONFIG, "alerts.yaml")


def without(name: str) -> Config:
    """alerts.yaml without a model; its digest is another."""
    models = tuple(m for m in CONFIG.models if m.contract.model != name)
    return replace(CONFIG, models=models, alerts_yaml_sha256=name * 64)


def traffic(running: Fleet, start: int, end: int, shift: float) -> None:
    """Events of both streams for these seconds, at the pace of the clock."""
    for second in range(start, end, 4):
        for tp in fleet.inputs_of(running.bus):
            fleet.send(running.bus, tp, [second + i * 0.2 for i in range(20)], shift)
        for _ in range(4):
            running.now += 1.0
            running.turn()


def restart(running: Fleet, config: Config) -> None:
    running.config = config
    for name in ("profile-1", "evaluate-1"):
        running.join(name)


def reload(running: Fleet, config: Config) -> None:
    running.config = config
    for loop in running.loops.values():
        loop.reload(config)


def a_fleet() -> Fleet:
    running = Fleet(fleet.new_bus(), CONFIG)
    restart(running, CONFIG)
    traffic(running, 0, 60, 0.0)
    traffic(running, 60, 120, 50.0)
    return running


def alerts_of(running: Fleet, model: str) -> list[dict[str, Any]]:
    found = [msgspec.json.decode(value) for value in fleet.published(running.bus)]
    found = [event for event in found if event["data"].get("labels", {}).get("model") == model]
    return sorted(found, key=lambda event: (event["time"], event["data"].get("status", "")))


def fold_of(running: Fleet, model: str) -> Any:
    stage = running.stages["evaluate-1"]
    assert isinstance(stage, EvaluateStage)
    return next(held.task.models[model] for held in stage._partitions.values() if model in held.task.models)


@pytest.mark.parametrize(("how", "name"), [("reload", "w"), ("restart", "w"), ("restart", "m")])
def test_what_fires_of_a_model_that_goes_is_resolved_at_the_pane_of_that(how: str, name: str) -> None:
    """And its state goes; its entries that come later are passed over, and the other model goes on."""
    with capture_logs():
        running = a_fleet()
        assert alerts_of(running, name)[-1]["data"]["status"] == "firing"
        {"reload": reload, "restart": restart}[how](running, without(name))
        traffic(running, 120, 180, 50.0)
        for _ in range(30):
            running.now += 1.0
            running.turn()
    statuses = [event["data"]["status"] for event in alerts_of(running, name)]
    assert statuses.count("firing") == statuses.count("resolved") > 0
    fold = fold_of(running, name)
    assert fold.is_gone
    state = fold.state()
    assert (state.lanes, state.panes, state.judge.alerts) == ((), (), ())
    fleet.check_against_replay(running.bus)
    other = "mw".replace(name, "")
    assert fold_of(running, other).judged_to > fleet.START + 160_000


@pytest.mark.parametrize("name", ["w", "m"])
def test_what_stands_still_when_it_goes_is_let_go_by_its_rebuild(name: str) -> None:
    """Its alerts fire until then, and each start says so with the remedy; then all is as if it had not stood still."""
    with capture_logs() as logs:
        running = Fleet(fleet.new_bus(), CONFIG)
        restart(running, CONFIG)
        stage = running.stages["evaluate-1"]
        assert isinstance(stage, EvaluateStage)
        stage._snapshots.rhythm = Rhythm(panes=7)
        traffic(running, 0, 60, 0.0)
        traffic(running, 60, 120, 50.0)
        damage(running.bus, name)
        restart(running, CONFIG)
        traffic(running, 120, 124, 50.0)
        restart(running, without(name))
        traffic(running, 124, 140, 50.0)
        assert alerts_of(running, name)[-1]["data"].get("status") != "resolved"
        remedies = [log["remedy"] for log in logs if log["event"] == "stopped_model_not_let_go"]
        assert remedies == [f"streamdrift rebuild {name}"]
        running.bus.sender().send(rebuild_of(name, fleet.TOPICS))
        traffic(running, 140, 180, 50.0)
        for _ in range(30):
            running.now += 1.0
            running.turn()
    statuses = [event["data"].get("status") for event in alerts_of(running, name)]
    assert statuses.count("firing") == statuses.count("resolved") > 0
    assert fold_of(running, name).is_gone
    expected = fleet.replayed(running.bus)
    live = {topic: fleet.published(running.bus, topic) for topic in expected}
    live["alerts"] = [value for value in live["alerts"] if b"ModelStopped" not in value]
    expected["alerts"] = [value for value in expected["alerts"] if b"ModelStopped" not in value]
    assert live == expected


@pytest.mark.parametrize("kills", [False, True])
def test_a_model_that_comes_back_is_new(kills: bool) -> None:
    """New lanes, a new reference of the rows from then on, episodes from 1; live, killed and replayed."""
    with capture_logs():
        running = a_fleet()
        for config, start, end, shift in (
            (without("w"), 120, 160, 50.0),
            (CONFIG, 160, 220, 50.0),
            (CONFIG, 220, 280, 0.0),
            (without("w"), 280, 300, 0.0),
            (replace(CONFIG, alerts_yaml_sha256="9" * 64), 300, 360, 0.0),
        ):
            reload(running, config)
            traffic(running, start, (start + end) // 2, shift)
            if kills:
                restart(running, config)
            traffic(running, (start + end) // 2, end, shift)
        running.settle()
    fleet.check_against_replay(running.bus)
    lanes = list(map(msgspec.json.decode, fleet.published(running.bus, "observations")))
    lanes = [e["data"] for e in sorted(lanes, key=lambda e: e["time"]) if e["type"] == "streamdrift.lane.v1"]
    states = [(lane["state"], lane["rows"]) for lane in lanes if lane["model"] == "w"]
    assert states.count(("waiting", 0)) == 3
    assert [state for state, _ in states].count("judged") == 3
    ids = [event["id"] for event in alerts_of(running, "w")]
    assert len(ids) == len(set(ids))
    assert {identifier.rsplit("/", 1)[1] for identifier in ids if "/firing/" in identifier} == {"1"}


def in_state(running: Fleet, model: str) -> int:
    """Bytes that compaction keeps of a model's snapshots."""
    kept: dict[bytes | None, bytes | None] = {}
    for p in range(fleet.TOPICS.partitions):
        log = running.bus.log(TopicPartition(fleet.TOPICS.name("state"), p))
        kept |= dict(zip(log.keys, log.values, strict=True))
    names = {key: (key or b"").split(b"\0")[0].decode().split("/")[1] for key in kept}
    return sum(len(value or b"") for key, value in kept.items() if names[key] == model)


@pytest.mark.parametrize("seconds", [16, 120])
def test_the_state_of_a_model_that_goes_leaves_its_topic_at_once(seconds: int) -> None:
    """Of a lane that waits its rows, of one that is judged its windows; a little stays, by which its numbers go on."""
    with capture_logs():
        running = Fleet(fleet.new_bus(), CONFIG)
        restart(running, CONFIG)
        traffic(running, 0, seconds, 0.0)
        for stage in running.stages.values():
            for held in stage._partitions.values() if isinstance(stage, EvaluateStage) else ():
                for name in held.task.models:
                    held.commits.parts.want(name)
        traffic(running, seconds, seconds + 4, 0.0)
        before = in_state(running, "w")
        reload(running, without("w"))
        traffic(running, seconds + 4, seconds + 20, 0.0)
    assert fold_of(running, "w").is_gone
    assert before > 2 * in_state(running, "w")
    assert 0 < in_state(running, "w") < 600
