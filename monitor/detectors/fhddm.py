"""FHDDM: the error rate of a sliding window against the lowest that it has been."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from monitor.detectors.layers import Inverted, RiverDetector
from monitor.detectors.protocol import Count, Detector, Eats, Params, Plugin, Probability, River


class FHDDMParams(Params):
    """River's parameters of FHDDM."""

    sliding_window_size: Count = 100
    """Values in the window."""
    confidence_level: Probability = 0.000001
    """Chance of a false alarm in Hoeffding's bound. Larger finds more and sooner."""
    short_window_size: Count | None = None
    """Newest values of a second, shorter window (the stacking variant), at most `sliding_window_size`."""

    @field_validator("short_window_size")
    @classmethod
    def _inside_the_window(cls, short: int | None, info: ValidationInfo) -> int | None:
        size = info.data.get("sliding_window_size")
        if short is not None and size is not None and short > size:
            raise ValueError(f"short_window_size {short} is above sliding_window_size {size}")
        return short


class FHDDM(Plugin):
    """Fast Hoeffding drift detection method: the window's error rate against its minimum, by Hoeffding's bound.

    Eats 0 and 1, 1 = error. River documents that too, but alarms when the mean of its input falls, so it is fed with
    1 - x. Finds rises of the error rate only. An empty update finds nothing; NaN would blind it for ever, so none may
    come in.

    A. Pesaranghader and H. Viktor, Fast Hoeffding drift detection method for evolving data streams, ECML-PKDD 2016.

    >>> import numpy as np
    >>> detector = FHDDM.model_validate({"class": "FHDDM"}).build(seed=0)
    >>> detector.update(np.repeat([0.0, 1.0, 0.0], 200))
    [226]
    """

    eats: ClassVar[Eats] = "binary"
    class_: Literal["FHDDM"] = Field(alias="class")
    params: FHDDMParams = FHDDMParams()

    def river(self, seed: int) -> River:
        from river.drift import binary  # here, because --help and check must start without river

        detector: River = binary.FHDDM(**self.params.model_dump())
        return detector

    def build(self, seed: int) -> Detector:
        return Inverted(RiverDetector(self.river(seed), self.eats))
