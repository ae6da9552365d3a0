"""KSWIN: a Kolmogorov-Smirnov test of the newest values against a random draw from the window before them."""

from __future__ import annotations

import struct
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from monitor.detectors.layers import RiverDetector
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


class KSWIN(Plugin):
    """Kolmogorov-Smirnov windowing: finds any change of the distribution, not only of its mean.

    Eats ranks. A thousand times slower than ADWIN (0.13 ms a value), and with many false alarms at its defaults.
    An empty update finds nothing; NaN may not come in.

    C. Raab, M. Heusinger and F.-M. Schleif, Reactive soft prototype computing for concept drift streams, 2020.

    >>> import numpy as np
    >>> detector = KSWIN.model_validate({"class": "KSWIN", "params": {"alpha": 0.0001}}).build(seed=42)
    >>> detector.update(np.repeat([0.2, 0.8], 150))
    [166]
    """

    eats: ClassVar[Eats] = "rank"
    codec: ClassVar[Codec] = Codec(KSWINState, _save, _load, _is_blind)
    class_: Literal["KSWIN"] = Field(alias="class")
    params: KSWINParams = KSWINParams()

    def river(self, seed: int) -> River:
        from river import drift  # here, because --help and check must start without river

        params = self.params.model_dump()
        if params["seed"] is None:
            params["seed"] = seed
        detector: River = drift.KSWIN(**params)
        return detector

    def build(self, seed: int) -> Detector:
        return RiverDetector(self.river(seed), self.eats, self.codec)
