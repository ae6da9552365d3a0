"""KSWIN: a Kolmogorov-Smirnov test of the newest values against a random draw from the window before them.

River's `update` asks SciPy for a p-value at every value, which is nearly all of its time. Of two samples of one size it
depends on their distance alone, so there are `stat_size` + 1 of them, and they are remembered: River's own code runs,
with another `ks_2samp` in the place of SciPy's, in 27 µs instead of 450. Otherwise 120 of these among 50,000 detectors
would be half of all the work that a recovery does again.
"""

from __future__ import annotations

import struct
import warnings
from bisect import bisect_right
from functools import lru_cache
from itertools import count, repeat
from operator import sub
from types import FunctionType
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from monitor.detectors.plugin import Count, Params, Plugin, Probability
from monitor.detectors.protocol import Reads
from monitor.detectors.state import Codec, Part, State, attribute, require


class KSWINParams(Params):
    """River's parameters of KSWIN, without `window`: data collected before is not a setting."""

    alpha: Probability = 0.005
    """Significance of each test. There is one test a value: keep it well below 0.01."""
    window_size: Count = 100
    """Values in the window."""
    stat_size: Count = Field(30, validate_default=True)
    """Newest values that are tested, and values drawn from the rest: at most half of `window_size`."""
    seed: int | None = None
    """Seed of the draw; without one it follows from the series' name, never from chance."""

    @field_validator("stat_size")
    @classmethod
    def _fits_twice(cls, stat_size: int, info: ValidationInfo) -> int:
        window_size = info.data.get("window_size")
        if window_size is not None and 2 * stat_size > window_size:
            raise ValueError(f"stat_size {stat_size} is more than half of window_size {window_size}")
        return stat_size


class KSWINState(State, frozen=True, tag="KSWIN"):
    """The window, as little-endian doubles, and the generator that it draws with.

    `generator`: 624 words of 32 bits and the place of the next one; empty as long as nothing has been drawn.
    """

    window: bytes
    generator: bytes


_WORDS = struct.Struct("<625I")
_MERSENNE = 3
"""The version that Python gives the state of its generator."""


def _generator(river: Any) -> bytes:
    if len(river.window) < river.window_size:
        return b""
    _, words, _ = river._rng.getstate()
    return _WORDS.pack(*words)


def _set_generator(river: Any, generator: bytes) -> None:
    if generator:
        river._rng.setstate((_MERSENNE, _WORDS.unpack(generator), None))


def _set_window(river: Any, window: bytes) -> None:
    river.window.extend(np.frombuffer(window, dtype="<f8").tolist())


_PARTS = {
    "window": attribute("window", lambda window: struct.pack(f"<{len(window)}d", *window))._replace(give=_set_window),
    "generator": Part(_generator, _set_generator),
}


def _check(river: Any, state: KSWINState) -> None:
    require(len(state.window) % 8 == 0, "its window is cut")
    window = np.frombuffer(state.window, dtype="<f8")
    require(bool((window >= 0).all() and (window <= 1).all()), "its window holds what is no rank")
    if state.generator:
        require(len(window) == river.window_size, "its window is not full, and yet it has drawn")
        require(len(state.generator) == _WORDS.size, "its generator is cut")
        *words, place = _WORDS.unpack(state.generator)
        require(any(words) and 1 <= place <= 624, "its generator is none")
    else:
        require(len(window) < river.window_size, "its window is full, and yet it has drawn nothing")


_MOST_EXACT = 10_000
"""Up to this many values a sample, SciPy's p-value is exact, and depends on their number and the distance alone."""


class RememberedTests:
    """What River's KSWIN calls `stats`."""

    @staticmethod
    def ks_2samp(one: list[float], other: list[float], method: str) -> tuple[float, float]:
        """SciPy's statistic and p-value."""
        size = len(one)
        if size != len(other) or size > _MOST_EXACT or method != "auto":
            from scipy import stats  # here, because --help and check must start without scipy

            return tuple(stats.ks_2samp(one, other, method=method))
        distance = _distance(sorted(one), sorted(other))
        return distance / size, _p_value(size, distance)


def _distance(one: list[float], other: list[float]) -> int:
    """The largest difference of how many of n values of each sample are at or below any place: n times KS's D.

    Both ascending. The difference is largest at a value of the sample that has more.
    """
    more: int = max(map(sub, count(1), map(bisect_right, repeat(other), one)))
    less: int = max(map(sub, count(1), map(bisect_right, repeat(one), other)))
    return max(more, less)


@lru_cache(maxsize=1 << 14)
def _p_value(size: int, distance: int) -> float:
    """SciPy's p-value of two samples of that size and distance, as River asks for it."""
    from scipy import stats  # here, because --help and check must start without scipy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)
        one = np.repeat([0.0, 1.0], [distance, size - distance])
        return float(stats.ks_2samp(one, np.ones(size), method="auto").pvalue)


@lru_cache(maxsize=4)
def _remembering(rivers: Any) -> Any:
    """River's class; its `update` is River's code, and calls `RememberedTests`. Unchanged if that is not Python's."""
    update = rivers.update
    if not isinstance(update, FunctionType):
        return rivers
    names = {**update.__globals__, "stats": RememberedTests}
    remembering = FunctionType(update.__code__, names, update.__name__, update.__defaults__, update.__closure__)
    return type(rivers.__name__, (rivers,), {"update": remembering})


class KSWIN(Plugin):
    """Kolmogorov-Smirnov windowing: finds any change of the distribution, not only of its mean.

    Reads ranks. A hundred times slower than ADWIN (0.03 ms a value), and with many false alarms at its defaults.
    An empty update finds nothing; NaN may not come in.

    C. Raab, M. Heusinger and F.-M. Schleif, Reactive soft prototype computing for concept drift streams, 2020.

    >>> import numpy as np
    >>> detector = KSWIN.model_validate({"class": "KSWIN", "params": {"alpha": 0.0001}}).build(seed=42)
    >>> detector.update(np.repeat([0.2, 0.8], 150))
    [166]
    """

    reads: ClassVar[Reads] = "rank"
    codec: ClassVar[Codec] = Codec(KSWINState, _PARTS, _check)
    draws: ClassVar[bool] = True
    cost_us: ClassVar[float] = 30.0
    class_: Literal["KSWIN"] = Field(alias="class")
    params: KSWINParams = KSWINParams()

    def river_class(self) -> Any:
        return _remembering(super().river_class())

    def settings(self, seed: int) -> dict[str, Any]:
        return self.arguments if self.params.seed is not None else {**self.arguments, "seed": seed}
