"""A record that ends the process is found, folded alone, and left out; kills from outside leave nothing out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from monitor.bus.memory import MemoryBus
from monitor.bus.reading import read_whole
from monitor.codec.canonical import time_text
from monitor.codec.decode import Decoder
from monitor.config import load
from monitor.events import Batch, Outgoing, RecordBatch, TopicPartition
from monitor.ledger.entries import PartitionSet
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import decode_profile
from monitor.runner.loop import Loop
from monitor.runner.positions import Positions
from monitor.runner.profile import ProfileStage
from monitor.runner.topics import create_topics
from monitor.runner.witness import FileWitness, MemoryWitness
from monitor.telemetry import get_log
from tests.sets import name_partitions

TOPICS = LedgerTopics("sd.", 1)
INPUT = TopicPartition("in", 0)
START = 1_790_000_000_000
CONFIG = load(
    """
version: 1
defaults: {window: {events: 60, every: 20}, lateness: 2s, pane: 2s, interval: 2s}
models:
  m: {task: regression, streams: {features: {topic: in}}, columns: {numerical: [x]}, reference: {first: 60}}
""",
    "alerts.yaml",
)
POISON = b'"poison"'


class Died(BaseException):
    """The process is gone: nothing catches it."""


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Decoding a batch with the poison in it ends the process; how often, by the length of the batch."""
    deaths: Counter[int] = Counter()
    decode = Decoder.decode

    def ending(self: Decoder, batch: RecordBatch) -> Batch:
        if POISON in batch.values:
            deaths[len(batch)] += 1
            raise Died
        return decode(self, batch)

    monkeypatch.setattr(Decoder, "decode", ending)
    return deaths


def bus_with(poison: frozenset[int], records: int = 60) -> MemoryBus:
    bus = MemoryBus(clock=lambda: 0, markers=True)
    bus.create("in", 1)
    create_topics(bus, TOPICS, ("in",))
    name_partitions(bus, TOPICS, "m", PartitionSet({"features": ("in", 1)}))
    sender = bus.sender()
    for i in range(records):
        event = {"event_id": "e", "model": "m", "event_time": time_text(START + i * 500), "features": {"x": i}}
        sender.send(Outgoing("in", 0, None, POISON if i in poison else json.dumps(event).encode()))
    return bus


def loop_of(bus: MemoryBus, witness: MemoryWitness | None = None, name: str = "one") -> Loop:
    stage = ProfileStage(bus, CONFIG, TOPICS, lambda: 0.0, get_log("test"))
    return Loop(bus, stage, name, lambda: 0.0, 5.0, alone=40, witness=witness)


def run(bus: MemoryBus, turns: int = 400) -> int:
    """Turns of a process that is started again whenever it dies; how often it died."""
    died, loop, witness = 0, None, MemoryWitness()
    for _ in range(turns):
        if loop is None:
            witness.begin()
            loop = loop_of(bus, witness)
        try:
            loop.turn(wait_ms=0)
        except Died:
            died, loop = died + 1, None
    return died


def buckets(bus: MemoryBus) -> dict[str, int]:
    value = Positions(bus, TOPICS, "sd.profile").of(INPUT, None)
    assert value is not None
    return {name: count for name, count in decode_profile(value).buckets.items() if count}


def test_a_record_that_ends_the_process_is_left_out_and_the_stream_goes_on(deadly: Counter[int]) -> None:
    """Twice in its batch, three times alone; then it is a dead letter, and all others are in panes."""
    bus = bus_with(frozenset({31}))
    assert run(bus) == 5
    assert deadly[1] == 3
    assert buckets(bus) == {"pane": 59, "dead:quarantined": 1}
    (dead,) = [v for b in read_whole(bus, TopicPartition("sd.dlq.in", 0)) for v in b.values]
    assert dead is not None
    assert POISON in dead


def test_several_such_records_are_left_out_one_after_the_other(deadly: Counter[int]) -> None:
    """Next to each other, at the start, and at the end."""
    bus = bus_with(frozenset({0, 1, 30, 59}))
    assert run(bus) < 30
    assert buckets(bus) == {"pane": 56, "dead:quarantined": 4}


def test_what_was_left_out_stays_left_out_when_it_is_folded_again(deadly: Counter[int]) -> None:
    """A restart folds from the low-water mark over the record, and does not die of it."""
    bus = bus_with(frozenset({57}))
    run(bus)
    assert run(bus, turns=5) == 0
    assert buckets(bus) == {"pane": 59, "dead:quarantined": 1}


def test_without_a_witness_a_mark_of_the_same_name_counts(deadly: Counter[int]) -> None:
    """A process in a new place each time finds its own mark; so the record is left out there, too."""
    bus = bus_with(frozenset({31}))
    died, loop = 0, None
    for _ in range(100):
        loop = loop or loop_of(bus)
        try:
            loop.turn(wait_ms=0)
        except Died:
            died, loop = died + 1, None
    assert died == 5
    assert buckets(bus) == {"pane": 59, "dead:quarantined": 1}


def test_a_witness_in_a_file_outlives_its_process(tmp_path: Path) -> None:
    """It says which partition was folded at the end, and knows nothing at first."""
    path, other = tmp_path / "w", TopicPartition("in", 1)
    first = FileWitness(path)
    assert not first.knows
    first.note_fold(INPUT, 7)
    second = FileWitness(path)
    assert second.knows
    assert (second.folded_to(INPUT), second.folded_to(other)) == (7, 0)
    second.note_fold(INPUT, 9)
    second.note_fold(None)
    assert FileWitness(path).folded_to(INPUT) == 0


def test_a_rebalance_is_no_death(deadly: Counter[int]) -> None:
    """However often partitions move before a commit, nothing is folded alone, let alone left out."""
    bus = bus_with(frozenset())
    for turn in range(8):
        loops = [loop_of(bus, MemoryWitness(), f"p{turn}"), loop_of(bus, MemoryWitness(), "q")]
        for loop in loops * 2:
            loop.turn(wait_ms=0)
        assert not any(loop._guard.anything_alone for loop in loops)


def test_kills_from_outside_leave_nothing_out() -> None:
    """However often a process is killed between its turns."""
    bus = bus_with(frozenset())
    for _ in range(50):
        loop = loop_of(bus)
        for _ in range(3):
            loop.turn(wait_ms=0)
    run(bus, turns=10)
    assert buckets(bus) == {"pane": 60}
