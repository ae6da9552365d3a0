"""KSWIN: a Kolmogorov-Smirnov test of the newest values against a random draw from the window before them."""

from __future__ import annotations

import struct
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from monitor.detectors.plugin import Count, Params, Plugin, Probability
from monitor.detectors.protocol import Eats
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


class KSWIN(Plugin):
    """Kolmogorov-Smirnov windowing: finds any change of the distribution, not only of its mean.

    Eats ranks. A thousand times slower than ADWIN (0.3 ms a value), and with many false alarms at its defaults.
    An empty update finds nothing; NaN may not come in.

    C. Raab, M. Heusinger and F.-M. Schleif, Reactive soft prototype computing for concept drift streams, 2020.

    >>> import numpy as np
    >>> detector = KSWIN.model_validate({"class": "KSWIN", "params": {"alpha": 0.0001}}).build(seed=42)
    >>> detector.update(np.repeat([0.2, 0.8], 150))
    [166]
    """

    eats: ClassVar[Eats] = "rank"
    codec: ClassVar[Codec] = Codec(KSWINState, _PARTS, _check)
    draws: ClassVar[bool] = True
    class_: Literal["KSWIN"] = Field(alias="class")
    params: KSWINParams = KSWINParams()

    def settings(self, seed: int) -> dict[str, Any]:
        params = dict(self.params)
        return params if self.params.seed is not None else {**params, "seed": seed}
