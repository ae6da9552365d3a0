"""What the lock says of one model: its lanes that have a budget, solved on drawn streams, and tried on others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite

from scipy.stats import chi2

from monitor.calibration.alarms import Waits
from monitor.calibration.drawn import Sample, Stream, Traffic, streams
from monitor.calibration.drift_limits import DriftRule, DriftStreams
from monitor.calibration.rule_thresholds import RuleStreams, waits_of
from monitor.config.lock import (
    Achieved,
    Lane,
    Limits,
    LockedDrift,
    LockedLane,
    LockedModel,
    LockedThreshold,
    rules_digest,
)
from monitor.config.locking import solved_lanes
from monitor.config.metrics import DRIFT
from monitor.config.resolved import ModelConfig, Rule
from monitor.errors import ConfigurationError
from monitor.stats.exact import significant

SOLVED_ON, TRIED_ON = 24, 12
"""Drawn streams that limits are solved on, and those that they are tried on."""
SIGHT_ROWS = 1_000
_INTERVAL = (0.025, 0.975)

Advance = Callable[[], None]
"""Called after each drawn stream."""


def lanes_to_solve(model: ModelConfig) -> tuple[Lane, ...]:
    """Return the lanes of a model that have a budget; raises ConfigurationError for what has no reference to draw."""
    found: set[Lane] = set()
    for rule in _solved_rules(model):
        own = solved_lanes(rule, model.contract)
        if "outcomes" in own:
            raise ConfigurationError(
                f"{model.contract.model}: {rule.alert} is about outcomes alone, whose reference comes with labels:"
                " it can't be calibrated"
            )
        found.update(own)
    return tuple(sorted(found))


def _solved_rules(model: ModelConfig) -> list[Rule]:
    return [rule for rule in model.rules.rules if rule.comparison.rate is not None or _is_drift(model, rule)]


def _is_drift(model: ModelConfig, rule: Rule) -> bool:
    return model.rules.budget is not None and rule.comparison.metric == DRIFT


@dataclass(frozen=True)
class LaneCalibration:
    """One lane of a model, and the rows of its reference."""

    model: ModelConfig
    lane: Lane
    sample: Sample

    @cached_property
    def traffic(self) -> Traffic:
        """How rows come, as the reference has it; raises ConfigurationError without times."""
        first, last = self.sample.reference.slices[0].first_time, self.sample.reference.slices[-1].last_time
        if first is None or last is None or last <= first:
            raise ConfigurationError(
                f"{self.model.contract.model}/{self.lane}: the rows of the reference have no times, by which a budget"
                " becomes rows and panes: give it rows with times"
            )
        contract, rules = self.model.contract, self.model.rules
        per_second = self.sample.reference.events / ((last - first) / 1000)
        return Traffic(per_second, rules.pane_ms, rules.interval_ms, contract.trace_points)

    @property
    def drawn(self) -> int:
        """How many streams are drawn."""
        kinds = (self._drift_rule is not None) + bool(self._rules)
        return kinds * (SOLVED_ON + TRIED_ON)

    @cached_property
    def _drift_rule(self) -> Rule | None:
        """The rule on drift that fires first, of those that are about the lane."""
        own = [rule for rule in self.model.rules.rules if _is_drift(self.model, rule) and self._is_about(rule)]
        return min(own, key=lambda rule: rule.comparison.threshold(None, None), default=None)

    @cached_property
    def _rules(self) -> tuple[Rule, ...]:
        """The rules with a calibrated threshold that are about the lane."""
        return tuple(r for r in self.model.rules.rules if r.comparison.rate is not None and self._is_about(r))

    def _is_about(self, rule: Rule) -> bool:
        return self.lane in solved_lanes(rule, self.model.contract)

    def solve(self, seed: int, advance: Advance) -> LockedLane:
        """Solve on some pieces of the reference, and try on others."""
        reference, null = self.sample.reference, self.sample.null
        return LockedLane(
            reference=reference.digest,
            rows=reference.events,
            rows_per_second=significant(self.traffic.rows_per_second),
            pieces=null.pieces,
            drift=self._solve_drift(seed, advance),
            thresholds=self._solve_rules(seed, advance),
        )

    def _streams(self, seed: int, rows: int) -> tuple[Iterator[Stream], Iterator[Stream]]:
        """Those to solve on, and those to try on, whose references and rows are from pieces that were kept aside."""
        solving, aside = self.sample.pieces.split()
        name = f"{self.model.contract.model}/{self.lane}/{seed}"
        return (
            streams(self.sample, solving, f"{name}/solve", SOLVED_ON, rows),
            streams(self.sample, aside, f"{name}/try", TRIED_ON, rows),
        )

    def _solve_drift(self, seed: int, advance: Advance) -> LockedDrift | None:
        rule, budget = self._drift_rule, self.model.rules.budget
        if rule is None or budget is None:
            return None
        drift = DriftStreams(
            self.sample, self.traffic, DriftRule(rule.comparison.threshold(None, None), waits_of(rule))
        )
        rows = budget.rows_an_alarm(self.traffic.rows_per_second) * len(solved_lanes(rule, self.model.contract))
        solving, aside = self._streams(seed, drift.rows)
        evidence = [drift.evidence(stream) for stream in _advancing(solving, advance)]
        solved = drift.solve(evidence, rows)
        alarms = sum(drift.alarms(drift.evidence(stream, solved.limits)) for stream in _advancing(aside, advance))
        core = self.sample.core(self.sample.reference, solved.limits)
        names = [bins.name for bins in self.sample.grid.numeric]
        smallest = zip(names, core.smallest_shift(SIGHT_ROWS).tolist(), strict=True)
        return LockedDrift(
            limits=Limits(**{way: significant(limit) for way, limit in solved.limits._asdict().items()}),
            achieved=achieved(alarms, TRIED_ON * drift.rows, rows),
            smallest_shift={name: round(shift, 4) for name, shift in smallest if isfinite(shift)},
            extrapolated=solved.is_extrapolated,
        )

    def _solve_rules(self, seed: int, advance: Advance) -> dict[str, LockedThreshold]:
        if not self._rules:
            return {}
        stream = next(one for one in self.model.contract.streams if one.stream == self.lane)
        rules = self.model.rules.model_copy(update={"rules": self._rules})
        rows = DriftStreams(self.sample, self.traffic, DriftRule(1.0, Waits(0, 0))).rows
        drawn = RuleStreams(self.sample, self.traffic, self.model.contract, stream, rules, rows)
        rates = [self._rows_an_alarm(rule) for rule in self._rules]
        solving, aside = self._streams(seed, rows)
        solved = drawn.solve([drawn.judged(one) for one in _advancing(solving, advance)], rates)
        tried = [drawn.alarms(drawn.judged(one), solved) for one in _advancing(aside, advance)]
        return {
            rule.alert: LockedThreshold(
                z=significant(one.z),
                achieved=achieved(alarms, TRIED_ON * rows, rate),
                extrapolated=one.is_extrapolated,
            )
            for rule, one, rate, alarms in zip(
                self._rules, solved, rates, map(sum, zip(*tried, strict=True)), strict=True
            )
        }

    def _rows_an_alarm(self, rule: Rule) -> float:
        """Rows of the lane of which one may give an alarm: all lanes of a rule share its rate."""
        rate = rule.comparison.rate
        if rate is None:
            raise ValueError(f"{rule.alert} has no rate")
        return rate.rows_an_alarm(self.traffic.rows_per_second) * len(solved_lanes(rule, self.model.contract))


def _advancing(drawn: Iterator[Stream], advance: Advance) -> Iterator[Stream]:
    for stream in drawn:
        yield stream
        advance()


def achieved(alarms: int, rows: int, rows_an_alarm: float) -> Achieved:
    """Return what thresholds gave: `per_budget` and its 95 % interval, of a Poisson distribution.

    F. Garwood, Fiducial limits for the Poisson distribution, 1936.

    >>> achieved(4, 100_000, 50_000).interval
    [0.5449, 5.1208]
    """
    allowed = rows / rows_an_alarm
    low = chi2.ppf(_INTERVAL[0], 2 * alarms) / 2 if alarms else 0.0
    high = chi2.ppf(_INTERVAL[1], 2 * alarms + 2) / 2
    return Achieved(
        false_alarms=alarms,
        rows=rows,
        per_budget=round(alarms / allowed, 4),
        interval=[round(float(low) / allowed, 4), round(float(high) / allowed, 4)],
    )


def locked_model(
    model: ModelConfig, samples: Mapping[Lane, Sample], seed: int, advance: Advance = lambda: None
) -> LockedModel:
    """Return what the lock says of a model. `samples`: of each of its lanes that has a budget."""
    lanes = {one.lane: one.solve(seed, advance) for one in _calibrations(model, samples)}
    return LockedModel(rules=rules_digest(model), lanes=lanes)


def drawn_streams(model: ModelConfig, samples: Mapping[Lane, Sample]) -> int:
    """Return how many streams `locked_model` draws."""
    return sum(one.drawn for one in _calibrations(model, samples))


def _calibrations(model: ModelConfig, samples: Mapping[Lane, Sample]) -> list[LaneCalibration]:
    return [LaneCalibration(model, lane, samples[lane]) for lane in lanes_to_solve(model)]
