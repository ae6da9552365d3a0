"""The reference: integer counts on a grid, per slice of the reference's rows in order of time, and in sum.

The sum is what windows are compared with; between the slices seasons and dependence between rows show. Beside them it
holds the moments of its rows' scores, for the sequential core (`drift/moments.py`). Immutable, named by its digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import msgspec
import numpy as np

from monitor.codec.counts import Counts, pack_counts, unpack_counts
from monitor.codec.formats import decode_format
from monitor.drift.growing import GrowingMoments, GrowingState
from monitor.drift.moments import Moments, MomentSums, PackedMoments, pack_moments, unpack_moments
from monitor.drift.scores import ScoreTables
from monitor.errors import FormatError
from monitor.evaluate.gaps import LongestGap
from monitor.events import Codes, Int64s, ReferenceInfo, Rows, StreamName
from monitor.panes.grid import Grid, encode_rows, leave_one_out, left_out_codes
from monitor.panes.rows import take
from monitor.panes.steps import Steps, at_once

ROWS_PER_SLICE = 50
MOST_SLICES = 24
CELLS_A_STEP = 100_000
"""About this many cells are counted in a step."""
_FORMAT = "streamdrift.reference/3"
_BEFORE = "streamdrift.reference/2"
"""The same without moments, by an older release."""
_GROWN = "streamdrift.reference/4"
"""The same of rows that came for a stretch of time, or of the first of them."""


class ReferenceSlice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One slice: its rows, first and last event time in ms (None if rows have none), and its flat counts, packed."""

    events: int
    first_time: int | None
    last_time: int | None
    counts: Counts


class _ReferenceValue(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    format: str
    model: str
    stream: StreamName
    grid: str
    origin: str
    slices: tuple[ReferenceSlice, ...]
    longest_gap_ms: int | None = None
    moments: PackedMoments | None = None
    ranked: Counts | None = None
    growing: GrowingState | None = None
    grows_to: int | None = None


@dataclass(frozen=True)
class Reference:
    """Counts of one stream of one model on the grid of digest `grid`, whose count vectors have `width` places.

    `origin`: where the rows came from. `longest_gap_ms`: between two rows that follow each other in time, of all
    partitions together; None if they are fewer or have no times, or if an older release made the reference. `moments`:
    None if an older release made it, if it grows, or if it is for windows alone. `ranked`: counts of the rows in which
    scores are ranks; None: all.
    `growing`: what one that still grows goes on from. `grows_to`: where the pane begins that it is to count for, ms.
    """

    model: str
    stream: StreamName
    grid: str
    width: int
    origin: str
    slices: tuple[ReferenceSlice, ...]
    longest_gap_ms: int | None = None
    moments: Moments | None = field(default=None, compare=False)
    ranked: Int64s | None = field(default=None, compare=False)
    growing: GrowingState | None = None
    grows_to: int | None = None
    digest: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(encode_reference(self).encode()).hexdigest()[:32]
        object.__setattr__(self, "digest", "sha256:" + digest)

    @cached_property
    def by_slice(self) -> Int64s:
        """Flat count vectors of the slices, shape (slices, width)."""
        return np.array([unpack_counts(part.counts, self.width) for part in self.slices])

    @cached_property
    def total(self) -> Int64s:
        """The flat count vector of all slices together."""
        total = np.zeros(self.width, dtype=np.int64)
        for part in self.slices:
            total += unpack_counts(part.counts, self.width)
        return total

    def without_times(self) -> Reference:
        """The same of rows that have no times: their order is all that is known."""
        slices = tuple(msgspec.structs.replace(part, first_time=None, last_time=None) for part in self.slices)
        return replace(self, slices=slices, longest_gap_ms=None)

    @cached_property
    def events(self) -> int:
        """How many rows it has."""
        return sum(part.events for part in self.slices)

    def rows_in(self, time_ms: int) -> int:
        """How many of its rows come in a stretch of time, on average; 0 if they have no times, or one time."""
        first, last = self.slices[0].first_time, self.slices[-1].last_time
        return 0 if first is None or last is None or last <= first else round(self.events * time_ms / (last - first))

    def time_of(self, rows: int) -> int:
        """How long as many of its rows take, ms, on average; 0 if they have no times."""
        first, last = self.slices[0].first_time, self.slices[-1].last_time
        return 0 if first is None or last is None else -(-rows * (last - first) // self.events)

    @cached_property
    def info(self) -> ReferenceInfo:
        """What messages say of it."""
        return ReferenceInfo(self.digest, self.events, self.slices[0].first_time, self.slices[-1].last_time)


def build_reference(grid: Grid, rows: Rows, origin: str) -> Reference:
    """Return the reference of rows (at least one, in canonical order) on the grid that was made of them."""
    return at_once(reference_in_steps(grid, rows, np.arange(len(rows)), origin))


def reference_in_steps(
    grid: Grid, rows: Rows, order: Int64s, origin: str, grows_to: int | None = None
) -> Steps[Reference]:
    """Make the reference of rows on the grid that was made of them; `order`: their places in canonical order.

    `grows_to`: where the pane begins that it counts for once it has grown, ms; None if it is whole.
    """
    pieces = max(1, min(MOST_SLICES, len(rows) // ROWS_PER_SLICE))
    at_a_time = max(1, CELLS_A_STEP // max(1, len(grid.series)))
    slices, gap, coded = [], LongestGap(), list[Codes]()
    for index in np.array_split(order, pieces):
        counts = np.zeros(grid.layout.width, dtype=np.int64)
        for start in range(0, len(index), at_a_time):
            codes, counted = encode_rows(grid, take(rows, index[start : start + at_a_time]))
            counts += counted
            coded.append(left_out_codes(grid, codes))  # a quarter of what the rows themselves take
            yield
        grid.layout.normalise(counts)
        leave_one_out(grid, counts, counts)
        time = rows.time[index]
        gap.add(time)
        slices.append(ReferenceSlice(len(index), int(time.min()), int(time.max()), pack_counts(counts)))
    reference = Reference(grid.model, grid.stream, grid.digest, grid.layout.width, origin, tuple(slices), gap.ms())
    tables = ScoreTables(grid, reference.total)
    if grows_to is not None:
        growing = GrowingMoments(tables)
        for codes in coded:
            growing.add_rows(codes)
            yield
        return replace(reference, growing=growing.state(), grows_to=grows_to)
    sums = MomentSums(tables)
    for codes in coded:
        sums.add(codes)
        yield
    return replace(reference, moments=sums.moments())


def encode_reference(reference: Reference) -> str:
    """The reference as canonical JSON."""
    place = (reference.model, reference.stream, reference.grid, reference.origin)
    moments = None if reference.moments is None else pack_moments(reference.moments)
    ranked = None if reference.ranked is None else pack_counts(reference.ranked)
    form = _BEFORE if moments is None else _FORMAT  # one of an older release keeps its digest
    form = form if ranked is None and reference.growing is None else _GROWN
    own = reference.slices, reference.longest_gap_ms
    value = _ReferenceValue(form, *place, *own, moments, ranked, reference.growing, reference.grows_to)
    return msgspec.json.encode(value).decode()


def decode_reference(text: str, grids: Iterable[Grid]) -> tuple[Reference, Grid]:
    """The reference of its JSON and the grid among `grids` that it stands on; raises FormatError."""
    raw = decode_format(text, _ReferenceValue, _FORMAT, "reference", _BEFORE, _GROWN)
    grid = next((grid for grid in grids if grid.digest == raw.grid), None)
    if grid is None:
        raise FormatError(f"reference of {raw.model} stands on grid {raw.grid}, which is not there")
    place = (raw.model, raw.stream, raw.grid, grid.layout.width, raw.origin)
    reference = Reference(*place, raw.slices, raw.longest_gap_ms, growing=raw.growing, grows_to=raw.grows_to)
    if not raw.slices:
        raise FormatError(f"reference of {raw.model} has no rows")
    try:
        if raw.moments is not None:
            reference = replace(reference, moments=unpack_moments(raw.moments, len(grid.series)))
        if raw.ranked is not None:
            reference = replace(reference, ranked=unpack_counts(raw.ranked, grid.layout.width))
        reference.total  # noqa: B018 - unpacks all counts
    except FormatError as error:
        raise FormatError(f"reference of {raw.model} does not fit its grid {raw.grid}: {error}") from error
    return reference, grid
