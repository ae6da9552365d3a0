"""The bus in memory: a record keeps how it was stamped, whatever is deleted before it."""

from __future__ import annotations

from monitor.bus.memory import MemoryBus
from monitor.events import Outgoing, TopicPartition

TP = TopicPartition("in", 0)


def test_a_record_keeps_its_kind_of_stamp_when_those_before_it_are_deleted() -> None:
    bus = MemoryBus()
    bus.create("in", 1)
    for n, stamped in enumerate([False, False, False, True, True]):
        bus.stamp("in", stamped)
        bus.write([Outgoing("in", 0, b"k", str(n).encode())], markers=False)
    bus.delete_before(TP, 2)
    batches = [bus.read(TP, 2, None, 0), bus.read(TP, 3, None, 0)]
    assert [(b.offsets[0], len(b.offsets), b.log_append_time) for b in batches] == [(2, 1, False), (3, 2, True)]
