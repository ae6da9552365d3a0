"""A reference file that has labels: performance and outcomes are compared with it from the model's first pane on."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.config.resolved import ModelConfig
from monitor.events import Outgoing
from monitor.ledger.entries import Decision
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop
from monitor.runner.parts import Rhythm
from monitor.sources.references import reference_decisions
from monitor.telemetry import get_log
from tests.references import AtOnce
from tests.unit.runner.fleet import PLACE, START, TOPICS, Fleet, new_bus, published, replayed

TEXT = """
version: 1
defaults: {window: {time: 20s}, lateness: 2s, pane: 2s, interval: 2s, idle_timeout: 60s}
models:
  m:
    task: %s
    streams: {predictions: {topic: in.predictions}, labels: {topic: in.labels, max_delay: 60s, max_early: 4s}}
    columns: {id: id, prediction: y, probability: p, label: truth}
    performance: {window: {time: 20s}}
    reference: {path: %s}
detectors:
  adwin: {class: ADWIN, params: {delta: 0.01}, input: error}
groups:
  - name: g
    model: m
    rules:
      - {alert: Mean, expr: accuracy < reference_mean - 0.05, min_labels: 50}
      - {alert: Std, expr: accuracy < reference_mean - 3 * reference_std, min_labels: 50}
      - {alert: Loss, expr: 'ks{stream="outcomes", column="error"} > 0.1', min_events: 50}
"""
INPUTS = {"in.predictions": 2, "in.labels": 2}
BINARY, MULTICLASS, REGRESSION = "classification_binary", "classification_multiclass", "regression"
OF_NUMBERS = {
    ", probability: p": "",
    "time: 20s}}": "time: 20s}, tolerance: 2}",
    "accuracy < reference_mean - 0.05": "mae > reference_mean * 1.2",
    "accuracy < reference_mean - 3 *": "mae > reference_mean + 3 *",
}
"""What TEXT has in other places for a regression."""
Draw = Callable[[random.Random, float], tuple[Any, float, Any]]
"""A prediction, its probability and its label; `wrong`: how often it is not the label."""


def of_two(rng: random.Random, wrong: float) -> tuple[int, float, int]:
    p = round(rng.random(), 3)
    return int(p >= 0.5), p, int((p >= 0.5) != (rng.random() < wrong))


def of_many(rng: random.Random, wrong: float) -> tuple[str, float, str]:
    truth = rng.choice("abcd")
    return rng.choice([c for c in "abcd" if c != truth]) if rng.random() < wrong else truth, 0.5, truth


def of_numbers(rng: random.Random, wrong: float) -> tuple[float, float, float]:
    y = rng.gauss(10, 2)
    return y, 0.5, y + rng.gauss(0, 1 + 2 * (wrong > 0.1))


DRAWS: dict[str, Draw] = {BINARY: of_two, MULTICLASS: of_many, REGRESSION: of_numbers}
THRESHOLDS = {BINARY: (0.85, 0.82), MULTICLASS: (0.85, 0.82), REGRESSION: (0.96, 0.91)}
"""Those of the rules Mean and Std, to 0.04."""


def text_of(task: str, path: Path) -> str:
    """An alerts.yaml whose reference is the file."""
    text = TEXT % (task, path)
    for old, new in OF_NUMBERS.items() if task == REGRESSION else ():
        assert old in text
        text = text.replace(old, new)
    return text


def write_reference(path: Path, task: str, rows: int = 2000, *, has_labels: bool = True) -> None:
    """A table with a tenth of wrong predictions, or errors of 1; every tenth row has no label."""
    rng = random.Random(1)
    lines = ["event_time,y,p,truth"]
    for k in range(rows):
        y, p, truth = DRAWS[task](rng, 0.1)
        lines.append(f"{time_text(START - 10_000_000 + 1000 * k)},{y},{p},{truth if has_labels and k % 10 else ''}")
    path.write_text("\n".join(lines) + "\n")


class Service:
    """Both stages over one bus; `read`: how often the reference was made."""

    def __init__(self, text: str, snapshot_panes: int) -> None:
        self.fleet = Fleet(new_bus(INPUTS), load(text, "alerts.yaml"))
        self.read = 0
        self._panes = snapshot_panes
        self.restart("evaluate")
        self.restart("profile")

    def make(self, model: ModelConfig) -> list[Decision]:
        self.read += 1
        return reference_decisions(None, model)

    def restart(self, stage: str) -> None:
        """Begin a process anew, without closing the one before."""
        fleet, clock = self.fleet, lambda: self.fleet.now
        if stage == "profile":
            fleet.join("profile-1")
            return
        arguments = (fleet.bus, fleet.config, TOPICS, PLACE, AtOnce(self.make), clock, get_log("test"))
        fleet.stages["evaluate-1"] = EvaluateStage(*arguments, Rhythm(self._panes))
        fleet.loops["evaluate-1"] = Loop(fleet.bus, fleet.stages["evaluate-1"], "evaluate-1", clock, 0.0)

    def send(self, task: str, seconds: range, wrong: float) -> None:
        """Ten predictions a second, and their labels three seconds later; then time goes on."""
        rng, sender = random.Random(seconds.start), self.fleet.bus.sender()
        for tenth in range(10 * seconds.start, 10 * seconds.stop):
            y, p, truth = DRAWS[task](rng, wrong)
            for topic, values, at in (
                ("in.predictions", {"y": y, "p": p}, 100 * tenth),
                ("in.labels", {"truth": truth}, 100 * tenth + 3000),
            ):
                event = {"model": "m", "event_id": "e", "id": tenth, "event_time": time_text(START + at), **values}
                partition = (tenth * 7 if topic == "in.labels" else tenth) % 3 % 2
                sender.send(Outgoing(topic, partition, None, json.dumps(event).encode()))
        sender.flush()
        for _ in range(12):
            self.fleet.now += 0.1
            self.fleet.turn()

    def alerts(self, name: str) -> list[Any]:
        """The data of alerts of a rule, in order of time."""
        events = sorted(map(msgspec.json.decode, published(self.fleet.bus)), key=lambda event: event["time"])
        return [event["data"] for event in events if event["data"]["labels"]["alertname"] == name]

    def lanes(self) -> list[tuple[str, str]]:
        """Time and state of each message of the lane of outcomes."""
        events = map(msgspec.json.decode, published(self.fleet.bus, "observations"))
        of_lanes = (event for event in events if event["type"] == "streamdrift.lane.v1")
        return sorted((e["time"], e["data"]["state"]) for e in of_lanes if e["data"]["stream"] == "outcomes")


def run(text: str, task: str, *, snapshot_panes: int = 10_000, restarts: bool = False) -> Service:
    """A minute in which half of the predictions are wrong, or errors are three times as large."""
    with capture_logs():
        service = Service(text, snapshot_panes)
        for second in range(0, 60, 5):
            service.send(task, range(second, second + 5), 0.5)
            if restarts:
                service.restart("evaluate" if second % 2 else "profile")
        for _ in range(80):
            service.fleet.now += 2
            service.fleet.turn()
    return service


@pytest.fixture(params=[BINARY, MULTICLASS, REGRESSION])
def task(request: pytest.FixtureRequest) -> str:
    """The task of the model."""
    name: str = request.param
    return name


def test_the_first_window_is_compared_and_outcomes_are_judged_from_the_first_pane(task: str, tmp_path: Path) -> None:
    """Both thresholds are there at once, and so are windows and detectors of outcomes; a replay says the same."""
    write_reference(tmp_path / "r.csv", task)
    service = run(text_of(task, tmp_path / "r.csv"), task)
    for name, threshold in zip(("Mean", "Std"), THRESHOLDS[task], strict=True):
        first = service.alerts(name)[0]
        evidence = first["evidence"]
        assert (first["status"], evidence["window"]["to"]) == ("firing", time_text(START + 20_000))
        assert evidence["reference"]["events"] == 1800
        assert abs(evidence["threshold"] - threshold) < 0.04
    assert service.alerts("Loss")[0]["evidence"]["reference"]["events"] == 1800
    assert service.lanes() == [(time_text(START - 2000), "reference"), (time_text(START + 4000), "judged")]
    inputs = tuple(INPUTS)
    expected = replayed(service.fleet.bus, inputs)
    assert {topic: published(service.fleet.bus, topic) for topic in expected} == expected
    assert service.read == 1


def test_a_restart_says_the_same_and_does_not_read_the_file_again(task: str, tmp_path: Path) -> None:
    """From snapshots at every second pane, or from the ledger's start; the file is gone by then."""
    write_reference(tmp_path / "r.csv", task)
    text = text_of(task, tmp_path / "r.csv")
    whole = run(text, task)
    for snapshot_panes in (2, 10_000):
        again = run(text, task, snapshot_panes=snapshot_panes, restarts=True)
        assert again.read == 1
        for topic in ("alerts", "incidents", "observations"):
            assert published(again.fleet.bus, topic) == published(whole.fleet.bus, topic)


@pytest.mark.parametrize("is_changed", [False, True])
def test_labels_may_be_added_to_a_model_that_runs(tmp_path: Path, *, is_changed: bool) -> None:
    """The file is read once more, for outcomes alone; they are judged from the next pane on, restarted and replayed.

    If the file has changed, it is none of the grid in use: then the first cohorts are the reference.
    """
    write_reference(tmp_path / "r.csv", BINARY)
    text = TEXT % (BINARY, tmp_path / "r.csv")
    with capture_logs():
        service = Service(without_labels(text), 2)
        service.send(BINARY, range(20), 0.1)
        assert not service.lanes()
        service.fleet.config = load(text, "alerts.yaml")
        write_reference(tmp_path / "r.csv", BINARY, rows=1990 if is_changed else 2000)
        for second in range(20, 80, 5):
            service.restart("evaluate" if second % 2 else "profile")
            service.send(BINARY, range(second, second + 5), 0.5)
        for _ in range(80):
            service.fleet.now += 2
            service.fleet.turn()
    assert service.read == 2
    first = service.lanes()[0][1]
    if is_changed:
        assert (first, service.alerts("Std")) == ("waiting", [])
    else:
        assert first == "reference"
        assert service.alerts("Std")[0]["evidence"]["reference"]["events"] == 1800
    expected = replayed(service.fleet.bus, tuple(INPUTS))
    assert {topic: published(service.fleet.bus, topic) for topic in expected} == expected


def without_labels(text: str) -> str:
    """The same alerts.yaml before its model had labels."""
    text = text[: text.index("detectors:")]
    for part in (
        ", labels: {topic: in.labels, max_delay: 60s, max_early: 4s}",
        "id: id, ",
        ", label: truth",
        "    performance: {window: {time: 20s}}\n",
    ):
        assert part in text
        text = text.replace(part, "")
    return text


def test_a_file_without_labels_leaves_the_reference_to_the_first_cohorts(tmp_path: Path) -> None:
    """Nothing is compared before these have come."""
    write_reference(tmp_path / "r.csv", BINARY, has_labels=False)
    service = run(TEXT % (BINARY, tmp_path / "r.csv"), BINARY)
    assert not service.alerts("Mean")
    assert service.lanes()[0] == (time_text(START - 2000), "waiting")
    assert service.lanes()[1][0] > time_text(START + 20_000)
