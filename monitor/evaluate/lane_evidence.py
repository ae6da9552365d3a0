"""What the lanes of a model have to say of an alert: histogram, reference, and what has changed in it since when."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from monitor.config.metrics import DRIFT, METRICS
from monitor.drift.change import Explanation
from monitor.evaluate.alerts import AlertContext, Place
from monitor.evaluate.findings import NO_FINDINGS, Findings
from monitor.evaluate.lane import Lane
from monitor.evaluate.lifecycle import AlertState
from monitor.evaluate.model_alerts import Transition
from monitor.evaluate.named import by_importance
from monitor.evaluate.past_offsets import PastOffsets
from monitor.evaluate.performance import Performance
from monitor.evaluate.stream import StreamFold
from monitor.events import Change, Histogram, NamedColumn, Observation, ReferenceInfo, StreamName, Verdict

Lanes = Mapping[StreamName, Lane]
SINCE_CHANGE = "since the change"
"""Stands for the name of a window in messages of `drift`."""


class LaneEvidence:
    """That of one model. `lanes`, `performance`: give the present ones. `past`: offsets of its panes."""

    def __init__(
        self, model: str, lanes: Callable[[], Lanes], performance: Callable[[], Performance | None], past: PastOffsets
    ) -> None:
        self._model = model
        self._lanes = lanes
        self._performance = performance
        self._past = past
        self.importance: Mapping[str, float] = {}
        """How much columns matter, for their order."""

    def context(self, place: Place, alerts_yaml_sha256: str) -> AlertContext:
        """What messages say beside alerts."""
        found = self._histogram, self._reference, self.change, self._columns, self._doubt
        return AlertContext(place, alerts_yaml_sha256, *found)

    def find(self, verdict: Verdict) -> Findings:
        """What is known of the change behind a verdict."""
        explained, fold = self._explained(verdict), self._fold(verdict)
        if explained is None or fold is None:
            return NO_FINDINGS
        return Findings(explained.change.at, tuple(self._columns(verdict)), len(fold.grid.series))

    def with_rows(self, transition: Transition) -> Transition:
        """The same of an alert on `drift`, as one on the rows since its change."""
        alert, verdict = transition.alert, transition.alert.verdict
        explained, fold = self._explained(verdict), self._fold(verdict)
        if explained is None or fold is None:
            return transition
        start, end, topic = explained.change.at, transition.at, fold.stream.topic
        offsets = tuple(part for part in self._past.ranges(start, end) if part.topic == topic)
        rows = Observation(self._model, "", verdict.stream, SINCE_CHANGE, start, end, explained.rows, offsets, {}, {})
        return replace(transition, alert=replace(alert, verdict=replace(verdict, window=rows)))

    def _fold(self, verdict: Verdict) -> StreamFold | None:
        """Windows of the lane that a verdict is of; None if that lane has begun again since, and is not judged yet."""
        lane = self._lanes().get(verdict.stream)
        return None if lane is None else lane.judged_fold

    def _histogram(self, verdict: Verdict) -> Histogram | None:
        fold = self._fold(verdict)
        if fold is None or verdict.window is None or verdict.column is None:
            return None
        return fold.histogram(verdict.column, verdict.window.window)

    def _reference(self, verdict: Verdict) -> ReferenceInfo | None:
        if verdict.stream == "performance":
            performance = self._performance()
            return None if performance is None else performance.info
        fold, metric = self._fold(verdict), _metric(verdict)
        if fold is None or (verdict.column is None and metric != DRIFT):
            return None
        is_of_windows = METRICS[metric].subject != "detector" and metric != DRIFT
        return fold.measure.reference.info if is_of_windows else fold.reference.info

    def _doubt(self, alert: AlertState) -> str | None:
        """Why an alert is unverified; None if it can be trusted, or if its lane has begun again since."""
        fold = self._fold(alert.verdict)
        return None if fold is None else fold.doubt(alert.rule.comparison)

    def change(self, verdict: Verdict) -> Change | None:
        """The change in a lane, or that a detector has seen in outcomes; None of what does not violate any more."""
        explained, performance = self._explained(verdict), self._performance()
        if explained is not None:
            return explained.change
        newest = None if performance is None else performance.outcomes.newest
        is_seen = verdict.stream == "outcomes" and verdict.violated and _metric(verdict) == "change"
        return newest.change(verdict.column) if newest is not None and is_seen and verdict.column is not None else None

    def _columns(self, verdict: Verdict) -> Sequence[NamedColumn]:
        """The columns in which a lane has changed, by importance and drift."""
        explained, fold = self._explained(verdict), self._fold(verdict)
        if explained is None or fold is None:
            return ()
        return by_importance(explained.columns, self.importance, len(fold.grid.series))

    def _explained(self, verdict: Verdict) -> Explanation | None:
        """What has changed in the lane of a verdict on `drift` that is violated; None of all else."""
        fold = self._fold(verdict) if verdict.violated and _metric(verdict) == DRIFT else None
        return None if fold is None else fold.explain_drift()


def _metric(verdict: Verdict) -> str:
    return dict(verdict.labels)["metric"]
