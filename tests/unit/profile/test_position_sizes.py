"""A position record stays small: through a long silence behind a waiting row, and for a topic of many models."""

from __future__ import annotations

import random

import msgspec
import pytest

from monitor.contract import TopicContract
from monitor.events import Batch, RecordBatch
from monitor.ledger.position_records import ProfilePosition, decode_profile, encode
from monitor.profile.partition import PartitionFold
from monitor.profile.task import Mark, ProfileTask
from tests.unit import making
from tests.unit.making import TP, Entry, contract, grid, records
from tests.unit.profile.feeding import Output, Silence, feed, new_fold, step_of, use_grid

BEATS = 1500
"""Heartbeats of four hours, one a pane of 10 s."""


@pytest.mark.parametrize("waiting", [0, 1, 5, 31])
@pytest.mark.parametrize("dead", [False, True])
def test_a_long_silence_behind_waiting_rows_leaves_few_heartbeats(waiting: int, dead: bool) -> None:
    """Of hours of heartbeats those stay that have decided something; records that are no rows come between, or none."""
    fold = new_fold([contract(raw_rows=1000)], [grid()])
    feed(fold, [(i, "m", 1000 + i) for i in range(50)])
    for i in range(waiting):
        feed(fold, [(50 + i, "m", 10**9 + 10**7 * i)])
        fold.take_heartbeat(1100 + i)
    for beat in range(BEATS):
        feed(fold, 2000 + beat * 10 if beat % 3 else Silence(2000 + beat * 10))
        if dead and beat % 100 == 0:
            feed(fold, [(1000 + beat, "dead", 0)])
    position = fold.snapshot({})
    assert position.held == waiting
    assert len(position.heartbeats) <= waiting + 2
    assert position.silent_to == 2000 + (BEATS - 3) * 10
    assert len(encode(position)) < 4096


@pytest.mark.parametrize("seed", range(40))
def test_the_heartbeats_that_stay_give_the_committed_state(seed: int) -> None:
    """Rows that wait, some of which a heartbeat lets in or throws out, and silences between them."""
    rng = random.Random(seed)
    steps: list[list[Entry] | int] = [[(i, "m", 1000 + i) for i in range(40)]]
    offset, now = 40, 1040
    for _ in range(rng.randint(1, 30)):
        if rng.random() < 0.5:
            time = now + rng.choice([0, 3, 150, 300, 300, 10**6])
            steps.append([(offset, rng.choice(["m", "m", "m", "dead"]), time)])
            offset += rng.randint(1, 3)
        else:
            now += rng.choice([1, 10, 10, 250])
            steps.append(Silence(now) if rng.random() < 0.5 else now - 25)
    contracts = [contract(raw_rows=1000)]
    fold = new_fold(contracts, [grid()])
    for step in steps:
        feed(fold, step)
    fold.drain()
    position = decode_profile(encode(fold.snapshot({})))
    entries = {entry[0]: entry for step in steps if isinstance(step, list) for entry in step}
    again = new_fold(contracts, [grid()])
    again.go_back(position)
    marks = list(position.heartbeats)
    for entry in sorted(e for o, e in entries.items() if o >= position.low.offset):
        while marks and marks[0].offset <= entry[0]:
            again.skip_to(marks[0].offset)
            feed(again, step_of(marks.pop(0)))
        feed(again, [entry])
    for mark in marks:
        again.skip_to(mark.offset)
        feed(again, step_of(mark))
    assert again.arrive(position)
    assert again.snapshot({}) == position
    for one in (fold, again):
        one.take_heartbeat(now + 10**5)
        feed(one, [(offset + 5 + i, "m", now + 10**5 + i) for i in range(40)])
        one.end()
    first, second = Output(), Output()
    first.take(fold)
    second.take(again)
    assert first == second


def time_of(offset: int) -> int:
    """Of every other model the rows are twice as far apart, so that it has more panes."""
    model, row = divmod(offset, 100)
    return 1000 + model * 90 + row * (1 + model % 2)


def many(n: int, moved: int) -> tuple[PartitionFold, ProfilePosition]:
    """A topic that `n` models read, of which some have rows in open panes, sent rows raw, and wait for their grid."""
    fold = PartitionFold(TP, [contract(f"model-name-{i}", raw_rows=30) for i in range(n)])
    for i in range(moved):
        feed(fold, [(i * 100 + j, f"model-name-{i}", time_of(i * 100 + j)) for j in range(60)])
    fold.take_heartbeat(1_000_000)
    fold.drain()
    return fold, fold.snapshot({f"streamdrift.ledger/{p}": 10**6 for p in range(8)})


@pytest.mark.parametrize(("n", "moved"), [(1, 0), (1, 1), (100, 10), (1000, 0), (1000, 10), (1000, 100)])
def test_a_position_of_many_models_is_small(n: int, moved: int) -> None:
    """What follows from the partition is not said of each model; with the commit before it, as it is written."""
    fold, position = many(n, moved)
    written = encode(msgspec.structs.replace(position, before=position, tails=position.sequences))
    assert len(written) < 16 << 10 if moved <= 10 else len(written) < 32 << 10
    assert len(position.models) == moved
    assert decode_profile(written).before == position
    assert fold.snapshot(position.sequences) == position


def test_what_is_kept_of_a_model_is_enough_to_go_on() -> None:
    """Models that wait for their grid, that have sent rows raw, and that have moved on, all after folding again."""
    fold, position = many(20, 10)
    task = ProfileTask(PartitionFold(TP, fold.contract.models), _Entries)
    task.restore(decode_profile(encode(position)), later=[Mark(5000, 2_000_000)])
    for i in range(10):
        if i * 100 + 60 > position.low.offset:
            task.feed(records([(i * 100 + j, f"model-name-{i}", 0) for j in range(60)]))
    task.reach(position.position)
    assert not task.restoring
    assert task.snapshot(position.sequences) == position
    grids = [grid(f"model-name-{i}") for i in range(20)]
    outputs = []
    for one in (fold, task.fold):
        for each in grids:
            use_grid(one, each)
        one.take_heartbeat(2_000_000)
        outputs.append(Output())
        outputs[-1].take(one)
    assert outputs[0] == outputs[1]
    assert outputs[0].panes


class _Entries:
    """Decodes what `many` has fed."""

    def __init__(self, under: TopicContract) -> None:
        self._under = under

    def decode(self, batch: RecordBatch) -> Batch:
        entries: list[Entry] = [(o, f"model-name-{o // 100}", time_of(o)) for o in batch.offsets]
        return making.batch(entries, under=self._under)
