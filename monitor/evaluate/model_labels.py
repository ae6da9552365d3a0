"""The labels of one model: its performance, if the rules in use say that it has any, beside its lanes.

The model's fold calls it for each pane that it folds, or run of empty ones. From where a grid of the predictions counts
pairs are counted on it; the lane of outcomes opens behind the pane in which outcomes begin.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from monitor.config.resolved import ModelRules
from monitor.contract import ModelContract
from monitor.errors import FormatError
from monitor.evaluate.decisions import Decisions
from monitor.evaluate.labelled_reference import LabelledReference
from monitor.evaluate.model_lanes import ModelLanes
from monitor.evaluate.performance import Performance, stands_on
from monitor.evaluate.state import PerformanceState
from monitor.ledger.entries import Notice
from monitor.panes.keyed import KeyedRows
from monitor.panes.merging import MergedPane

_NEVER = 1 << 62


class ModelLabels:
    """Labels of one model, which may have none."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.performance: Performance | None = None
        self.rows = 0
        """Predictions and labels joined since this object was made."""

    def use(self, rules: ModelRules, contract: ModelContract) -> None:
        """Go on with labels as the rules have them: from nothing if they are joined by something else."""
        if rules.performance is None:
            self.performance = None
        elif self.performance is not None and self.performance.stands_on == stands_on(rules, contract):
            self.performance.use(rules, contract)
        else:
            self.performance = Performance(rules, contract)

    def forget(self) -> None:
        """The model is gone: what comes back begins from nothing."""
        self.performance = None

    @property
    def counters(self) -> Mapping[str, int]:
        """What has become of predictions and labels; nothing for a model without labels."""
        return {} if self.performance is None else self.performance.counters

    # ------------------------------------------------------------------ panes

    def begin(self, start: int, lanes: ModelLanes, decisions: Decisions) -> None:
        """Begin with the pane that begins there: pairs may have a grid from here on, and labels a reference."""
        if self.performance is None:
            return
        _count_on(self.performance, start, lanes, decisions)
        labelled = _labelled(start, lanes, decisions)
        if labelled is not None:
            self.performance.compare_with(labelled)
            lanes.follow_outcomes(self.performance.outcomes, decisions, start)

    def pass_over(self, keyed: Sequence[KeyedRows]) -> None:
        """Take keyed rows that came before the model's first pane."""
        if self.performance is not None:
            self.performance.pass_over(keyed)

    def fold(
        self, start: int, keyed: Sequence[KeyedRows], *, is_replay: bool
    ) -> tuple[MergedPane | None, Sequence[Notice]]:
        """Join the keyed rows of the pane that begins there; returns its outcomes, and what was left out."""
        if self.performance is None:
            return None, ()
        self.rows += sum(map(len, keyed))
        found = self.performance.fold(start, keyed)
        if is_replay:  # nothing is written
            self.performance.forget_bytes(self.performance.blocks())
        return found

    def end(self, at: int, lanes: ModelLanes, decisions: Decisions) -> None:
        """The panes before `at` (ms) are folded: let the lane of outcomes open there, or have its reference."""
        if self.performance is not None:
            lanes.follow_outcomes(self.performance.outcomes, decisions, at)

    def next_stop(self, start: int, following: int, lanes: ModelLanes) -> int | None:
        """The begin (ms) of the first pane behind `start` that may not be passed over in a run of empty ones.

        `following`: the begin of the one behind it, ms.
        """
        if self.performance is None:
            return None
        opens = lanes.opens_outcomes(self.performance.outcomes)
        return following if opens else self.performance.next_stop(start)

    # ------------------------------------------------------------------ state

    def blocks(self) -> Mapping[str, bytes | None]:
        """Predictions and labels as parts that are written once; None: it is written."""
        return {} if self.performance is None else self.performance.blocks()

    def forget_bytes(self, names: Collection[str]) -> None:
        """These parts are written."""
        if self.performance is not None:
            self.performance.forget_bytes(names)

    def state(self) -> PerformanceState | None:
        """All that later messages depend on, beside the decisions in use."""
        return None if self.performance is None else self.performance.state()

    def restore(
        self,
        state: PerformanceState | None,
        blocks: Mapping[str, bytes],
        start: int | None,
        lanes: ModelLanes,
        decisions: Decisions,
    ) -> None:
        """Go on from there, and open the lane of outcomes if it was. Raises FormatError.

        `start`: where the next pane begins, ms; None before the first.
        """
        if (self.performance is None) != (state is None):
            raise FormatError(f"not a snapshot: {self._model} has labels by its rules or by its state, and not by both")
        if self.performance is None or state is None or start is None:
            return
        self.performance.restore(state, decisions.grids.values(), blocks)
        _count_on(self.performance, start - 1, lanes, decisions)
        self.performance.outcomes.restore(state.outcomes)
        labelled = _labelled(start - 1, lanes, decisions) if state.labelled else None
        if labelled is not None and labelled.digest == state.labelled:
            self.performance.take_up(labelled)
        lanes.follow_outcomes(self.performance.outcomes, decisions, start)


def _labelled(start: int, lanes: ModelLanes, decisions: Decisions) -> LabelledReference | None:
    """The labelled rows of a file that the pane is compared with that begins there, if there are any."""
    predictions, outcomes = lanes.by_stream.get("predictions"), lanes.by_stream.get("outcomes")
    labelled = None if outcomes is None else decisions.labelled.get(outcomes.contract)
    if labelled is None or predictions is None or outcomes is None:
        return None
    grid = decisions.grids.get(predictions.contract)
    is_fit = grid is not None and labelled.fits(grid, decisions.lanes[outcomes.contract][1])
    return labelled if is_fit and decisions.references_from[outcomes.contract] <= start else None


def _count_on(performance: Performance, start: int, lanes: ModelLanes, decisions: Decisions) -> None:
    """Count pairs on the grid of the predictions, once a pane is reached for which it counts."""
    lane, outcomes = lanes.by_stream.get("predictions"), lanes.by_stream.get("outcomes")
    if lane is None or outcomes is None or lane.contract not in decisions.grids:
        return
    if decisions.references_from.get(lane.contract, _NEVER) <= start:
        performance.use_grid(decisions.grids[lane.contract])
        performance.outcomes.use(decisions.lanes[outcomes.contract][1], decisions.grids[lane.contract])
