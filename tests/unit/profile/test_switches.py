"""Another contract in the middle of a partition: at its place again when folded again, and no watermark goes back."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import pytest

from monitor.contract import TopicContract, contract_of_topic
from monitor.errors import StateDivergence
from monitor.events import Batch, RecordBatch
from monitor.ledger.position_records import decode_profile, encode
from monitor.profile.partition import PartitionFold
from monitor.profile.task import Mark, ProfileTask
from tests.unit import making
from tests.unit.making import TOPIC, TP, contract, records
from tests.unit.profile.test_partition import GRIDS, Output, a_log

Step = making.Entry | int | TopicContract
"""A record, a heartbeat's watermark, or another contract."""


def topic_contract(*models: str, lateness_ms: int = 25, skew: int = 100) -> TopicContract:
    made = [contract(model, lateness_ms=lateness_ms) for model in models]
    return contract_of_topic(TOPIC, [msgspec.structs.replace(one, max_clock_skew_ms=skew) for one in made])


CONTRACTS = [
    topic_contract("m", "w"),
    topic_contract("m"),
    topic_contract("m", "w", lateness_ms=60),
    topic_contract("w", lateness_ms=10, skew=40),
]
BY_DIGEST = {one.digest: one for one in CONTRACTS}


class Decoder:
    """Gives the rows of the models that the contract names; all others are filtered."""

    def __init__(self, entries: dict[int, making.Entry], contract: TopicContract) -> None:
        self._entries = entries
        self._models = {model.model for model in contract.models}

    def decode(self, batch: RecordBatch) -> Batch:
        found = [self._entries[offset] for offset in batch.offsets]
        foreign = {"m", "w"} - self._models
        return making.batch([(o, "filtered" if what in foreign else what, time) for o, what, time in found])


def some_steps(rng: random.Random) -> list[Step]:
    steps: list[Step] = list(a_log(rng, ("m", "w")))
    for _ in range(rng.randint(1, 4)):
        steps.insert(rng.randint(0, len(steps)), rng.choice(CONTRACTS))
    return steps


class Run:
    """A task that goes through the steps, and what it has put out."""

    def __init__(self, steps: Sequence[Step], begin: TopicContract, marks: Sequence[Mark] = ()) -> None:
        entries = {step[0]: step for step in steps if isinstance(step, tuple)}
        fold = PartitionFold(TP, begin.models, list(GRIDS.values()))
        fold.position = min(entries, default=0)
        self.task = ProfileTask(fold, lambda one: Decoder(entries, one), marks)
        self.out = Output()

    def go(self, steps: Sequence[Step], size: int) -> None:
        waiting: list[making.Entry] = []
        for step in [*steps, None]:
            if isinstance(step, tuple):
                waiting.append(step)
            if waiting and (len(waiting) >= size or not isinstance(step, tuple)):
                self.task.feed(records(waiting))
                waiting = []
            if isinstance(step, int):
                self.task.fold.heartbeat(step)
            elif isinstance(step, TopicContract):
                before = self.task.fold.watermark
                self.task.switch(step, before)
                assert before is None or (self.task.fold.watermark or 0) >= before
        self.out.take(self.task.fold)


@pytest.mark.parametrize("seed", range(80))
def test_switches_happen_again_where_they_happened(seed: int) -> None:
    """From any commit on a new task puts out what the undisturbed one does; and so does one that is told the places."""
    rng = random.Random(seed)
    steps = some_steps(rng)
    at = rng.randint(0, len(steps))
    whole = Run(steps, CONTRACTS[0])
    whole.go(steps[:at], rng.randint(1, 30))
    position = whole.task.snapshot({})
    assert decode_profile(encode(position)) == position
    first, whole.out = whole.out, Output()
    whole.go(steps[at:], rng.randint(1, 30))

    again = Run(steps, BY_DIGEST[position.contract])
    again.task.restore(position, BY_DIGEST)
    needed = [s for s in steps[:at] if isinstance(s, tuple) and s[0] >= position.low.offset]
    again.go(needed, rng.randint(1, 30))
    again.task.reached(position.position)
    assert not again.task.restoring
    assert again.task.snapshot({}) == position
    again.out = Output()
    again.go(steps[at:], rng.randint(1, 30))
    assert sorted(again.out.panes) == sorted(whole.out.panes)  # of several models they leave in the batches' order
    assert again.out.watermarks == whole.out.watermarks
    assert again.task.snapshot({}) == whole.task.snapshot({})

    told = [Mark(o, w) for o, w in all_marks(steps)[0]] + [Mark(o, w, c) for o, w, c in all_marks(steps)[1]]
    replay = Run(steps, CONTRACTS[0], told)
    replay.go([step for step in steps if isinstance(step, tuple)], rng.randint(1, 30))
    replay.task.reached(1 << 40)
    replay.out.take(replay.task.fold)
    assert sorted(replay.out.panes) == sorted(first.panes + whole.out.panes)
    assert replay.task.fold.buckets == whole.task.fold.buckets


def all_marks(steps: Sequence[Step]) -> tuple[list[tuple[int, int]], list[tuple[int, int | None, TopicContract]]]:
    """Where heartbeats and switches happened, in two lists as the ledger has them."""
    run = Run(steps, CONTRACTS[0])
    beats, switches = [], []
    for step in steps:
        fold = run.task.fold
        if isinstance(step, int):
            beats.append((fold.position, step))
        elif isinstance(step, TopicContract):
            switches.append((fold.position, fold.watermark, step))
        run.go([step], 1)
    return beats, switches


def test_a_longer_lateness_does_not_take_the_watermark_back() -> None:
    """What was told to be sealed stays sealed: older rows are late as before, until event time has caught up."""
    entries: list[Step] = [(i, "m", 1000 + i) for i in range(60)]
    run = Run(entries, CONTRACTS[0])
    run.go(entries, 60)
    before = run.task.fold.watermark
    assert before == 1059 - 25
    run.task.switch(CONTRACTS[2], before)
    assert run.task.fold.watermark == before
    assert run.task.fold.natural_watermark == 1059 - 60


def test_folding_again_without_a_switch_is_noticed() -> None:
    """A position that ends under another contract is not reached without it."""
    entries: list[Step] = [(i, "m", 1000 + i) for i in range(60)]
    run = Run(entries, CONTRACTS[0])
    run.go([*entries[:40], CONTRACTS[2], *entries[40:]], 10)
    position = run.task.snapshot({})
    assert position.switches
    again = Run(entries, BY_DIGEST[position.contract])
    again.task.restore(msgspec.structs.replace(position, switches=()), BY_DIGEST)
    again.task._target = position
    with pytest.raises(StateDivergence, match="did not give"):
        again.go([s for s in entries if isinstance(s, tuple) and s[0] >= position.low.offset], 10)
