"""References are made once: the ledger's counts, and one model's trouble leaves the others alone."""

from __future__ import annotations

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus
from monitor.config import load
from monitor.config.resolved import ModelConfig
from monitor.errors import ConfigurationError
from monitor.ledger.entries import Decision
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop
from monitor.sources.references import reference_decisions
from monitor.telemetry import get_log
from tests.references import AtOnce
from tests.unit.runner.fleet import (
    CONFIG,
    PLACE,
    TOPICS,
    Fleet,
    check_against_replay,
    inputs_of,
    new_bus,
    published,
    replayed,
    send,
)

FROM_TOPIC = CONFIG.replace(
    "reference: {first: 110}", "reference: {topic: in.features, from: 2026-09-21T00:00:00Z, to: 2027-01-01T00:00:00Z}"
)


class Reading:
    """An evaluate process that makes references from the topic. `read`: models whose reference was made."""

    def __init__(self, fleet: Fleet, refuses: str = "") -> None:
        self.read: list[str] = []
        self._fleet = fleet
        self._refuses = refuses

    def make(self, model: ModelConfig) -> list[Decision]:
        """What the service would make; of one model only trouble."""
        name = model.contract.model
        if name == self._refuses:
            raise ConfigurationError(f"model {name}: its reference is not there")
        if model.rules.reference.topic is not None:
            self.read.append(name)
        return reference_decisions(self._fleet.bus, model)

    def join(self) -> None:
        fleet = self._fleet
        stage = EvaluateStage(
            fleet.bus, fleet.config, TOPICS, PLACE, AtOnce(self.make), lambda: fleet.now, get_log("test")
        )
        fleet.stages["evaluate-1"] = stage
        fleet.loops["evaluate-1"] = Loop(fleet.bus, stage, "evaluate-1", lambda: fleet.now, 0.0)


def started(refuses: str = "") -> tuple[Fleet, Reading]:
    fleet = Fleet(new_bus(), load(FROM_TOPIC, "alerts.yaml"))
    for tp in inputs_of(fleet.bus):
        send(fleet.bus, tp, [i * 0.2 for i in range(300)])
    reading = Reading(fleet, refuses)
    reading.join()
    fleet.join("profile-1")
    return fleet, reading


@pytest.mark.parametrize("deleted", [0, 50, 10_000])
def test_a_restart_does_not_read_the_topic_again(deleted: int) -> None:
    """Retention may have taken a part of the range or all of it: the model goes on with the ledger's reference."""
    with capture_logs() as logs:
        fleet, reading = started()
        for _ in range(40):
            fleet.now += 0.5
            fleet.turn()
        assert reading.read == ["m"]
        for tp in inputs_of(fleet.bus):
            fleet.bus.delete_before(tp, min(deleted, fleet.positions()[tp].position))  # type: ignore[union-attr]
        before = len(published(fleet.bus, "observations"))
        reading.join()
        for tp in inputs_of(fleet.bus):
            send(fleet.bus, tp, [60 + i * 0.2 for i in range(300)])
        for _ in range(60):
            fleet.now += 0.5
            fleet.turn()
    assert reading.read == ["m"]
    assert len(published(fleet.bus, "observations")) > before
    assert not [log for log in logs if log["event"] == "model_refused"]


def test_a_model_whose_reference_is_not_there_leaves_the_others_alone() -> None:
    """It is reported once, as a notice and in the log; the other model is judged as ever."""
    with capture_logs() as logs:
        fleet, _ = started(refuses="m")
        for _ in range(60):
            fleet.now += 0.5
            fleet.turn()
    assert [log["model"] for log in logs if log["event"] == "model_refused"] == ["m"]
    models = {msgspec.json.decode(value)["data"]["model"] for value in published(fleet.bus, "observations")}
    assert "w" in models
    notices = [event for event in map(msgspec.json.decode, published(fleet.bus)) if "notice" in event["type"]]
    assert [event["data"]["labels"]["alertname"] for event in notices] == ["ModelRefused"]
    expected = replayed(fleet.bus)  # the topic of predictions too, of which only the model that was refused is a reader
    live = {topic: published(fleet.bus, topic) for topic in expected}
    live["alerts"] = [value for value in live["alerts"] if b"ModelRefused" not in value]  # of a model not in the replay
    assert live == expected


class Slow(AtOnce):
    """One model's reference takes until `is_there`; the other's is there at once."""

    def __init__(self, fleet: Fleet, slow: str) -> None:
        super().__init__(lambda model: reference_decisions(fleet.bus, model))
        self.is_there = False
        self.refuses = False
        self._slow = slow
        self._is_reported = False

    def take(self, model: ModelConfig) -> list[Decision] | None:
        if model.contract.model != self._slow:
            return super().take(model)
        if self.is_there and self.refuses:
            raise ConfigurationError("its file is empty")
        return super().take(model) if self.is_there else None

    def take_arrived(self) -> list[str]:
        arrived = [self._slow] if self.is_there and not self._is_reported else []
        self._is_reported = self._is_reported or bool(arrived)
        return arrived


def judged(bus: MemoryBus) -> set[str]:
    return {msgspec.json.decode(value)["data"]["model"] for value in published(bus, "observations")}


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("turns", [1, 20, 45])
def test_the_other_models_go_on_while_a_reference_is_made(turns: int, refuses: bool) -> None:
    """The slow one begins when it is there, whenever that is, and a replay says the same; or it is refused, once."""
    with capture_logs() as logs:
        fleet = Fleet(new_bus(), load(FROM_TOPIC, "alerts.yaml"))
        for tp in inputs_of(fleet.bus):
            send(fleet.bus, tp, [i * 0.2 for i in range(300)])
        slow = Slow(fleet, "m")
        slow.refuses = refuses
        stage = EvaluateStage(fleet.bus, fleet.config, TOPICS, PLACE, slow, lambda: fleet.now, get_log("test"))
        fleet.stages["evaluate-1"] = stage
        fleet.loops["evaluate-1"] = Loop(fleet.bus, stage, "evaluate-1", lambda: fleet.now, 0.0)
        fleet.join("profile-1")
        for turn in range(90):
            if turn == turns:
                assert judged(fleet.bus) <= {"w"}
                assert "w" in judged(fleet.bus) or turns == 1
                slow.is_there = True
            fleet.now += 0.5
            fleet.turn()
    refused = [log["model"] for log in logs if log["event"] == "model_refused"]
    assert (judged(fleet.bus), refused) == (({"w"}, ["m"]) if refuses else ({"m", "w"}, []))
    if not refuses:
        check_against_replay(fleet.bus)
