"""What a reference does by chance: references of as many rows, and streams behind them, drawn from its pieces.

Each drawn reference is taken as the service takes one, so its own error, and how it measures dependence, are inside.
Streams have as many rows in each pane as the reference's traffic gives on average.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from monitor.calibration.pieces import Pieces, pieces_of
from monitor.codec.counts import pack_counts
from monitor.drift.core import SHIPPED, Drift, Limits
from monitor.drift.moments import Moments, moments_of
from monitor.drift.null import Null
from monitor.drift.scores import ScoreTables
from monitor.evaluate.reference import MOST_SLICES, ROWS_PER_SLICE, Reference, ReferenceSlice
from monitor.events import Codes, Int64s, Rows
from monitor.panes.grid import Grid, encode

STREAM_BLOCKS = 2048
"""Blocks of a drawn stream: four times as many as the longest window of `drift` has."""


class Traffic(NamedTuple):
    """How rows come: how many a second, on average, in panes of `pane_ms`, judged every `interval_ms`.

    `trace_points`: most rows of a pane's trace.
    """

    rows_per_second: float
    pane_ms: int
    interval_ms: int
    trace_points: int

    @property
    def rows_a_pane(self) -> int:
        """Rows of a pane that is not empty."""
        return max(1, round(self.rows_per_second * self.pane_ms / 1000))

    @property
    def rows_a_trace(self) -> int:
        """Rows of a pane that are in its trace: about half of them stay at each level."""
        rows = self.rows_a_pane
        while rows > self.trace_points:
            rows //= 2
        return max(rows, 1)

    def judged_at(self, rows: Int64s) -> Int64s:
        """The judgement behind a number of rows, ms since the first row."""
        ended = np.ceil(rows / self.rows_per_second * 1000).astype(np.int64)
        return -(-ended // self.interval_ms) * self.interval_ms


@dataclass(frozen=True)
class Sample:
    """The rows of a lane's reference, in canonical order, on the grid that they made.

    `units`: values as fixed-point integers (`Grid.units`). `time`: ms, None if rows have none.
    """

    grid: Grid
    reference: Reference
    codes: Codes
    units: Int64s
    time: Int64s | None
    season_ms: int = 0

    @property
    def period(self) -> int:
        """Rows of a season; 0 without one."""
        return self.reference.rows_in(self.season_ms)

    def core(self, reference: Reference, limits: Limits = SHIPPED) -> Drift:
        """The sequential core behind a reference of this lane."""
        moments = moments_in(reference)
        return Drift(self.grid, reference.total, reference.events, moments, limits, self.period)

    @cached_property
    def null(self) -> Null:
        """How the reference's rows depend on each other."""
        return Null(moments_in(self.reference), self.period)

    @cached_property
    def pieces(self) -> Pieces:
        """The pieces to draw from."""
        return pieces_of(self.null, len(self.codes), self.time, self.season_ms)

    @cached_property
    def as_seen(self) -> Codes:
        """The codes that other rows of the same kind would have: categories that know only themselves are new."""
        codes = self.codes.copy()
        for j, bins in enumerate(self.grid.categorical, start=len(self.grid.numeric)):
            is_weak = (codes[:, j] >= bins.firm) & (codes[:, j] < bins.bins)
            codes[is_weak, j] = bins.bins - 1
        return codes


def sample_of(grid: Grid, reference: Reference, rows: Rows, season_ms: int) -> Sample:
    """Return the sample of a reference from its rows in canonical order."""
    codes, units = encode(grid, rows)
    is_timed = reference.slices[0].first_time is not None
    return Sample(grid, reference, codes, units, rows.time if is_timed else None, season_ms)


def moments_in(reference: Reference) -> Moments:
    """The moments of a reference that was made by this release."""
    if reference.moments is None:
        raise ValueError("a reference that is calibrated on has moments")
    return reference.moments


class Stream(NamedTuple):
    """A drawn reference, and the places in the sample of the rows that come behind it."""

    reference: Reference
    rows: Int64s


def streams(sample: Sample, pieces: Pieces, name: str, number: int, rows: int) -> Iterator[Stream]:
    """Draw a number of references, and behind each a stream of `rows` rows. `name`: seeds the draws."""
    for place in range(number):
        own = pieces.draw(f"{name}/{place}/reference", len(sample.codes))
        yield Stream(reference_of(sample, own), pieces.draw(f"{name}/{place}/stream", rows))


def reference_of(sample: Sample, places: Int64s) -> Reference:
    """The reference of drawn rows, as `evaluate/reference.py` makes one."""
    layout, slices = sample.grid.layout, list[ReferenceSlice]()
    for part in np.array_split(places, max(1, min(MOST_SLICES, len(places) // ROWS_PER_SLICE))):
        counts = layout.count(sample.as_seen[part])
        layout.add_units(counts, sample.units[part])
        layout.normalise(counts)
        slices.append(ReferenceSlice(len(part), None, None, pack_counts(counts)))
    drawn = replace(sample.reference, origin="drawn", slices=tuple(slices), longest_gap_ms=None, moments=None)
    return replace(drawn, moments=moments_of(ScoreTables(sample.grid, drawn.total), [sample.as_seen[places]]))
