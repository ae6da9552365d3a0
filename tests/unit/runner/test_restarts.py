"""Timers are event time: started anew between every two panes, the service says what one says that never stopped."""

from __future__ import annotations

import random

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.config.resolved import Config
from monitor.events import Outgoing
from monitor.runner.parts import Rhythm
from monitor.runner.topics import create_topics
from tests.unit.runner.test_end_to_end import INPUTS, START, TOPICS, FragileBus, Service, published

TEXT = """
version: 1
defaults: {window: {events: 12, every: 4}, lateness: 2s, pane: 2s, interval: 2s, max_clock_skew: 1m}
models:
  m:
    task: classification_binary
    streams: {features: {topic: ml.features}, predictions: {topic: ml.predictions}}
    columns: {prediction: y_pred, numerical: [a], categorical: [c]}
    reference: {first: 60}
detectors:
  adwin: {class: ADWIN, params: {delta: 0.2}, input: a}
groups:
  - name: g
    models: [m]
    rules:
      - {alert: Brief, expr: 'mean{column="a"} > 1.5'}
      - {alert: For, expr: 'mean{column="a"} > 1.5', for: 8s}
      - {alert: Keep, expr: 'mean{column="a"} > 1.5', for: 4s, keep_firing_for: 12s}
      - alert: Timed
        expr: mean{column="a"} > 1
        window: {time: 12s, every: 4s}
        min_events: 1
        for: 4s
        keep_firing_for: 8s
      - {alert: Change, expr: 'change{detector="adwin"} > 0', keep_firing_for: 10s}
      - {alert: Late, expr: late_rate > 0.01, keep_firing_for: 6s}
retraining:
  - {trigger: soon, models: [m], when: {any: [Brief]}, cooldown: 14s, training_window: {max: 1h}}
  - {trigger: late, models: [m], when: {any: [For, Keep]}, cooldown: 40s, training_window: {max: 1m}}
"""
CONFIG = load(TEXT, "alerts.yaml")
"""No partition is ever idle here, so no clock comes in."""


def serve(seed: int, snapshot_panes: int, every: int, config: Config = CONFIG) -> FragileBus:
    """The bus behind 110 s of traffic with three drifts of different lengths, a second at a time.

    `every`: seconds between two restarts of both stages; 0: none.
    """
    rng = random.Random(seed)
    bus = FragileBus(None)
    bus.create(INPUTS[0], 2)
    bus.create(INPUTS[1], 1)
    create_topics(bus, TOPICS, INPUTS)
    service = Service(bus, config, rhythm=Rhythm(snapshot_panes))
    service.turn("evaluate")
    sender = bus.sender()
    for second in range(110):
        service.now += 1
        drifted = 3.0 if 30 <= second < 36 or 44 <= second < 64 or 86 <= second < 94 else 0.0
        for i in range(6):
            late = 6000 if rng.random() < 0.01 else 0
            event = {"event_id": f"{second}/{i}", "event_time": time_text(START + second * 1000 + i * 150 - late)}
            features = {"a": rng.gauss(drifted, 0.5), "c": rng.choice("xyz")}
            sender.send(
                Outgoing(INPUTS[0], i % 2, b"k", msgspec.json.encode({**event, "model": "m", "features": features}))
            )
            sender.send(Outgoing(INPUTS[1], 0, b"k", msgspec.json.encode({**event, "model": "m", "y_pred": i % 2})))
        if every and second % every == 0:
            service.loops.clear()  # as by kill -9: nothing is closed
        for _ in range(5):  # to join, to fold again, to go on, and to fold what profile has written
            service.turn("profile")
            service.turn("evaluate")
    return bus


@pytest.mark.parametrize(("seed", "snapshot_panes", "every"), [(1, 1, 1), (2, 3, 1), (3, 10_000, 9)])
def test_timers_survive_restarts_between_every_two_panes(seed: int, snapshot_panes: int, every: int) -> None:
    """`for`, `keep_firing_for`, cooldown and windows, with a snapshot at each commit, at some, and at none."""
    with capture_logs():
        undisturbed = published(serve(seed, snapshot_panes, every=0))
        restarted = published(serve(seed, snapshot_panes, every=every))
    assert restarted == undisturbed
    alerts = [msgspec.json.decode(value)["data"] for topic, _, value in undisturbed if topic == "alerts"]
    found = {(one["labels"]["alertname"], one["status"]) for one in alerts}
    names = ("Brief", "For", "Keep", "Timed", "Change")
    assert found >= {(name, status) for name in names for status in ("firing", "resolved")}
    assert sum(topic == "retraining" for topic, _, _ in undisturbed) >= 3
