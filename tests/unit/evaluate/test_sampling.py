"""The first rows of a stream: the same whichever partition was read first, and only when they are certain."""

from __future__ import annotations

import random

import pytest

from monitor.evaluate.sampling import FirstRows
from monitor.events import TopicPartition
from monitor.panes.open_pane import OpenPane
from monitor.panes.pane import RawPane
from monitor.panes.rows import empty
from tests.unit.making import FEATURES, TOPIC, rows

WANTED = 30
PANE = 10


def partition(p: int, rng: random.Random) -> list[tuple[RawPane, int]]:
    """Raw panes of one partition as profile sends them, each with the watermark that follows it."""
    tp = TopicPartition(TOPIC, p)
    panes, offset, sent, rate = [], 0, 0, rng.choice([1, 4, 12])
    for index in range(100):
        n = rng.randint(0, rate)
        if not n:
            continue
        opened = OpenPane(empty("m", FEATURES), tp, index, 8)
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
        known, answers = FirstRows(), []
        while any(left.values()):
            tp = order.choice([tp for tp, panes in left.items() if panes])
            pane, frontiers[tp] = left[tp].pop(0)
            known.add(pane)
            found = known.rows(frontiers, WANTED, PANE)
            if found is not None:
                answers.append(list(zip(found.time.tolist(), found.offset.tolist(), strict=True)))
        assert all(answer == first for answer in answers)
        if len(everything) >= WANTED:
            assert answers


def test_a_partition_that_is_silent_holds_the_answer_back() -> None:
    """Nobody knows what it will bring, until its watermark does."""
    opened = OpenPane(empty("m", FEATURES), TopicPartition(TOPIC, 0), 0, 8)
    opened.add(rows(list(range(40)), [5] * 40), None)
    known = FirstRows()
    known.add(opened.seal_raw())
    both = {TopicPartition(TOPIC, 0): 10, TopicPartition(TOPIC, 1): 0}
    assert known.rows(both, WANTED, PANE) is None
    assert known.rows({**both, TopicPartition(TOPIC, 1): 10}, WANTED, PANE) is not None


def test_a_sealed_pane_counts_where_the_watermark_stands_still() -> None:
    """Another model of the partition waits for its grid, and this one's rows are known all the same."""
    tps = [TopicPartition(TOPIC, p) for p in range(2)]
    known = FirstRows()
    for tp in tps:
        opened = OpenPane(empty("m", FEATURES), tp, 0, 8)
        opened.add(rows(list(range(20)), [5] * 20), None)
        assert known.rows(dict.fromkeys(tps, 0), WANTED, PANE) is None
        known.add(opened.seal_raw())
    assert known.rows(dict.fromkeys(tps, 0), WANTED, PANE) is not None


def test_a_sample_that_is_sent_again_counts_once() -> None:
    """After a torn commit: its rows would push others out of the first."""
    tp = TopicPartition(TOPIC, 0)
    opened = OpenPane(empty("m", FEATURES), tp, 0, 8)
    opened.add(rows(list(range(40)), list(range(40))), None)
    once, twice = FirstRows(), FirstRows()
    for known, times in ((once, 1), (twice, 3)):
        for _ in range(times):
            known.add(opened.seal_raw(first_rows=WANTED))
    found, expected = (known.rows({tp: 0}, WANTED, PANE) for known in (twice, once))
    assert found is not None
    assert expected is not None
    assert found.offset.tolist() == expected.offset.tolist() == list(range(WANTED))
