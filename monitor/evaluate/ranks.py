"""The rank of each grid code: what detectors read of a series."""

from __future__ import annotations

import numpy as np

from monitor.evaluate.reference import Reference
from monitor.events import Float64s
from monitor.panes.grid import Grid, code_table
from monitor.stats.ranks import mid_ranks, surprisal_ranks


def rank_table(grid: Grid, reference: Reference, series: int) -> Float64s:
    """Rank of each code of the series at that place; NaN if there is nothing to rank. See `grid.code_table`."""
    counts = reference.total[grid.layout.bins[series]]
    table = code_table(grid, series, np.nan)
    if counts.sum() > 0:
        table[: len(counts)] = mid_ranks(counts) if series < len(grid.numeric) else surprisal_ranks(counts)
    return table
