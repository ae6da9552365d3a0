"""Another contract in the middle of a partition: at its place again when folded again, and no watermark goes back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from monitor.contract import ColumnSpec, StreamContract, TopicContract, contract_of_topic, lane_contract
from monitor.errors import StateDivergence
from monitor.events import Batch, RecordBatch, Rows
from monitor.ledger.entries import Heartbeat
from monitor.ledger.position_records import decode_profile, encode
from monitor.panes.pane import Pane, RawPane
from monitor.profile.grids import Grids
from monitor.profile.partition import PartitionFold
from monitor.profile.task import Mark, ProfileTask, mark_of
from tests.unit import making
from tests.unit.making import TOPIC, TP, contract, grids_of, lane_of, records
from tests.unit.profile.feeding import GRIDS, Output, Silence, a_log

RAW_ROWS = 4
"""So few that panes are cut."""
Step = making.Entry | int | TopicContract
"""A record, a heartbeat's watermark, or another contract."""


def topic_contract(*models: str, lateness_ms: int = 25, skew: int = 100, raw_rows: int = RAW_ROWS) -> TopicContract:
    made = [contract(model, raw_rows, lateness_ms=lateness_ms) for model in models]
    return contract_of_topic(TOPIC, [msgspec.structs.replace(one, max_clock_skew_ms=skew) for one in made])


def with_columns(made: TopicContract, model: str, *names: str) -> TopicContract:
    """The contract with other columns of one model: so its lane is another."""
    stream = StreamContract("features", TOPIC, "event_time", tuple(ColumnSpec(n, n, "numerical") for n in names))
    models = [msgspec.structs.replace(one, streams=(stream,)) if one.model == model else one for one in made.models]
    return contract_of_topic(TOPIC, models)


def with_pane(made: TopicContract, model: str, pane_ms: int) -> TopicContract:
    """The contract with longer panes of one model: so its lane is another."""
    models = [msgspec.structs.replace(one, pane_ms=pane_ms) if one.model == model else one for one in made.models]
    return contract_of_topic(TOPIC, models)


def with_life(made: TopicContract, model: str, life: int) -> TopicContract:
    """The contract with one model in another life of it: so its lane is another."""
    models = [msgspec.structs.replace(one, life=life) if one.model == model else one for one in made.models]
    return contract_of_topic(TOPIC, models)


CONTRACTS = [
    topic_contract("m", "w"),
    topic_contract("m"),
    topic_contract("m", "w", lateness_ms=60),
    topic_contract("w", lateness_ms=10, skew=40),
    with_columns(topic_contract("m", "w"), "m", "x"),
    with_columns(topic_contract("m", "w", lateness_ms=60), "w", "y", "z"),
    with_pane(topic_contract("m", "w"), "w", 30),
    with_life(topic_contract("m", "w"), "m", 1),
]
KNOWN = grids_of(*((lane_of(contract(model, RAW_ROWS)), grid) for model, grid in GRIDS.items()))
BY_DIGEST = {one.digest: one for one in CONTRACTS}


class Decoder:
    """Gives the rows of the models that the contract names; all others are filtered."""

    def __init__(self, entries: dict[int, making.Entry], contract: TopicContract) -> None:
        self._entries = entries
        self._contract = contract
        self._streams = {model.model: model.streams[0] for model in contract.models}

    def decode(self, batch: RecordBatch) -> Batch:
        found = [self._entries[offset] for offset in batch.offsets]
        foreign = {"m", "w"} - self._streams.keys()
        known = [(o, "filtered" if what in foreign else what, time) for o, what, time in found]
        made = making.batch(known, under=self._contract)
        return replace(made, rows=tuple(self._columns_of(rows) for rows in made.rows))

    def _columns_of(self, rows: Rows) -> Rows:
        """The rows with as many columns as the contract has."""
        stream = self._streams[rows.model]
        n, rest = len(stream.numeric_series), len(stream.categorical_series)
        return replace(
            rows,
            numeric=rows.numeric[:, :n],
            numeric_states=rows.numeric_states[:, :n],
            categorical=rows.categorical[:rest],
            categorical_states=rows.categorical_states[:, :rest],
        )


def some_steps(rng: random.Random) -> list[Step]:
    steps: list[Step] = list(a_log(rng, ("m", "w")))
    for _ in range(rng.randint(1, 8)):
        steps.insert(rng.randint(0, len(steps)), rng.choice(CONTRACTS))
    for at in reversed([at for at, step in enumerate(steps, 1) if isinstance(step, Silence) and rng.random() < 0.3]):
        steps[at:at] = rng.choices(CONTRACTS, k=2)
    return steps


class Run:
    """A task that goes through the steps, and what it has put out."""

    def __init__(
        self,
        steps: Sequence[Step],
        begin: TopicContract,
        marks: Sequence[Mark] = (),
        may_cut: bool = False,
        grids: Grids = KNOWN,
    ) -> None:
        entries = {step[0]: step for step in steps if isinstance(step, tuple)}
        fold = PartitionFold(TP, begin.models, grids, may_cut=may_cut)
        fold.position = min(entries, default=0)
        self.task = ProfileTask(fold, lambda one: Decoder(entries, one), marks)
        self.out = Output()
        self.beats: list[Heartbeat] = []

    def go(self, steps: Sequence[Step], size: int) -> None:
        waiting: list[making.Entry] = []
        for step in [*steps, None]:
            if isinstance(step, tuple):
                waiting.append(step)
            if waiting and (len(waiting) >= size or not isinstance(step, tuple)):
                self.task.feed(records(waiting))
                waiting = []
            if isinstance(step, int) and self.is_worth_it(step):
                given = (None, int(step)) if isinstance(step, Silence) else (step, None)
                self.beats.append(self.task.fold.take_heartbeat(*given))
            elif isinstance(step, TopicContract):
                before = self.task.fold.watermark
                self.task.switch(step, self.task.fold.switch_here(step))
                assert before is None or (self.task.fold.watermark or 0) >= before
        self.out.take(self.task.fold)

    def is_worth_it(self, watermark: int) -> bool:
        """Whether the service would write such a heartbeat: only one that raises the watermark, or tells a silence."""
        before = self.task.fold.watermark
        return isinstance(watermark, Silence) or before is None or watermark > before


@pytest.mark.parametrize("seed", [*range(80), 159, 202])
def test_switches_happen_again_where_they_happened(seed: int) -> None:
    """From any commit on a new task puts out what the undisturbed one does; and so does one that is told the places."""
    rng = random.Random(seed)
    steps = some_steps(rng)
    at = rng.randint(0, len(steps))
    whole = Run(steps, CONTRACTS[0], may_cut=True)
    whole.go(steps[:at], rng.randint(1, 30))
    position = whole.task.snapshot({})
    assert decode_profile(encode(position)) == position
    first, whole.out = whole.out, Output()
    whole.go(steps[at:], rng.randint(1, 30))

    again = Run(steps, BY_DIGEST[position.contract], may_cut=True)
    again.task.restore(position, BY_DIGEST)
    needed = [s for s in steps[:at] if isinstance(s, tuple) and s[0] >= position.low.offset]
    again.go(needed, rng.randint(1, 30))
    again.task.reach(position.position)
    assert not again.task.restoring
    assert again.task.snapshot({}) == position
    again.out = Output()
    again.go(steps[at:], rng.randint(1, 30))
    assert sorted(again.out.panes) == sorted(whole.out.panes)  # of several models they leave in the batches' order
    assert again.out.watermarks == whole.out.watermarks
    assert again.task.snapshot({}) == whole.task.snapshot({})

    beats, switches = all_marks(steps, rng)
    reported = [Mark(beat.offset, heartbeat=beat) for beat in beats] + switches
    replay = Run(steps, CONTRACTS[0], reported)
    replay.go([step for step in steps if isinstance(step, tuple)], rng.randint(1, 30))
    replay.task.reach(1 << 40)
    replay.out.take(replay.task.fold)
    assert sorted(replay.out.panes) == sorted(first.panes + whole.out.panes)
    assert replay.task.fold.buckets == whole.task.fold.buckets


def all_marks(steps: Sequence[Step], rng: random.Random) -> tuple[list[Heartbeat], list[Mark]]:
    """Where heartbeats and switches happened, in two lists as the ledger has them, whatever was committed between."""
    run = Run(steps, CONTRACTS[0])
    switches = []
    for step in steps:
        fold = run.task.fold
        if isinstance(step, TopicContract):
            switches.append(mark_of(fold.switch_here(step), step))
        run.go([step], 1)
        if rng.random() < 0.5:
            run.task.snapshot({})
    return run.beats, switches


@pytest.mark.parametrize("seed", range(40))
def test_a_grid_that_came_behind_a_switch_seals_no_pane_before_it(seed: int) -> None:
    """Of a task that restores in front of a switch which is in the ledger: what waited for a grid there is left."""
    rng = random.Random(seed)
    steps = a_log(rng, ("m", "w"))
    at, to = sorted(rng.randint(0, len(steps)) for _ in range(2))
    whole = Run(steps, CONTRACTS[0], may_cut=True, grids=Grids())
    whole.go(steps[:at], rng.randint(1, 30))
    position, whole.out, whole.beats = whole.task.snapshot({}), Output(), []
    whole.go(steps[at:to], rng.randint(1, 30))
    beats, switch = list(whole.beats), whole.task.fold.switch_here(CONTRACTS[4])
    whole.go([CONTRACTS[4], *steps[to:]], rng.randint(1, 30))

    again = Run(steps, CONTRACTS[0], may_cut=True)
    later = [*(Mark(beat.offset, heartbeat=beat) for beat in beats), mark_of(switch, CONTRACTS[4])]
    again.task.restore(position, BY_DIGEST, later)
    needed = [s for s in steps[:to] if isinstance(s, tuple) and s[0] >= position.low.offset]
    again.go(needed, rng.randint(1, 30))
    again.task.reach(switch.offset)
    again.go(steps[to:], rng.randint(1, 30))
    old = lane_of(CONTRACTS[0].models[0])
    assert shares(again, old) == shares(whole, old)
    assert not again.task.fold.lanes.wants_again  # w goes on: it would forget rows, and begin again for good


def shares(run: Run, lane: str) -> list[tuple[int, int, bool]]:
    """Of each sealed pane of a lane its index, how many rows it has, and whether more than their number is sealed."""
    sealed = [pane for pane in run.out.sealed if pane.contract == lane]
    whole = [(pane.index, len(pane.rows), True) for pane in sealed if isinstance(pane, RawPane) and pane.complete]
    return sorted(whole + [(pane.index, pane.events, bool(pane.grid)) for pane in sealed if isinstance(pane, Pane)])


def test_a_longer_lateness_does_not_take_the_watermark_back() -> None:
    """What was told to be sealed stays sealed: older rows are late as before, until event time has caught up."""
    entries: list[Step] = [(i, "m", 1000 + i) for i in range(60)]
    run = Run(entries, CONTRACTS[0])
    run.go(entries, 60)
    before = run.task.fold.watermark
    assert before == 1059 - 25
    run.task.switch(CONTRACTS[2], run.task.fold.switch_here(CONTRACTS[2]))
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


def test_a_pane_in_which_the_columns_change_is_sealed_in_two_parts() -> None:
    """Each named by its contract, with the rows that were decoded under it; no row is in both or in none."""
    entries: list[Step] = [(i, "m", 1000 + i) for i in range(100)]
    before = topic_contract("m", raw_rows=20)
    after = with_columns(before, "m", "x")
    steps: list[Step] = [*entries[:45], after, *entries[45:]]
    run = Run(steps, before)
    for step in steps:
        run.go([step], 1)
    old, new = (lane_contract(c.models[0], c.models[0].streams[0]) for c in (before, after))
    counts = {
        (pane.index, pane.contract): len(pane.rows) if isinstance(pane, RawPane) else pane.events
        for pane in run.out.sealed
        if isinstance(pane, Pane | RawPane)
    }
    assert counts[104, old] + counts[104, new] == 10
    assert {index for index, lane in counts if lane == old} == {100, 101, 102, 103, 104}
    assert min(index for index, lane in counts if lane == new) == 104


def test_a_lane_that_comes_back_sends_raw_rows_as_if_it_were_new() -> None:
    """Its open pane kept it in mind, but no commit what had travelled of it: folded again, it sends the same."""
    before = topic_contract("m", raw_rows=20)
    after = with_columns(before, "m", "x")
    entries: list[Step] = [(i, "m", 1000 + 3 * i) for i in range(90)]
    left, back = [*entries[:45], after], [*entries[45:47], before, *entries[47:]]
    whole = Run(entries, before, grids=Grids())
    whole.go(left, 1)
    position = whole.task.snapshot({})
    whole.out = Output()
    whole.go(back, 1)
    known = {one.digest: one for one in (before, after)}
    again = Run(entries, known[position.contract], grids=Grids())
    again.task.restore(position, known)
    again.go([s for s in left if isinstance(s, tuple) and s[0] >= position.low.offset], 1)
    again.task.reach(position.position)
    assert not again.task.restoring
    again.out = Output()
    again.go(back, 1)
    raw = [pane for pane in whole.out.sealed if isinstance(pane, RawPane)]
    assert sum(len(pane.rows) for pane in raw if pane.contract == lane_of(before.models[0])) == 20
    assert again.out.panes == whole.out.panes


def test_rows_that_wait_behind_those_of_a_model_that_goes_wait_as_long_as_before() -> None:
    """Its rows are decided with theirs, and then filtered; a task that folds again finds the same ones waiting."""
    entries: list[Step] = [(i, "m", 1000 + i) for i in range(60)]
    entries += [(60 + i, "w" if i < 4 else "m", 1560 + i) for i in range(7)]
    more: list[Step] = [(67 + i, "m", 1567 + i) for i in range(40)]
    run = Run([*entries, *more], CONTRACTS[0])
    run.go([*entries, CONTRACTS[1]], 30)
    position = run.task.snapshot({})
    assert position.held == 7
    again = Run([*entries, *more], CONTRACTS[0])
    again.task.restore(position, BY_DIGEST)
    again.go([s for s in entries if isinstance(s, tuple) and s[0] >= position.low.offset], 30)
    again.task.reach(position.position)
    assert not again.task.restoring
    for one in (run, again):
        one.go(more, 30)
        assert one.task.fold.buckets["filtered"] == 4
        assert one.task.fold.account().difference == 0
    assert again.task.snapshot({}) == run.task.snapshot({})


def test_a_model_that_is_new_in_a_partition_has_its_watermark_at_once() -> None:
    """The partition may stand still from then on; a task that begins again there publishes no other."""
    entries: list[Step] = [(i, "m", 1000 + i) for i in range(60)]
    run = Run(entries, CONTRACTS[1])
    run.go(entries, 60)
    before = run.out.watermarks[-1]
    run.go([CONTRACTS[0]], 1)
    after = run.out.watermarks[-1]
    assert (before.watermark_of("w"), after.watermark_of("w")) == (None, run.task.fold.watermark)
    position = run.task.snapshot({})
    again = Run(entries, BY_DIGEST[position.contract])
    again.task.restore(position, BY_DIGEST)
    again.go([s for s in entries if isinstance(s, tuple) and s[0] >= position.low.offset], 10)
    again.task.reach(position.position)
    assert again.task.drain().watermark is None


def test_the_silence_of_a_partition_is_not_that_of_models_that_have_left_it() -> None:
    """The ledger may carry it to them for another model's sake; so the heartbeat names them, and no others."""
    entries: list[Step] = [(i, "m", 1000 + i) for i in range(60)]
    run = Run(entries, CONTRACTS[0])
    run.go(entries, 60)
    before = run.task.fold.take_heartbeat(None, 1100)
    run.task.switch(CONTRACTS[1], run.task.fold.switch_here(CONTRACTS[1]))
    after = run.task.fold.take_heartbeat(None, 1200)
    assert (before.without, after.without) == ((), ("w",))
    run.task.switch(CONTRACTS[0], run.task.fold.switch_here(CONTRACTS[0]))
    assert run.task.fold.take_heartbeat(None, 1300).without == ()
