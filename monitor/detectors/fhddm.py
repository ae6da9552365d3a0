"""FHDDM: the error rate of a sliding window against the lowest that it has been."""

from __future__ import annotations

from functools import cache
from math import isfinite
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from monitor.detectors.layers import Inverted, SteppedDetector
from monitor.detectors.protocol import Count, Detector, Eats, Params, Plugin, Probability, River
from monitor.detectors.state import Codec, Share, State, require


class FHDDMParams(Params):
    """River's parameters of FHDDM."""

    sliding_window_size: Count = 100
    """Values in the window."""
    confidence_level: Probability = 0.000001
    """Chance of a false alarm in Hoeffding's bound. Larger finds more and sooner."""
    short_window_size: Count | None = None
    """Newest values of a second, shorter window (the stacking variant), at most `sliding_window_size`."""

    @field_validator("short_window_size")
    @classmethod
    def _inside_the_window(cls, short: int | None, info: ValidationInfo) -> int | None:
        size = info.data.get("sliding_window_size")
        if short is not None and size is not None and short > size:
            raise ValueError(f"short_window_size {short} is above sliding_window_size {size}")
        return short


class FHDDMState(State, frozen=True, tag="FHDDM"):
    """River's input in the window, a byte a value, and the largest means so far (`short_most` of the short window)."""

    drift: bool
    window: bytes
    ones: float
    most: Share
    short_most: Share | None


def _save(river: Any) -> FHDDMState:
    return FHDDMState(
        river._drift_detected,
        bytes([x == 1.0 for x in river._sliding_window]),
        float(river.n_one),
        float(river._u_max),
        None if river.short_window_size is None else float(river._u_short_max),
    )


def _load(river: Any, state: FHDDMState) -> None:
    # a full window has let its oldest value go
    require(len(state.window) < river.sliding_window_size, "its window is too long")
    require(not state.window.strip(b"\0\1") and state.window.count(1) == state.ones, "its window does not add up")
    require((state.short_most is None) == (river.short_window_size is None), "of another `short_window_size`")
    river._drift_detected = state.drift
    river._sliding_window.extend(map(float, state.window))
    river.n_one, river._u_max = state.ones, state.most
    if state.short_most is not None:
        river._u_short_max = state.short_most


def _is_blind(river: Any) -> bool:
    return not (isfinite(river.n_one) and isfinite(river._u_max))


@cache
def _river_class() -> Any:
    """River's FHDDM with an update without calls where it has one window (see `layers`)."""
    from river.drift import binary  # here, because --help and check must start without river

    rivers = binary.FHDDM.update

    class FHDDM(binary.FHDDM):  # type: ignore[misc] # river ships no types
        _drift_detected: bool
        _u_max: float

        def update(self, x: float) -> bool:
            if self._drift_detected or self.short_window_size is not None:
                rivers(self, x)
                return self._drift_detected
            window, size = self._sliding_window, self.sliding_window_size
            window.append(x)
            self.n_one += x
            if len(window) < size:
                return False
            mean = self.n_one / size
            if self._u_max < mean:
                self._u_max = mean
            self._drift_detected = self._u_max - mean > self._epsilon
            self.n_one -= window.popleft()
            return self._drift_detected

    return FHDDM


class FHDDM(Plugin):
    """Fast Hoeffding drift detection method: the window's error rate against its minimum, by Hoeffding's bound.

    Eats 0 and 1, 1 = error. River documents that too, but alarms when the mean of its input falls, so it is fed with
    1 - x. Finds rises of the error rate only. An empty update finds nothing; NaN would blind it for ever, so none may
    come in.

    A. Pesaranghader and H. Viktor, Fast Hoeffding drift detection method for evolving data streams, ECML-PKDD 2016.

    >>> import numpy as np
    >>> detector = FHDDM.model_validate({"class": "FHDDM"}).build(seed=0)
    >>> detector.update(np.repeat([0.0, 1.0, 0.0], 200))
    [226]
    """

    eats: ClassVar[Eats] = "binary"
    codec: ClassVar[Codec] = Codec(FHDDMState, _save, _load, _is_blind)
    class_: Literal["FHDDM"] = Field(alias="class")
    params: FHDDMParams = FHDDMParams()

    def river(self, seed: int) -> River:
        detector: River = _river_class()(**self.params.model_dump())
        return detector

    def build(self, seed: int) -> Detector:
        return Inverted(SteppedDetector(self.river(seed), self.eats, self.codec))
