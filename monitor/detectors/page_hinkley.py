"""PageHinkley: a cumulative sum of deviations from the mean so far."""

from __future__ import annotations

from functools import cache
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from monitor.detectors.layers import SteppedDetector
from monitor.detectors.protocol import Count, Detector, Eats, Params, Plugin, River
from monitor.detectors.state import (
    Codec,
    Finite,
    Number,
    Share,
    State,
    finite_or_none,
    or_infinite,
    require,
)


class PageHinkleyParams(Params):
    """River's parameters of PageHinkley."""

    min_instances: Count = 30
    """Values before a change can be detected."""
    delta: Annotated[float, Field(ge=0)] = 0.005
    """Deviation from the mean, in ranks, that is let pass at every value."""
    threshold: Annotated[float, Field(gt=0)] = 50.0
    """Sum of deviations that is a change. Smaller finds more and sooner, with more false alarms."""
    alpha: Annotated[float, Field(gt=0, le=1)] = 1 - 0.0001
    """Forgetting factor of the sum."""
    mode: Literal["up", "down", "both"] = "both"
    """Direction of the change of the mean."""


class PageHinkleyState(State, frozen=True, tag="PageHinkley"):
    """The mean of the n values since the last detection, and both sums with their extremes (None: no value yet)."""

    drift: bool
    n: Number
    mean: Share
    increase: Finite
    decrease: Finite
    min_increase: Finite | None
    max_decrease: Finite


def _save(river: Any) -> PageHinkleyState:
    return PageHinkleyState(
        river._drift_detected,
        int(river._x_mean.n),
        river._x_mean._mean,
        river._sum_increase,
        river._sum_decrease,
        finite_or_none(river._min_increase),
        float(river._max_decrease),
    )


def _load(river: Any, state: PageHinkleyState) -> None:
    furthest = state.n * (1.0 + river.delta) + 1e-6
    require(max(abs(state.increase), abs(state.decrease)) <= furthest, "a sum is larger than its values allow")
    require((state.min_increase is None) == (state.n == 0), "its minimum does not fit its number of values")
    if state.min_increase is None:
        require((state.mean, state.increase, state.decrease, state.max_decrease) == (0, 0, 0, -1), "a sum of no values")
    else:
        require(state.min_increase <= state.increase, "a sum is below its minimum")
        require(state.max_decrease >= -1 and state.decrease <= state.max_decrease, "a sum is above its maximum")
    river._drift_detected = state.drift
    river._x_mean.n, river._x_mean._mean = float(state.n), state.mean
    river._sum_increase, river._sum_decrease = state.increase, state.decrease
    river._min_increase, river._max_decrease = or_infinite(state.min_increase), state.max_decrease


def _is_blind(river: Any) -> bool:
    return not (isfinite(river._x_mean._mean) and isfinite(river._sum_increase) and isfinite(river._sum_decrease))


@cache
def _river_class() -> Any:
    """River's PageHinkley with an update without calls (see `layers`)."""
    from river import drift  # here, because --help and check must start without river

    class PageHinkley(drift.PageHinkley):  # type: ignore[misc] # river ships no types
        _drift_detected: bool
        _sum_increase: float
        _sum_decrease: float
        _min_increase: float
        _max_decrease: float

        def update(self, x: float) -> bool:
            if self._drift_detected:
                self._reset()
            mean = self._x_mean
            n = mean.n = mean.n + 1.0
            middle = mean._mean = mean._mean + (1.0 / n) * (x - mean._mean)
            deviation = x - middle
            increase = self._sum_increase = self.alpha * self._sum_increase + deviation - self.delta
            decrease = self._sum_decrease = self.alpha * self._sum_decrease + deviation + self.delta
            if increase < self._min_increase:
                self._min_increase = increase
            if decrease > self._max_decrease:
                self._max_decrease = decrease
            if n < self.min_instances:
                return False
            self._drift_detected = self._test_drift(increase - self._min_increase, self._max_decrease - decrease)
            return self._drift_detected

    return PageHinkley


class PageHinkley(Plugin):
    """Page's test on the mean, up, down or both: sums deviations and alarms when they pass `threshold`.

    Eats ranks, so that `delta` and `threshold` mean the same on every column. An empty update finds nothing; NaN
    would blind it for ever, so none may come in.

    E. S. Page, Continuous inspection schemes, Biometrika 41, 1954.

    >>> import numpy as np
    >>> detector = PageHinkley.model_validate({"class": "PageHinkley", "params": {"threshold": 10}}).build(seed=0)
    >>> detector.update(np.repeat([0.2, 0.8], 100))
    [118]
    """

    eats: ClassVar[Eats] = "rank"
    codec: ClassVar[Codec] = Codec(PageHinkleyState, _save, _load, _is_blind)
    class_: Literal["PageHinkley"] = Field(alias="class")
    params: PageHinkleyParams = PageHinkleyParams()

    def river(self, seed: int) -> River:
        detector: River = _river_class()(**self.params.model_dump())
        return detector

    def build(self, seed: int) -> Detector:
        return SteppedDetector(self.river(seed), self.eats, self.codec)
