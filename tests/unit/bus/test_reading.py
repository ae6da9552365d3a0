"""Readers without a group: what retention takes from under them is an error or a line, and never passed over."""

from __future__ import annotations

import pytest

from monitor.bus.memory import MemoryBus
from monitor.bus.reading import read_newest, read_whole
from monitor.cli.tail import fires, follow
from monitor.errors import RecordsLost
from monitor.events import Outgoing, TopicPartition

TP = TopicPartition("t", 0)


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus(clock=lambda: 0)
    bus.create("t", 1)
    send(bus, 0, 6_000)
    return bus


def send(bus: MemoryBus, start: int, end: int) -> None:
    sender = bus.sender()
    for i in range(start, end):
        sender.send(Outgoing("t", 0, None, b"%d" % i))


def test_a_whole_topic_is_what_is_kept_of_it(bus: MemoryBus) -> None:
    """Without a start it is read from the log's start; with one that was deleted it is refused."""
    bus.delete_before(TP, 100)
    assert sum(len(batch) for batch in read_whole(bus, TP)) == 5_900
    for start in (0, 99):
        with pytest.raises(RecordsLost, match=f"offsets {start} to 100 of t/0 were deleted"):
            next(read_whole(bus, TP, start))


def test_a_capture_or_replay_that_retention_overtakes_ends(bus: MemoryBus) -> None:
    """Between two reads: a file without those records would not replay to the same bytes."""
    batches = read_whole(bus, TP, 0)
    assert next(batches).offsets[-1] == 4_999
    bus.delete_before(TP, 5_500)
    with pytest.raises(RecordsLost, match="offsets 5000 to 5500 of t/0 were deleted before they were read"):
        next(batches)


def test_tail_reports_what_it_has_lost_and_goes_on(bus: MemoryBus, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error: standard output has messages only."""
    bus.delete_before(TP, 6_000)
    send(bus, 6_000, 6_001)
    messages = follow(bus, ("t",), from_beginning=True)
    assert next(messages)[1] == b"6000"
    send(bus, 6_001, 6_010)
    bus.delete_before(TP, 6_005)
    assert [next(messages)[0].offset for _ in range(5)] == list(range(6_005, 6_010))
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "offsets 6001 to 6005 of t/0 were deleted before they were read" in err


def test_tail_firing_prints_what_fires_now_and_then_what_changes() -> None:
    """What was resolved before is not there; what is resolved later comes as its key and null."""
    bus = MemoryBus(clock=lambda: 0)
    bus.create("firing", 2, {"cleanup.policy": "compact"})
    sender = bus.sender()
    for partition, key, value in [(0, b"a", b"1"), (1, b"b", b"2"), (0, b"a", b"3"), (0, b"c", b"4"), (1, b"b", None)]:
        sender.send(Outgoing("firing", partition, key, value))
    found = fires(bus, "firing")
    assert [next(found)[1] for _ in range(2)] == [b"3", b"4"]
    sender.send(Outgoing("firing", 1, b"b", b"5"))
    sender.send(Outgoing("firing", 0, b"a", None))
    assert {next(found)[1] for _ in range(2)} == {b"5", b'{"partitionkey":"a","data":null}'}


@pytest.mark.parametrize("most", [1, 4, 5_500, 99_999])
def test_the_newest_records_are_read_and_what_is_deleted_is_passed_over(bus: MemoryBus, most: int) -> None:
    """As many as are asked for and kept; what retention takes between two reads is left out."""
    end = bus.end(TP)
    found = [offset for batch in read_newest(bus, TP, most) for offset in batch.offsets]
    assert found == list(range(max(0, end - most), end))
    batches = read_newest(bus, TP, most)
    first = next(batches).offsets
    bus.log(TP).delete_before(end - 3)
    rest = [offset for batch in batches for offset in batch.offsets]
    assert [*first, *rest] == found if first[-1] == end - 1 else rest == [end - 3, end - 2, end - 1]
    assert (first[-1] == end - 1) == (most < 5_000)
