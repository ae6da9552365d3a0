"""The keyed rows of a partition: each in its pane once, whatever the batches, restarts, the grid and the contract."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from monitor.codec.canonical import time_text
from monitor.codec.decode import Decoder
from monitor.codec.ids import digest_of
from monitor.contract import ColumnSpec, Keys, ModelContract, StreamContract, TopicContract, contract_of_topic
from monitor.events import RecordBatch, TopicPartition
from monitor.ledger.position_records import decode_profile, encode
from monitor.panes.grid import Grid, make_grid
from monitor.panes.keyed import KeyedRows
from monitor.panes.pane import Pane, RawPane
from monitor.profile.grids import Grids
from monitor.profile.partition import PartitionFold
from monitor.profile.task import ProfileTask
from tests.unit.making import grids_of, lane_of
from tests.unit.profile.feeding import Output, Silence, as_bytes

START, PANE, LATENESS, SKEW = 1_790_000_000_000, 1000, 2500, 6000
LABELS, PREDICTIONS = TopicPartition("labels", 0), TopicPartition("predictions", 0)
EVER = 10**12
"""A skew beyond all times: then no row is ahead."""
STREAMS = (
    StreamContract(
        "predictions",
        "predictions",
        "event_time",
        (ColumnSpec("prediction", "y", "categorical"), ColumnSpec("probability", "p", "numerical")),
        keys=Keys("id"),
    ),
    StreamContract("labels", "labels", "event_time", (ColumnSpec("label", "y", "categorical"),), keys=Keys("id")),
)
Record = tuple[int, bytes]
Step = Record | int | Grids | TopicContract
"""A record at its offset, a heartbeat's watermark or a silence (ms), the grids that are there, another contract."""


def contract(
    tp: TopicPartition, raw_rows: int = 10**6, skew: int = SKEW, keys: Keys | None = STREAMS[0].keys
) -> TopicContract:
    """Two models on the topic, of which one has longer panes."""
    streams = tuple(msgspec.structs.replace(stream, keys=keys) for stream in STREAMS)
    made = [
        ModelContract(name, pane_ms, LATENESS, 1000, skew, raw_rows, 8, streams)
        for name, pane_ms in (("m", PANE), ("w", 3000))
    ]
    return contract_of_topic(tp.topic, made)


def record(rng: random.Random, offset: int, time: int, model: str) -> Record:
    """A prediction or a label; some have no id or no value."""
    event: dict[str, object] = {"model": model, "event_time": time_text(START + time), "y": rng.choice("abc")}
    event |= {"id": f"i{offset}", "p": rng.random()}
    for name in ("id", "y", "p"):
        if rng.random() < 0.06:
            del event[name]
    return offset, json.dumps(event).encode()


def a_log(rng: random.Random, tp: TopicPartition, *, beats: bool = True) -> list[Step]:
    """Rows in disorder, late ones, labels of days ago and in no order, some ahead; dead records, gaps, heartbeats."""
    steps: list[Step] = [START - 5000] if beats else []
    offset, now = rng.randint(0, 5), 0
    for _ in range(rng.choice([5, 60, 150])):
        if beats and rng.random() < 0.1:
            beat = START + now - LATENESS + rng.randint(-2000, 3000)
            steps.append(beat if rng.random() < 0.8 else Silence(beat + 20_000))
            continue
        now += rng.choice([0, 0, 50, 300, 900])
        behind = rng.choice([0, 0, 1500, 9000, 170_000_000] if tp == LABELS else [0, 0, 0, 1500, 9000])
        time = now - rng.randint(0, behind) + (rng.choice([8000, 90_000]) if rng.random() < 0.03 else 0)
        steps.append((offset, b"{") if rng.random() < 0.03 else record(rng, offset, time, rng.choice("mmw")))
        offset += rng.choice([1, 1, 1, 3])
    return steps


def batch(tp: TopicPartition, some: Sequence[Record]) -> RecordBatch:
    n = len(some)
    return RecordBatch(*tp, [o for o, _ in some], [0] * n, [None] * n, [value for _, value in some], [()] * n)


@dataclass
class Run:
    """A task that goes through steps in batches of at most `size` records, and what it has put out."""

    tp: TopicPartition
    begin: TopicContract
    may_cut: bool = False
    out: Output = field(default_factory=Output)

    def __post_init__(self) -> None:
        fold = PartitionFold(self.tp, self.begin.models, Grids(), may_cut=self.may_cut)
        self.task = ProfileTask(fold, lambda one: Decoder(one.topic, one.models))

    def go(self, steps: Sequence[Step], size: int) -> Run:
        waiting: list[Record] = []
        for step in [*steps, None]:
            if waiting and (len(waiting) >= size or not isinstance(step, tuple)):
                self.task.feed(batch(self.tp, waiting))
                waiting = []
            if isinstance(step, tuple):
                waiting.append(step)
            elif step is not None:
                self._take(step)
        self.out.take(self.task.fold)
        return self

    def _take(self, step: int | Grids | TopicContract) -> None:
        fold = self.task.fold
        if isinstance(step, Silence):
            fold.take_heartbeat(None, int(step))
        elif isinstance(step, int):
            if fold.watermark is None or step > fold.watermark:
                fold.take_heartbeat(step)
        elif isinstance(step, TopicContract):
            self.task.switch(step, fold.switch_here(step))
        else:
            fold.lanes._grids = step
            fold.use_grids()
            assert not fold.lanes.wants_again

    def end(self) -> Run:
        self.task.fold.end()
        self.out.take(self.task.fold)
        assert self.task.fold.account().difference == 0
        return self

    def keyed(self) -> dict[tuple[str, int], list[int]]:
        """The ids of each model's panes, sorted."""
        found: dict[tuple[str, int], list[int]] = {}
        for part in self.out.sealed:
            if isinstance(part, KeyedRows) and len(part):
                found.setdefault((part.model, part.index), []).extend(part.ids.tolist())
        return {place: sorted(ids) for place, ids in sorted(found.items())}


def events(steps: Sequence[Step]) -> list[dict[str, str]]:
    """The sound records, as objects."""
    return [json.loads(step[1]) for step in steps if isinstance(step, tuple) and step[1] != b"{"]


# ---------------------------------------------------------------------- where labels go


class Panes:
    """Where labels of one model go, row by row: an oracle, if no row is ahead."""

    def __init__(self, pane_ms: int, most: int) -> None:
        self.pane_ms, self.most = pane_ms, most
        self.ids: dict[int, list[int]] = {}

    def take(self, time: int, watermark: int, one: int) -> None:
        pane = max(time, watermark) // self.pane_ms
        while len(self.ids.get(pane, ())) >= self.most:
            pane += 1
        self.ids.setdefault(pane, []).append(one)


@pytest.mark.parametrize("seed", range(40))
def test_labels_go_into_the_pane_of_their_arrival_and_none_is_late(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or into the next one that has room; against a slow loop, whatever the batches."""
    rng = random.Random(seed)
    most = rng.choice([1, 3, 20, 10**6])
    monkeypatch.setattr("monitor.profile.model_panes.MOST_LABELS", most)
    steps = [step for step in a_log(rng, LABELS) if not isinstance(step, Silence)]
    oracles = {"m": Panes(PANE, most), "w": Panes(3000, most)}
    watermark = -EVER
    for step in steps:
        if not isinstance(step, tuple):
            watermark = max(watermark, step if isinstance(step, int) else watermark)
            continue
        for event in events([step]):
            if "id" in event and "y" in event:
                time = Decoder("labels", contract(LABELS).models).decode(batch(LABELS, [step])).rows[0].time[0]
                oracles[event["model"]].take(int(time), watermark, digest_of(event["id"]))
                watermark = max(watermark, int(time))
    run = Run(LABELS, contract(LABELS, skew=EVER)).go(steps, rng.choice([1, 7, 1000])).end()
    expected = {(name, k): sorted(ids) for name, oracle in oracles.items() for k, ids in oracle.ids.items()}
    assert run.keyed() == dict(sorted(expected.items()))
    assert run.task.fold.buckets["late"] == 0
    panes = [part for part in run.out.sealed if isinstance(part, Pane)]
    assert {(pane.model, pane.index): pane.events for pane in panes} == {at: len(ids) for at, ids in expected.items()}


@pytest.mark.parametrize("tp", [LABELS, PREDICTIONS])
@pytest.mark.parametrize("seed", range(40))
def test_any_cutting_into_batches_gives_the_same_keyed_rows(
    tp: TopicPartition, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With rows that are ahead and wait for their neighbours, and panes that overflow: parts are the same bytes."""
    rng = random.Random(seed)
    monkeypatch.setattr("monitor.profile.model_panes.MOST_LABELS", rng.choice([1, 3, 20, 10**6]))
    steps = a_log(rng, tp, beats=rng.random() < 0.7)
    runs = [Run(tp, contract(tp)).go(steps, size).end() for size in (1, 7, 1000)]
    outs = [sorted(run.out.panes) for run in runs]  # of several models they leave in the batches' order
    assert outs[0] == outs[1] == outs[2]
    assert runs[0].task.fold.buckets == runs[1].task.fold.buckets == runs[2].task.fold.buckets
    if tp == LABELS:
        sound = sum("id" in event and "y" in event for event in events(steps))
        buckets = runs[0].task.fold.buckets
        assert sum(map(len, runs[0].keyed().values())) == sound - buckets["dead:time_ahead"] == buckets["pane"]


@pytest.mark.parametrize("tp", [LABELS, PREDICTIONS])
@pytest.mark.parametrize("seed", range(50))
def test_a_restart_at_any_position_puts_out_the_same(
    tp: TopicPartition, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Panes that overflow among them: what went into the next one is known from where the full one began."""
    rng = random.Random(seed)
    monkeypatch.setattr("monitor.profile.model_panes.MOST_LABELS", rng.choice([1, 3, 20]))
    steps, begin = a_log(rng, tp), contract(tp)
    for _ in range(3):
        at = rng.randint(0, len(steps))
        whole = Run(tp, begin).go(steps[:at], rng.randint(1, 30))
        position = whole.task.snapshot({})
        assert decode_profile(encode(position)) == position
        whole.out = Output()
        whole.go(steps[at:], rng.randint(1, 30)).end()
        again = Run(tp, begin)
        again.task.restore(position)
        needed = [s for s in steps[:at] if isinstance(s, tuple) and s[0] >= position.low.offset]
        again.go(needed, rng.randint(1, 30))
        again.task.reach(position.position)
        assert not again.task.restoring
        assert again.task.snapshot({}) == position
        again.out = Output()
        again.go(steps[at:], rng.randint(1, 30)).end()
        assert sorted(again.out.panes) == sorted(whole.out.panes)
        assert again.task.fold.buckets == whole.task.fold.buckets


# ---------------------------------------------------------------------- predictions


def grid_of(steps: Sequence[Step], model: ModelContract) -> Grid:
    """A grid of the predictions of a log."""
    some = [step for step in steps if isinstance(step, tuple)]
    (rows,) = Decoder("predictions", [model], frozenset("mw")).decode(batch(PREDICTIONS, some)).rows
    return make_grid(rows, model.streams[0])


@pytest.mark.parametrize("may_cut", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_waiting_for_a_grid_loses_and_repeats_no_keyed_row(seed: int, may_cut: bool) -> None:
    """Raw, sampled and cut: whenever the grid comes, and where it needs a new fold, each pane has the same ones."""
    rng = random.Random(seed)
    steps = [record(rng, i, 150 * i - rng.randint(0, 4000), rng.choice("mmw")) for i in range(120)]
    begin = contract(PREDICTIONS, rng.choice([1, 10, 40]))
    pairs = [(lane_of(model, "predictions"), grid_of(steps, model)) for model in begin.models]
    grids, at = grids_of(*pairs), rng.randint(0, 120)
    first = Run(PREDICTIONS, begin).go([grids, *steps], 10).end()
    waited = Run(PREDICTIONS, begin, may_cut).go(steps[:at], 7)
    position = waited.task.snapshot({})
    again = Run(PREDICTIONS, begin, may_cut)
    again.task.fold.lanes._grids = grids
    again.task.fold.use_grids()
    again.task.restore(position)
    again.go(steps[position.low.offset : at], 5)
    again.task.reach(position.position)
    again.go(steps[at:], 5).end()
    again.out.sealed[:0] = waited.out.sealed
    assert again.keyed() == first.keyed()
    assert again.task.fold.buckets == first.task.fold.buckets
    if not may_cut:
        waited.go([grids, *steps[at:]], 9).end()
        assert waited.keyed() == first.keyed()
    samples = [part for part in again.out.sealed if isinstance(part, RawPane) and not part.complete]
    assert len(samples) <= 2


@pytest.mark.parametrize("seed", range(20))
def test_late_predictions_take_no_part(seed: int) -> None:
    """Nor do those without an id, or without class and probability, which are counted; all others are there once."""
    rng = random.Random(seed)
    steps = a_log(rng, PREDICTIONS)
    run = Run(PREDICTIONS, contract(PREDICTIONS, skew=EVER)).go(steps, 9).end()
    parts = [part for part in run.out.sealed if isinstance(part, KeyedRows)]
    taken = sum(len(part) + part.without_id + part.without_value for part in parts)
    assert taken == run.task.fold.buckets["pane"]
    assert taken + run.task.fold.buckets["late"] == len(events(steps))
    ids = Counter(one for part in parts for one in part.ids.tolist())
    assert set(ids.values()) <= {1}
    known = {digest_of(e["id"]) for e in events(steps) if "id" in e and ("y" in e or "p" in e)}
    assert ids.keys() <= known


def test_keyed_rows_stand_ahead_of_their_pane() -> None:
    """So who has the pane has all of them, on a grid, raw, and where a contract has left it."""
    rng = random.Random(1)
    for tp in (LABELS, PREDICTIONS):
        run = Run(tp, contract(tp, skew=EVER)).go(a_log(rng, tp), 9).end()
        panes: set[tuple[str, int]] = set()
        for part in run.out.sealed:
            place = part.model, part.index
            assert place not in panes
            if not isinstance(part, KeyedRows):
                panes.add(place)


# ---------------------------------------------------------------------- another contract


@pytest.mark.parametrize("seed", range(30))
def test_keys_that_come_to_a_model_that_runs_leave_its_lane_as_it_was(seed: int) -> None:
    """Its panes are those without keys; keyed rows begin with the first pane that is opened under them."""
    rng = random.Random(seed)
    steps, at = a_log(rng, PREDICTIONS), rng.randint(0, 60)
    before, after = contract(PREDICTIONS, keys=None), contract(PREDICTIONS, keys=Keys("id", rng.choice([0, 2])))
    assert [lane_of(m, "predictions") for m in before.models] == [lane_of(m, "predictions") for m in after.models]
    known = {one.digest: one for one in (before, after)}
    with_switch = [*steps[:at], after, *steps[at:]]
    plain = Run(PREDICTIONS, before).go(steps, 11).end()
    run = Run(PREDICTIONS, before).go(with_switch, 11).end()
    panes = [as_bytes(part) for part in run.out.sealed if not isinstance(part, KeyedRows)]
    assert sorted(panes) == sorted(plain.out.panes)
    stop = rng.randint(0, len(with_switch))
    whole = Run(PREDICTIONS, before).go(with_switch[:stop], 11)
    position = whole.task.snapshot({})
    again = Run(PREDICTIONS, known[position.contract])
    again.task.restore(position, known)
    again.go([s for s in with_switch[:stop] if isinstance(s, tuple) and s[0] >= position.low.offset], 4)
    again.task.reach(position.position)
    again.out = Output()
    again.go(with_switch[stop:], 4).end()
    assert sorted(whole.out.panes + again.out.panes) == sorted(run.out.panes)
