"""The reference: integer counts on a grid, per slice of the reference's rows in order of time, and in sum.

The sum is what windows are compared with; between the slices seasons and dependence between rows show. Immutable, named
by its digest.
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
from monitor.errors import FormatError
from monitor.evaluate.gaps import LongestGap
from monitor.events import Int64s, ReferenceInfo, Rows, StreamName
from monitor.panes.grid import Grid, encode_rows, leave_one_out
from monitor.panes.rows import take
from monitor.panes.steps import Steps, at_once

ROWS_PER_SLICE = 50
MOST_SLICES = 24
CELLS_A_STEP = 100_000
"""About this many cells are counted in a step."""
_FORMAT = "streamdrift.reference/2"


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


@dataclass(frozen=True)
class Reference:
    """Counts of one stream of one model on the grid of digest `grid`, whose count vectors have `width` places.

    `origin`: where the rows came from. `longest_gap_ms`: between two rows that follow each other in time, of all
    partitions together; None if they are fewer or have no times, or if an older release made the reference.
    """

    model: str
    stream: StreamName
    grid: str
    width: int
    origin: str
    slices: tuple[ReferenceSlice, ...]
    longest_gap_ms: int | None = None
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

    @cached_property
    def info(self) -> ReferenceInfo:
        """What messages say of it."""
        return ReferenceInfo(self.digest, self.events, self.slices[0].first_time, self.slices[-1].last_time)


def build_reference(grid: Grid, rows: Rows, origin: str) -> Reference:
    """Return the reference of rows (at least one, in canonical order) on the grid that was made of them."""
    return at_once(reference_in_steps(grid, rows, np.arange(len(rows)), origin))


def reference_in_steps(grid: Grid, rows: Rows, order: Int64s, origin: str) -> Steps[Reference]:
    """Make the reference of rows on the grid that was made of them; `order`: their places in canonical order."""
    pieces = max(1, min(MOST_SLICES, len(rows) // ROWS_PER_SLICE))
    at_a_time = max(1, CELLS_A_STEP // max(1, len(grid.series)))
    slices, gap = [], LongestGap()
    for index in np.array_split(order, pieces):
        counts = np.zeros(grid.layout.width, dtype=np.int64)
        for start in range(0, len(index), at_a_time):
            counts += encode_rows(grid, take(rows, index[start : start + at_a_time]))[1]
            yield
        grid.layout.normalise(counts)
        leave_one_out(grid, counts, counts)
        time = rows.time[index]
        gap.add(time)
        slices.append(ReferenceSlice(len(index), int(time.min()), int(time.max()), pack_counts(counts)))
    return Reference(grid.model, grid.stream, grid.digest, grid.layout.width, origin, tuple(slices), gap.ms())


def encode_reference(reference: Reference) -> str:
    """The reference as canonical JSON."""
    place = (reference.model, reference.stream, reference.grid, reference.origin)
    value = _ReferenceValue(_FORMAT, *place, reference.slices, reference.longest_gap_ms)
    return msgspec.json.encode(value).decode()


def decode_reference(text: str, grids: Iterable[Grid]) -> tuple[Reference, Grid]:
    """The reference of its JSON and the grid among `grids` that it stands on; raises FormatError."""
    raw = decode_format(text, _ReferenceValue, _FORMAT, "reference")
    grid = next((grid for grid in grids if grid.digest == raw.grid), None)
    if grid is None:
        raise FormatError(f"reference of {raw.model} stands on grid {raw.grid}, which is not there")
    place = (raw.model, raw.stream, raw.grid, grid.layout.width, raw.origin)
    reference = Reference(*place, raw.slices, raw.longest_gap_ms)
    if not raw.slices:
        raise FormatError(f"reference of {raw.model} has no rows")
    try:
        reference.total  # noqa: B018 - unpacks all counts
    except FormatError as error:
        raise FormatError(f"reference of {raw.model} does not fit its grid {raw.grid}: {error}") from error
    return reference, grid
