"""What a running model stands on may change: lanes that stand on it start again, and all else goes on."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus
from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.config.resolved import Config
from monitor.contract import life_of
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.entries import ContractSwitch
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.topics import create_topics
from monitor.sources.control import control_records, decode_control
from tests.unit.runner import fleet
from tests.unit.runner.fleet import COMPARED, START, TOPICS, Fleet, check_against_replay, published

INPUTS = {"in.features": 2, "in.predictions": 1}


@dataclass(frozen=True)
class Change:
    """alerts.yaml, as far as it changes here."""

    columns: str = "numerical: [x], categorical: [c]"
    predictions: bool = True
    pane: str = "2s"
    reference: str = "first: 100"
    timestamp: str = "event_time"
    threshold: float = 0.5
    models: str = "mw"
    edition: int = 0

    @property
    def config(self) -> Config:
        """The file, resolved; no two editions have the same digest."""
        streams = "features: {topic: in.features}"
        columns = f"{self.columns}, timestamp: {self.timestamp}"
        if self.predictions:
            streams, columns = streams + ", predictions: {topic: in.predictions}", columns + ", prediction: y"
        models = {
            "m": f"task: regression, streams: {{{streams}}}, columns: {{{columns}}}, pane: {self.pane}, "
            f"reference: {{{self.reference}}}",
            # what keeps the topics read, whatever becomes of m
            "w": "task: regression, streams: {features: {topic: in.features}, predictions: {topic: in.predictions}}, "
            "columns: {numerical: [x], prediction: y, timestamp: "
            f"{self.timestamp}}}, reference: {{first: 100}}",
        }
        text = "\n".join(f"  {name}: {{{models[name]}}}" for name in self.models)
        rules = ""
        if "m" in self.models:
            psi = f", {{alert: Psi, expr: 'psi{{column=\"c\"}} > {self.threshold}', min_events: 20}}"
            of_c = psi if "categorical" in self.columns else ""
            of_m = f"{{alert: Ks, expr: ks > {self.threshold}, min_events: 20}}{of_c}"
            rules = f"  - {{name: g, models: [m], rules: [{of_m}]}}\n"
        rules += "  - {name: h, model: w, rules: [{alert: Ks, expr: ks > 0.5, min_events: 20}]}\n"
        return load(f"# {self.edition}\n{HEAD}models:\n{text}\ngroups:\n{rules}", "alerts.yaml")


HEAD = """version: 1
defaults: {window: {events: 60, every: 30}, lateness: 2s, pane: 2s, interval: 4s, idle_timeout: 5s}
"""


def started(change: Change) -> Fleet:
    """A service that runs on it."""
    bus = MemoryBus(clock=lambda: 0, markers=True)
    for topic, partitions in INPUTS.items():
        bus.create(topic, partitions)
    create_topics(bus, TOPICS, tuple(INPUTS))
    running = Fleet(bus, change.config)
    for name in ("profile-1", "evaluate-1"):
        running.join(name)
    return running


def traffic(running: Fleet, start: int, end: int, shift: float = 0.0) -> None:
    """Events of all streams for these seconds, at the pace of the clock; the time stands in two fields."""
    sender = running.bus.sender()
    for second in range(start, end, 2):
        for topic, partitions in INPUTS.items():
            for p in range(partitions):
                for i in range(40):
                    at = time_text(START + second * 1000 + i * 50)
                    x = (fleet.hash_of(TopicPartition(topic, p), i) % 1000) / 250 + shift
                    event: dict[str, object] = {"event_id": "e", "event_time": at, "other_time": at}
                    event |= {"model": "mw"[i % 2]}
                    event |= {"y": x} if topic == "in.predictions" else {"features": {"x": x, "z": x, "c": "ab"[i % 2]}}
                    sender.send(Outgoing(topic, p, None, msgspec.json.encode(event)))
        sender.flush()
        for _ in range(2):
            running.now += 1.0
            running.turn()


def taken(running: Fleet, change: Change, *stages: str) -> None:
    """All processes get SIGHUP with another file, or those of `stages`."""
    running.config = change.config
    for name, loop in running.loops.items():
        if not stages or name.split("-")[0] in stages:
            loop.reload(running.config)


def lanes_of(running: Fleet, model: str = "m") -> dict[str, list[str]]:
    """By stream the states that the lanes of a model went through, in order of time."""
    found: dict[str, list[str]] = {}
    events = [msgspec.json.decode(value) for value in published(running.bus, "observations")]
    order = ("waiting", "reference", "judged")
    steps = [(e["time"], e["data"]) for e in events if e["type"] == "streamdrift.lane.v1"]
    for _, data in sorted(steps, key=lambda step: (step[0], order.index(step[1]["state"]))):
        states = found.setdefault(data["stream"], [])
        if data["model"] == model and states[-1:] != [data["state"]]:
            states.append(data["state"])
    return {stream: states for stream, states in found.items() if states}


ONE, TWO = ["waiting", "reference", "judged"], ["waiting", "reference", "judged"] * 2
FROM = Change()


@pytest.mark.parametrize(
    ("to", "features", "predictions"),
    [
        (Change(columns="numerical: [x, z], categorical: [c]"), TWO, ONE),
        (Change(columns="numerical: [x]"), TWO, ONE),
        (Change(columns="categorical: [c], numerical: [x]"), ONE, ONE),
        (Change(predictions=False), ONE, ONE),
        (Change(pane="1s"), TWO, TWO),
        (Change(pane="4s"), TWO, TWO),
        (Change(reference="first: 120"), TWO, TWO),
        (Change(timestamp="other_time"), TWO, TWO),
        (Change(threshold=0.4), ONE, ONE),
    ],
)
def test_lanes_start_again_by_what_they_stand_on(to: Change, features: list[str], predictions: list[str]) -> None:
    """Live as in a replay; the order of columns means nothing, and what rules say moves no lane."""
    with capture_logs():
        running = started(FROM)
        traffic(running, 0, 60)
        taken(running, Change(**{**vars(to), "edition": 1}))
        traffic(running, 60, 120)
        running.settle()
    check_against_replay(running.bus)
    assert lanes_of(running) == {"features": features, "predictions": predictions}
    assert lanes_of(running, "w") == (
        {"features": TWO, "predictions": TWO} if to.timestamp != "event_time" else {"features": ONE, "predictions": ONE}
    )


def test_alerts_of_columns_and_streams_that_go_are_resolved_and_others_are_kept() -> None:
    """At the pane from which the file counts; with another threshold an alert keeps its episode."""
    with capture_logs():
        running = started(FROM)
        traffic(running, 0, 60)
        traffic(running, 60, 100, shift=50.0)
        taken(running, Change(predictions=False, threshold=0.4, edition=1))
        traffic(running, 100, 140, shift=50.0)
        running.settle()
    events = [msgspec.json.decode(value) for value in check_against_replay(running.bus)]
    of_m = [e["data"] for e in events if e["data"].get("labels", {}).get("model") == "m" and "status" in e["data"]]
    found = Counter((data["labels"].get("stream"), data["labels"].get("column"), data["status"]) for data in of_m)
    columns = {column: {status for (_, name, status) in found if name == column} for column in ("x", "prediction")}
    assert columns == {"x": {"firing"}, "prediction": {"firing", "resolved"}}


@pytest.mark.parametrize("pause", [2, 4, 6, 8, 10])
def test_an_alert_of_a_lane_that_starts_again_is_resolved_without_the_reference_of_the_next(pause: int) -> None:
    """Whether that is known already, or is as soon as the pane is folded from which the alert has no rule."""
    before = Change(columns="numerical: [x, z]")
    with capture_logs():
        running = started(before)
        traffic(running, 0, 60)
        traffic(running, 60, 100, shift=50.0)
        taken(running, replace(before, columns="numerical: [x, z], categorical: [c]", edition=1))
        traffic(running, 100, 100 + pause, shift=50.0)
        taken(running, replace(before, columns="numerical: [x]", edition=2))
        traffic(running, 100 + pause, 140, shift=50.0)
        running.settle()
    events = [msgspec.json.decode(value) for value in check_against_replay(running.bus)]
    of_z = [e["data"] for e in events if e["data"].get("labels", {}).get("column") == "z"]
    assert [data["status"] for data in of_z] == ["firing", "resolved"]


def test_a_pane_with_rows_of_two_contracts_is_judged_under_neither_and_counted() -> None:
    """In that stream; the model's other stream goes on."""
    with capture_logs() as logs:
        running = started(FROM)
        traffic(running, 0, 61)
        taken(running, Change(columns="numerical: [x, z]", edition=1))
        traffic(running, 61, 120)
        running.settle()
    check_against_replay(running.bus)
    events = [msgspec.json.decode(value)["data"] for value in published(running.bus, "observations")]
    left_out = {data["stream"]: data["panes_left_out"] for data in events if data.get("panes_left_out")}
    assert set(left_out) == {"features"}
    assert {log["stream"] for log in logs if log["event"] == "panes_on_two_contracts"} == {"features"}
    assert lanes_of(running) == {"features": TWO, "predictions": ONE}


@pytest.mark.parametrize("stages", [("evaluate",), ("profile",), ("evaluate", "profile"), ("profile", "evaluate")])
def test_a_model_that_is_back_at_once_is_new_whichever_stage_has_seen_it_go(stages: tuple[str, ...]) -> None:
    """A stage that missed it takes the model's new life from the decisions; what was waits for nobody."""
    with capture_logs():
        running = started(FROM)
        traffic(running, 0, 60)
        taken(running, Change(models="w", edition=1), *stages[:1])
        traffic(running, 60, 64)
        taken(running, Change(edition=2), *stages[:1])
        for stage in stages[1:]:
            taken(running, Change(models="w", edition=1), stage)
            traffic(running, 64, 68)
            taken(running, Change(edition=2), stage)
        traffic(running, 68, 140)
        running.settle()
    check_against_replay(running.bus)
    saw = "evaluate" in stages
    assert lanes_of(running) == dict.fromkeys(("features", "predictions"), TWO if saw else ONE)
    (fold,) = (fold for held in _partitions(running) for name, fold in held.task.models.items() if name == "m")
    assert [life_of(lane.contract) for lane in fold.standings] == [int(saw)] * 2


def _partitions(running: Fleet) -> list[Any]:
    stage = running.stages["evaluate-1"]
    assert isinstance(stage, EvaluateStage)
    return list(stage._partitions.values())


def switches(running: Fleet) -> list[ContractSwitch]:
    return list(decode_control(control_records(running.bus, TOPICS), TOPICS.prefix).switches)


@pytest.mark.parametrize("seed", range(6))
def test_changes_and_kills_in_any_order_give_the_replays_bytes(seed: int) -> None:
    """Whatever changes under traffic, in whichever process first, and whoever is killed in between."""
    rng = random.Random(seed)
    with capture_logs():
        running = started(FROM)
        running.join("profile-2")
        for edition, second in enumerate(range(0, 160, 4), start=1):
            traffic(running, second, second + 4, shift=50.0 if 90 < second < 120 else 0.0)
            if second >= 20 and rng.random() < 0.3:
                change = Change(
                    columns=rng.choice(["numerical: [x], categorical: [c]", "numerical: [x, z]", "numerical: [x]"]),
                    predictions=rng.random() < 0.7,
                    pane=rng.choice(["1s", "2s", "4s"]),
                    reference=rng.choice(["first: 100", "first: 110"]),
                    models=rng.choice(["mw", "mw", "w"]),
                    edition=edition,
                )
                running.config = change.config
                for name in rng.sample(sorted(running.loops), rng.randint(1, 3)):
                    running.loops[name].reload(running.config)
            if rng.random() < 0.3:
                running.join(rng.choice(["profile-1", "profile-2", "evaluate-1"]))
        taken(running, Change(edition=1000))
        traffic(running, 160, 180)
        running.settle()
    assert len(switches(running)) > 5
    check_against_replay(running.bus)


@pytest.mark.parametrize("turns", [1, 6])
@pytest.mark.parametrize("times", [2, 4])
def test_a_contract_that_comes_back_where_it_was_left_counts(times: int, turns: int) -> None:
    """Two files that alternate while nothing is sent: a replay, too, goes on under the last of them."""
    with capture_logs():
        running = started(FROM)
        traffic(running, 0, 61)
        for edition in range(1, times + 1):
            columns = "numerical: [x, z]" if edition % 2 else FROM.columns
            taken(running, Change(columns=columns, edition=edition))
            for _ in range(turns):
                running.now += 0.5
                running.turn()
        traffic(running, 61, 140)
        running.settle()
    found = {switch for switch in switches(running) if switch.nth and switch.topic == "in.features"}
    assert turns < 6 or len(found) == 2 * times
    check_against_replay(running.bus)


@pytest.mark.parametrize("pause", [2, 4, 6, 8])
def test_files_that_come_while_a_model_comes_back_count_in_a_replay_where_they_counted(pause: int) -> None:
    """Some before the first pane of its new life is found, some at that pane."""
    with capture_logs():
        running = started(FROM)
        traffic(running, 0, 60)
        taken(running, Change(models="w", edition=1))
        traffic(running, 60, 64)
        for edition, first in enumerate([100, 110, 120, 130, 100], start=2):
            taken(running, Change(reference=f"first: {first}", edition=edition))
            traffic(running, 64 + (edition - 2) * pause, 64 + (edition - 1) * pause)
        traffic(running, 64 + 5 * pause, 160)
        running.settle()
    check_against_replay(running.bus)


READS = "features: {topic: in.features}, predictions: {topic: in.predictions}"
ALONE = "    columns: {numerical: [x], prediction: y}\n"


@pytest.mark.parametrize(
    "edits",
    [
        {READS: "features: {topic: in.features}", ALONE: "    columns: {numerical: [x]}\n"},
        {READS: "features: {topic: in.features}, predictions: {topic: in.more}"},
        {READS: "features: {topic: in.more}, predictions: {topic: in.predictions}"},
        {READS: "features: {topic: in.more}", ALONE: "    columns: {numerical: [x]}\n"},
    ],
    ids=["ends", "predictions move", "features move", "both"],
)
@pytest.mark.parametrize("restarts", [1, 2, 3])
def test_a_topic_that_no_model_reads_any_more_is_replayed(edits: dict[str, str], restarts: int) -> None:
    """What was read of it counts in a replay, also if it is read again; the rest of it does no harm."""
    text = fleet.CONFIG
    for old, new in edits.items():
        assert old in text
        text = text.replace(old, new, 1)
    inputs = {"in.features": 2, "in.predictions": 1, "in.more": 1}
    bus, second = fleet.new_bus(inputs), 0
    running = Fleet(bus, load(fleet.CONFIG, "alerts.yaml"))
    with capture_logs():
        for start in range(restarts + 1):
            # a comment, so that no file is older than the newest that was announced
            config = load(f"# {start}\n{text if start % 2 else fleet.CONFIG}", "alerts.yaml")
            for name in ("evaluate-1", "profile-1"):
                running.join(name, config)
            for _ in range(40):
                for tp in fleet.inputs_of(bus, inputs):
                    fleet.send(bus, tp, [second + i * 0.2 for i in range(5)], shift=50.0 if second > 60 else 0.0)
                second, running.now = second + 1, running.now + 1
                running.turn()
    live = {topic: published(bus, topic) for topic in COMPARED}
    read = inputs if "in.more" in text else fleet.INPUTS
    assert live == fleet.replayed(bus, read)
    assert len(live["observations"]) > 20
