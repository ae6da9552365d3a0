"""What alerts without a rule in alerts.yaml: silence of a stream, columns without values, detectors gone blind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from monitor.config import load
from monitor.config.resolved import ModelConfig
from monitor.evaluate.alerts import Place
from monitor.evaluate.measure import EXPECTED, Measure
from monitor.evaluate.messages import Message
from monitor.evaluate.model import ModelFold
from monitor.evaluate.reference import build_reference, encode_reference
from monitor.events import Rows, TopicPartition
from monitor.ledger.entries import Activation, Decision, PartitionSet, Watermark, new_decision
from monitor.panes.grid import encode_rows
from monitor.panes.pane import Pane
from monitor.runner.announce import rules_decision
from tests.unit.making import GRID, PREDICTIONS, TOPIC, grid_decision, lane_of, pane, rows

PANE = 2000
FIRST = 500 * PANE
TPS = (TopicPartition(TOPIC, 0), TopicPartition(PREDICTIONS, 0))
CONFIG = """
version: 1
defaults: {{window: {{events: 5}}, lateness: 20s, pane: 2s, interval: 2s, no_data: {no_data}}}
models:
  m:
    task: classification_binary
    streams: {{features: {{topic: ml.features}}, predictions: {{topic: ml.predictions}}}}
    columns: {{prediction: y, numerical: [x, y2], categorical: [c]}}
"""


ADWIN = "detectors: {adwin: {class: ADWIN, params: {delta: 0.002}, input: x}}\n"


def a_model(no_data: str) -> ModelConfig:
    return load(CONFIG.format(no_data=no_data).replace("y2", "z"), "f").models[0]


LANE = lane_of(a_model("off").contract)


def changes(model: ModelConfig) -> list[Decision]:
    """What begins the model, with the grid of `making`."""
    lane = lane_of(model.contract)
    reference = build_reference(GRID, rows(list(range(400)), list(range(400))), "test")
    content = msgspec.json.encode(PartitionSet({"features": (TOPIC, 1), "predictions": (PREDICTIONS, 1)})).decode()
    return [
        new_decision("m", "set", content),
        grid_decision(GRID, lane),
        new_decision("m", "reference", encode_reference(reference), "features", lane=lane),
        rules_decision(model),
    ]


def alerts(no_data: str, panes: list[Pane], seconds: int) -> list[tuple[str, dict[str, str], float]]:
    """(status, labels, seconds since the first pane began) of all alerts, when so much event time passes."""
    model = a_model(no_data)
    fold = ModelFold(
        "m", Place("/s", "http://localhost", "0", "c"), [Activation(change, None) for change in changes(model)]
    )
    for one in panes:
        fold.read(one)
    published = list(fold.advance({tp: Watermark(*tp, FIRST + seconds * 1000, FIRST) for tp in TPS}))
    messages: list[dict[str, Any]] = [
        msgspec.json.decode(m.value) for m in published if isinstance(m, Message) and m.topic == "alerts"
    ]
    times = [m.at for m in published if isinstance(m, Message) and m.topic == "alerts"]
    return [
        (m["data"]["status"], m["data"]["labels"], (at - FIRST) / 1000) for m, at in zip(messages, times, strict=True)
    ]


def on(stream: str) -> dict[str, str]:
    return {
        "alertname": "NoData",
        "metric": "seconds_since_last_event",
        "model": "m",
        "severity": "warning",
        "stream": stream,
    }


def test_a_silent_stream_alerts_and_is_resolved_by_its_next_event() -> None:
    """Panes 10 and 70 hold the only events: the first 100 s after the last of pane 10, and until pane 70."""
    panes = [pane(510, list(range(1, 6)), TPS[0], 0, PANE, LANE), pane(570, list(range(11, 16)), TPS[0], 0, PANE, LANE)]
    last = (10 * PANE + 4 * PANE // 5) / 1000  # of five rows in the pane
    fired = 2 * (int(last + 100) // 2 + 1)
    features = [(status, at) for status, labels, at in alerts("100s", panes, 160) if labels == on("features")]
    assert features == [("firing", fired), ("resolved", 142.0)]


def test_a_stream_without_any_event_counts_from_the_beginning_and_its_lateness() -> None:
    """Predictions never come while features do: that is not healthy. The first pane begins 20 s before its rows."""
    panes = [pane(510 + i, list(range(10 * i, 10 * i + 5)), TPS[0], 0, PANE, LANE) for i in range(150)]
    assert alerts("100s", panes, 300) == [("firing", on("predictions"), 122.0)]


def test_off_is_off() -> None:
    """Silence is not told; blindness is."""
    assert alerts("off", [pane(510, [1, 2, 3], TPS[0], 0, PANE, LANE)], 10_000) == []
    assert [rule.alert for rule in a_model("off").rules.rules] == ["DetectorBlind"]


def test_within_the_time_nothing_is_published() -> None:
    """The default is an hour."""
    assert alerts("1h", [pane(510, [1, 2, 3], TPS[0], 0, PANE, LANE)], 3600) == []


# ---------------------------------------------------------------------- columns

REFERENCE_ROWS = rows(list(range(400)), list(range(400)))
MEASURE = Measure(GRID, build_reference(GRID, REFERENCE_ROWS, "test"))


def without_x(n: int) -> Rows:
    """Rows whose x is null."""
    some = rows(list(range(n)), list(range(n)))
    states = some.numeric_states.copy()
    states[:, 0] = 1
    return replace(some, numeric=np.where(states == 0, some.numeric, np.nan), numeric_states=states)


@pytest.mark.parametrize("n", [1, EXPECTED, EXPECTED + 10, 200])
def test_a_column_without_values_has_vanished_when_the_reference_had_them(n: int) -> None:
    """Nearly nine in ten x are valid in the reference. Of too few rows nothing is said."""
    columns = MEASURE.columns(encode_rows(GRID, without_x(n))[1])
    assert columns["y"]["vanished"] == 0.0 or n == 1
    share = sum(REFERENCE_ROWS.numeric_states[:, 0] == 0) / len(REFERENCE_ROWS)
    assert columns["x"].get("vanished") == (1.0 if n * share >= EXPECTED else None)


@pytest.mark.parametrize("n", [1, EXPECTED - 1, EXPECTED, 400])
def test_a_column_that_never_had_values_counts_as_vanished(n: int) -> None:
    """Nobody knows it, and nothing judges it; one value ends that. Of too few rows nothing is said."""
    measure = Measure(GRID, build_reference(GRID, without_x(400), "test"))
    assert measure.columns(encode_rows(GRID, without_x(n))[1])["x"].get("vanished") == (1.0 if n >= EXPECTED else None)
    assert measure.columns(encode_rows(GRID, REFERENCE_ROWS)[1])["x"]["vanished"] == 0.0


# ---------------------------------------------------------------------- detectors


def test_a_blind_detector_alerts_until_it_begins_anew() -> None:
    """New rules with other detectors build it again; where they have it no more, its alert is resolved, too."""
    with_adwin = load(CONFIG.format(no_data="off").replace("y2", "z") + ADWIN, "f").models[0]
    for after in (ADWIN.replace("0.002", "0.01"), ""):
        fold = a_fold(with_adwin)
        published = folded(fold, range(510, 513))
        lane = fold._lanes.by_stream["features"].fold
        assert lane is not None
        lane._bank._watches[0].detector.update(np.array([np.nan]))
        published += folded(fold, range(513, 516))
        fold.read(rules_decision(load(CONFIG.format(no_data="off").replace("y2", "z") + after, "f").models[0]))
        published += folded(fold, range(516, 519))
        statuses = [(m["data"]["status"], m["data"]["labels"]["alertname"]) for m in published]
        assert statuses == [("firing", "DetectorBlind"), ("resolved", "DetectorBlind")]
        assert published[0]["data"]["labels"]["detector"] == "adwin"


def a_fold(model: ModelConfig) -> ModelFold:
    fold = ModelFold("m", Place("/s", "http://localhost", "0", "c"))
    for change in changes(model):
        fold.read(change)
    return fold


def folded(fold: ModelFold, indices: range) -> list[dict[str, Any]]:
    """Folds panes of five rows each; returns the alerts."""
    for i in indices:
        fold.read(pane(i, list(range(10 * i, 10 * i + 5)), TPS[0], 0, PANE, LANE))
    end = indices.stop * PANE
    published = list(fold.advance({tp: Watermark(*tp, end, indices.start * PANE) for tp in TPS}))
    return [msgspec.json.decode(m.value) for m in published if isinstance(m, Message) and m.topic == "alerts"]
