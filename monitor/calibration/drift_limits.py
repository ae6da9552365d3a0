"""The limits of `drift` in one lane: each way of looking has a third of the lane's budget of false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monitor.calibration.alarms import Judged, Waits, peaks
from monitor.calibration.drawn import STREAM_BLOCKS, Sample, Stream, Traffic
from monitor.calibration.tail import solve
from monitor.drift.along import WAYS, evidence_along, panes_a_block
from monitor.drift.core import SHIPPED, Evidence, Limits
from monitor.events import Float64s

POWER = 2
"""The logarithm of the rate of a z of the normal distribution is nearly a line in z²."""


class DriftRule(NamedTuple):
    """The rule on `drift` that a lane's false alarms come from: `drift > threshold`."""

    threshold: float
    waits: Waits


class SolvedDrift(NamedTuple):
    """The limits; `is_extrapolated` if the data can't show as few alarms of one of the ways as the budget allows."""

    limits: Limits
    is_extrapolated: bool


@dataclass(frozen=True)
class DriftStreams:
    """What `drift` makes of streams that are drawn from a sample."""

    sample: Sample
    traffic: Traffic
    rule: DriftRule

    @property
    def rows(self) -> int:
        """Rows of a stream."""
        return STREAM_BLOCKS * self.rows_a_block

    @property
    def rows_a_block(self) -> int:
        """Rows of a block: whole panes."""
        rows = self.traffic.rows_a_pane
        return rows * panes_a_block(rows)

    def evidence(self, stream: Stream, limits: Limits = SHIPPED) -> Float64s:
        """The z over its limit behind each block, (blocks, 3)."""
        core = self.sample.core(stream.reference, limits)
        return evidence_along(
            core, self.sample.as_seen[stream.rows], self.traffic.rows_a_pane, self.traffic.rows_a_trace
        )

    def judged(self, evidence: Float64s) -> Judged:
        """The largest of the blocks that end between two judgements. `evidence`: (blocks,)."""
        at = self.traffic.judged_at((np.arange(len(evidence)) + 1) * self.rows_a_block)
        time, first = np.unique(at, return_index=True)
        return Judged(time, np.maximum.reduceat(evidence, first))

    def solve(self, evidence: Sequence[Float64s], rows_an_alarm: float) -> SolvedDrift:
        """The limits of one alarm in `rows_an_alarm` rows, from the evidence of streams at the shipped limits.

        A way that hardly ever gives any evidence keeps the shipped one.
        """
        allowed = len(evidence) * self.rows / rows_an_alarm / len(WAYS)
        levels, is_extrapolated = list[float](), False
        for way in range(len(WAYS)):
            found = solve([self.judged(one[:, way]) for one in evidence], self.rule.waits, allowed, POWER)
            levels.append(1.0 if found is None else found.level)
            is_extrapolated |= found is not None and found.is_extrapolated
        scaled = Evidence(*(level / self.rule.threshold for level in levels))
        return SolvedDrift(self.sample.core(self.sample.reference).limits_at(scaled), is_extrapolated)

    def alarms(self, evidence: Float64s) -> int:
        """How often the rule begins to fire, from the evidence of a stream at the solved limits."""
        return len(peaks(self.judged(evidence.max(axis=1)), self.rule.threshold, self.rule.waits))
