"""A plain file's end seals what is open in all partitions, however far each of them goes."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import pytest

from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.evaluate.alerts import Place
from monitor.evaluate.messages import Message
from monitor.events import RecordBatch, StreamName, TopicPartition
from monitor.ledger.entries import Activation, PartitionSet, new_decision
from monitor.replay import Replay, ReplayLog, in_order
from monitor.runner.announce import rules_decision

A, B, EMPTY = TopicPartition("t", 0), TopicPartition("t", 1), TopicPartition("t", 2)
START = 1_790_000_000_000
WANTED = 100
MODEL = load(
    """
version: 1
defaults: {window: {events: 10}, lateness: 2s, pane: 2s, interval: 2s}
models:
  m:
    task: regression
    streams: {features: {topic: t}}
    columns: {numerical: [a]}
    reference: {first: 100}
groups:
  - name: g
    models: [m]
    rules: [{alert: Psi, expr: psi > 0.5}]
""",
    "alerts.yaml",
).models[0]


def batches(tp: TopicPartition, seconds: Sequence[float], size: int) -> list[RecordBatch]:
    values = [
        msgspec.json.encode(
            {"event_id": str(i), "model": "m", "event_time": time_text(START + int(s * 1000)), "features": {"a": i % 7}}
        )
        for i, s in enumerate(seconds)
    ]
    return [
        RecordBatch(*tp, list(range(a, a + len(part))), [0] * len(part), [None] * len(part), part, [()] * len(part))
        for a in range(0, len(values), size)
        for part in [values[a : a + size]]
    ]


def replayed(log: dict[TopicPartition, Sequence[float]], rng: random.Random) -> tuple[list[Message], Replay]:
    streams: dict[StreamName, tuple[str, int]] = {"features": ("t", len(log))}
    content = msgspec.json.encode(PartitionSet(streams)).decode()
    activations = [Activation(new_decision("m", "set", content), None), Activation(rules_decision(MODEL), None)]
    place = Place("/s", "http://localhost", "0", "c")
    replay = Replay(ReplayLog([MODEL.contract], list(log), [], activations, place, True, 2))
    left = {tp: batches(tp, seconds, rng.choice([3, 50])) for tp, seconds in log.items()}
    messages: list[Message] = []
    while any(left.values()):
        messages += replay.feed(left[rng.choice([tp for tp in sorted(left) if left[tp]])].pop(0))
    return in_order(messages + replay.finish({}), 2), replay


@pytest.mark.parametrize(
    "log",
    [
        {A: [i / 2 for i in range(200)], B: [i / 5 for i in range(50)]},
        {A: [i / 2 for i in range(200)], B: [i / 5 for i in range(50)], EMPTY: []},
        {A: [i / 30 for i in range(70)], B: [i / 30 for i in range(70)]},
        {A: [i / 100 for i in range(150)], B: [50.0]},
    ],
    ids=["one ends early", "one is empty", "the grid comes at the end", "all in one pane"],
)
def test_every_event_behind_the_reference_is_in_a_window(log: dict[TopicPartition, Sequence[float]]) -> None:
    """Whatever the batches; but for those that a last window of ten still waits for."""
    results = [replayed(log, random.Random(salt)) for salt in range(6)]
    assert all(messages == results[0][0] for messages, _ in results)
    messages, replay = results[0]
    found = [msgspec.json.decode(m.value)["data"] for m in messages if m.topic == "observations"]
    events = sum(data["window"]["events"] for data in found if "window" in data)
    panes = sorted(int(second // 2) for seconds in log.values() for second in seconds)
    judged = sum(1 for pane in panes if pane > panes[WANTED - 1])
    assert judged - 10 < events <= judged
    assert sum(buckets["pane"] for buckets in replay.buckets().values()) == len(panes)


def test_a_replay_ends_with_how_its_lanes_stand() -> None:
    """One row fewer than the reference needs, and it waits; with one more it has its reference."""
    for rows, state in ((WANTED - 1, "waiting"), (WANTED, "reference"), (WANTED + 40, "judged")):
        _, replay = replayed({A: [i / 2 for i in range(rows)]}, random.Random(1))
        (lane,) = replay.lanes()
        assert (lane.state, lane.rows) == (state, min(rows, WANTED))
        assert lane.text.startswith("features: ")
