"""Offsets of the past: a request gets all that it asks for and at most 1 % more, from a state that stays small."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.codec.varints import pack, unpack, unzigzag, zigzag
from monitor.errors import FormatError
from monitor.evaluate.past_offsets import FINE, NOTHING, PastOffsets
from monitor.events import OffsetRange

PANE = 10_000
DAY = 86_400_000
ENCODE = msgspec.msgpack.Encoder().encode


def past(longest_ms: int, pane_ms: int = PANE) -> PastOffsets:
    offsets = PastOffsets()
    offsets.keep(longest_ms, pane_ms)
    return offsets


def moving(
    index: int, partitions: int, by: int = 100, topics: Sequence[str] = ("ml.features", "ml.predictions")
) -> list[OffsetRange]:
    """All partitions move by so many offsets in every pane."""
    return [OffsetRange(t, p, index * by, index * by + by) for t in topics for p in range(partitions)]


@given(st.lists(st.integers(0, (1 << 63) - 1)))
def test_integers_go_through_their_bytes(values: list[int]) -> None:
    assert unpack(pack(np.array(values, dtype=np.int64))).tolist() == values


@given(st.lists(st.integers(-(1 << 61), 1 << 61)))
def test_integers_of_either_sign_do_too(values: list[int]) -> None:
    assert unzigzag(unpack(pack(zigzag(np.array(values, dtype=np.int64))))).tolist() == values


@pytest.mark.parametrize("data", [b"\x80", b"\x01\xff", b"\xff" * 9 + b"\x01"])
def test_bytes_that_are_no_integers_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        unpack(data)


@pytest.mark.parametrize(("panes", "partitions", "by"), [(6_000, 32, 100), (3_000, 32, 100_000), (6_000, 4, 1)])
def test_a_state_stays_below_a_mebibyte(panes: int, partitions: int, by: int) -> None:
    """At 32 partitions of two topics, busy in every pane; each octave more of panes adds at most as many bytes."""
    offsets, sizes = past(panes * PANE), []
    for index in range(panes):
        offsets.add((index + 1) * PANE, moving(index, partitions, by))
        if index + 1 in (panes // 4, panes // 2, panes):
            sizes.append(len(ENCODE(offsets.state())))
    octaves = 30 * DAY // PANE // panes
    assert sizes[-1] + octaves.bit_length() * max(np.diff(sizes)) < 1 << 20


@pytest.mark.parametrize("panes", [1_000, 9_000])
def test_as_many_stretches_are_kept_as_the_logarithm_of_the_time_asks_for(panes: int) -> None:
    """Each octave of age has about half of FINE."""
    offsets = past(panes * PANE)
    for index in range(panes):
        offsets.add((index + 1) * PANE, [OffsetRange("t", 0, index, index + 1)])
    assert len(offsets._stretches) <= 2 * FINE + FINE * (panes // FINE).bit_length()


@pytest.mark.parametrize("seed", range(6))
def test_a_request_gets_what_it_asks_for_and_hardly_more(seed: int) -> None:
    """With gaps, still partitions, and offsets out of order; held against every pane's own."""
    rng = random.Random(seed)
    offsets, panes = past(4_000 * PANE), dict[int, list[OffsetRange]]()
    index, at = 500, [1000, 5000]
    while index < 6_000:
        index += rng.choice([1, 1, 1, 2, 70, 400])
        held = []
        for p in rng.sample([0, 1], rng.randint(1, 2)):
            start = at[p] - rng.randint(0, 5)
            at[p] = start + rng.randint(1, 30)
            held.append(OffsetRange("t", p, start, at[p]))
        panes[index] = sorted(held)
        offsets.add((index + 1) * PANE, panes[index])
    for _ in range(200):
        first = rng.randint(index - 3_990, index)
        given = offsets.ranges(first * PANE, (index + 1) * PANE)
        slack = (index - first) // FINE + 1
        assert given == union(panes, range(first, index + 1)) or covers(
            union(panes, range(first - slack, index + 1)), given, union(panes, range(first, index + 1))
        )


def union(panes: dict[int, list[OffsetRange]], wanted: range) -> tuple[OffsetRange, ...]:
    found = [r for index in wanted for r in panes.get(index, [])]
    return tuple(
        OffsetRange(
            "t", p, min(r.start for r in found if r.partition == p), max(r.end for r in found if r.partition == p)
        )
        for p in sorted({r.partition for r in found})
    )


def covers(most: Sequence[OffsetRange], given: Sequence[OffsetRange], least: Sequence[OffsetRange]) -> bool:
    bounds = {r.partition: r for r in most}
    needed = {r.partition: r for r in least}
    return {r.partition for r in given} >= set(needed) and all(
        bounds[r.partition].start <= r.start
        and r.end <= bounds[r.partition].end
        and (r.partition not in needed or (r.start <= needed[r.partition].start and r.end >= needed[r.partition].end))
        for r in given
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_restored_state_goes_on_alike(seed: int) -> None:
    """At any pane; the state of the restored one is the same, byte for byte."""
    rng = random.Random(seed)
    offsets, at = past(700 * PANE), 0
    for index in range(0, 1500, rng.choice([1, 3])):
        start, at = at, at + rng.randint(1, 9)
        offsets.add((index + 1) * PANE, [OffsetRange("t", p, start, at) for p in range(rng.randint(1, 4))])
        if index % 97 == 0:
            again = past(700 * PANE)
            again.restore(offsets.state())
            assert again.state() == offsets.state()
            offsets = again


def test_nothing_is_kept_where_nothing_asks() -> None:
    """A model without triggers, and one whose triggers have gone."""
    offsets = past(0)
    offsets.add(PANE, moving(0, 2))
    assert offsets.state() == NOTHING
    offsets.keep(DAY, PANE)
    offsets.add(2 * PANE, moving(1, 2))
    assert offsets.state() != NOTHING
    offsets.keep(0, PANE)
    assert offsets.state() == NOTHING


@pytest.mark.parametrize("field", ["gaps", "panes", "sizes", "which", "distances", "lengths"])
def test_columns_that_do_not_fit_together_are_refused(field: str) -> None:
    offsets = past(DAY)
    offsets.add(PANE, moving(0, 3))
    offsets.add(2 * PANE, moving(1, 3))
    state = offsets.state()
    with pytest.raises(FormatError):
        past(DAY).restore(msgspec.structs.replace(state, **{field: getattr(state, field)[:-1]}))
