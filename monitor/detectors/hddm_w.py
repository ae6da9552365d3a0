"""HDDMW: exponentially weighted means before and after a cut, by McDiarmid's bound."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from monitor.detectors.layers import RiverDetector
from monitor.detectors.protocol import Detector, Eats, Params, Plugin, Probability, River


class HDDMWParams(Params):
    """River's parameters of HDDMW."""

    drift_confidence: Probability = 0.001
    """Significance of a change. Larger finds more and sooner, with more false alarms."""
    warning_confidence: Probability = 0.005
    """River's warning level; only detections are reported here."""
    lambda_val: Probability = 0.05
    """Weight of the newest value. Smaller has a longer memory."""
    two_sided_test: bool = False
    """Whether a falling error rate is a change too."""


class HDDMW(Plugin):
    """Hoeffding drift detection method, weighted averages: finds gradual rises of the error rate.

    Eats 0 and 1, 1 = error. An empty update finds nothing; NaN would blind it for ever, so none may come in.

    I. Frías-Blanco et al., Online and non-parametric drift detection methods based on Hoeffding's bounds, IEEE TKDE
    27(3), 2014.

    >>> import numpy as np
    >>> detector = HDDMW.model_validate({"class": "HDDMW"}).build(seed=0)
    >>> detector.update(np.repeat([0.0, 1.0], 200))
    [213]
    """

    eats: ClassVar[Eats] = "binary"
    class_: Literal["HDDMW"] = Field(alias="class")
    params: HDDMWParams = HDDMWParams()

    def river(self, seed: int) -> River:
        from river.drift import binary  # here, because --help and check must start without river

        detector: River = binary.HDDMW(**self.params.model_dump())
        return detector

    def build(self, seed: int) -> Detector:
        return RiverDetector(self.river(seed), self.eats)
