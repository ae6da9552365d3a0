"""EDDM: the distance between errors against the longest that it has been."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import Field, ValidationInfo, field_validator

from monitor.detectors.plugin import Count, Params, Plugin, Probability
from monitor.detectors.protocol import Reads
from monitor.detectors.state import Codec, Fed, Number, Positive, State, adds_up, attribute, require


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

    n: Fed
    last_error: Number
    errors: Number
    mean: Positive
    squares: Positive
    most: Annotated[float, msgspec.Meta(ge=-1, le=1e300)]


def _set_errors(river: Any, errors: int) -> None:
    river._n_errors = errors
    river._error_distances.mean.n = float(errors)


_PARTS = {
    "n": attribute("_n"),
    "last_error": attribute("_last_error"),
    "errors": attribute("_n_errors")._replace(give=_set_errors),
    "mean": attribute("_error_distances.mean._mean"),
    "squares": attribute("_error_distances._S"),
    "most": attribute("_p2s_prime_max", float),
}


def _check(_: Any, state: EDDMState) -> None:
    require(state.errors <= state.last_error <= state.n, "more errors than values")
    require((state.errors == 0) == (state.last_error == 0), "an error at no place")
    # the distances between errors add up to the place of the last one
    require(adds_up(state.mean, state.errors, state.last_error), "its distances do not add up")
    require(state.most == -1 or state.most >= 0, "its largest level is negative")


class EDDM(Plugin):
    """Early drift detection method: mean + 2 standard deviations of the distance between errors, over its maximum.

    Reads 0 and 1, 1 = error; River counts nothing but the value 1. Finds errors that come closer together, gradual
    changes better than DDM, with more false alarms. An empty update finds nothing; NaN may not come in.

    M. Baena-García et al., Early drift detection method, 2006.

    >>> import numpy as np
    >>> detector = EDDM.model_validate({"class": "EDDM"}).build(seed=0)
    >>> detector.update(np.concatenate([np.tile([0.0] * 9 + [1.0], 50), np.ones(200)]))
    [560]
    """

    reads: ClassVar[Reads] = "binary"
    codec: ClassVar[Codec] = Codec(EDDMState, _PARTS, _check)
    cost_us: ClassVar[float] = 0.5
    class_: Literal["EDDM"] = Field(alias="class")
    params: EDDMParams = EDDMParams()
