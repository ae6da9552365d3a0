"""A rebuild folds what the fold that runs has folded, and nothing twice."""

from __future__ import annotations

from functools import lru_cache

import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus
from monitor.bus.reading import read_whole, records_of
from monitor.codec.chunks import Assembler
from monitor.evaluate.task import EvaluateTask
from monitor.events import Outgoing, Record, RecordBatch, TopicPartition
from monitor.ledger.entry_codec import kind_of, read_entry
from monitor.runner.rebuild import Again, Rebuild
from tests.unit.runner import fleet
from tests.unit.runner.fleet import Fleet

LEDGER = TopicPartition(fleet.TOPICS.name("ledger"), fleet.TOPICS.partition_of("m"))


@lru_cache
def ledger() -> tuple[Record, ...]:
    """The ledger of a minute of traffic."""
    with capture_logs():
        bus = fleet.new_bus()
        running = Fleet(bus, fleet.config())
        running.join("evaluate-1")
        running.join("profile-1")
        for tp in fleet.inputs_of(bus):
            fleet.send(bus, tp, [i * 0.2 for i in range(300)])
        running.settle()
    return tuple(record for batch in read_whole(bus, LEDGER) for record in records_of(batch))


def written(records: tuple[Record, ...]) -> MemoryBus:
    """A bus with these records in its ledger."""
    bus: MemoryBus = fleet.new_bus()
    sender = bus.sender()
    for record in records:
        sender.send(Outgoing(*LEDGER, record.key, record.value, record.headers))
    return bus


def digest(records: tuple[Record, ...]) -> str:
    """What a rebuild of m from these records has published."""
    bus = written(records)
    rebuild = Rebuild(bus, LEDGER, "m", fleet.PLACE, [], 0, Again({}))
    assert rebuild.go_on(bus.end(LEDGER), lambda: False)
    return rebuild.digest


@pytest.mark.parametrize("kind", ["pane", "raw", "watermark", "decision"])
@pytest.mark.parametrize("later", [0, 1, 40])
def test_what_comes_again_counts_once(kind: str, later: int) -> None:
    """A record of any kind that stands in the ledger a second time, at once or further on."""
    records = ledger()
    again = [i for i, record in enumerate(records) if kind_of(record.headers) == kind]
    at = again[len(again) // 2]
    place = min(len(records), at + 1 + later)
    assert digest((*records[:place], records[at], *records[place:])) == digest(records)


def test_a_rebuild_reads_each_record_and_folds_each_pane_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as the fold that runs, however small its slices are: so it costs what that has cost."""
    bus = written(ledger())
    rebuild = Rebuild(bus, LEDGER, "m", fleet.PLACE, [], 0, Again({}))
    read: list[int] = []
    take = bus.read

    def counted(tp: TopicPartition, start: int, end: int | None, timeout_ms: int) -> RecordBatch:
        batch = take(tp, start, end, timeout_ms)
        read.extend(batch.offsets)
        return batch

    monkeypatch.setattr(bus, "read", counted)
    slices = 0
    while not rebuild.go_on(bus.end(LEDGER), lambda: True):
        slices += 1
    task, assembler = EvaluateTask(fleet.PLACE), Assembler()
    for record in ledger():
        entry = read_entry(assembler, record)
        if entry is not None:
            task.read(entry)
    task.advance()
    assert slices > 50
    assert read == list(range(len(ledger())))
    assert rebuild.fold.folded == task.models["m"].folded > 20
    assert rebuild.digest == task.digest_of("m")


def test_a_ledger_whose_start_is_gone_is_folded_from_its_first_record() -> None:
    """Numbers of its writers begin anywhere then."""
    records = ledger()
    assert digest(records[len(records) // 2 :]) != digest(records)
