"""`drift` of one lane: the sequential core over its panes, and the largest evidence since the last judgement.

It begins with the first pane behind its reference, and again from nothing with another grid or reference, with another
season or other limits, or once rules ask for it that did not before. The core is a function of the panes in their
order, so a lane that is restored or replayed has the same values.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import isfinite
from typing import NamedTuple

from monitor.config.inputs import asks_for_drift
from monitor.config.resolved import ModelRules
from monitor.drift.change import Explanation
from monitor.drift.core import SHIPPED, Drift, Limits
from monitor.drift.moments import Moments
from monitor.evaluate.doubt import doubt_of_pieces
from monitor.evaluate.reference import Reference
from monitor.evaluate.state import LaneDriftState
from monitor.events import StreamName
from monitor.panes.grid import Grid
from monitor.panes.merging import MergedPane

PANE_US, SERIES_US, ROW_US = 300.0, 5.0, 0.005
"""About what a pane takes, and for each series beside that, and for each series of each row of the trace, µs."""
SIGHT_ROWS = (1_000, 10_000)
"""Numbers of rows of which commands print how small a shift they reveal."""


class Asked(NamedTuple):
    """What the rules of a model ask of `drift`. `season_ms`: its season, or 0. `limits`: its z; shipped, or solved."""

    season_ms: int = 0
    limits: Limits = SHIPPED


AS_SHIPPED = Asked()


def asked_of(rules: ModelRules, stream: StreamName) -> Asked | None:
    """Return what rules ask of `drift` of a stream; None if no rule is about it."""
    if not asks_for_drift(rules, stream):
        return None
    solved = rules.solved.get(stream)
    limits = SHIPPED if solved is None or solved.limits is None else Limits(*solved.limits)
    return Asked(rules.season_ms, limits)


class LaneDrift:
    """`drift` of one lane. `moments`: those of its reference. `asked`: by the rules of its model."""

    def __init__(self, grid: Grid, reference: Reference, moments: Moments, asked: Asked) -> None:
        self._grid = grid
        self._reference = reference
        self._moments = moments
        self._asked = asked
        self._has_begun = False
        self._largest: float | None = None
        self._explained: Explanation | None = None
        """What has changed, once it was asked for behind the newest block."""

    @cached_property
    def _core(self) -> Drift:
        """The core, made when it is first used: that takes as long as thousands of panes."""
        return _core_of(self._grid, self._reference, self._moments, self._asked)

    def add(self, pane_start: int, pane: MergedPane) -> None:
        """Take a pane of the lane; `pane_start`: ms."""
        self._has_begun = True
        evidence = self._core.add(pane_start, pane.events, pane.counts, pane.codes)
        if evidence is not None:
            self._explained = None
            self._largest = max(evidence.value, self._largest or 0.0)

    def work_us(self, rows: int) -> float:
        """Return about what a pane takes, µs. `rows`: of its trace."""
        return PANE_US + len(self._grid.series) * (SERIES_US + ROW_US * rows)

    def take(self) -> float | None:
        """The largest value since the last call; None if no block has been completed."""
        largest, self._largest = self._largest, None
        return largest

    def explain(self) -> Explanation | None:
        """What has changed since when, as far as it can be seen now; None before the first block."""
        if self._has_begun and self._explained is None:
            self._explained = self._core.explain()
        return self._explained

    def doubt(self) -> str | None:
        """Why its values can't be trusted, in words; None if the reference is long enough."""
        return doubt_of_pieces(*self._core.pieces)

    def state(self) -> LaneDriftState:
        """All that later values depend on, beside grid and reference."""
        return LaneDriftState(self._core.state() if self._has_begun else None, self._largest)

    def restore(self, state: LaneDriftState) -> None:
        """Go on from there; of one that has taken nothing. Raises FormatError."""
        self._has_begun, self._largest = state.core is not None, state.largest
        if state.core is not None:
            self._core.restore(state.core)


def drift_of(grid: Grid, reference: Reference, asked: Asked) -> LaneDrift | None:
    """Return that of a lane from its first pane on; None if its reference has no moments."""
    return None if reference.moments is None else LaneDrift(grid, reference, reference.moments, asked)


class Sight(NamedTuple):
    """How small a shift the reference of a lane lets `drift` see.

    `shifts`: rows -> numeric series -> the shift that these rows reveal in half of the cases, in deviations of a normal
    column.
    """

    model: str
    stream: StreamName
    shifts: Mapping[int, Mapping[str, float]]


def sight_of(grid: Grid, reference: Reference, asked: Asked = AS_SHIPPED) -> Sight | None:
    """Return the sight of a lane with this reference; None if it has no moments, or no numeric column that varies."""
    if reference.moments is None:
        return None
    core, shifts = _core_of(grid, reference, reference.moments, asked), dict[int, dict[str, float]]()
    for rows in SIGHT_ROWS:
        named = zip((bins.name for bins in grid.numeric), core.smallest_shift(rows).tolist(), strict=True)
        shifts[rows] = {name: shift for name, shift in named if isfinite(shift)}
    return Sight(grid.model, grid.stream, shifts) if all(shifts.values()) else None


def _core_of(grid: Grid, reference: Reference, moments: Moments, asked: Asked) -> Drift:
    period, ranked = reference.rows_in(asked.season_ms), reference.ranked
    return Drift(grid, reference.total, reference.events, moments, asked.limits, period, ranked)
