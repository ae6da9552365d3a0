"""KSWIN: a Kolmogorov-Smirnov test of the newest values against a random draw from the window before them."""

from __future__ import annotations

import struct
import warnings
from bisect import bisect_right
from functools import cache, lru_cache
from itertools import count, repeat
from math import isnan
from operator import sub
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from monitor.detectors.layers import SteppedDetector
from monitor.detectors.protocol import Count, Detector, Eats, Params, Plugin, Probability, River
from monitor.detectors.state import Codec, Number, State, require


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
    """The window (little-endian doubles), and the generator it draws with: 624 words of 32 bits, and the next one.

    `drawn`, `next`: empty and 0 as long as nothing has been drawn since the seed was set, at each detection.
    """

    drift: bool
    window: bytes
    drawn: bytes
    next: Number


_WORDS = struct.Struct("<624I")
_MERSENNE = 3
"""The version that Python gives the state of its generator."""


def _save(river: Any) -> KSWINState:
    window = struct.pack(f"<{len(river.window)}d", *river.window)
    if not river._drift_detected and len(river.window) < river.window_size:
        return KSWINState(river._drift_detected, window, b"", 0)
    _, words, _ = river._rng.getstate()
    return KSWINState(river._drift_detected, window, _WORDS.pack(*words[:-1]), words[-1])


def _load(river: Any, state: KSWINState) -> None:
    require(len(state.window) % 8 == 0, "its window is cut")
    window = np.frombuffer(state.window, dtype="<f8")
    require(bool((window >= 0).all() and (window <= 1).all()), "its window holds what is no rank")
    due = river.stat_size if state.drift else river.window_size
    require(len(window) == due if state.drawn else len(window) < due and not state.drift, "its window's length")
    if state.drawn:
        require(len(state.drawn) == _WORDS.size and state.drawn.count(0) < _WORDS.size, "its generator is cut")
        require(1 <= state.next <= 624, "its generator's place")
        river._rng.setstate((_MERSENNE, (*_WORDS.unpack(state.drawn), state.next), None))
    else:
        require(state.next == 0, "its generator's place")
    river._drift_detected = state.drift
    river.window.extend(window.tolist())


def _is_blind(river: Any) -> bool:
    """As long as its window holds what is no rank; it forgets."""
    return not all(0.0 <= x <= 1.0 for x in river.window)


_MOST_EXACT = 10_000
"""Up to so many values in each sample SciPy's p-value is exact, and depends on their number and the distance alone."""


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


@cache
def _river_class() -> Any:
    """River's KSWIN, which remembers the p-values: to compute one takes SciPy 0.1 ms, and there are `stat_size` + 1."""
    from river import drift  # here, because --help and check must start without river

    rivers = drift.KSWIN.update

    class KSWIN(drift.KSWIN):  # type: ignore[misc] # river ships no types
        _drift_detected: bool

        def update(self, x: float) -> bool:
            if self.stat_size > _MOST_EXACT:
                rivers(self, x)
                return self._drift_detected
            if self._drift_detected:
                self._reset()
            self.n += 1
            self.window.append(x)
            if len(self.window) < self.window_size:
                return False
            size, older = self.stat_size, self.window_size - self.stat_size
            held = list(self.window)
            drawn, newest = [held[r] for r in self._rng.sample(range(older), size)], held[older:]
            if isnan(sum(drawn) + sum(newest)):
                return False  # SciPy's p-value is NaN, too
            distance = _distance(sorted(drawn), sorted(newest))
            found: bool = distance / size > 0.1 and _p_value(size, distance) <= self.alpha
            if found:
                self.window.clear()
                self.window.extend(newest)
            self._drift_detected = found
            return found

    return KSWIN


class KSWIN(Plugin):
    """Kolmogorov-Smirnov windowing: finds any change of the distribution, not only of its mean.

    Eats ranks. A hundred times slower than ADWIN (0.02 ms a value), and with many false alarms at its defaults.
    An empty update finds nothing; NaN may not come in.

    C. Raab, M. Heusinger and F.-M. Schleif, Reactive soft prototype computing for concept drift streams, 2020.

    >>> import numpy as np
    >>> detector = KSWIN.model_validate({"class": "KSWIN", "params": {"alpha": 0.0001}}).build(seed=42)
    >>> detector.update(np.repeat([0.2, 0.8], 150))
    [166]
    """

    eats: ClassVar[Eats] = "rank"
    draws: ClassVar[bool] = True
    codec: ClassVar[Codec] = Codec(KSWINState, _save, _load, _is_blind)
    class_: Literal["KSWIN"] = Field(alias="class")
    params: KSWINParams = KSWINParams()

    def river(self, seed: int) -> River:
        params = self.params.model_dump()
        if params["seed"] is None:
            params["seed"] = seed
        detector: River = _river_class()(**params)
        return detector

    def build(self, seed: int) -> Detector:
        return SteppedDetector(self.river(seed), self.eats, self.codec)
