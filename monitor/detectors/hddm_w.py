"""HDDMW: exponentially weighted means before and after a cut, by McDiarmid's bound."""

from __future__ import annotations

from functools import cache
from math import isfinite, log, sqrt  # noqa: TID251 # River's logarithm, for River's bits
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import Field

from monitor.detectors.layers import SteppedDetector
from monitor.detectors.protocol import Detector, Eats, Params, Plugin, Probability, River
from monitor.detectors.state import Codec, Finite, Share, State, finite_or_none, or_infinite, require


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


class Weighted(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A weighted mean and McDiarmid's sum of squared weights, which is 1 before the first value."""

    begun: bool
    mean: Share
    weight: Annotated[float, msgspec.Meta(gt=0, le=1)]


class HDDMWState(State, frozen=True, tag="HDDMW"):
    """The mean of all values since the last detection, and those before and after the cut for a rise and for a fall.

    `rise_bound`, `fall_bound`: the bound that a later cut has to beat; None before the first value.
    """

    drift: bool
    total: Weighted
    before_rise: Weighted
    after_rise: Weighted
    before_fall: Weighted
    after_fall: Weighted
    rise_bound: Finite | None
    fall_bound: Finite | None


_SAMPLES = ("_total", "_s1_incr", "_s2_incr", "_s1_decr", "_s2_decr")
"""River's names of the five means, in the order of the state."""


def _save(river: Any) -> HDDMWState:
    samples = [getattr(river, name) for name in _SAMPLES]
    total, before_rise, after_rise, before_fall, after_fall = (Weighted(s.begun, s.mean, s.weight) for s in samples)
    bounds = finite_or_none(river._incr_cutpoint), finite_or_none(river._decr_cutpoint)
    return HDDMWState(river._drift_detected, total, before_rise, after_rise, before_fall, after_fall, *bounds)


def _load(river: Any, state: HDDMWState) -> None:
    weighted = (state.total, state.before_rise, state.after_rise, state.before_fall, state.after_fall)
    begun = state.total.begun
    require(all(w.begun or (w.mean, w.weight) == (0, 1) for w in weighted), "a mean of no values")
    require((state.before_rise.begun, state.before_fall.begun) == (begun, begun), "a cut before the first value")
    require(begun or not (state.after_rise.begun or state.after_fall.begun), "a cut behind no value")
    bounds = (state.rise_bound is not None, state.fall_bound is not None)
    require(bounds == (begun, begun), "a bound of no values")
    river._drift_detected = state.drift
    for name, sample in zip(_SAMPLES, weighted, strict=True):
        held = getattr(river, name)
        held.begun, held.mean, held.weight = sample.begun, sample.mean, sample.weight
    river._incr_cutpoint, river._decr_cutpoint = or_infinite(state.rise_bound), or_infinite(state.fall_bound, -1.0)


def _is_blind(river: Any) -> bool:
    return not isfinite(river._total.mean)


class _Mean:
    """An exponentially weighted mean and McDiarmid's sum of squared weights: River's SampleInfo, in plain numbers."""

    __slots__ = ("begun", "mean", "weight")

    def __init__(self) -> None:
        self.begun, self.mean, self.weight = False, 0.0, 1.0


@cache
def _river_class() -> Any:
    """River's HDDMW with an update without calls and warnings (see `layers`), which copies means in place.

    River copies them by `deepcopy` at every value that may be a cut.
    """
    from river.drift import binary  # here, because --help and check must start without river

    class HDDMW(binary.HDDMW):  # type: ignore[misc] # river ships no types
        def __init__(self, **params: Any) -> None:
            super().__init__(**params)
            newest = self.lambda_val
            self._shares = newest, 1 - newest, newest * newest, (1 - newest) ** 2
            self._for_bound = log(1 / self.drift_confidence)

        def _reset(self) -> None:
            self._drift_detected = self._warning_detected = False
            for name in _SAMPLES:
                setattr(self, name, _Mean())
            self._incr_cutpoint, self._decr_cutpoint = float("inf"), -float("inf")

        def update(self, x: float) -> bool:
            if self._drift_detected:
                self._reset()
            total, for_bound = self._total, self._for_bound
            self._take(total, x)
            mean, bound = total.mean, sqrt(total.weight * for_bound / 2)
            before, after = self._s1_incr, self._s2_incr
            if mean + bound < self._incr_cutpoint:
                self._incr_cutpoint = mean + bound
                before.begun, before.mean, before.weight = True, mean, total.weight
                after.begun, after.mean, after.weight = False, 0.0, 1.0
                found = False
            else:
                self._take(after, x)
                found = after.mean - before.mean > sqrt((before.weight + after.weight) * for_bound / 2)
            before, after = self._s1_decr, self._s2_decr
            if mean - bound > self._decr_cutpoint:
                self._decr_cutpoint = mean - bound
                before.begun, before.mean, before.weight = True, mean, total.weight
                after.begun, after.mean, after.weight = False, 0.0, 1.0
            else:
                self._take(after, x)
                if self.two_sided_test and not found:
                    found = before.mean - after.mean > sqrt((after.weight + before.weight) * for_bound / 2)
            self._drift_detected = found
            return found

        def _take(self, held: _Mean, x: float) -> None:
            """One more value of a mean."""
            new, old, new_squared, old_squared = self._shares
            if held.begun:
                held.mean = new * x + old * held.mean
            else:
                held.begun, held.mean = True, x
            held.weight = new_squared + old_squared * held.weight

    return HDDMW


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
    codec: ClassVar[Codec] = Codec(HDDMWState, _save, _load, _is_blind)
    class_: Literal["HDDMW"] = Field(alias="class")
    params: HDDMWParams = HDDMWParams()

    def river(self, seed: int) -> River:
        detector: River = _river_class()(**self.params.model_dump())
        return detector

    def build(self, seed: int) -> Detector:
        return SteppedDetector(self.river(seed), self.eats, self.codec)
