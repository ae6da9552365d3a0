"""EDDM: the distance between errors against the longest that it has been."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from monitor.detectors.layers import RiverDetector
from monitor.detectors.protocol import Count, Detector, Eats, Params, Plugin, Probability, River


class EDDMParams(Params):
    """River's parameters of EDDM."""

    warm_start: Count = 30
    """Errors before a change can be detected."""
    alpha: Probability = 0.95
    """River's warning level; only detections are reported here."""
    beta: Probability = Field(0.9, validate_default=True)
    """Level below which it is a change, at most `alpha`. Smaller finds less, with fewer false alarms."""

    @field_validator("beta")
    @classmethod
    def _not_above_alpha(cls, beta: float, info: ValidationInfo) -> float:
        alpha = info.data.get("alpha")
        if alpha is not None and beta > alpha:
            raise ValueError(f"beta {beta} is above alpha {alpha}")
        return beta


class EDDM(Plugin):
    """Early drift detection method: mean + 2 standard deviations of the distance between errors, over its maximum.

    Eats 0 and 1, 1 = error; River counts nothing but the value 1. Finds errors that come closer together, gradual
    changes better than DDM, with more false alarms. An empty update finds nothing; NaN may not come in.

    M. Baena-García et al., Early drift detection method, 2006.

    >>> import numpy as np
    >>> detector = EDDM.model_validate({"class": "EDDM"}).build(seed=0)
    >>> detector.update(np.concatenate([np.tile([0.0] * 9 + [1.0], 50), np.ones(200)]))
    [560]
    """

    eats: ClassVar[Eats] = "binary"
    class_: Literal["EDDM"] = Field(alias="class")
    params: EDDMParams = EDDMParams()

    def river(self, seed: int) -> River:
        from river.drift import binary  # here, because --help and check must start without river

        detector: River = binary.EDDM(**self.params.model_dump())
        return detector

    def build(self, seed: int) -> Detector:
        return RiverDetector(self.river(seed), self.eats)
