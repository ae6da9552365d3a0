"""HDDMA: the mean since the start against the mean up to its best cut, by Hoeffding's bound."""

from __future__ import annotations

from functools import cache
from math import isfinite
from typing import Any, ClassVar, Literal

from pydantic import Field

from monitor.detectors.layers import RiverDetector
from monitor.detectors.protocol import Detector, Eats, Params, Plugin, Probability, River
from monitor.detectors.state import Codec, Number, Share, State, adds_up, require


class HDDMAParams(Params):
    """River's parameters of HDDMA."""

    drift_confidence: Probability = 0.001
    """Significance of a change. Larger finds more and sooner, with more false alarms."""
    warning_confidence: Probability = 0.005
    """River's warning level; only detections are reported here."""
    two_sided_test: bool = False
    """Whether a falling error rate is a change too."""


class HDDMAState(State, frozen=True, tag="HDDMA"):
    """Number and mean of the values since the last detection, and those up to the best cut for a rise and a fall."""

    drift: bool
    n: Number
    mean: Share
    rise_n: Number
    rise_mean: Share
    fall_n: Number
    fall_mean: Share


def _save(river: Any) -> HDDMAState:
    z, rise, fall = river._z, river._x_min, river._x_max
    return HDDMAState(river._drift_detected, int(z.n), z._mean, int(rise.n), rise._mean, int(fall.n), fall._mean)


def _load(river: Any, state: HDDMAState) -> None:
    means = ((state.rise_n, state.rise_mean), (state.fall_n, state.fall_mean))
    for n, mean in means:
        require(n <= state.n and (n == 0) == (state.n == 0), "its cut is behind its values")
        require(n < state.n or mean == state.mean, "two means of the same values")
    for n, mean in (*means, (state.n, state.mean)):
        require(adds_up(mean, n, round(mean * n)), "its mean is none of zeros and ones")
    river._drift_detected = state.drift
    river._z.n, river._z._mean = float(state.n), state.mean
    river._x_min.n, river._x_min._mean = float(state.rise_n), state.rise_mean
    river._x_max.n, river._x_max._mean = float(state.fall_n), state.fall_mean


def _is_blind(river: Any) -> bool:
    return not isfinite(river._z._mean)


@cache
def _river_class() -> Any:
    """River's HDDMA, whose means are copied quickly: it copies one or two at nearly every value, and River's `clone`
    looks at the signature of the class each time, which took twenty times as long as all else."""
    from river import stats
    from river.drift import binary  # here, because --help and check must start without river

    class Mean(stats.Mean):  # type: ignore[misc] # river ships no types
        def clone(self, new_params: object = None, include_attributes: bool = False) -> Mean:
            twin = Mean()
            twin.n, twin._mean = self.n, self._mean
            return twin

    class HDDMA(binary.HDDMA):  # type: ignore[misc] # river ships no types
        def _reset(self) -> None:
            super()._reset()
            self._x_min, self._x_max, self._z = Mean(), Mean(), Mean()

    return HDDMA


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
    codec: ClassVar[Codec] = Codec(HDDMAState, _save, _load, _is_blind)
    class_: Literal["HDDMA"] = Field(alias="class")
    params: HDDMAParams = HDDMAParams()

    def river(self, seed: int) -> River:
        detector: River = _river_class()(**self.params.model_dump())
        return detector

    def build(self, seed: int) -> Detector:
        return RiverDetector(self.river(seed), self.eats, self.codec)
