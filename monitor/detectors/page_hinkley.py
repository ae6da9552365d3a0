"""PageHinkley: a cumulative sum of deviations from the mean so far."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from monitor.detectors.plugin import Count, Params, Plugin
from monitor.detectors.protocol import Reads
from monitor.detectors.state import Codec, Fed, Finite, Share, State, attribute, count, require


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
    """The mean of the n values since the last detection, and both sums with their extremes."""

    n: Fed
    mean: Share
    increase: Finite
    decrease: Finite
    min_increase: Finite
    max_decrease: Finite


_PARTS = {
    "n": count("_x_mean.n"),
    "mean": attribute("_x_mean._mean"),
    "increase": attribute("_sum_increase"),
    "decrease": attribute("_sum_decrease"),
    "min_increase": attribute("_min_increase"),
    "max_decrease": attribute("_max_decrease", float),
}


def _check(river: Any, state: PageHinkleyState) -> None:
    furthest = state.n * (1.0 + river.delta) + 1e-6
    require(max(abs(state.increase), abs(state.decrease)) <= furthest, "a sum is larger than its values allow")
    require(state.min_increase <= state.increase, "a sum is below its minimum")
    require(state.max_decrease >= -1 and state.decrease <= state.max_decrease, "a sum is above its maximum")


class PageHinkley(Plugin):
    """Page's test on the mean, up, down or both: sums deviations and alarms when they pass `threshold`.

    Reads ranks, so that `delta` and `threshold` mean the same on every column. An empty update finds nothing; NaN
    would blind it for good, so none may come in.

    E. S. Page, Continuous inspection schemes, Biometrika 41, 1954.

    >>> import numpy as np
    >>> detector = PageHinkley.model_validate({"class": "PageHinkley", "params": {"threshold": 10}}).build(seed=0)
    >>> detector.update(np.repeat([0.2, 0.8], 100))
    [118]
    """

    reads: ClassVar[Reads] = "rank"
    codec: ClassVar[Codec] = Codec(PageHinkleyState, _PARTS, _check)
    class_: Literal["PageHinkley"] = Field(alias="class")
    params: PageHinkleyParams = PageHinkleyParams()
