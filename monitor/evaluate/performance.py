"""Labels of one model: the join of its predictions with them, and what that says of the model's performance.

Two views come of it: *outcomes*, in the order in which labels come, for detectors; and *windows* by the time of the
prediction, whose metrics change as labels come in. A rule on performance is judged on the newest window that has enough
labels, and is complete enough for it; and again when that window's counts have changed.

The fold of a pane takes its keyed rows; at judgements rules ask for windows that have moved. Both depend on the ledger
alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from monitor.codec.counts import unpack_counts
from monitor.config.inputs import InputRefused, resolve_inputs
from monitor.config.metrics import Task
from monitor.config.resolved import ModelRules, PerformanceSpec
from monitor.contract import ModelContract
from monitor.errors import FormatError
from monitor.evaluate.cohort_pairs import CohortPairs
from monitor.evaluate.join import Join
from monitor.evaluate.join_values import Closing, JoinSpec
from monitor.evaluate.keyed_panes import Coding
from monitor.evaluate.labelled_reference import LabelledReference
from monitor.evaluate.outcomes import Outcomes
from monitor.evaluate.performance_reference import (
    PerformanceReference,
    first_complete,
    make_reference,
    reference_of_file,
)
from monitor.evaluate.state import (
    PerformanceState,
)
from monitor.evaluate.window_views import MovedWindows, WindowViews
from monitor.events import Observation, ReferenceInfo
from monitor.ledger.entries import Notice
from monitor.panes.grid import Grid
from monitor.panes.keyed import KeyedRows
from monitor.panes.merging import MergedPane

MOST_COHORTS = 1 << 14
"""Cohorts that wait for a reference to be made of them at most; labels may never come, or too few."""
HELD = ("pending", "waiting")
"""Counters of what is held now; all others only grow."""


class Performance:
    """Predictions and labels of one model. `rules`, `contract`: those in use; `rules.performance` is there."""

    def __init__(self, rules: ModelRules, contract: ModelContract) -> None:
        spec = _spec_of(rules)
        self._model = rules.model
        self._task: Task = rules.task
        self._pane_ms = contract.pane_ms
        self.stands_on = stands_on(rules, contract)
        self._coding = Coding(rules.task, spec.positive, spec.threshold)
        self._join = Join(_join_spec(spec, contract.pane_ms, self._coding.is_regression))
        self._pairs = CohortPairs(rules.task, spec.tolerance)
        self.outcomes = Outcomes(rules.model, rules.task, contract.raw_rows)
        self.wanted = contract.raw_rows
        """Labels of the reference."""
        self.reference: PerformanceReference | None = None
        self._labelled: LabelledReference | None = None
        """What the reference was made of, if that is a file."""
        self.last_label: int | None = None
        """Time of the newest label, ms."""
        self.views = WindowViews(self._model, self._join, self._pairs, self._coding)
        self.use(rules, contract)

    def use(self, rules: ModelRules, contract: ModelContract) -> None:
        """Go on by new rules, which stand on the same (`stands_on`): all are judged again."""
        self._spec = _spec_of(rules)
        self._join.use(_join_spec(self._spec, self._pane_ms, self._coding.is_regression))
        self.outcomes.keep_newest(_reads_outcomes(rules, contract), self._pane_ms)
        self.views.use(self._spec, rules)

    # ------------------------------------------------------------------ panes

    def use_grid(self, grid: Grid) -> None:
        """Count pairs on a grid of the predictions; a reference that stood on another one is gone with it."""
        if self._pairs.grid is not None and self._pairs.grid.digest == grid.digest:
            return
        if self._pairs.grid is not None:
            self.reference = self._labelled = None
        live = [cohort.number for cohort in self._join.cohorts if cohort.closed is None]
        behind = self._join.cohorts[-1].number + 1 if self._join.cohorts else 0
        self._pairs.use(grid, len(self._coding.classes), self._join.live_pairs(), min(live, default=behind))
        self.views.change()

    def compare_with(self, labelled: LabelledReference) -> None:
        """Compare with labelled rows of a file from the next pane on; they stand on the grid in use."""
        if labelled is not self._labelled:
            self.take_up(labelled)
            self.views.judge_again()

    def take_up(self, labelled: LabelledReference) -> None:
        """Go on comparing with labelled rows of a file."""
        if self._pairs.grid is None or self.outcomes.grid is None:
            raise ValueError("labelled rows without the grid that they stand on")
        self._labelled = labelled
        self.reference = reference_of_file(labelled, self._pairs.grid, self._coding)
        self.outcomes.refer(labelled.reference_of_outcomes(self.outcomes.grid))

    def fold(self, start: int, keyed: Iterable[KeyedRows]) -> tuple[MergedPane | None, list[Notice]]:
        """Fold the keyed rows of the pane that starts there: returns its outcomes, and what was left out.

        Of panes without rows, the first that starts at or behind `next_closing` has to be folded.
        """
        parts, closing = list(keyed), self._join.next_closing()
        if not parts and (closing is None or start < closing):
            self._look_for_references(start + self._pane_ms)
            return None, []
        predictions = self._coding.predictions(part for part in parts if part.stream == "predictions")
        labels = self._coding.labels(part for part in parts if part.stream == "labels")
        if len(labels.time):
            self.last_label = max(int(labels.time.max()), self.last_label or int(labels.time.max()))
        joined = self._join.fold(start, predictions, labels)
        self._pairs.take(joined, len(self._coding.classes))
        outcomes = None
        if self.outcomes.has_begun and self._pairs.layout is not None:
            layout, names = self._pairs.layout, self._coding.classes
            outcomes = self.outcomes.pane(start, self._pane_ms, joined, layout, names)
        if joined.opened is not None or joined.closed or len(joined.added.cohort) or len(predictions.ids):
            self.views.change()
        self._look_for_references(start + self._pane_ms)
        return outcomes, [self._notice(closing, start) for closing in joined.closed if closing.needed is not None]

    def next_stop(self, start: int) -> int | None:
        """The begin (ms) of the first pane behind `start` that may not be passed over in a run of empty ones."""
        closing = self._join.next_closing()
        stops = [] if closing is None else [-(-max(closing, start + 1) // self._pane_ms) * self._pane_ms]
        cohorts = self._join.cohorts
        last = cohorts[-1].end or cohorts[-1].start if cohorts else None
        if last is not None:  # with that pane the newest cohort may be complete
            stops.append(-(-last // self._pane_ms) * self._pane_ms - self._pane_ms)
            stops += self.views.next_ends(start, last, self._pane_ms)
        return min((stop for stop in stops if stop > start), default=None)

    def pass_over(self, keyed: Iterable[KeyedRows]) -> None:
        """Count the labels among keyed rows that came before the model's first pane: they meet no prediction."""
        self._join.counters["unmatched"] += sum(len(part) for part in keyed if part.stream == "labels")

    def _look_for_references(self, now: int) -> None:
        """Begin with outcomes, and take the reference, if enough is complete at the end of a pane, `now`."""
        if self.outcomes.has_begun and self.reference is not None:
            return
        complete = first_complete(self._join.cohorts, self._spec.mature, now)
        self.outcomes.has_begun = self.outcomes.has_begun or bool(complete)
        if self.reference is None:
            self.reference = make_reference(complete, self._pairs, self.wanted, now)
            if self.reference is not None:
                self.views.judge_again()

    def _notice(self, closing: Closing, start: int) -> Notice:
        needed, kept = closing.needed or 0, 1
        while needed > self._spec.pending * kept:
            kept *= 2
        text = (
            f"{self._model}: more than {self._spec.pending} predictions wait for labels, so the oldest are no longer "
            f"joined; streams: {{labels: {{sample: 1/{kept}}}}} would keep a share of the ids to the end of max_delay"
        )
        end = start + self._pane_ms
        return Notice(self._model, "CardinalityLimited", end, "predictions", 0, (("bound", "pending"),), text)

    # ------------------------------------------------------------------ judgements

    def observations(self, at: int) -> list[Observation]:
        """Windows that have come further since the last call; at the pane end `at`, ms."""
        self.views.reach(at)
        found = self.views.observations()
        self.views.forget(MOST_COHORTS if self.reference is None else 0)
        return found

    def take_moved(self) -> MovedWindows:
        """Take the windows that rules are to be judged on: those that have moved since the last call."""
        return self.views.take_moved(self.spread, self.reference_end)

    @property
    def reference_end(self) -> int | None:
        """The end (ms) of the cohorts that the reference was made of; None if it was not made of cohorts."""
        return None if self.reference is None or self._labelled is not None else self.reference.end

    @property
    def reference_labels(self) -> int:
        """How many labels the first complete cohorts have."""
        complete = first_complete(self._join.cohorts, self._spec.mature, self.views.to_ms)
        return sum(cohort.labelled for cohort in complete)

    def spread(self, metric: str, labels: int) -> tuple[float, float] | None:
        """reference_mean and reference_std of a metric in windows with that many labels; None without a reference."""
        if self.reference is None or self._pairs.layout is None:
            return None
        return self.reference.spread(metric, self._pairs.layout, labels)

    @property
    def info(self) -> ReferenceInfo | None:
        """What messages say of the reference."""
        return None if self.reference is None else self.reference.info

    @property
    def counters(self) -> Mapping[str, int]:
        """What has become of predictions and labels so far."""
        unusable = {f"unusable_{name}": number for name, number in self._coding.unusable.items()}
        return {**self._join.counters, **unusable, "pending": self._join.pending, "waiting": self._join.waiting}

    # ------------------------------------------------------------------ state

    def blocks(self) -> Mapping[str, bytes | None]:
        """The rows that wait, as parts that are written once."""
        return self._join.blocks()

    def forget_bytes(self, names: Iterable[str]) -> None:
        """These parts are written."""
        self._join.forget_bytes(names)

    def state(self) -> PerformanceState:
        """All that later messages depend on, beside rules and grid."""
        unusable = self._coding.unusable
        return PerformanceState(
            spec=self.stands_on,
            grid="" if self._pairs.grid is None else self._pairs.grid.digest,
            join=self._join.state(),
            classes=tuple(self._coding.classes),
            unusable=(unusable["predictions"], unusable["labels"]),
            pairs=self._pairs.state(),
            reference=None if self.reference is None or self._labelled is not None else self.reference.state(),
            labelled="" if self._labelled is None else self._labelled.digest,
            published=self.views.published(),
            judged=self.views.judged(),
            outcomes=self.outcomes.state(),
            last_label=self.last_label,
            to_ms=self.views.to_ms,
        )

    def restore(self, state: PerformanceState, grids: Iterable[Grid], blocks: Mapping[str, bytes]) -> None:
        """Go on from there; `outcomes` restore themselves. `grids`: those that there were. Raises FormatError."""
        if state.spec != self.stands_on:
            raise FormatError(f"not a snapshot: labels of {self._model} are joined by another configuration")
        self._coding.restore(state.classes, state.unusable)
        self._join.restore(state.join, blocks)
        grid = next((grid for grid in grids if grid.digest == state.grid), None)
        if state.grid and grid is None:
            raise FormatError(f"not a snapshot: pairs of {self._model} are counted on a grid that is not there")
        self._pairs.restore(state.pairs, grid, len(state.classes))
        if state.reference is not None:
            of = state.reference
            slices = [unpack_counts(counts, width) for width, counts in of.slices]
            self.reference = PerformanceReference(of.start, of.end, of.labels, slices)
        self.last_label = state.last_label
        self.views.restore(state.published, state.judged, state.to_ms)


def _spec_of(rules: ModelRules) -> PerformanceSpec:
    if rules.performance is None:
        raise FormatError(f"the rules of {rules.model} say nothing of labels")
    return rules.performance


def _join_spec(spec: PerformanceSpec, pane_ms: int, is_regression: bool) -> JoinSpec:
    events = None if spec.step_ms is not None else spec.step
    return JoinSpec(pane_ms, spec.step_ms, events, spec.max_delay_ms, spec.max_early_ms, spec.pending, is_regression)


def _reads_outcomes(rules: ModelRules, contract: ModelContract) -> bool:
    """Return true if a detector reads outcomes."""
    for spec in rules.detectors:
        try:
            if any(one.stream == "outcomes" for one in resolve_inputs(spec, contract)):
                return True
        except InputRefused:
            continue
    return False


def stands_on(rules: ModelRules, contract: ModelContract) -> str:
    """Name what the join and its pairs stand on: with another one of these they start again."""
    spec = _spec_of(rules)
    parts = (
        rules.task,
        contract.pane_ms,
        spec.positive,
        spec.threshold,
        spec.tolerance,
        contract.raw_rows,
        contract.life,
        [(stream.keys, stream.columns) for stream in contract.streams if stream.keys is not None],
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
