"""DDM: the error rate against the lowest that it has had."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from monitor.detectors.layers import ErrorGate, RiverDetector
from monitor.detectors.protocol import Count, Detector, Eats, Params, Plugin, River


class DDMParams(Params):
    """River's parameters of DDM, and `min_errors`, which is ours."""

    warm_start: Count = 30
    """Values before a change can be detected."""
    warning_threshold: Annotated[float, Field(gt=0)] = 2.0
    """River's warning zone, in standard deviations; only detections are reported here."""
    drift_threshold: Annotated[float, Field(gt=0)] = 3.0
    """Excess over the lowest error rate, in its standard deviations, that is a change."""
    min_errors: Annotated[int, Field(ge=0, le=1_000_000_000)] = 10
    """Errors that the lowest error rate has to rest on. Ten is the usual floor for taking a count as normally
    distributed, which DDM does; 0 gives River's own behaviour (2,000 zeros and a single 1 are an alarm)."""


class DDM(Plugin):
    """Drift detection method: alarms when error rate p + s passes p_min + 3 s_min, s its standard deviation.

    Eats 0 and 1, 1 = error. Finds rises of the error rate only. See `layers.ErrorGate` for `min_errors`. An empty
    update finds nothing; NaN would blind it for ever, so none may come in.

    J. Gama, P. Medas, G. Castillo and P. Rodrigues, Learning with drift detection, SBIA 2004.

    >>> import numpy as np
    >>> detector = DDM.model_validate({"class": "DDM"}).build(seed=0)
    >>> detector.update(np.repeat([0.0, 1.0], [2000, 100]))
    [2015]
    """

    eats: ClassVar[Eats] = "binary"
    class_: Literal["DDM"] = Field(alias="class")
    params: DDMParams = DDMParams()

    def river(self, seed: int) -> River:
        from river.drift import binary  # here, because --help and check must start without river

        detector: River = binary.DDM(**self.params.model_dump(exclude={"min_errors"}))
        return detector

    def build(self, seed: int) -> Detector:
        return RiverDetector(ErrorGate(self.river(seed), self.params.min_errors), self.eats)
