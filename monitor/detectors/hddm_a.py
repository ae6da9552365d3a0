"""HDDMA: the mean since the start against the mean up to its best cut, by Hoeffding's bound."""

from __future__ import annotations

from functools import cache
from math import isfinite, log, sqrt  # noqa: TID251 # River's logarithm, for River's bits
from typing import Any, ClassVar, Literal

from pydantic import Field

from monitor.detectors.layers import SteppedDetector
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
    """River's HDDMA with an update without calls and warnings (see `layers`), which copies means in place.

    River copies one or two at nearly every value, by the signature of their class.
    """
    from river.drift import binary  # here, because --help and check must start without river

    class HDDMA(binary.HDDMA):  # type: ignore[misc] # river ships no types
        _drift_detected: bool

        def __init__(self, **params: Any) -> None:
            super().__init__(**params)
            self._for_bound = log(1.0 / self.drift_confidence)
            self._for_test = log(2.0 / self.drift_confidence)

        def update(self, x: float) -> bool:
            if self._drift_detected:
                self._reset()
            z, rise, fall, for_bound = self._z, self._x_min, self._x_max, self._for_bound
            n = z.n = z.n + 1.0
            mean = z._mean = z._mean + (1.0 / n) * (x - z._mean)
            if n == 1.0:
                rise.n, rise._mean, fall.n, fall._mean = n, mean, n, mean
            bound = sqrt(1.0 / (2 * n) * for_bound)
            if rise._mean + sqrt(1.0 / (2 * rise.n) * for_bound) >= mean + bound:
                rise.n, rise._mean = n, mean
            if fall._mean - sqrt(1.0 / (2 * fall.n) * for_bound) <= mean - bound:
                fall.n, fall._mean = n, mean
            found: bool = rise.n != n and mean - rise._mean >= self._least(rise.n, n)
            if self.two_sided_test and not found:
                found = fall.n != n and fall._mean - mean >= self._least(fall.n, n)
            self._drift_detected = found
            return found

        def _least(self, cut: float, n: float) -> float:
            """The smallest difference of the means of n values and of the first of them that is a change."""
            return sqrt((n - cut) / cut * (1.0 / n) / 2 * self._for_test)

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
        return SteppedDetector(self.river(seed), self.eats, self.codec)
