"""Panes and ledger records go through their bytes unchanged; damaged bytes are refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.contract import StreamContract
from monitor.errors import FormatError, NewerRelease
from monitor.events import Headers, Rows, TopicPartition
from monitor.ledger.entries import Activation, Entry, Heartbeat, PartitionSet, Watermark, new_decision
from monitor.ledger.entry_codec import (
    KIND,
    VERSION,
    VERSION_HEADER,
    decode_agreement,
    decode_entry,
    encode_entry,
    kind_of,
)
from monitor.ledger.ledger_topics import ledger_partition
from monitor.panes.grid import make_grid
from monitor.panes.open_pane import OpenPane
from monitor.panes.pane import Pane, decode_pane, decode_raw, encode_pane, encode_raw
from monitor.panes.rows import empty
from tests.unit.making import FEATURES, TP, pane, rows


def raw_bytes() -> bytes:
    opened = OpenPane(empty("m", FEATURES), TP, 4, 10, 8)
    opened.add(rows([3, 4, 9], [41, 40, 44]), None)
    return encode_raw(opened.seal_raw())


@settings(max_examples=30)
@given(st.lists(st.integers(0, 10**9), max_size=60, unique=True).map(sorted), st.integers(0, 3))
def test_a_pane_comes_back_as_it_was(offsets: list[int], late: int) -> None:
    """Counts, trace, offsets, unknown categories."""
    one = pane(3, offsets or [1], late=late)
    value = encode_pane(one)
    again = decode_pane(value)
    for name in ("model", "segment", "stream", "tp", "index", "grid", "events", "last_time", "offsets", "level"):
        assert getattr(again, name) == getattr(one, name)
    for name in ("counts", "codes", "levels"):
        assert np.array_equal(getattr(again, name), getattr(one, name))
        assert getattr(again, name).dtype == getattr(one, name).dtype
    assert again.unknown == one.unknown
    assert encode_pane(again) == value


def test_a_pane_of_a_stream_without_columns_comes_back_as_it_was() -> None:
    """Its rows are counted, and have no codes."""
    bare = StreamContract("predictions", "p", "event_time", ())
    three, none = np.arange(3), np.zeros((3, 0), dtype=np.uint8)
    part = np.zeros(3, dtype=np.int32)
    rows_of_it = Rows("m", "predictions", "", three, part, three + 40, none.astype(np.float64), none, (), none)
    grid = make_grid(rows_of_it, bare)
    one = OpenPane(empty("m", bare), TP, 4, 10, 8)
    one.add(rows_of_it, grid)
    value = encode_pane(one.seal(grid))
    again = decode_pane(value)
    assert (again.events, again.codes.shape) == (3, (3, 0))
    assert encode_pane(again) == value


@pytest.mark.parametrize("count", [0, 255, 256, 65_535, 65_536, -1, 2**31, -(2**31) - 1, 2**62])
def test_counts_of_any_size_are_exact(count: int) -> None:
    """The smallest integer type that holds them is chosen for all."""
    one = pane(3, [5, 6])
    one.counts[1] = count
    assert decode_pane(encode_pane(one)).counts.tolist() == one.counts.tolist()


def test_a_raw_pane_comes_back_as_it_was() -> None:
    """Rows with their states, bit by bit."""
    value = raw_bytes()
    again = decode_raw(value)
    assert again.rows.offset.tolist() == [3, 4, 9]
    assert again.complete
    assert encode_raw(again) == value


@pytest.mark.parametrize("cut", range(0, 300, 7))
def test_truncated_bytes_are_refused(cut: int) -> None:
    """No other exception than FormatError."""
    for value, decode in ((encode_pane(pane(3, [5, 6, 7])), decode_pane), (raw_bytes(), decode_raw)):
        if cut < len(value):
            with pytest.raises(FormatError):
                decode(value[:cut])


def test_a_pane_whose_parts_disagree_is_refused() -> None:
    """Bytes of the wrong length, a place outside of the counts, an unknown type of counts."""
    fields = msgspec.msgpack.decode(encode_pane(pane(3, [5, 6, 7])))
    width, places, count_type, counts, codes, levels = 13, 14, 15, 16, 19, 20
    for at, wrong in (
        (width, 3),
        (places, fields[places][:8]),
        (count_type, "<f8"),
        (counts, fields[counts][:1]),
        (codes, fields[codes][:-1]),
        (levels, fields[levels][:-1]),
    ):
        damaged = [wrong if i == at else field for i, field in enumerate(fields)]
        with pytest.raises(FormatError):
            decode_pane(msgspec.msgpack.encode(damaged))


def test_ledger_records_come_back_as_they_were() -> None:
    """Each kind under its header, keyed by model or input partition."""
    entries: list[Entry] = [
        Watermark("t", 3, 1000, 900),
        Heartbeat("t", 3, 17, 1000),
        new_decision("m", "grid", '{"a":"é"}', "features"),
    ]
    for entry in entries:
        out = encode_entry(entry, "ledger", 5)
        assert (out.topic, out.partition) == ("ledger", 5)
        assert decode_entry(out.headers, out.value or b"") == entry
    one = encode_entry(pane(3, [5]), "ledger", 0)
    assert one.key == b"m"
    assert isinstance(decode_entry(one.headers, one.value or b""), Pane)


def headers(kind: str, version: int = VERSION) -> Headers:
    return ((KIND, kind.encode()), (VERSION_HEADER, str(version).encode()))


def test_unknown_kinds_and_broken_records_are_refused() -> None:
    """By name."""
    with pytest.raises(FormatError, match="sd-kind"):
        kind_of(())
    with pytest.raises(FormatError, match="watermark"):
        decode_entry(headers("watermark"), b'{"topic":"t"}')
    with pytest.raises(FormatError, match="activation"):
        decode_agreement(headers("activation"), b"{")
    with pytest.raises(FormatError, match="where none belongs"):
        decode_agreement(headers("watermark"), msgspec.json.encode(Watermark("t", 0, 1, 1)))


def test_what_a_newer_release_wrote_is_named_so() -> None:
    """An unknown kind or a higher version: another error than damage, so that its partition goes to who knows it."""
    for newer in (headers("song"), headers("watermark", VERSION + 1), headers("pane", VERSION + 1)):
        with pytest.raises(NewerRelease, match="upgrade"):
            decode_entry(newer, b"{}")


def test_an_optional_field_that_is_not_known_passes() -> None:
    """A newer release may add fields without another version."""
    value = msgspec.json.encode({"topic": "t", "partition": 0, "watermark": 1, "first": 1, "colour": "red"})
    assert decode_entry(headers("watermark"), value) == Watermark("t", 0, 1, 1)
    longer = msgspec.msgpack.encode([*msgspec.msgpack.decode(encode_pane(pane(3, [5]))), "red"])
    assert decode_pane(longer).index == 3


def test_activations_of_two_panes_have_two_keys() -> None:
    """So compaction keeps both, and capture can apply each at its pane."""
    change = new_decision("m", "rules", "{}")
    keys = {encode_entry(Activation(change, at), "grid", 0).key for at in (None, 3, 4)}
    assert len(keys) == 3
    value = encode_entry(Activation(change, 3), "grid", 0).value
    assert decode_agreement(headers("activation"), value or b"") == Activation(change, 3)


def test_a_set_names_each_partition_once() -> None:
    """Also where two streams share a topic."""
    both = PartitionSet({"features": ("t", 2), "predictions": ("t", 2)})
    assert both.partitions == (TopicPartition("t", 0), TopicPartition("t", 1))


def test_a_models_ledger_partition_never_changes() -> None:
    """Written out: another value would orphan what has been written."""
    assert [ledger_partition(name, 8) for name in ("m", "fraud-scorer", "é")] == [1, 2, 3]
