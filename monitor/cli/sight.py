"""How small a shift `drift` can see with a reference, in words."""

from __future__ import annotations

from collections.abc import Collection

from monitor.evaluate.lane_drift import Sight


def sight_text(sight: Sight) -> str:
    """Say how small a shift of its columns is seen, by the number of rows.

    >>> sight_text(Sight("m", "features", {1000: {"a": 0.213, "b": 0.35}, 10000: {"a": 0.1301, "b": 0.1303}}))
    'm/features: drift sees a shift of 0.21 to 0.35 σ in 1,000 rows, of 0.13 σ in 10,000'
    """
    seen = [f"of {_span(shifts.values())} σ in {rows:,}" for rows, shifts in sight.shifts.items()]
    return f"{sight.model}/{sight.stream}: drift sees a shift {seen[0]} rows" + "".join(f", {one}" for one in seen[1:])


def _span(shifts: Collection[float]) -> str:
    """The smallest and the largest, in two digits behind the point."""
    low, high = (f"{end(shifts):.2f}" for end in (min, max))
    return low if low == high else f"{low} to {high}"
