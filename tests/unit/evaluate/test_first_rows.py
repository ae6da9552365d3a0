"""The first rows of a stream: the same whichever partition was read first, and only when they are certain."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from monitor.errors import FormatError
from monitor.evaluate.first_rows import BLOCK_ROWS, FirstRows
from monitor.evaluate.reference import build_reference
from monitor.events import Rows, TopicPartition
from monitor.panes import rows as rows_of
from monitor.panes.grid import encode_grid, make_grid
from monitor.panes.open_pane import OpenPane
from monitor.panes.pane import RawPane, decode_raw
from monitor.panes.rows import empty
from monitor.panes.steps import at_once
from tests.unit.making import FEATURES, TOPIC, rows

WANTED = 30
PANE = 10


def first_rows(known: FirstRows, sealed: Mapping[TopicPartition, int]) -> Rows | None:
    """The first rows in canonical order; None as long as they are not certain."""
    if known.last_time(sealed) is None:
        return None
    joined = rows_of.concat([pane.rows for pane in known.parts])
    return rows_of.take(joined, np.lexsort(known._places()))


def partition(p: int, rng: random.Random) -> list[tuple[RawPane, int]]:
    """Raw panes of one partition as profile sends them, each with the watermark that follows it."""
    tp = TopicPartition(TOPIC, p)
    panes, offset, sent, rate = [], 0, 0, rng.choice([1, 4, 12])
    for index in range(100):
        n = rng.randint(0, rate)
        if not n:
            continue
        opened = OpenPane(empty("m", FEATURES), tp, index, 10, 8)
        times = [index * PANE + rng.randint(0, PANE - 1) for _ in range(n)]
        opened.add(rows(list(range(offset, offset + n)), times), None)
        offset += n
        if sent + n > WANTED:
            panes.append((opened.seal_raw(first_rows=WANTED - sent), index * PANE))
            break
        sent += n
        panes.append((opened.seal_raw(), (index + 1) * PANE))
    return panes


@pytest.mark.parametrize("seed", range(60))
def test_the_first_rows_do_not_depend_on_what_was_read_first(seed: int) -> None:
    """As soon as they are known they are the first of all rows by (time, partition, offset), and stay so."""
    rng = random.Random(seed)
    logs = {TopicPartition(TOPIC, p): partition(p, rng) for p in range(rng.randint(1, 4))}
    everything = sorted(
        (time, tp, offset)
        for tp, panes in logs.items()
        for pane, _ in panes
        for time, offset in zip(pane.rows.time.tolist(), pane.rows.offset.tolist(), strict=True)
    )
    first = [(time, offset) for time, _, offset in everything[:WANTED]]
    for salt in range(4):
        order = random.Random(salt)
        left = {tp: list(panes) for tp, panes in logs.items()}
        frontiers = dict.fromkeys(left, -(1 << 62))
        known, answers = FirstRows(WANTED), []
        while any(left.values()):
            tp = order.choice([tp for tp, panes in left.items() if panes])
            pane, frontiers[tp] = left[tp].pop(0)
            known.add(pane)
            found = first_rows(known, frontiers)
            if found is not None:
                answers.append(list(zip(found.time.tolist(), found.offset.tolist(), strict=True)))
        assert all(answer == first for answer in answers)
        if len(everything) >= WANTED:
            assert answers


def test_a_partition_that_is_silent_holds_the_answer_back() -> None:
    """Nobody knows what it will bring, until its watermark does."""
    opened = OpenPane(empty("m", FEATURES), TopicPartition(TOPIC, 0), 0, 10, 8)
    opened.add(rows(list(range(40)), [5] * 40), None)
    known = FirstRows(WANTED)
    known.add(opened.seal_raw())
    both = {TopicPartition(TOPIC, 0): 10, TopicPartition(TOPIC, 1): 0}
    assert first_rows(known, both) is None
    assert first_rows(known, {**both, TopicPartition(TOPIC, 1): 10}) is not None


def test_a_sample_that_is_sent_again_counts_once() -> None:
    """After a torn commit: its rows would push others out of the first."""
    tp = TopicPartition(TOPIC, 0)
    opened = OpenPane(empty("m", FEATURES), tp, 0, 10, 8)
    opened.add(rows(list(range(40)), list(range(40))), None)
    once, twice = FirstRows(WANTED), FirstRows(WANTED)
    for known, times in ((once, 1), (twice, 3)):
        for _ in range(times):
            known.add(opened.seal_raw(first_rows=WANTED))
    found, expected = (first_rows(known, {tp: 0}) for known in (twice, once))
    assert found is not None
    assert expected is not None
    assert found.offset.tolist() == expected.offset.tolist() == list(range(WANTED))


def later_panes(n: int, size: int, tp: TopicPartition) -> list[RawPane]:
    """Raw panes of `size` rows each; the later ones hold the earlier times, so each takes places away."""
    panes = []
    for index in range(n):
        opened = OpenPane(empty("m", FEATURES), tp, n - index, 10, 8)
        offsets = list(range(index * size, (index + 1) * size))
        opened.add(rows(offsets, [(n - index) * PANE + offset % PANE for offset in offsets]), None)
        panes.append(opened.seal_raw())
    return panes


def test_no_more_rows_are_kept_than_are_wanted() -> None:
    """Rows that come later only take places away, in blocks too; a block without a row left is dropped."""
    known = FirstRows(2 * BLOCK_ROWS)
    dropped = set()
    for pane in later_panes(60, 100, TopicPartition(TOPIC, 0)):
        before = set(known.blocks())
        known.add(pane)
        dropped |= before - set(known.blocks())
        assert len(known) <= 2 * BLOCK_ROWS
    assert dropped
    found = first_rows(known, {TopicPartition(TOPIC, 0): 1000})
    assert found is not None
    assert sorted(found.offset.tolist()) == list(range(5000, 6000))


def test_a_pane_that_comes_touches_only_the_panes_that_lose_rows_by_it() -> None:
    """One that comes too late touches none. Else a stream of a row a pane would cost the square of its rows."""
    tp = TopicPartition(TOPIC, 0)
    late, *panes, early = reversed(later_panes(WANTED + 2, 1, tp))
    assert late.rows.time[0] < early.rows.time[0]
    known = FirstRows(WANTED)
    for pane in panes:
        known.add(pane)
    before = known.parts
    known.add(early)  # its time is the last
    assert [id(pane) for pane in known.parts] == [id(pane) for pane in before]
    known.add(late)  # its time is the first
    assert {id(pane) for pane in known.parts} == {*map(id, before[:-1]), id(late)}


def test_nothing_is_certain_once_more_rows_are_wanted_than_there_are() -> None:
    """Until there are that many."""
    tp = TopicPartition(TOPIC, 0)
    known, panes = FirstRows(2), list(reversed(later_panes(6, 1, tp)))
    for pane in panes[:2]:
        known.add(pane)
    assert known.last_time({tp: 1000}) is not None
    known.want(4)
    assert known.last_time({tp: 1000}) is None
    for pane in panes[2:]:
        known.add(pane)
    assert known.last_time({tp: 1000}) == panes[3].rows.time[0]


def test_a_block_is_written_once() -> None:
    """It is named by what it holds, keeps name and bytes from when it is frozen, and the tail stays short."""
    known, seen = FirstRows(10**6), dict[str, bytes]()
    for pane in later_panes(40, 90, TopicPartition(TOPIC, 0)):
        known.add(pane)
        for name, value in known.blocks().items():
            assert seen.setdefault(name, value) == value
        state = known.state()
        assert [name for name, _ in state.blocks] == list(known.blocks()) == list(seen)
        assert sum(len(decode_raw(part).rows) for part in state.tail) < BLOCK_ROWS
    assert len(seen) == 40 * 90 // (6 * 90)  # of six panes each, the first number of panes with 500 rows


@pytest.mark.parametrize("seed", range(5))
def test_restored_it_answers_alike(seed: int) -> None:
    """At any place, with samples and trimmed rows, state and answers of a restored one are the same."""
    rng = random.Random(seed)
    known, again = FirstRows(700), FirstRows(700)
    tps = [TopicPartition(TOPIC, p) for p in range(3)]
    panes = [pane for tp in tps for pane in later_panes(rng.randint(5, 15), 60, tp)]
    rng.shuffle(panes)
    for number, pane in enumerate(panes):
        part = replace(pane, complete=False) if number % 7 == 0 else pane
        frontiers = dict.fromkeys(tps, rng.choice([0, 40, 1000]))
        for rows_of_both in (known, again):
            rows_of_both.add(part)
        blocks, state = dict(again.blocks()), again.state()
        again = FirstRows(700)
        again.restore(state, blocks)
        assert again.state() == known.state() == state
        answers = [first_rows(first, frontiers) for first in (known, again)]
        assert [a is None for a in answers] in ([True, True], [False, False])
        if answers[0] is not None and answers[1] is not None:
            assert answers[0].offset.tolist() == answers[1].offset.tolist()


def test_a_block_that_is_missing_or_damaged_is_refused() -> None:
    """A restore takes nothing that is not what was written."""
    known = FirstRows(10**6)
    for pane in later_panes(10, 90, TopicPartition(TOPIC, 0)):
        known.add(pane)
    (name,), state = known.blocks(), known.state()
    value = known.blocks()[name]
    for blocks in ({}, {name: value[:-1]}, {name: value[:50] + bytes([value[50] ^ 1]) + value[51:]}):
        with pytest.raises(FormatError, match="not there, or damaged"):
            FirstRows(10**6).restore(state, blocks)


@pytest.mark.parametrize("seed", range(10))
def test_grid_and_reference_are_made_once_in_steps_and_are_those_of_the_rows(seed: int) -> None:
    """However the rows came: of several partitions, and out of order. More rows of those kept mean another answer."""
    rng = random.Random(seed)
    known, frontiers = FirstRows(WANTED), {TopicPartition(TOPIC, p): 1 << 40 for p in range(3)}
    for p in range(3):
        for pane, _ in partition(p, rng):
            known.add(pane)
    found = first_rows(known, frontiers)
    assert found is not None
    certain = known.certain(frontiers, PANE, 0)
    assert certain is not None
    steps = sum(1 for _ in known.make(FEATURES, certain))
    assert steps > len(FEATURES.columns)
    grid, reference = at_once(known.make(FEATURES, certain))
    assert sum(1 for _ in known.make(FEATURES, certain)) == 0
    expected = make_grid(found, FEATURES)
    assert encode_grid(grid) == encode_grid(expected)
    assert reference.digest == build_reference(expected, found, f"first {WANTED} events").digest
    known.want(WANTED // 2)
    assert at_once(known.make(FEATURES, certain))[1].events == WANTED // 2


@pytest.mark.parametrize("last", [45, 59])
def test_a_partition_that_waits_in_the_last_pane_of_a_span_is_not_waited_for(last: int) -> None:
    """Its sample holds the n-th row, and it goes on only when there is a grid."""
    tp, known = TopicPartition(TOPIC, 0), FirstRows(3)
    for index, times in ((1, [12]), (last // PANE, [last - 1, last, last])):
        opened = OpenPane(empty("m", FEATURES), tp, index, PANE, 8)
        opened.add(rows(list(range(index * 10, index * 10 + len(times))), times), None)
        known.add(opened.seal_raw(first_rows=2) if index > 1 else opened.seal_raw())
    found = known.certain({tp: last // PANE * PANE}, PANE, 50)
    assert found is not None
    assert (found.behind, found.grows_to) == ((50, 60) if last == 45 else (60, None))


def test_of_a_span_with_few_rows_only_those_within_it_count() -> None:
    """They are certain once all partitions have passed its end."""
    one, other, known = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1), FirstRows(10)
    for tp, index in ((one, 1), (one, 6), (other, 5), (other, 7)):
        opened = OpenPane(empty("m", FEATURES), tp, index, PANE, 8)
        opened.add(rows([index, index + 10], [index * PANE, index * PANE + 9]), None)
        known.add(opened.seal_raw())
    assert known.certain({one: 70, other: 50}, PANE, 50) is None
    found = known.certain({one: 60, other: 60}, PANE, 50)
    assert found is not None
    assert (found.behind, found.grows_to) == (60, None)
    reference = at_once(known.make(FEATURES, found))[1]
    assert [(part.events, part.first_time, part.last_time) for part in reference.slices] == [(4, 10, 59)]
    assert reference.origin == "first 50ms: 4 events"
