"""HDDMA: the mean since the start against the mean up to its best cut, by Hoeffding's bound."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from monitor.detectors.layers import RiverDetector
from monitor.detectors.protocol import Detector, Eats, Params, Plugin, Probability, River


class HDDMAParams(Params):
    """River's parameters of HDDMA."""

    drift_confidence: Probability = 0.001
    """Significance of a change. Larger finds more and sooner, with more false alarms."""
    warning_confidence: Probability = 0.005
    """River's warning level; only detections are reported here."""
    two_sided_test: bool = False
    """Whether a falling error rate is a change too."""


class HDDMA(Plugin):
    """Hoeffding drift detection method, averages: finds abrupt rises of the error rate.

    Eats 0 and 1, 1 = error. An empty update finds nothing; NaN would blind it for ever, so none may come in.

    I. Frías-Blanco et al., Online and non-parametric drift detection methods based on Hoeffding's bounds, IEEE TKDE
    27(3), 2014.

    >>> import numpy as np
    >>> detector = HDDMA.model_validate({"class": "HDDMA"}).build(seed=0)
    >>> detector.update(np.repeat([0.0, 1.0], 200))
    [203]
    """

    eats: ClassVar[Eats] = "binary"
    class_: Literal["HDDMA"] = Field(alias="class")
    params: HDDMAParams = HDDMAParams()

    def river(self, seed: int) -> River:
        from river.drift import binary  # here, because --help and check must start without river

        detector: River = binary.HDDMA(**self.params.model_dump())
        return detector

    def build(self, seed: int) -> Detector:
        return RiverDetector(self.river(seed), self.eats)
