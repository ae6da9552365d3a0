"""Chunks: a large value comes back whole, or the reader is told that it can't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.codec.chunks import CHUNK, Assembler, leftovers, split
from monitor.errors import FormatError
from monitor.events import Outgoing, Record


def records(value: bytes, key: bytes | None = b"k", limit: int = 4) -> list[Record]:
    parts = split(Outgoing("t", 2, key, value, (("own", b"1"),)), limit)
    return [Record("t", 2, i, 0, part.key, part.value, part.headers) for i, part in enumerate(parts)]


@given(st.binary(max_size=50), st.one_of(st.none(), st.binary(max_size=5)), st.integers(1, 60))
def test_a_value_comes_back_whole_with_its_last_chunk(value: bytes, key: bytes | None, limit: int) -> None:
    """Each chunk keeps the limit and the headers; the last has the record's own key."""
    parts = records(value, key, limit)
    assembler = Assembler()
    assert [assembler.feed(part) for part in parts] == [None] * (len(parts) - 1) + [value]
    assert all(
        part.value is not None and len(part.value) <= limit and part.headers[0] == ("own", b"1") for part in parts
    )
    assert parts[-1].key == key


def test_a_small_value_and_a_tombstone_are_left_alone() -> None:
    """What the broker takes as it is has no chunk header."""
    small, tombstone = Outgoing("t", 0, b"k", b"abcd"), Outgoing("t", 0, b"k", None)
    assert split(small, 4) == [small]
    assert split(tombstone, 4) == [tombstone]


def test_values_of_several_keys_may_be_interleaved() -> None:
    """Between two chunks others may have written."""
    first, second = records(b"abcdefgh", b"a"), records(b"ABCDEFGH", b"b")
    assembler = Assembler()
    assert [assembler.feed(part) for pair in zip(first, second, strict=True) for part in pair] == [
        None,
        None,
        b"abcdefgh",
        b"ABCDEFGH",
    ]


def test_chunks_from_the_start_again_begin_anew() -> None:
    """A writer that died between two chunks writes them again."""
    parts = records(b"abcdefghij")
    assembler = Assembler()
    assert [assembler.feed(part) for part in [*parts[:2], *parts]][-1] == b"abcdefghij"


def test_a_missing_or_damaged_chunk_is_reported() -> None:
    """No value is made up from the rest."""
    parts = records(b"abcdefghij")
    for flawed in ([parts[0], parts[2]], parts[1:], [parts[0], parts[1]._replace(value=b"...."), parts[2]]):
        with pytest.raises(FormatError, match=r"t/2@\d"):
            list(map(Assembler().feed, flawed))
    with pytest.raises(FormatError, match="not i/n"):
        Assembler().feed(parts[0]._replace(headers=((CHUNK, b"first"),)))


def test_a_compacted_topic_keeps_whole_values() -> None:
    """Compaction keeps the newest record of a key: the chunks of the newest value, and orphans of older ones."""
    old, new = records(b"old and longer"), records(b"new value")
    kept = [*[part for part in old if part.key not in {part.key for part in new}], *new]
    assert 0 < len(kept) - len(new) < len(old)
    for log in (kept, kept[1:]):
        assembler = Assembler(compacted=True)
        assert [value for value in map(assembler.feed, log) if value is not None] == [b"new value"]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_compaction_keeps_the_last_value_and_nothing_of_those_before(sizes: list[int]) -> None:
    """If each value comes with tombstones for the chunks that it leaves behind, whatever the sizes."""
    kept: dict[bytes | None, Outgoing] = {}
    before = 0
    for size in sizes:
        last = split(Outgoing("t", 0, b"k", b"x" * size), 4)
        kept |= {part.key: part for part in last}
        for key in leftovers(b"k", before, size, 4):
            del kept[key]
        before = size
    assert list(kept.values()) == sorted(last, key=lambda part: list(kept).index(part.key))
    assert len(kept) == len(last)
