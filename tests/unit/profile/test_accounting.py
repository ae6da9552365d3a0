"""Every consumed offset is in one bucket, holds no record, or waits, whatever the polls and wherever the gaps are."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from monitor.contract import TopicContract
from monitor.events import Batch, RecordBatch
from monitor.panes.pane import RawPane
from monitor.panes.rows import take
from monitor.profile.accounting import account_of
from monitor.profile.partition import PartitionFold
from monitor.profile.task import ProfileTask
from tests.unit import making
from tests.unit.making import TP, contract


class _Made:
    """Decodes records of `making` back to the entries that they stand for."""

    def __init__(self, entries: list[making.Entry], under: TopicContract) -> None:
        self._under = under
        self._entries = {entry[0]: entry for entry in entries}

    def decode(self, batch: RecordBatch) -> Batch:
        return making.batch([self._entries[offset] for offset in batch.offsets], under=self._under)


def a_log(rng: random.Random) -> list[making.Entry]:
    """Rows, dead letters, tombstones and filtered records, with gaps of markers and compaction; starts somewhere."""
    entries: list[making.Entry] = []
    offset = rng.randint(0, 50)
    for number in range(150):
        what = rng.choice(["m"] * 12 + ["dead", "tombstone", "filtered"])
        ahead = 100_000 if rng.random() < 0.02 else -200 if rng.random() < 0.05 else 0
        entries.append((offset, what, 1000 + 3 * number + ahead))
        offset += 1 if rng.random() < 0.8 else rng.randint(2, 9)
    return entries


@pytest.mark.parametrize("seed", range(30))
def test_buckets_gaps_and_what_waits_make_up_the_offsets_consumed(seed: int) -> None:
    """At every commit, and after folding again from one; all terms are counted each by itself."""
    rng = random.Random(seed)
    entries = a_log(rng)
    end = entries[-1][0] + 1 + rng.randint(0, 3)  # the log may end in markers
    task = ProfileTask(PartitionFold(TP, [contract(raw_rows=10**6)]), partial(_Made, entries))
    at, kept = 0, []
    while at < len(entries):
        n = rng.randint(1, 40)
        task.feed(making.records(entries[at : at + n]))
        at += n
        task.fold.skip_to(entries[at][0] if at < len(entries) and rng.random() < 0.5 else 0)
        task.fold.drain()
        kept.append(task.snapshot({}))
        assert account_of(kept[-1]).difference == 0
    task.fold.skip_to(end)
    account = task.fold.account()
    assert account.difference == 0
    assert sum(account.buckets.values()) + account.held == len(entries)
    assert account.gaps == end - entries[0][0] - len(entries) > 0

    position = rng.choice(kept)
    again = ProfileTask(PartitionFold(TP, [contract(raw_rows=10**6)]), partial(_Made, entries))
    again.restore(position)
    again.feed(making.records([entry for entry in entries if entry[0] >= position.low.offset]))
    again.reach(end)
    again.fold.skip_to(end)
    assert again.fold.account() == account


def test_a_record_of_several_rows_is_counted_once() -> None:
    """Panes count its rows, the buckets the record, by the first of its rows."""

    class Tripled(_Made):
        def decode(self, batch: RecordBatch) -> Batch:
            made = super().decode(batch)
            tripled = [take(rows, np.repeat(np.arange(len(rows)), 3)) for rows in made.rows]
            parts = [np.arange(len(rows), dtype=np.int32) % 3 for rows in tripled]
            rows = tuple(replace(rows, part=part) for rows, part in zip(tripled, parts, strict=True))
            return replace(made, rows=rows)

    entries: list[making.Entry] = [(o, "m", 1000 + 50 * o - (2000 if o % 9 == 8 else 0)) for o in range(300)]
    fold = PartitionFold(TP, [contract(raw_rows=10**6)])
    task = ProfileTask(fold, partial(Tripled, entries))
    for at in range(0, 300, 37):
        task.feed(making.records(entries[at : at + 37]))
    fold.end()
    account = fold.account()
    assert account.difference == 0
    assert account.buckets["late"] > 0
    assert account.buckets["late"] + account.buckets["pane"] == 300
    panes = [pane for pane in fold.drain().panes if isinstance(pane, RawPane)]
    assert sum(len(pane.rows) for pane in panes) == 3 * account.buckets["pane"]
