"""KSWIN: a Kolmogorov-Smirnov test of the newest values against a random draw from the window before them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from monitor.detectors.layers import RiverDetector
from monitor.detectors.protocol import Count, Detector, Eats, Params, Plugin, Probability, River


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
        return RiverDetector(self.river(seed), self.eats)
