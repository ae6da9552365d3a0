"""The fold of one partition: laws 2, 3 and 7 against a slow oracle, any cut into batches, and folding again."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from monitor.contract import ModelContract
from monitor.events import Rejected
from monitor.ledger.entries import Activation, Heartbeat, Watermark
from monitor.ledger.position_records import ProfilePosition, decode_profile, encode
from monitor.panes.grid import Grid
from monitor.panes.open_pane import summarise
from monitor.panes.pane import Pane, RawPane, encode_pane, encode_raw
from monitor.profile.partition import PartitionFold
from tests.unit.making import TP, Entry, batch, contract, grid, grid_decision, records

PANE, LATENESS, SKEW = 10, 25, 100
GRIDS = {"m": grid("m"), "w": grid("w", range(7, 90))}
Step = Entry | int
"""A record, or a heartbeat's watermark, or a silence."""


class Silence(int):
    """The event time to which a heartbeat says that the partition has been silent."""


def a_log(rng: random.Random, models: Sequence[str] = ("m",)) -> list[Step]:
    """Times that go up with disorder and late rows, a few far ahead, dead records, gaps, and heartbeats."""
    steps: list[Step] = []
    offset, now = rng.randint(0, 5), 1000
    kinds = "r" * rng.choice([12, 60]) + "lljdtfb"
    for _ in range(rng.choice([3, 30, 60, 160])):
        kind = rng.choice(kinds)
        if kind == "b":
            beat = now - LATENESS + rng.randint(-20, 90)
            steps.append(Silence(now + rng.randint(-20, 400)) if rng.random() < 0.4 else beat)
            continue
        now += rng.randint(0, 6)
        time = now + rng.randint(-12, 0)
        if kind == "l":
            time = now - rng.randint(20, 90)
        if kind == "j":
            time = now + rng.choice([90, 150, 5000])
            now = rng.choice([now, now, time])
        what = {"d": "dead", "t": "tombstone", "f": "filtered"}.get(kind) or rng.choice(models)
        steps.append((offset, what, time))
        offset += rng.choice([1, 1, 1, 1, 3])
    return steps


@dataclass
class Output:
    """What a fold has put out. `panes`: those of `sealed` as bytes."""

    panes: list[bytes] = field(default_factory=list)
    sealed: list[Pane | RawPane] = field(default_factory=list, compare=False)
    rejected: list[Rejected] = field(default_factory=list)
    watermarks: list[Watermark] = field(default_factory=list)

    def take(self, fold: PartitionFold) -> None:
        drained = fold.drain()
        self.sealed += drained.panes
        self.panes += [as_bytes(pane) for pane in drained.panes]
        self.rejected += drained.rejected
        self.watermarks += [drained.watermark] if drained.watermark else []


def as_bytes(pane: Pane | RawPane) -> bytes:
    return encode_pane(pane) if isinstance(pane, Pane) else encode_raw(pane)


def new_fold(contracts: Sequence[ModelContract], grids: Sequence[Grid] = ()) -> PartitionFold:
    fold = PartitionFold(TP, contracts)
    for one in grids:
        use_grid(fold, one)
    return fold


def use_grid(fold: PartitionFold, one: Grid) -> None:
    """The grid of a model's lane becomes known."""
    fold.lanes._grids.add(Activation(grid_decision(one, fold.lanes.models[one.model].lane), None))
    fold.use_grids()


def chunks(steps: Sequence[Step], sizes: Callable[[], int]) -> list[list[Entry] | int]:
    """The steps as batches of at most `sizes()` records, with heartbeats between them where they stand."""
    out: list[list[Entry] | int] = []
    room = 0
    for step in steps:
        if isinstance(step, int):
            out.append(step)
            room = 0
        elif room and isinstance(last := out[-1], list):
            last.append(step)
            room -= 1
        else:
            out.append([step])
            room = sizes() - 1
    return out


def feed(fold: PartitionFold, piece: list[Entry] | int) -> None:
    if isinstance(piece, Silence):
        fold.take_heartbeat(None, int(piece))
    elif isinstance(piece, int):
        fold.take_heartbeat(piece)
    else:
        fold.feed(batch(piece, under=fold.contract), records(piece))


def step_of(beat: Heartbeat) -> int:
    """The heartbeat as a step."""
    if beat.watermark is not None:
        return beat.watermark
    assert beat.silent_to is not None
    return Silence(beat.silent_to)


def told_panes(out: Output) -> list[tuple[int, int]]:
    """The first watermark and the pane of the last one: within a pane it moves as batches come."""
    return [(out.watermarks[-1].first, out.watermarks[-1].watermark // PANE)] if out.watermarks else []


def by_pane(panes: Sequence[bytes]) -> list[bytes]:
    """Panes of several models leave in batches' order; of one model they leave in order of index."""
    return sorted(panes)


# ---------------------------------------------------------------------- an oracle, row by row


class Oracle:
    """Laws 2, 3 and 7 in plain Python, one row at a time."""

    def __init__(self) -> None:
        self.highest: int | None = None
        self.floor: int | None = None
        self.reach: int | None = None
        self.waiting: list[tuple[int, int]] = []
        self.rows: dict[int, list[int]] = defaultdict(list)
        self.late: Counter[int] = Counter()
        self.rejected: list[int] = []

    @property
    def watermark(self) -> int | None:
        known = [w for w in (None if self.highest is None else self.highest - LATENESS, self.floor) if w is not None]
        return max(known, default=None)

    def row(self, offset: int, time: int) -> None:
        self.waiting.append((offset, time))
        self._decide(None, flush=False)

    def heartbeat(self, watermark: int) -> None:
        self._decide(watermark + LATENESS + SKEW, flush=True)
        self.floor = watermark if self.floor is None else max(self.floor, watermark)

    def silence(self, silent_to: int) -> None:
        self._decide(silent_to + SKEW, flush=True)

    def end(self) -> None:
        self._decide(None, flush=True)

    def _decide(self, plausible: int | None, *, flush: bool) -> None:
        while self.waiting:
            if self.reach is None:
                if len(self.waiting) < 32 and not flush:
                    return
                first = sorted(time for _, time in self.waiting[:32])
                median = first[(len(first) - 1) // 2]
                if len(first) < 32 and plausible is not None and median > plausible:
                    return
                self.reach = median
            offset, time = self.waiting[0]
            if time > self.reach + SKEW:
                jury = [t for _, t in self.waiting[1:33]]
                if len(jury) < 32 and not flush:
                    return
                votes = 2 * sum(t >= time - SKEW for t in jury) > len(jury)
                if len(jury) < 32 and plausible is not None and time <= plausible:
                    votes = True
                elif len(jury) < 32 and plausible is not None and (votes or not jury):
                    return
                elif not jury:
                    votes = True
                if not votes:
                    self.rejected.append(offset)
                    self.waiting.pop(0)
                    continue
            self.waiting.pop(0)
            self.reach = max(self.reach, time)
            self._place(offset, time)

    def _place(self, offset: int, time: int) -> None:
        watermark = self.watermark
        if watermark is not None and (time // PANE + 1) * PANE <= watermark:
            self.late[watermark // PANE] += 1
        else:
            self.rows[time // PANE].append(offset)
        self.highest = time if self.highest is None else max(self.highest, time)


def oracle_of(steps: Sequence[Step]) -> Oracle:
    oracle = Oracle()
    for step in steps:
        if isinstance(step, Silence):
            oracle.silence(step)
        elif isinstance(step, int):
            oracle.heartbeat(step)
        elif step[1] == "m":
            oracle.row(step[0], step[2])
    return oracle


@pytest.mark.parametrize("seed", range(60))
def test_rows_go_where_the_laws_put_them(seed: int) -> None:
    """Late rows in the oldest open pane, rows from the future dead, all else in its own pane; each record once."""
    rng = random.Random(seed)
    steps = a_log(rng)
    oracle = oracle_of(steps)
    fold = new_fold([contract(raw_rows=10**6)])
    panes: list[RawPane] = []
    rejected: list[int] = []
    for piece in chunks(steps, lambda: rng.randint(1, 60)):
        feed(fold, piece)
        held = fold.account().held
        fed = fold.buckets.total() + held
        assert fold.account().difference == 0
        drained = fold.drain()
        panes += [pane for pane in drained.panes if isinstance(pane, RawPane)]
        rejected += [r.offset for r in drained.rejected if r.reason == "time_ahead"]
        assert fed == sum(1 for s in steps if not isinstance(s, int) and s[0] < fold.position)
    assert fold.watermark == oracle.watermark
    oracle.end()
    fold.end()
    drained = fold.drain()
    panes += [pane for pane in drained.panes if isinstance(pane, RawPane)]
    rejected += [r.offset for r in drained.rejected if r.reason == "time_ahead"]
    assert {p.index: p.rows.offset.tolist() for p in panes if len(p.rows)} == oracle.rows
    assert {p.index: p.late for p in panes if p.late} == oracle.late
    assert [p.index for p in panes] == sorted({*oracle.rows, *oracle.late})
    assert rejected == oracle.rejected
    assert fold.buckets.total() == sum(1 for step in steps if not isinstance(step, int))


@pytest.mark.parametrize("seed", range(40))
def test_any_cut_into_batches_puts_out_the_same(seed: int) -> None:
    """Panes, dead letters, buckets and the last watermark do not depend on the polls."""
    rng = random.Random(seed)
    steps, grids = a_log(rng, ("m", "w")), list(GRIDS.values()) if seed % 2 else []
    results = []
    for sizes in (lambda: 10**6, lambda: rng.randint(1, 30)):
        contracts = [contract("m", raw_rows=10**6), contract("w", raw_rows=10**6, pane_ms=15)]
        fold = new_fold(contracts, grids)
        out = Output()
        for piece in chunks(steps, sizes):
            feed(fold, piece)
            out.take(fold)
        fold.end()
        out.take(fold)
        results.append((by_pane(out.panes), out.rejected, fold.buckets, fold.watermark, told_panes(out)))
    assert results[0] == results[1]


@pytest.mark.parametrize("seed", range(40))
def test_a_grid_that_comes_late_changes_nothing(seed: int) -> None:
    """Raw panes summarised later are the panes that the grid would have given from the start."""
    rng = random.Random(seed)
    steps, at, raw_rows = a_log(rng), rng.randint(0, 25), rng.randint(5, 60)
    out: list[list[bytes]] = []
    for when in (0, at):
        fold = new_fold([contract(raw_rows=raw_rows)])
        panes: list[bytes] = []
        for i, piece in enumerate([*chunks(steps, lambda: 7), None, None]):
            if i == when or piece is None:
                use_grid(fold, GRIDS["m"])
            if piece is None:
                fold.end()
            else:
                feed(fold, piece)
            for pane in fold.drain().panes:
                if isinstance(pane, Pane):
                    panes.append(encode_pane(pane))
                elif pane.complete:
                    panes.append(encode_pane(summarise(pane, GRIDS["m"])))
        out.append(panes)
    assert out[0] == out[1]


@pytest.mark.parametrize("seed", range(60))
def test_raw_rows_that_cannot_travel_are_forgotten_and_folded_again(seed: int) -> None:
    """What is sent is the same as without the bound, raw or on the grid that comes late; few rows are held."""
    rng = random.Random(seed)
    steps = [step for step in a_log(rng) if not isinstance(step, int)]
    raw_rows, at = rng.randint(1, 12), rng.randint(3, 25)
    contracts = [contract(raw_rows=raw_rows)]
    whole, cut = new_fold(contracts), PartitionFold(TP, contracts, may_cut=True)
    outs = [Output(), Output()]
    for i, piece in enumerate([*chunks(steps, lambda: 7), None]):
        if i == at or piece is None:
            use_grid(whole, GRIDS["m"])
            use_grid(cut, GRIDS["m"])
            if cut.lanes.wants_again:
                cut = fold_again(contracts, cut.snapshot({}), steps, [GRIDS["m"]], 5)
        for fold, out in ((whole, outs[0]), (cut, outs[1])):
            if piece is None:
                fold.end()
            else:
                feed(fold, piece)
            out.take(fold)
        kept = sum(len(rows) for pane in cut.lanes.models["m"]._open.values() for rows in pane.raw)
        assert kept <= 2 * raw_rows + 7
    assert outs[0].panes == outs[1].panes
    assert outs[0].watermarks == outs[1].watermarks
    assert whole.buckets == cut.buckets


# ---------------------------------------------------------------------- folding again


@dataclass
class Run:
    """A fold that has come to some point of the log."""

    contracts: list[ModelContract]
    fold: PartitionFold
    out: Output = field(default_factory=Output)

    def go(self, pieces: Sequence[list[Entry] | int | Grid]) -> None:
        for piece in pieces:
            if isinstance(piece, Grid):
                use_grid(self.fold, piece)
            else:
                feed(self.fold, piece)
            self.out.take(self.fold)


def fold_again(
    contracts: list[ModelContract], position: ProfilePosition, steps: Sequence[Step], grids: Sequence[Grid], size: int
) -> PartitionFold:
    """What a new process does: from the low-water mark to the position, heartbeats where the record says."""
    fold = new_fold(contracts, grids)
    fold.go_back(position)
    beats = list(position.heartbeats)
    entries = [s for s in steps if not isinstance(s, int) and position.low.offset <= s[0] < position.position]
    pieces: list[list[Entry] | int] = []
    for entry in entries:
        while beats and beats[0].offset <= entry[0]:
            pieces.append(step_of(beats.pop(0)))
        if pieces and isinstance(last := pieces[-1], list) and len(last) < size:
            last.append(entry)
        else:
            pieces.append([entry])
    for piece in [*pieces, *map(step_of, beats)]:
        feed(fold, piece)
    assert fold.arrive(position)
    return fold


@pytest.mark.parametrize("seed", range(60))
def test_folding_again_goes_on_as_if_nothing_had_happened(seed: int) -> None:
    """At any commit: a new fold from the low-water mark puts out, from there, what the undisturbed one puts out."""
    rng = random.Random(seed)
    steps, raw_rows = a_log(rng, ("m", "w")), rng.choice([5, 40, 10**6])
    contracts = [contract("m", raw_rows=raw_rows), contract("w", raw_rows=raw_rows, pane_ms=15)]
    pieces: list[list[Entry] | int | Grid] = list(chunks(steps, lambda: rng.randint(1, 40)))
    for one in GRIDS.values():
        pieces.insert(rng.randint(0, len(pieces)), one)
    run = Run(contracts, new_fold(contracts))
    positions: list[tuple[int, ProfilePosition]] = []
    for i, piece in enumerate(pieces):
        run.go([piece])
        if rng.random() < 0.3:
            positions.append((i + 1, run.fold.snapshot({})))
    for at, position in positions:
        assert decode_profile(encode(position)) == position
        assert position.low.offset <= position.position
        grids = [piece for piece in pieces[:at] if isinstance(piece, Grid)]
        fold = fold_again(contracts, position, steps, grids, rng.randint(1, 50))
        restored, undisturbed = Run(contracts, fold), Run(contracts, new_fold(contracts))
        undisturbed.go(pieces[:at])
        undisturbed.out = Output()
        restored.out.take(fold)
        assert fold.snapshot({}) == position
        restored.go(pieces[at:])
        undisturbed.go(pieces[at:])
        for end in (restored, undisturbed):
            end.fold.end()
            end.out.take(end.fold)
        assert restored.out == undisturbed.out
        assert restored.fold.buckets == undisturbed.fold.buckets
        assert restored.fold.watermark == undisturbed.fold.watermark


def test_another_input_is_noticed_when_folding_again() -> None:
    """A log in which a record that is still needed has gone does not reach the committed digest."""
    steps: list[Entry] = [(i, "m", 1000 + i) for i in range(80)]
    fold = new_fold([contract(raw_rows=1000)])
    feed(fold, steps)
    fold.drain()
    position = fold.snapshot({})
    again = new_fold([contract(raw_rows=1000)])
    again.go_back(position)
    feed(again, [s for s in steps if s[0] >= position.low.offset and s[0] != position.low.offset + 3])
    assert not again.arrive(position)


def test_a_watermark_is_published_whenever_a_pane_of_any_model_is_sealed() -> None:
    """Models with other pane lengths on one topic: what is sealed is told at once."""
    contracts = [contract("m", raw_rows=1000, pane_ms=20), contract("w", raw_rows=1000, pane_ms=30)]
    fold = new_fold(contracts)
    reported = []
    for i in range(300):
        fold.feed(batch([(i, "w" if i % 2 else "m", 1000 + i)], under=fold.contract), records([(i, "m", 0)]))
        drained = fold.drain()
        reported += [drained.watermark.watermark] if drained.watermark else []
        for pane in drained.panes:
            end = (pane.index + 1) * (20 if pane.model == "m" else 30)
            assert reported
            assert reported[-1] >= end


def test_time_is_an_integer_everywhere() -> None:
    """Watermarks are Python integers, so that their JSON is the same everywhere."""
    fold = new_fold([contract()], [GRIDS["m"]])
    feed(fold, [(i, "m", 1000 + i) for i in range(100)])
    assert type(fold.watermark) is int
    drained = fold.drain()
    assert drained.watermark is not None
    assert type(drained.watermark.first) is int
    assert all(
        pane.last_time is None or type(pane.last_time) is int for pane in drained.panes if isinstance(pane, Pane)
    )
