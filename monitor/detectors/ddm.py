"""DDM: the error rate against the lowest that it has had."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import inf, sqrt
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import Field

from monitor.detectors.adapter import Feed, feed
from monitor.detectors.plugin import Count, Params, Plugin
from monitor.detectors.protocol import Reads
from monitor.detectors.state import Codec, Fed, Share, State, adds_up, attribute, count, require


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


class ErrorGate:
    """River's DDM, whose `warm_start` lasts until `min_errors` errors have come, too.

    DDM alarms when p + s exceeds the smallest so far by three of its standard deviations. Before the first error
    both are 0, so the first error is an alarm, whatever came before; to ignore that alarm alone would put it off to
    error `min_errors`. During `warm_start` nothing is compared and no minimum kept, while the error rate is learnt.
    False alarms per 10,000 values at a steady error rate of 0.1, 1 and 10 % (20 runs): 8.8, 4.6, 0.8 with 0 errors
    asked for; 0, 0.05, 0.3 with 10. A jump from 0 to 50 % is then found after 32 values (median), not after 1.

    `missing`: errors that are still to come.
    """

    __slots__ = ("ddm", "missing", "warm_start")

    def __init__(self, ddm: Any, min_errors: int) -> None:
        self.ddm = ddm
        self.warm_start = ddm.warm_start
        self.await_errors(min_errors)

    def await_errors(self, missing: int) -> None:
        """Keep the gate shut for as many errors more."""
        self.missing = missing
        self.ddm.warm_start = inf if missing else self.warm_start

    def feed(self, values: Iterator[float]) -> bool:
        """Values up to the first change, as `adapter.feed`."""
        for value in values if self.missing else ():
            if value == 1.0:
                self.await_errors(self.missing - 1)
            self.ddm.update(value)
            if not self.missing:
                if self.ddm.drift_detected:
                    return True
                break
        return feed(self.ddm, values)


class DDMState(State, frozen=True, tag="DDM"):
    """The error rate p of the n values since the last detection, and its minimum with its standard deviation.

    `p_min`, `s_min`: None as long as none is kept.
    """

    n: Fed
    p: Share
    p_min: Share | None
    s_min: Annotated[float, msgspec.Meta(ge=0, le=0.5)] | None


def _set_minimum(gate: ErrorGate, s_min: float | None) -> None:
    gate.ddm._s_min = s_min
    if s_min is not None:
        gate.ddm._ps_min = gate.ddm._p_min + s_min


def _set_rate(gate: ErrorGate, p: float) -> None:
    gate.ddm._p._mean = p
    gate.await_errors(max(0, gate.missing - _errors(gate.ddm._p.n, p)))


def _errors(n: float, p: float) -> int:
    return round(n * p)


_PARTS = {
    "n": count("ddm._p.n"),
    "p": attribute("ddm._p._mean")._replace(give=_set_rate),
    "p_min": attribute("ddm._p_min"),
    "s_min": attribute("ddm._s_min")._replace(give=_set_minimum),
}


def _check(gate: ErrorGate, state: DDMState) -> None:
    errors, warm_start = _errors(state.n, state.p), gate.warm_start
    require(adds_up(state.p, state.n, errors), "its error rate is not one of zeros and ones")
    keeps = errors >= gate.missing and state.n > warm_start
    require((state.p_min is not None, state.s_min is not None) == (keeps, keeps), "its minimum comes too soon or late")
    if state.p_min is not None and state.s_min is not None:
        now = state.p + sqrt(max(0.0, state.p * (1 - state.p)) / state.n)
        most = state.p_min + gate.ddm.drift_threshold * state.s_min
        require(state.p_min + state.s_min <= now <= most, "its error rate is below its minimum, or is a change")


class DDM(Plugin):
    """Drift detection method: alarms when error rate p + s passes p_min + 3 s_min, s its standard deviation.

    Reads 0 and 1, 1 = error. Finds rises of the error rate only. See `ErrorGate` for `min_errors`. An empty
    update finds nothing; NaN would blind it for good, so none may come in.

    J. Gama, P. Medas, G. Castillo and P. Rodrigues, Learning with drift detection, SBIA 2004.

    >>> import numpy as np
    >>> detector = DDM.model_validate({"class": "DDM"}).build(seed=0)
    >>> detector.update(np.repeat([0.0, 1.0], [2000, 100]))
    [2015]
    """

    reads: ClassVar[Reads] = "binary"
    codec: ClassVar[Codec] = Codec(DDMState, _PARTS, _check)
    feed: ClassVar[Feed] = staticmethod(ErrorGate.feed)
    class_: Literal["DDM"] = Field(alias="class")
    params: DDMParams = DDMParams()

    def river(self, seed: int) -> ErrorGate:
        return ErrorGate(super().river(seed), self.params.min_errors)

    @cached_property
    def arguments(self) -> dict[str, Any]:
        return self.params.model_dump(exclude={"min_errors"})
