"""References in event time: live, started again between every two panes, and replayed, the service says the same."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.bus.reading import read_whole
from monitor.codec.canonical import time_text
from monitor.codec.times import read_time
from monitor.config import load
from monitor.evaluate.lane import LaneStanding
from monitor.evaluate.messages import Message
from monitor.events import TopicPartition
from monitor.replay import Replay
from monitor.runner.numbers import lane_numbers
from monitor.sources.control import control_records, decode_control
from tests.replaying import replay_log
from tests.unit.runner.test_end_to_end import INPUTS, PLACE, START, TOPICS, FragileBus, published
from tests.unit.runner.test_restarts import TEXT, serve

RULES = """rules:
      - {alert: Drift, expr: drift > 1}
      - {alert: Shape, expr: ks > reference_mean + 6 * reference_std}
"""
IN_TIME = TEXT.replace("rules:\n", RULES).replace("{first: 60}", "{first: 26s}\n    grid_rows: 40")
FEW = IN_TIME.replace("grid_rows: 40", "grid_rows: 4000")
TRAILING = IN_TIME.replace("{first: 26s}", "{trailing: 26s}")
TEXTS = {"grows": IN_TIME, "few rows": FEW, "trails": TRAILING}


@cache
def undisturbed(name: str) -> FragileBus:
    """The bus behind a service that was never started again."""
    with capture_logs():
        return serve(1, 10_000, 0, load(TEXTS[name], "alerts.yaml"))


def replay_of(bus: FragileBus, kinds: Collection[str]) -> list[tuple[str, str, bytes]]:
    """What a replay says of the log that is given recorded decisions of these kinds."""
    control = decode_control(control_records(bus, TOPICS), TOPICS.prefix)
    recorded = tuple(one for one in control.activations if one.decision.kind in kinds)
    tps = [TopicPartition(topic, p) for topic in INPUTS for p in range(bus.partitions(topic) or 0)]
    engine = Replay(replay_log(replace(control, activations=recorded), tps, PLACE, TOPICS.partitions))
    messages: list[Message] = [m for tp in tps for batch in read_whole(bus, tp) for m in engine.feed(batch)]
    messages += engine.finish({tp: bus.end(tp) for tp in tps})
    return sorted((m.topic, m.key, m.value) for m in messages)


def lanes_of(bus: FragileBus) -> list[dict[str, Any]]:
    """Messages of the lane of features, in order."""
    events = [msgspec.json.decode(value) for topic, _, value in published(bus) if topic == "observations"]
    lanes = [one for one in events if one["type"] == "streamdrift.lane.v1" and one["data"]["stream"] == "features"]
    return sorted(lanes, key=lambda one: str(one["time"]))


@pytest.mark.parametrize("name", TEXTS)
def test_a_lane_is_judged_from_the_end_of_the_event_time_on(name: str) -> None:
    """Until then it reports how much of it has come; and what drifts behind it is found."""
    lanes = lanes_of(undisturbed(name))
    begins = START // 2000 * 2000
    found = next(one for one in lanes if one["data"]["state"] == "reference")
    assert found["time"] == time_text(begins + 26_000)
    reference = found["data"]["reference"]
    assert begins <= START < begins + 2000
    assert reference["to"] < time_text(begins + 26_000)
    assert reference["events"] > 26 * 5
    waiting = [one["data"] for one in lanes if one["data"]["state"] == "waiting"]
    assert {one["event_time"]["wanted"] for one in waiting} == {"26s"}
    assert len(waiting) >= 8
    alerts = [
        msgspec.json.decode(value)["data"] for topic, _, value in published(undisturbed(name)) if topic == "alerts"
    ]
    assert {one["labels"]["alertname"] for one in alerts} >= {"Brief", "Drift", "Shape"}


@pytest.mark.parametrize("name", TEXTS)
def test_a_replay_says_the_same_whether_or_not_it_is_given_the_references(name: str) -> None:
    bus = undisturbed(name)
    live = sorted(published(bus))
    assert replay_of(bus, ("set", "grid", "reference", "trailing", "rules")) == live
    assert replay_of(bus, ("set", "grid", "reference", "rules")) == live
    assert replay_of(bus, ("set", "rules")) == live


@pytest.mark.parametrize(
    ("name", "snapshot_panes", "every"),
    [("grows", 1, 1), ("grows", 3, 2), ("few rows", 1, 3), ("trails", 1, 1), ("trails", 3, 2)],
)
def test_a_reference_goes_on_growing_behind_restarts(name: str, snapshot_panes: int, every: int) -> None:
    with capture_logs():
        restarted = serve(1, snapshot_panes, every, load(TEXTS[name], "alerts.yaml"))
    assert published(restarted) == published(undisturbed(name))


def test_windows_are_compared_with_the_newest_reference_and_drift_with_the_first() -> None:
    """With `trailing: 26s` there is another one every 26 s, of rows that end a window before it; alerts name each."""
    bus = undisturbed("trails")
    first = START // 2000 * 2000 + 26_000
    control = decode_control(control_records(bus, TOPICS), TOPICS.prefix)
    lane = [a for a in control.activations if a.decision.stream == "features"]
    trailing = {a.at or 0: msgspec.json.decode(a.decision.content) for a in lane if a.decision.kind == "trailing"}
    assert sorted(trailing) == [first + 26_000, first + 2 * 26_000, first + 3 * 26_000]
    for at, reference in trailing.items():
        assert at - 26_000 - 14_000 <= reference["slices"][0]["first_time"]
        assert reference["slices"][-1]["last_time"] < at - 12_000
    events = [msgspec.json.decode(value) for topic, _, value in published(bus) if topic in ("observations", "alerts")]
    compared: dict[str, set[str]] = {}
    for one in events:
        if one["type"] == "streamdrift.observation.v1" and one["data"]["stream"] == "features":
            end = (read_time(one["data"]["window"]["to"]) - first - 1) // 26_000
            compared.setdefault(str(end), set()).add(one["data"]["reference"])
    assert [len(compared[n]) for n in ("0", "1", "2", "3")] == [1, 1, 1, 1]
    assert len(set.union(*compared.values())) == 4
    alerts = [one["data"] for one in events if one["type"] == "streamdrift.alert.firing.v1"]
    named = {
        name: {a["evidence"]["reference"]["id"] for a in alerts if a["labels"]["alertname"] == name}
        for name in ("Drift", "Change", "Brief")
    }
    assert named["Drift"] == named["Change"] == compared["0"]
    assert len(named["Brief"]) == 2


def test_metrics_say_how_much_of_the_event_time_has_come() -> None:
    """A lane that waits for rows has the number that it needs instead."""
    place = ("m", "", "features", "c", "waiting", 120, 40, None, 0)
    in_time, in_rows = (LaneStanding(*place, *spans) for spans in ((3_600_000, 86_400_000), (0, 0)))  # type: ignore[arg-type]
    of_time, of_rows = ({s.name: s.value for s in lane_numbers([lane])} for lane in (in_time, in_rows))
    assert of_time["streamdrift_lane_reference_seconds"] == 3600
    assert of_time["streamdrift_lane_reference_seconds_wanted"] == 86_400
    assert "streamdrift_lane_reference_rows_wanted" not in of_time
    assert of_rows["streamdrift_lane_reference_rows_wanted"] == 40
    assert "streamdrift_lane_reference_seconds" not in of_rows
