"""Reach: the smallest and the largest score that the grid of a column allows, whatever a window holds.

Values beyond the grid take no part in these metrics, so a threshold that lies there is one that no window passes, and
its rule looks healthy. Rates and divergences have the range of their formula, which is known without a grid:
`config.check_thresholds` refuses what lies outside that.
"""

from __future__ import annotations

from math import inf

import numpy as np

from monitor.config.comparison import Comparison
from monitor.evaluate.measure import Measure


def why_never_holds(measure: Measure, comparison: Comparison, column: str) -> str | None:
    """Say why no window of a column ever violates a comparison with a constant; None if one can."""
    if comparison.needs_reference_spread:
        return None
    low, high = reach(measure, comparison.metric, column)
    threshold = comparison.threshold(None, None)
    above = {">": threshold >= high, ">=": threshold > high, "==": threshold > high}
    below = {"<": threshold <= low, "<=": threshold < low, "==": threshold < low}
    for is_out, side, bound in ((above, "above", high), (below, "below", low)):
        if is_out.get(comparison.op, False):
            return f"on the grid of its reference {comparison.metric} is never {side} {bound:.6g}"
    return None


def reach(measure: Measure, metric: str, column: str) -> tuple[float, float]:
    """Return the smallest and the largest score of a column, both included; infinite where its grid sets no bound."""
    j = measure.places[column]
    if j >= len(measure.grid.numeric):
        return -inf, inf
    lows, highs = measure.grid.numeric[j].bounds
    low, high = float(np.nanmin(lows)), float(np.nanmax(highs))
    if metric in ("mean", "quantile"):
        return low, high
    if metric == "std":  # half of the values at each end
        return 0.0, high / 2 - low / 2
    return (0.0, _farthest(measure, j, low, high)) if metric == "wasserstein" else (-inf, inf)


def _farthest(measure: Measure, series: int, low: float, high: float) -> float:
    """Return the distance of a window that lies at one end; any other lies between two such, and is no farther."""
    bins, spread = measure.grid.numeric[series], measure.grid.numeric[series].spread
    inner = slice(1, bins.bins - 1)
    counts, positions = measure.reference_bins[series][inner], bins.positions[inner]
    total = max(1, int(counts.sum()))
    ends = [float((counts * (np.abs(positions - end) / spread)).sum()) / total for end in positions[[0, -1]]]
    mean = float(measure.reference_mean[series])
    return max(*ends, (high - mean) / spread, (mean - low) / spread)
