"""A reference of more rows than are held counts them all; a topic's range is found without reading all before it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from monitor.bus.memory import MemoryBus
from monitor.codec.canonical import time_text
from monitor.contract import ColumnSpec, ModelContract, StreamContract
from monitor.drift.scores import ScoreTables
from monitor.evaluate.reference import encode_reference
from monitor.events import Int64s, Outgoing, RecordBatch, Rows, TopicPartition
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid, encode_rows
from monitor.sources.reference_rows import grid_and_reference
from monitor.sources.topic_range import rows_between

STREAM = StreamContract("features", "in", "event_time", (ColumnSpec("x", "x", "numerical"),))
CONTRACT = ModelContract("m", 10_000, 30_000, 30_000, 60_000, 100, 2048, (STREAM,))
TP = TopicPartition("in", 0)
START = 1_790_000_000_000


def parts_of(n: int, step: int = 700) -> Iterator[tuple[TopicPartition, Rows]]:
    """`n` rows, one a second, in batches of `step`."""
    for first in range(0, n, step):
        offset = np.arange(first, min(first + step, n), dtype=np.int64)
        empty = rows_of.empty("m", STREAM)
        x = (offset * 7919 % 1009).astype(np.float64)[:, None]
        states = np.zeros((len(offset), 1), dtype=np.uint8)
        yield (
            TP,
            Rows(
                "m",
                empty.stream,
                "",
                offset,
                np.zeros(len(offset), dtype=np.int32),
                START + 1000 * offset,
                x,
                states,
                (),
                np.zeros((len(offset), 0), np.uint8),
            ),
        )


def counts_of(grid: Grid, counts: Int64s) -> list[int]:
    """With sums that say nothing of how they came about."""
    counts = counts.copy()
    grid.layout.normalise(counts)
    found: list[int] = counts.tolist()
    return found


@pytest.mark.parametrize("n", [1, 500, 5000])
def test_rows_that_are_held_whole_give_what_a_direct_count_gives(n: int) -> None:
    """One reading, and the counts are those of all rows."""
    readings = 0

    def parts() -> Iterator[tuple[TopicPartition, Rows]]:
        nonlocal readings
        readings += 1
        return parts_of(n)

    found = grid_and_reference(parts, STREAM, "test", most=5000)
    assert found is not None
    grid, reference = found
    rows = rows_of.concat([part for _, part in parts_of(n)])
    assert counts_of(grid, reference.total) == counts_of(grid, encode_rows(grid, rows)[1])
    assert (reference.events, readings) == (n, 1)


def test_more_rows_than_are_held_are_all_counted() -> None:
    """On the grid of a sample, in slices of time that follow one another and hold about as many rows each."""
    found = grid_and_reference(lambda: parts_of(40_000), STREAM, "test", most=2000)
    assert found is not None
    grid, reference = found
    rows = rows_of.concat([part for _, part in parts_of(40_000)])
    assert counts_of(grid, reference.total) == counts_of(grid, encode_rows(grid, rows)[1])
    events = [part.events for part in reference.slices]
    assert sum(events) == 40_000
    assert min(events) > 0.6 * max(events)
    bounds = [time for part in reference.slices for time in (part.first_time or 0, part.last_time or 0)]
    assert bounds == sorted(set(bounds))


def test_moments_of_more_rows_than_are_held_sum_the_scores_of_all() -> None:
    """Blocks in order of time hold every row once, whatever the batches; second moments are those of the sample."""
    found = grid_and_reference(lambda: parts_of(40_000), STREAM, "test", most=2000)
    again = grid_and_reference(lambda: parts_of(40_000, step=999), STREAM, "test", most=2000)
    assert found is not None
    assert again is not None
    grid, reference = found
    moments = reference.moments
    assert moments is not None
    tables = ScoreTables(grid, reference.total)
    assert moments.block_sums.sum(axis=0).tolist() == tables.sums(reference.total).tolist()
    assert int(moments.block_rows.sum()) == 40_000
    assert moments.block_rows.max() < 40_000 / 50
    assert 1000 <= moments.rows <= 2000
    codes = encode_rows(grid, next(rows for _, rows in parts_of(40_000, step=40_000)))[0]
    scores, ends = tables.of_codes(codes).astype(int), np.cumsum(moments.block_rows)
    assert moments.block_sums[1].tolist() == scores[ends[0] : ends[1]].sum(axis=0).tolist()
    assert encode_reference(again[1]) == encode_reference(reference)


def test_no_rows_give_none() -> None:
    """The caller says what was looked for."""
    assert grid_and_reference(lambda: iter(()), STREAM, "test") is None


class Counting(MemoryBus):
    """Counts the records that were read."""

    records = 0

    def read(self, tp: TopicPartition, start: int, end: int | None, timeout_ms: int) -> RecordBatch:
        batch = super().read(tp, start, end, timeout_ms)
        self.records += len(batch)
        return batch


@pytest.mark.parametrize("markers", [False, True])
@pytest.mark.parametrize(("start", "end"), [(0, 10), (30_000, 31_000), (59_900, 60_000), (59_000, None), (None, 50)])
def test_a_range_is_found_without_reading_the_log(start: int | None, end: int | None, markers: bool) -> None:
    """Every row of the range, out of order within the lateness, whatever the broker's stamps."""
    bus = Counting(clock=lambda: 0, markers=markers)
    bus.create("in", 1)
    sender = bus.sender()
    for k in range(60_000):
        second = k - (20 if k % 7 == 3 else 0)
        event = {"event_id": "e", "model": "m", "event_time": time_text(START + 1000 * second), "features": {"x": k}}
        sender.send(Outgoing("in", 0, None, msgspec.json.encode(event)))
    sender.flush()
    between = tuple(None if at is None else START + 1000 * at for at in (start, end))
    found = [int(x) for rows in rows_between(bus, TP, CONTRACT, *between) for x in rows.numeric[:, 0]]
    wanted = [
        k
        for k in range(60_000)
        if (-99 if start is None else start) <= k - (20 if k % 7 == 3 else 0) < (60_000 if end is None else end)
    ]
    assert found == wanted
    assert bus.records < 40_000
