"""Another release of River, as far as the code can tell: one that calls itself so, and has other classes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import river
from river import drift
from river.drift import binary

from monitor.detectors import golden

SAME: dict[str, type] = {}
"""Answers as the one that is installed."""


class _Shier(binary.HDDMA):  # type: ignore[misc] # river ships no types
    """Another answer to the same values: it needs a larger difference."""

    def _mean_incr(self, confidence: float) -> bool:
        return bool(super()._mean_incr(confidence / 100))


_HDDMW = binary.HDDMW


class _Renamed:
    """The same answers, from attributes under another name, so that no state can be taken of it."""

    def __init__(self, **params: Any) -> None:
        self._inner = _HDDMW(**params)

    @property
    def drift_detected(self) -> bool:
        return bool(self._inner.drift_detected)

    def update(self, x: float) -> None:
        self._inner.update(x)


class _Bolder(drift.ADWIN):  # type: ignore[misc] # river ships no types
    """Another answer to the same values: it cuts sooner."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params | {"delta": min(0.9, 100 * params["delta"])})


BOLDER_ADWIN: dict[str, type] = {"ADWIN": _Bolder}
DIFFERENT: dict[str, type] = {"HDDMA": _Shier}
RENAMED: dict[str, type] = {"HDDMW": _Renamed}


@contextmanager
def another_river(release: str, classes: dict[str, type]) -> Iterator[None]:
    """River is of that release, with these classes in place of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(river, "__version__", release)
        for name, its in classes.items():
            patch.setattr(binary if hasattr(binary, name) else drift, name, its)
        golden._release.cache_clear()
        yield
    golden._release.cache_clear()
