"""The fold of one partition: laws 2, 3 and 7 against a slow oracle, any cut into batches, and folding again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from monitor.contract import ModelContract
from monitor.ledger.position_records import ProfilePosition, decode_profile, encode
from monitor.panes.grid import Grid
from monitor.panes.open_pane import summarise
from monitor.panes.pane import Pane, RawPane, encode_pane
from monitor.profile.partition import PartitionFold
from tests.unit.making import TP, Entry, batch, contract, records
from tests.unit.profile.feeding import GRIDS, PANE, Output, Step, a_log, chunks, feed, new_fold, step_of, use_grid
from tests.unit.profile.row_by_row import oracle_of


def told_panes(out: Output) -> list[tuple[int, int]]:
    """The first watermark and the pane of the last one: within a pane it moves as batches come."""
    return [(out.watermarks[-1].first, out.watermarks[-1].watermark // PANE)] if out.watermarks else []


def by_pane(panes: Sequence[bytes]) -> list[bytes]:
    """Panes of several models leave in batches' order; of one model they leave in order of index."""
    return sorted(panes)


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
                elif isinstance(pane, RawPane) and pane.complete:
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
