"""Keyed rows are in the ledger once each, ahead of their pane, wherever a commit is lost, whole or in part."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest
from structlog.testing import capture_logs

from monitor.codec.canonical import time_text
from monitor.codec.chunks import Assembler
from monitor.codec.ids import digest_of
from monitor.config import load
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.entries import Watermark
from monitor.ledger.entry_codec import KIND, decode_entry
from monitor.panes.keyed import KeyedRows
from monitor.panes.pane import Pane, RawPane
from monitor.runner.topics import create_topics
from tests.accounts import check_accounts
from tests.unit.runner.test_end_to_end import START, TOPICS, FragileBus, Service, all_of

INPUTS = {"ml.features": 1, "ml.predictions": 2, "ml.labels": 2}
TEXT = """
version: 1
defaults: {window: {events: 60}, lateness: 2s, pane: 2s, interval: 2s, idle_timeout: 5s}
models:
  m:
    task: classification_binary
    streams: {features: {topic: ml.features}, predictions: {topic: ml.predictions}, labels: {topic: ml.labels}}
    columns: {prediction: y, id: id, label: truth, numerical: [a]}
    reference: {first: 110}
"""


def serve(seed: int, fails: random.Random | None, loses: tuple[str, str]) -> Service:
    """80 s of predictions, and their labels some seconds and two days behind, in other partitions; a few are broken."""
    rng, bus = random.Random(seed), FragileBus(None)
    for topic, partitions in INPUTS.items():
        bus.create(topic, partitions)
    create_topics(bus, TOPICS, tuple(INPUTS))
    service = Service(bus, load(TEXT, "alerts.yaml"))
    service.turn("evaluate")
    bus.fails, sender = fails, bus.sender()
    for second in range(110):
        service.now += 1
        bus.loses = loses if second == 40 else bus.loses
        for i in range(6 if second < 80 else 0):
            one, time = f"{second}-{i}", time_text(START + 1000 * second + 160 * i)
            late = time_text(START + 1000 * second - rng.choice([3000, 172_800_000]))
            for topic, event in (
                ("ml.features", {"event_time": time, "model": "m", "features": {"a": rng.random()}}),
                ("ml.predictions", {"event_time": time, "model": "m", "id": one, "y": i % 2}),
                ("ml.labels", {"event_time": late, "id": one, "truth": i % 2}),
            ):
                p = rng.randrange(INPUTS[topic])
                sender.send(Outgoing(topic, p, None, msgspec.json.encode(event)))
        if second % 3 == 0:
            sender.send(Outgoing("ml.labels", 0, None, b'{"event_time": "2026-09-21T14:13:20Z", "id": 7}'))
        for _ in range(2):
            service.turn("profile")
            service.turn("evaluate")
    bus.fails = None
    assert bus.loses == ("", "")
    for _ in range(8):
        service.now += 1
        service.turn("profile")
        service.turn("evaluate")
    return service


def check(service: Service) -> None:
    """Each part is there once, and its rows are those of the input."""
    check_accounts(service.bus, TOPICS, tuple(INPUTS))
    names: Counter[tuple[object, ...]] = Counter()
    ids: dict[str, Counter[int]] = {"predictions": Counter(), "labels": Counter()}
    panes: set[tuple[TopicPartition, int]] = set()
    sealed: dict[TopicPartition, int] = {}
    assembler = Assembler()
    for record in all_of(service.bus, TOPICS.name("ledger")):
        value = assembler.feed(record) if KIND in dict(record.headers) else None
        entry = None if value is None else decode_entry(record.headers, value)
        if isinstance(entry, KeyedRows):
            names[(entry.stream, entry.tp, entry.contract, entry.index, entry.part)] += 1
            ids[entry.stream].update(entry.ids.tolist())
            assert (entry.tp, entry.index) not in panes
            assert entry.start + entry.pane_ms > sealed.get(entry.tp, 0)
        elif isinstance(entry, Pane | RawPane):
            panes.add((entry.tp, entry.index))
        elif isinstance(entry, Watermark):
            sealed[TopicPartition(entry.topic, entry.partition)] = entry.watermark
    assert set(names.values()) == {1}
    known = {digest_of(f"{second}-{i}") for second in range(80) for i in range(6)}
    for stream, found in ids.items():
        assert found.keys() == known, stream
        assert set(found.values()) == {1}


def test_each_keyed_row_is_in_the_ledger() -> None:
    """Where nothing is lost; labels of two days ago among them, and none is late."""
    with capture_logs():
        check(serve(0, None, ("", "")))


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_commit(seed: int) -> None:
    """Before it or right after it."""
    with capture_logs():
        service = serve(seed, random.Random(seed), ("", ""))
    assert service.deaths > 10
    check(service)


@pytest.mark.parametrize("topic", ["sd.ledger", "sd.positions"])
@pytest.mark.parametrize("seed", range(2))
def test_a_commit_of_which_a_part_is_lost(topic: str, seed: int) -> None:
    """Outputs without their position are not written again, and a position without its outputs is taken back."""
    with capture_logs():
        service = serve(seed, random.Random(seed) if seed else None, ("profile", topic))
    assert service.deaths > 0
    check(service)
