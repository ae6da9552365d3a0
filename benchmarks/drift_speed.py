"""What the sequential core takes and keeps, by columns: CPU time of `Drift.add`, and the bytes of its state.

    python -m benchmarks.drift_speed [--columns 3,33,1000] [--rows 2000] [--panes 64] [--repeats 5] [--json FILE]

Normal columns without change, one block a pane. Times are µs for each column and 1,000 rows: from counts alone, what a
trace of all rows takes beside, and of both what numpy takes for the sums alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import process_time
from typing import NamedTuple

import msgspec
import numpy as np

from benchmarks.calibration import rows_of, sample_of
from monitor.drift.core import Drift
from monitor.drift.moments import group_slices
from monitor.drift.windows import LEVELS, PARTS
from monitor.events import Codes, Int64s
from monitor.panes.grid import Grid, encode

REFERENCE_ROWS = 5_000
_DIFFERENT_PANES = 4
_CELLS = 12
"""Of a column: ten coarse bins, missing and invalid."""
_FULL = PARTS << (LEVELS - 1)
"""Blocks from which on all windows are full."""
_WITH_TRACE = 64
"""Blocks that windows of pairs have."""

COUNTS, TRACE = "from counts", "from the trace"
BARE_COUNTS, BARE_TRACE = "sums of counts by numpy", "products of the trace by numpy"


class Pane(NamedTuple):
    """Flat counts of a pane, and its rows (m, series)."""

    counts: Int64s
    codes: Codes


class Speed(NamedTuple):
    """Of one number of columns. `micros`: part -> µs for each column and 1,000 rows; `state_bytes`: of a column."""

    columns: int
    rows: int
    micros: dict[str, float]
    state_bytes: float


class Lane:
    """A core behind a reference, and panes of other rows."""

    def __init__(self, columns: int, rows: int) -> None:
        rng = np.random.default_rng(columns)
        sample = sample_of(rng.normal(size=(REFERENCE_ROWS, columns)))
        self.grid, self.rows = sample.grid, rows
        self.core = sample.core(sample.reference)
        self.panes = [self._pane(rng.normal(size=(rows, columns))) for _ in range(_DIFFERENT_PANES)]
        self._starts = iter(range(0, 1 << 62, 10_000))

    def _pane(self, values: np.ndarray) -> Pane:
        codes, _ = encode(self.grid, rows_of(values))
        return Pane(self.grid.layout.count(codes), codes)

    def fold(self, panes: int, with_trace: bool) -> None:
        """Fold some panes."""
        for pane in islice(cycle(self.panes), panes):
            codes = pane.codes if with_trace else pane.codes[:0]
            self.core.add(next(self._starts), self.rows, pane.counts, codes)


def bare_counts(grid: Grid) -> Callable[[Pane], object]:
    """What the counts of a pane cost at least: each by its two scores, and added up by column and by cell."""
    layout = grid.layout
    first, bins = int(layout.starts[0]), layout.width - int(layout.starts[0])
    table = np.random.default_rng(0).integers(-512, 512, (2, bins))
    columns = layout.starts - first
    cells = np.unique(np.linspace(0, bins, _CELLS * len(columns), endpoint=False).astype(np.int64))

    def sums(pane: Pane) -> object:
        counts = pane.counts[first:]
        return np.add.reduceat(table * counts, columns, axis=1), np.add.reduceat(counts, cells)

    return sums


def bare_trace(grid: Grid) -> Callable[[Pane], object]:
    """What a trace costs at least: the rank of each cell, and a product of matrices for each group of columns."""
    ranks = np.random.default_rng(0).normal(size=1 << 16)
    parts = group_slices(len(grid.series))

    def products(pane: Pane) -> object:
        return [scores.T @ scores for scores in (ranks.take(pane.codes[:, part]) for part in parts)]

    return products


def _all(sums: Callable[[Pane], object], different: Sequence[Pane], panes: int) -> None:
    for pane in islice(cycle(different), panes):
        sums(pane)


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call."""
    started = process_time()
    work()
    return process_time() - started


def measure(columns: int, rows: int, panes: int, repeats: int) -> Speed:
    """Fold `panes` panes with and without trace in each repeat, and take the bare sums of as many; medians."""
    lane = Lane(columns, rows)
    bare = {BARE_COUNTS: bare_counts(lane.grid), BARE_TRACE: bare_trace(lane.grid)}
    lane.fold(panes, with_trace=True)  # warms caches up
    found: dict[str, list[float]] = {part: [] for part in (COUNTS, TRACE, *bare)}
    for _ in range(repeats):
        counts, whole = (seconds(partial(lane.fold, panes, with_trace)) for with_trace in (False, True))
        found[COUNTS].append(counts)
        found[TRACE].append(whole - counts)
        for part, sums in bare.items():
            found[part].append(seconds(partial(_all, sums, lane.panes, panes)))
    units = columns * panes * rows / 1000
    micros = {part: 1e6 * median(times) / units for part, times in found.items()}
    lane.fold(_FULL, with_trace=False)
    lane.fold(_WITH_TRACE, with_trace=True)
    return Speed(columns, rows, micros, state_bytes(lane.core) / columns)


def state_bytes(core: Drift) -> int:
    """Bytes of a core in a snapshot."""
    return len(msgspec.msgpack.encode(core.state()))


def table(speeds: Sequence[Speed]) -> Iterator[str]:
    """Lines: a part each, numbers of columns side by side."""
    yield f"{'µs a column and 1,000 rows':32}" + "".join(f"{speed.columns:>10,}" for speed in speeds)
    for part in (COUNTS, BARE_COUNTS, TRACE, BARE_TRACE):
        yield f"{part:32}" + "".join(f"{speed.micros[part]:>10.2f}" for speed in speeds)
    yield f"{'bytes of state a column':32}" + "".join(f"{speed.state_bytes:>10,.0f}" for speed in speeds)


def main() -> None:
    """Measure, print the table, and write JSON if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--columns", default="3,33,1000", help="numbers of columns, with commas")
    parser.add_argument("--rows", type=int, default=2_000, help="of a pane")
    parser.add_argument("--panes", type=int, default=64, help="in each repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    widths = map(int, options.columns.split(","))
    speeds = [measure(columns, options.rows, options.panes, options.repeats) for columns in widths]
    print("\n".join(table(speeds)))
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(speeds), indent=2) + b"\n")


if __name__ == "__main__":
    main()
