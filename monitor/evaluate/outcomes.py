"""The lane of outcomes: predictions whose first label has come, in the order in which labels came.

Its grid follows from that of the predictions and the task, so no row of it has to come before. If the reference of the
model is a file that has labels, the lane begins with the model. Else it begins with the pane behind the one in which
the first cohort has become complete: labels that come fast are unlike slow ones, and until then there are only such.
Detectors start there; the first rows of whole panes that are enough become the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from monitor.codec.counts import pack_counts, unpack_counts
from monitor.config.metrics import Task
from monitor.contract import StreamContract
from monitor.drift.moments import Moments, moments_of, pack_moments, unpack_moments
from monitor.drift.scores import ScoreTables
from monitor.errors import FormatError
from monitor.evaluate.join_values import Joined
from monitor.evaluate.newest_outcomes import NewestOutcomes
from monitor.evaluate.reference import Reference, ReferenceSlice
from monitor.evaluate.state import OutcomesState
from monitor.events import CellState, Codes, Float64s, Int64s, Rows, TopicPartition
from monitor.panes import heavy
from monitor.panes.grid import CategoryBins, Grid
from monitor.panes.merging import MergedPane
from monitor.panes.numeric_bins import NumericBins, make_binary_bins, make_numeric_bins
from monitor.panes.on_grid import OnGrid, encoded
from monitor.stats.performance import OTHER, PairLayout, Pairs

MOST_SLICES = 24
ORIGIN = "first outcomes"
_TP = TopicPartition("outcomes", 0)
_ERRORS = 8
"""Spreads of the predictions up to which the bins of a regression's loss are even."""
TRACE_POINTS = 1 << 16
"""Most outcomes of a pane that detectors read."""
_LONGEST_DELAY = 40
"""Delays up to 2**40 seconds have bins."""


def outcomes_grid(task: Task, contract: StreamContract, grid: Grid) -> Grid:
    """Return the grid of outcomes. `contract`: theirs; `grid`: of the predictions."""
    of_predictions = {bins.name: bins for bins in grid.numeric}
    numeric = [_numeric(name, task, of_predictions) for name in contract.numeric_series]
    known = {bins.name: bins.values for bins in grid.categorical}
    classes = ("0", "1") if task == "classification_binary" else known.get("prediction", ())
    categorical = [CategoryBins(name, classes, len(classes), len(classes), 0) for name in contract.categorical_series]
    return Grid(grid.model, "outcomes", tuple(numeric), tuple(categorical))


def _numeric(name: str, task: Task, of_predictions: dict[str, NumericBins]) -> NumericBins:
    if name == "error":
        return make_binary_bins(name)
    if name == "label":
        return replace(of_predictions["prediction"], name=name)
    if name == "label_delay_seconds":
        return make_numeric_bins(name, _delays())
    if task == "regression":
        spread = of_predictions["prediction"].spread
        return make_numeric_bins(name, np.linspace(0.0, _ERRORS, 4097) * spread)
    if task == "classification_binary" and "probability" in of_predictions:
        scores = of_predictions["probability"].positions
        scores = scores[(scores >= 0) & (scores <= 1)]
        return make_numeric_bins(name, np.concatenate([scores, 1.0 - scores]))
    return make_binary_bins(name)


def _delays() -> Float64s:
    """Seconds whose distances grow with them: eight to an octave."""
    octaves = np.ldexp(1.0, np.arange(_LONGEST_DELAY))
    delays: Float64s = octaves[:, np.newaxis] * np.linspace(1.0, 1.875, 8)
    return delays.ravel()


def outcome_rows(
    model: str, contract: StreamContract, pairs: Pairs, delay: Float64s, layout: PairLayout, names: Sequence[str]
) -> Rows:
    """Outcomes as rows, which keep their order; all at the time 0. `delay`: s, NaN where it is unknown."""
    errors, n = layout.errors(pairs), len(pairs)
    values = {
        "error": np.zeros(n) if errors is None else errors,
        "loss": layout.losses(pairs),
        "label": pairs.truth.astype(np.float64),
        "label_delay_seconds": delay,
    }
    numeric = np.stack([values[name] for name in contract.numeric_series], axis=1)
    classes = contract.categorical_series
    labels = ["other" if one == OTHER else names[one] for one in pairs.truth.tolist()] if classes else []
    return Rows(
        model,
        "outcomes",
        "",
        np.arange(n, dtype=np.int64),
        np.zeros(n, dtype=np.int32),
        np.zeros(n, dtype=np.int64),
        numeric,
        np.where(np.isnan(numeric), CellState.ABSENT, CellState.VALID).astype(np.uint8),
        (labels,) if classes else (),
        np.zeros((n, len(classes)), dtype=np.uint8),
    )


class Outcomes:
    """Outcomes of one model. `wanted`: rows of the reference."""

    def __init__(self, model: str, task: Task, wanted: int) -> None:
        self._model = model
        self._task = task
        self._wanted = wanted
        self.has_begun = False
        """True once the first cohort has become complete: what comes from the next pane on is an outcome."""
        self._number = 0
        self._slices: list[tuple[int, int, int, Int64s]] = []
        self._codes: list[Codes] = []
        """Rows of the reference as long as it is not made: what they have in common shows in them alone."""
        self.grid: Grid | None = None
        self._contract: StreamContract | None = None
        self._stands_on: tuple[StreamContract, str] | None = None
        self.newest: NewestOutcomes | None = None
        """The newest outcomes, if a detector reads some: what a change is looked for in."""
        self.reference: Reference | None = None
        """What windows are compared with: of no rows until enough have come."""
        self._is_given = False

    def use(self, contract: StreamContract, grid: Grid) -> None:
        """Stand on a grid of predictions; if it is another one, outcomes begin again."""
        if (contract, grid.digest) != self._stands_on:
            self._stands_on = contract, grid.digest
            self.grid, self._contract = outcomes_grid(self._task, contract, grid), contract
            self._slices, self._codes, self._is_given = [], [], False
            self.reference = self._made()

    def keep_newest(self, are_read: bool, pane_ms: int) -> None:
        """Keep the newest outcomes if a detector reads some, from here on."""
        if not are_read:
            self.newest = None
        elif self.newest is None:
            self.newest = NewestOutcomes(pane_ms)

    def refer(self, reference: Reference) -> None:
        """Begin with a reference that is given, on the grid in use."""
        self.has_begun = self._is_given = True
        self._slices, self._codes, self.reference = [], [], reference

    @property
    def rows(self) -> int:
        """How many have come for the reference."""
        return sum(one[0] for one in self._slices)

    def pane(
        self, start: int, pane_ms: int, joined: Joined, layout: PairLayout, names: Sequence[str]
    ) -> MergedPane | None:
        """Return the outcomes of a pane; None without any. `names`: of the classes."""
        if self.grid is None or self._contract is None or not joined.is_first.any():
            return None
        first = joined.is_first
        pairs = Pairs(joined.added.truth[first], joined.added.prediction[first], joined.added.probability[first])
        delay = np.maximum(joined.label_time[first] - joined.prediction_time[first], 0) / 1000.0
        if self.newest is not None:
            self.newest.add(joined.prediction_time[first], layout.errors(pairs), layout.losses(pairs))
        rows = outcome_rows(self._model, self._contract, pairs, delay, layout, names)
        rows = replace(rows, offset=rows.offset + self._number, time=np.full(len(rows), start, dtype=np.int64))
        self._number += len(rows)
        kept = OnGrid(self.grid, TRACE_POINTS)
        kept.add(encoded(self.grid, rows, _TP))
        unknown = tuple(heavy.merged((column,)) for column in kept.unknown)
        codes, _ = kept.trace()
        pane = MergedPane(start // pane_ms, len(rows), None, kept.counts(0), codes, (), unknown)
        self._collect(start, start + pane_ms, pane)
        return pane

    # ------------------------------------------------------------------ the reference

    @property
    def lacks_rows(self) -> bool:
        """Return true until the reference has its rows."""
        return not self._is_given and self.rows < self._wanted

    def _collect(self, start: int, end: int, pane: MergedPane) -> None:
        if not self.lacks_rows:
            return
        self._codes.append(pane.codes)
        last = self._slices[-1] if self._slices else None
        if last is None or last[0] * MOST_SLICES >= self._wanted:
            self._slices.append((pane.events, start, end, pane.counts))
        else:
            self._slices[-1] = (last[0] + pane.events, last[1], end, last[3] + pane.counts)

    def make_reference(self) -> None:
        """Make the reference of the rows that have come, once they are enough."""
        is_due = not self.lacks_rows and self.reference is not None and not self.reference.events
        if is_due and self.grid is not None:
            total = np.sum([counts for _, _, _, counts in self._slices], axis=0)
            self.reference = self._made(moments_of(ScoreTables(self.grid, total), self._codes))
            self._codes = []

    def _made(self, moments: Moments | None = None) -> Reference | None:
        """The reference of the rows, if they are enough; else one without rows."""
        if self.grid is None:
            return None
        width, slices = self.grid.layout.width, self._slices
        if self.lacks_rows or not slices:
            none = ReferenceSlice(0, None, None, pack_counts(np.zeros(width, dtype=np.int64)))
            return Reference(self._model, "outcomes", self.grid.digest, width, ORIGIN, (none,))
        packed = tuple(ReferenceSlice(n, start, end, pack_counts(counts)) for n, start, end, counts in slices)
        return Reference(self._model, "outcomes", self.grid.digest, width, ORIGIN, packed, moments=moments)

    # ------------------------------------------------------------------ state

    def state(self) -> OutcomesState:
        """All of it, beside the grid."""
        is_made = not self._is_given and self.reference is not None and self.reference.events > 0
        slices = tuple((n, start, end, pack_counts(counts)) for n, start, end, counts in self._slices)
        newest = None if self.newest is None else self.newest.state()
        codes = b"".join(part.astype("<u2").tobytes() for part in self._codes)
        moments = self.reference.moments if is_made and self.reference is not None else None
        packed = None if moments is None else pack_moments(moments)
        return OutcomesState(self.has_begun, self._number, slices, is_made, newest, codes, packed)

    def restore(self, state: OutcomesState) -> None:
        """Go on from there, once the grid is known; raises FormatError."""
        self.has_begun, self._number = state.has_begun, state.number
        width = 0 if self.grid is None else self.grid.layout.width
        self._slices = [(n, start, end, unpack_counts(counts, width)) for n, start, end, counts in state.slices]
        if self.newest is not None and state.newest is not None:
            self.newest.restore(state.newest)
        series = 0 if self.grid is None else len(self.grid.series)
        if len(state.codes) % (2 * max(series, 1)):
            raise FormatError("not a snapshot: its outcomes are of another grid")
        if state.codes:
            self._codes = [np.frombuffer(state.codes, dtype="<u2").astype(np.uint16).reshape(-1, series)]
        if state.has_reference:
            self.reference = self._made(None if state.moments is None else unpack_moments(state.moments, series))
