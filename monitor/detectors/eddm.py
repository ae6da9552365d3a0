"""EDDM: the distance between errors against the longest that it has been."""

from __future__ import annotations

from functools import cache
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import Field, ValidationInfo, field_validator

from monitor.detectors.layers import SteppedDetector
from monitor.detectors.protocol import Count, Detector, Eats, Params, Plugin, Probability, River
from monitor.detectors.state import Codec, Number, Positive, State, adds_up, require


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


class EDDMState(State, frozen=True, tag="EDDM"):
    """Values and errors since the last detection, and mean and squared deviations of the distances between errors.

    `most`: largest mean + 2 standard deviations so far; -1 before the first.
    """

    drift: bool
    n: Number
    last_error: Number
    errors: Number
    mean: Positive
    squares: Positive
    most: Annotated[float, msgspec.Meta(ge=-1, le=1e300)]


def _save(river: Any) -> EDDMState:
    return EDDMState(
        river._drift_detected,
        river._n,
        river._last_error,
        river._n_errors,
        river._error_distances.mean._mean,
        river._error_distances._S,
        float(river._p2s_prime_max),
    )


def _load(river: Any, state: EDDMState) -> None:
    require(state.errors <= state.last_error <= state.n, "more errors than values")
    require((state.errors == 0) == (state.last_error == 0), "an error at no place")
    # the distances between errors add up to the place of the last one
    require(adds_up(state.mean, state.errors, state.last_error), "its distances do not add up")
    require(state.most == -1 or state.most >= 0, "its largest level is negative")
    river._drift_detected = state.drift
    river._n, river._last_error, river._n_errors = state.n, state.last_error, state.errors
    distances = river._error_distances
    distances.mean.n, distances.mean._mean, distances._S = float(state.errors), state.mean, state.squares
    river._p2s_prime_max = state.most


def _is_blind(river: Any) -> bool:
    return not (isfinite(river._error_distances._S) and isfinite(river._p2s_prime_max))


@cache
def _river_class() -> Any:
    """River's EDDM, which passes quickly over what is no error (see `layers`)."""
    from river.drift import binary  # here, because --help and check must start without river

    rivers = binary.EDDM.update

    class EDDM(binary.EDDM):  # type: ignore[misc] # river ships no types
        _drift_detected: bool

        def update(self, x: float) -> bool:
            if x == 1 or self._drift_detected:
                rivers(self, x)
                return self._drift_detected
            self._n += 1
            return False

    return EDDM


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
    codec: ClassVar[Codec] = Codec(EDDMState, _save, _load, _is_blind)
    class_: Literal["EDDM"] = Field(alias="class")
    params: EDDMParams = EDDMParams()

    def river(self, seed: int) -> River:
        detector: River = _river_class()(**self.params.model_dump())
        return detector

    def build(self, seed: int) -> Detector:
        return SteppedDetector(self.river(seed), self.eats, self.codec)
