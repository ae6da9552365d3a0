"""The z of rules with a calibrated threshold, reference_mean + z * reference_std, in one lane.

Drawn streams go through the windows, scores and spreads that the service has (`evaluate/stream.py`, `rules.py`): what a
rule judges there, its value less reference_mean in reference_std, is the z that it would need to fire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from monitor.calibration.alarms import Judged, Waits, peaks
from monitor.calibration.drawn import Sample, Stream, Traffic
from monitor.calibration.tail import solve
from monitor.config.comparison import Calibrated
from monitor.config.resolved import ModelRules, Rule
from monitor.contract import ModelContract, StreamContract
from monitor.evaluate.rules import Judgement, RuleSet
from monitor.evaluate.stream import StreamFold
from monitor.events import OffsetRange, StreamName, Verdict
from monitor.panes.merging import MergedPane

POWER = 1
"""Divergences are sums of squares, so the logarithm of the rate of their z is nearly a line in z."""
WITHOUT = 6.0
"""z of a rule whose series hardly ever leave their mean: at 0 the first that does would be an alarm."""
_ABOVE = (">", ">=")

Series = tuple[int, tuple[tuple[str, str], ...]]
"""The number of a rule, and the labels of what it judges."""


class SolvedRule(NamedTuple):
    """The z of a rule; `is_extrapolated` if the data can't show as few alarms as its rate allows."""

    z: float
    is_extrapolated: bool


@dataclass(frozen=True)
class RuleStreams:
    """What rules make of streams that are drawn from a sample.

    `rules`: those with a calibrated threshold. `rows`: of a stream.
    """

    sample: Sample
    traffic: Traffic
    contract: ModelContract
    stream: StreamContract
    rules: ModelRules
    rows: int

    @cached_property
    def _unit_rules(self) -> ModelRules:
        """The rules with the threshold reference_mean + reference_std."""
        of_one = tuple(_with_unit_threshold(rule) for rule in self.rules.rules)
        return self.rules.model_copy(update={"rules": of_one, "detectors": (), "window": of_one[0].window})

    def judged(self, drawn: Stream) -> dict[Series, Judged]:
        """The z of each series at the judgements that it has a verdict at, as the rule's `>` would see it."""
        fold = StreamFold(self.contract, self.stream, self.sample.grid, drawn.reference)
        fold.use(self._unit_rules, self.contract)
        rules, found = RuleSet(self._unit_rules), dict[Series, list[tuple[int, float, float | None]]]()
        number = {(rule.alert, rule.group): k for k, rule in enumerate(self.rules.rules)}
        rows, pane_ms, name = self.traffic.rows_a_pane, self.traffic.pane_ms, self.stream.stream
        for start in range(0, len(drawn.rows) - rows + 1, rows):
            places = drawn.rows[start : start + rows]
            index = start // rows
            fold.add((index + 1) * pane_ms, self._pane(index, places))
            if (index + 1) * pane_ms % self.traffic.interval_ms:
                continue
            at = (index + 1) * pane_ms
            for rule, verdict in rules.judge(self._judgement(fold, at, name)):
                z = _z(verdict, verdict.value)
                if z is not None:
                    key = number[rule.alert, rule.group], verdict.labels
                    found.setdefault(key, []).append((at, z, _z(verdict, verdict.recovery_threshold)))
        return {key: _series(values) for key, values in found.items()}

    def _pane(self, index: int, places: np.ndarray) -> MergedPane:
        """A pane of these rows of the sample."""
        layout, codes = self.sample.grid.layout, self.sample.as_seen[places]
        counts = layout.count(codes)
        layout.add_units(counts, self.sample.units[places])
        layout.normalise(counts)
        first = index * len(places)
        offsets = (OffsetRange(self.stream.topic, 0, first, first + len(places)),)
        return MergedPane(
            index, len(places), None, counts, codes[:0], offsets, tuple({} for _ in self.sample.grid.categorical)
        )

    def _judgement(self, fold: StreamFold, at: int, name: StreamName) -> Judgement:
        observations = {(name, window): seen for window, seen in fold.observations().items()}
        moved = {(name, window) for window in fold.take_moved(-1)}
        rows = {name: fold.reference.events}

        def spreads(
            _: StreamName, metric: str, columns: Sequence[str], events: int
        ) -> Mapping[str, tuple[float, float]]:
            return fold.spreads(metric, columns, events)

        return Judgement(at, observations, moved, {}, {}, {}, spreads, rows)

    def solve(self, streams: Sequence[Mapping[Series, Judged]], rows_an_alarm: Sequence[float]) -> list[SolvedRule]:
        """The z of each rule with which one alarm comes in `rows_an_alarm` rows, over all that it judges."""
        solved = []
        for number, (rule, rows) in enumerate(zip(self.rules.rules, rows_an_alarm, strict=True)):
            own = [judged for stream in streams for (n, _), judged in stream.items() if n == number]
            found = solve(own, waits_of(rule), len(streams) * self.rows / rows, POWER)
            level = WITHOUT if found is None else found.level
            sign = 1.0 if rule.comparison.op in _ABOVE else -1.0
            solved.append(SolvedRule(sign * level, found is None or found.is_extrapolated))
        return solved

    def alarms(self, stream: Mapping[Series, Judged], solved: Sequence[SolvedRule]) -> list[int]:
        """How often each rule begins to fire in a stream."""
        counts = [0] * len(solved)
        for (number, _), judged in stream.items():
            counts[number] += len(peaks(judged, abs(solved[number].z), waits_of(self.rules.rules[number])))
        return counts


def waits_of(rule: Rule) -> Waits:
    """How long an alert of a rule waits before it fires and before it resolves."""
    return Waits(rule.for_ms, rule.keep_firing_for_ms, rule.for_windows)


def _with_unit_threshold(rule: Rule) -> Rule:
    """Return the rule with the threshold reference_mean + reference_std."""
    if rule.comparison.rate is None:
        raise ValueError(f"{rule.alert} is not calibrated")
    of_one = replace(rule.comparison, right=Calibrated(rule.comparison.rate, 1.0))
    return rule.model_copy(update={"comparison": of_one, "under": None})


def _z(verdict: Verdict, value: float | None) -> float | None:
    """Return how many deviations a value is beyond the mean, on the side that violates; None without a deviation."""
    mean = verdict.reference_mean
    if mean is None or value is None or verdict.threshold == mean:
        return None
    z = (value - mean) / (verdict.threshold - mean)
    return z if verdict.op in _ABOVE else -z


def _series(values: list[tuple[int, float, float | None]]) -> Judged:
    time, value, recovery = zip(*values, strict=True)
    lasting = None if recovery[0] is None else np.array(recovery)
    return Judged(np.array(time, dtype=np.int64), np.array(value), lasting)
