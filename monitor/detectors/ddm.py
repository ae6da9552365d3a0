"""DDM: the error rate against the lowest that it has had."""

from __future__ import annotations

from functools import cache
from math import isfinite, sqrt
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import Field

from monitor.detectors.layers import ErrorGate, SteppedDetector
from monitor.detectors.protocol import Count, Detector, Eats, Params, Plugin, River
from monitor.detectors.state import (
    Codec,
    Number,
    Positive,
    Share,
    State,
    adds_up,
    finite_or_none,
    or_infinite,
    require,
)


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


class DDMState(State, frozen=True, tag="DDM"):
    """The error rate p of the n values since the last detection, its minimum with its deviation, and the gate's count.

    `ps_min`: p + s at the minimum; None where the gate (or River, before `warm_start`) holds it at infinity.
    """

    drift: bool
    n: Number
    p: Share
    p_min: Share | None
    s_min: Annotated[float, msgspec.Meta(ge=0, le=0.5)] | None
    ps_min: Positive | None
    errors: Number


def _save(gate: ErrorGate) -> DDMState:
    ddm = gate.ddm
    return DDMState(
        ddm._drift_detected,
        int(ddm._p.n),
        ddm._p._mean,
        ddm._p_min,
        ddm._s_min,
        finite_or_none(ddm._ps_min),
        int(gate.errors),
    )


def _load(gate: ErrorGate, state: DDMState) -> None:
    ddm = gate.ddm
    require(
        state.errors <= state.n and adds_up(state.p, state.n, state.errors), "its error rate is not that of its errors"
    )
    require((state.p_min is None) == (state.s_min is None), "half a minimum")
    require(state.p_min is None or state.n > ddm.warm_start, "a minimum before `warm_start`")
    if state.ps_min is not None:
        minimum = None if state.p_min is None or state.s_min is None else state.p_min + state.s_min
        require(state.ps_min == minimum, "its minimum does not add up")
        require(state.errors >= gate.min_errors, "a minimum before `min_errors`")
    gate.errors = state.errors
    ddm._drift_detected = state.drift
    ddm._p.n, ddm._p._mean = float(state.n), state.p
    ddm._p_min, ddm._s_min, ddm._ps_min = state.p_min, state.s_min, or_infinite(state.ps_min)


def _is_blind(gate: ErrorGate) -> bool:
    return not isfinite(gate.ddm._p._mean)


@cache
def _river_class() -> Any:
    """River's DDM with an update without calls and warnings (see `layers`)."""
    from river.drift import binary  # here, because --help and check must start without river

    class DDM(binary.DDM):  # type: ignore[misc] # river ships no types
        _drift_detected: bool
        _ps_min: float

        def update(self, x: float) -> bool:
            if self._drift_detected:
                self._reset()
            mean = self._p
            n = mean.n = mean.n + 1.0
            p = mean._mean = mean._mean + (1.0 / n) * (x - mean._mean)
            s = sqrt(p * (1 - p) / n)
            if n > self.warm_start:
                if p + s <= self._ps_min:
                    self._p_min, self._s_min, self._ps_min = p, s, p + s
                # without a minimum p is NaN
                if self._p_min is not None and p + s > self._p_min + self.drift_threshold * self._s_min:
                    self._drift_detected = True
                    return True
            return False

    return DDM


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
    codec: ClassVar[Codec] = Codec(DDMState, _save, _load, _is_blind)
    class_: Literal["DDM"] = Field(alias="class")
    params: DDMParams = DDMParams()

    def river(self, seed: int) -> River:
        detector: River = _river_class()(**self.params.model_dump(exclude={"min_errors"}))
        return detector

    def build(self, seed: int) -> Detector:
        return SteppedDetector(ErrorGate(self.river(seed), self.params.min_errors), self.eats, self.codec)
