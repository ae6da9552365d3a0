"""A replay reads the partition that is furthest behind, and so holds little of a log, whatever order the log is in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec
import pytest

from monitor.bus.memory import MemoryBus
from monitor.cli import replay as command
from monitor.cli.replay_log import configured
from monitor.cli.replay_sources import joined
from monitor.codec.canonical import time_text
from monitor.config import load
from monitor.events import Outgoing, RecordBatch, TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.replay import Replay, ReplayLog
from monitor.runner.topics import create_topics
from monitor.settings import load_settings
from monitor.sources.interleaving import FEWEST, MOST, interleaved
from monitor.sources.recordings import topics_of_bus
from tests.unit.runner import fleet
from tests.unit.runner.fleet import CONFIG, PLACE, TOPICS, Fleet, inputs_of, new_bus, published, send

ONE = """
version: 1
defaults: {window: {events: 200, every: 50}, lateness: 10s, pane: 10s, interval: 30s, idle_timeout: 30s}
models:
  m:
    task: regression
    streams: {features: {topic: in.features}}
    columns: {numerical: [x]}
    reference: {first: 100}
"""


def batch(tp: TopicPartition, n: int, first: int = 0) -> RecordBatch:
    return RecordBatch(*tp, range(first, first + n), [0] * n, [None] * n, [b""] * n, [()] * n)


def test_every_record_comes_once_and_each_partition_in_its_order() -> None:
    """Whatever the watermarks say."""
    tps = [TopicPartition("t", p) for p in range(3)]
    parts = [[batch(tp, 700), batch(tp, 5, 700), batch(tp, 2000, 705)] for tp in tps]
    seen: dict[TopicPartition, list[int]] = {tp: [] for tp in tps}
    for piece in interleaved(map(iter, parts), lambda tp: len(seen[tp]), lambda _: False, 1000):
        assert 0 < len(piece) <= MOST
        seen[piece.tp] += piece.offsets
    assert all(offsets == list(range(2705)) for offsets in seen.values())


def test_the_slowest_goes_first_by_little() -> None:
    """No partition is ahead of another by more than the lead, though each record moves its time by a second."""
    tps = [TopicPartition("t", p) for p in range(3)]
    reached = dict.fromkeys(tps, 0)
    for piece in interleaved((iter([batch(tp, 3000)]) for tp in tps), reached.__getitem__, lambda _: False, 60_000):
        reached[piece.tp] += 1000 * len(piece)
        assert max(reached.values()) - min(reached.values()) <= 60_000
    assert FEWEST * 1000 < 60_000


def test_who_waits_is_read_only_if_nobody_else_is_left() -> None:
    """A partition that waits for a grid would be kept in memory."""
    tps = [TopicPartition("t", p) for p in range(2)]
    order = [
        piece.tp.partition
        for piece in interleaved((iter([batch(tp, 40)]) for tp in tps), lambda _: 0, lambda tp: tp.partition == 0, 1000)
    ]
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize("minutes", [20, 60])
def test_a_replay_holds_no_more_of_a_longer_log(minutes: int) -> None:
    """Of three partitions: panes not yet folded, and records kept for a grid, by the lead and not by the log."""
    topics = LedgerTopics("sd.", 1)
    bus = MemoryBus(clock=lambda: 0, markers=False)
    bus.create("in.features", 3)
    create_topics(bus, topics, ("in.features",))
    sender = bus.sender()
    for k in range(minutes * 60 * 2):
        event = {"event_id": "e", "model": "m", "event_time": time_text(fleet.START + k * 500)}
        value = msgspec.json.encode({**event, "features": {"x": k * 7919 % 100}})
        sender.send(Outgoing("in.features", k % 3, None, value))
    recording = topics_of_bus(bus, ("in.features",), topics, PLACE)
    config = load(ONE, "alerts.yaml")
    contracts, activations = configured(recording, config, bus)
    engine = Replay(ReplayLog(contracts, recording.partitions, (), activations, PLACE, False, 1))
    panes = records = 0
    for _ in engine.fold(recording.sequences(lambda _: None)):
        panes = max(panes, sum(len(held) for held in engine._evaluate.models["m"]._parts._parts.values()))
        records = max(records, sum(len(b) for waiting in engine._waiting.values() for b in waiting))
    assert records <= 3 * MOST
    assert panes <= 3 * 60  # ten minutes of panes of three partitions
    assert engine.buckets()[TopicPartition("in.features", 0)]["pane"] == minutes * 40


NAMES = tuple(fleet.INPUTS)
EDITS = {
    "lateness": (("lateness: 2s", "lateness: 10s"),),
    "pane": (("pane: 2s", "pane: 4s"), ("interval: 2s", "interval: 4s")),
    "nothing": (),
}


@cache
def live(edit: str) -> MemoryBus:
    """Two minutes of both topics; in the middle alerts.yaml is edited, and the processes are killed."""
    bus = new_bus()
    running = Fleet(bus, fleet.config())
    running.join("evaluate-1")
    running.join("profile-1")
    for start in (0, 60):
        for tp in inputs_of(bus):
            seconds = [start + i * 0.2 for i in range(300)]
            send(bus, tp, [second - (6 if i % 5 == 4 else 0) for i, second in enumerate(seconds)], shift=start / 2)
        running.settle()
        text = CONFIG
        for old, new in EDITS[edit]:
            text = text.replace(old, new)
        running.config = load(text, "alerts.yaml")
        for name in ("evaluate-1", "profile-1"):
            running.loops[name].reload(running.config)
            running.join(name)
        for _ in range(20):
            running.now += 0.5
            running.turn()
    return bus


def replayed(bus: MemoryBus, names: Sequence[str], model: str | None) -> dict[str, list[bytes]]:
    """What `replay topic:A topic:B` says of one model or of all, by topic and sorted."""
    recording = joined([topics_of_bus(bus, (name,), TOPICS, PLACE) for name in names])
    options = command.Options(sources=(), model=model)
    engine = Replay(command.log_of(recording, options, load_settings(), bus))
    messages = [m for new in engine.fold(recording.sequences(lambda _: None)) for m in new]
    messages += engine.finish(recording.ends or {})
    return {topic: sorted(m.value for m in messages if m.topic == topic) for topic in ("alerts", "observations")}


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1]])
@pytest.mark.parametrize("model", [None, "m", "w"])
@pytest.mark.parametrize("edit", EDITS)
def test_two_topics_replayed_together_are_as_live_after_a_change_of_contract(
    edit: str, model: str | None, names: Sequence[str]
) -> None:
    """In any order, all models or one of them, which may read one of the topics only."""
    bus = live(edit)
    for topic, messages in replayed(bus, names, model).items():
        there = [(value, msgspec.json.decode(value)["data"]) for value in published(bus, topic)]
        named = [(value, data.get("labels", data)["model"]) for value, data in there]
        assert messages == [value for value, name in named if model in (None, name)]
        assert messages or (topic, edit) == ("alerts", "pane")  # all lanes begin anew
