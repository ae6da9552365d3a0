"""Logs of one partition for tests of its fold: records and all that goes wrong, in batches, and what comes out."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from monitor.contract import ModelContract
from monitor.events import Rejected
from monitor.ledger.entries import Activation, Heartbeat, Watermark
from monitor.panes.grid import Grid
from monitor.panes.keyed import KeyedRows, encode_keyed
from monitor.panes.pane import Pane, RawPane, encode_pane, encode_raw
from monitor.profile.partition import PartitionFold
from tests.unit.making import TP, Entry, batch, grid, grid_decision, records

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
    sealed: list[Pane | RawPane | KeyedRows] = field(default_factory=list, compare=False)
    rejected: list[Rejected] = field(default_factory=list)
    watermarks: list[Watermark] = field(default_factory=list)

    def take(self, fold: PartitionFold) -> None:
        drained = fold.drain()
        self.sealed += drained.panes
        self.panes += [as_bytes(pane) for pane in drained.panes]
        self.rejected += drained.rejected
        self.watermarks += [drained.watermark] if drained.watermark else []


def as_bytes(pane: Pane | RawPane | KeyedRows) -> bytes:
    if isinstance(pane, KeyedRows):
        return encode_keyed(pane)
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
