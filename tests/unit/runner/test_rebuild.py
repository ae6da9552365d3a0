"""A rebuild folds what the fold that runs has folded, and nothing twice."""

from __future__ import annotations

from functools import lru_cache

import pytest
from structlog.testing import capture_logs

from monitor.bus.memory import MemoryBus
from monitor.bus.reading import read_whole, records_of
from monitor.events import Outgoing, Record, TopicPartition
from monitor.ledger.entry_codec import kind_of
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


def digest(records: tuple[Record, ...]) -> str:
    """What a rebuild of m from these records has published."""
    bus: MemoryBus = fleet.new_bus()
    sender = bus.sender()
    for record in records:
        sender.send(Outgoing(*LEDGER, record.key, record.value, record.headers))
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


def test_a_ledger_whose_start_is_gone_is_folded_from_its_first_record() -> None:
    """Numbers of its writers begin anywhere then."""
    records = ledger()
    assert digest(records[len(records) // 2 :]) != digest(records)
