"""PageHinkley: a cumulative sum of deviations from the mean so far."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from monitor.detectors.layers import RiverDetector
from monitor.detectors.protocol import Count, Detector, Eats, Params, Plugin, River


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
    class_: Literal["PageHinkley"] = Field(alias="class")
    params: PageHinkleyParams = PageHinkleyParams()

    def river(self, seed: int) -> River:
        from river import drift  # here, because --help and check must start without river

        detector: River = drift.PageHinkley(**self.params.model_dump())
        return detector

    def build(self, seed: int) -> Detector:
        return RiverDetector(self.river(seed), self.eats)
