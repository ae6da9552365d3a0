"""FHDDM: the error rate of a sliding window against the lowest that it has been."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from monitor.detectors.plugin import Count, Params, Plugin, Probability
from monitor.detectors.protocol import Reads
from monitor.detectors.state import Codec, Part, Share, State, attribute, require


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

    window: bytes
    most: Share
    short_most: Share | None


def _set_window(river: Any, window: bytes) -> None:
    river._sliding_window.extend(map(float, window))
    river.n_one = float(window.count(1))


def _set_short(river: Any, most: float | None) -> None:
    if most is not None:
        river._u_short_max = most


_PARTS = {
    "window": attribute("_sliding_window", lambda window: bytes(map(int, window)))._replace(give=_set_window),
    "most": attribute("_u_max", float),
    "short_most": Part(
        lambda river: None if river.short_window_size is None else float(river._u_short_max), _set_short
    ),
}


def _check(river: Any, state: FHDDMState) -> None:
    # a full window has let its oldest value go
    require(len(state.window) < river.sliding_window_size, "its window is too long")
    require(not state.window.strip(b"\0\1"), "its window holds what is neither 0 nor 1")
    require((state.short_most is None) == (river.short_window_size is None), "of another `short_window_size`")


class FHDDM(Plugin):
    """Fast Hoeffding drift detection method: the window's error rate against its minimum, by Hoeffding's bound.

    Reads 0 and 1, 1 = error. River documents that too, but alarms when the mean of its input falls, so it is fed with
    1 - x. Finds rises of the error rate only. An empty update finds nothing; NaN would blind it for good, so none may
    come in.

    A. Pesaranghader and H. Viktor, Fast Hoeffding drift detection method for evolving data streams, ECML-PKDD 2016.

    >>> import numpy as np
    >>> detector = FHDDM.model_validate({"class": "FHDDM"}).build(seed=0)
    >>> detector.update(np.repeat([0.0, 1.0, 0.0], 200))
    [226]
    """

    reads: ClassVar[Reads] = "binary"
    codec: ClassVar[Codec] = Codec(FHDDMState, _PARTS, _check)
    turned: ClassVar[bool] = True
    class_: Literal["FHDDM"] = Field(alias="class")
    params: FHDDMParams = FHDDMParams()
