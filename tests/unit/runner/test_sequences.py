"""Numbers of a task's outputs: contiguous per output partition, a number a chunk, and carried on after a restart."""

from __future__ import annotations

import pytest

from monitor.codec.chunks import Assembler
from monitor.errors import FormatError
from monitor.events import Outgoing, Record
from monitor.runner.sequences import Sequencer, writer_and_sequence


def numbers(records: list[Outgoing]) -> list[tuple[str, int | None, int]]:
    return [(r.topic, r.partition, writer_and_sequence(r.headers)[1]) for r in records]


def test_each_output_partition_counts_for_itself() -> None:
    """From 0, without gaps."""
    outgoing = [Outgoing(topic, p, None, b"x") for topic, p in (("a", 0), ("a", 1), ("a", 0), ("b", 0))]
    assert numbers(Sequencer("w").number(outgoing)) == [("a", 0, 0), ("a", 1, 0), ("a", 0, 1), ("b", 0, 0)]


def test_a_new_task_goes_on_with_the_committed_numbers() -> None:
    """As the position record holds them."""
    first, second = Sequencer("w"), Sequencer("w")
    first.number([Outgoing("a", 0, None, b"x")] * 3)
    second.go_on(first.sequences)
    assert numbers(second.number([Outgoing("a", 0, None, b"x")])) == [("a", 0, 3)]


def test_a_long_record_is_chunked_and_every_chunk_is_numbered() -> None:
    """Put together again it is the same value."""
    value = bytes(range(256)) * 5000
    parts = Sequencer("w").number([Outgoing("a", 0, b"k", value)])
    assert [number for _, _, number in numbers(parts)] == list(range(len(parts)))
    assert len(parts) > 1
    assert all(len(part.value or b"") <= 512 * 1024 for part in parts)
    assembler = Assembler()
    found = [assembler.feed(Record("a", 0, i, 0, p.key, p.value, p.headers)) for i, p in enumerate(parts)]
    assert found == [None] * (len(parts) - 1) + [value]


@pytest.mark.parametrize("headers", [(), (("sd-writer", b"w"),), (("sd-writer", b"w"), ("sd-seq", b"x"))])
def test_a_record_without_writer_or_number_is_refused(headers: tuple[tuple[str, bytes], ...]) -> None:
    """Somebody else has written to our topic."""
    with pytest.raises(FormatError, match="sd-writer or sd-seq"):
        writer_and_sequence(headers)
