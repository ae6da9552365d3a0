"""What River's detectors answer to fixed values, so that another release of River is known by its answers.

A state means what the River that wrote it made of it. Another release may keep the same numbers under another name, or
go on from them in another way, and nothing in the bytes would show it. So each class is tried on the values below:

1. a new detector is fed up to the middle, and has to come to the golden state;
2. another one, restored from that state, is fed with the rest, and has to find the golden changes and come to the
   golden state at the end.

A class that passes is, for a snapshot, that of the River that the golden answers are of. One that does not goes under
its own release, and goes on from states of that release alone; one that can't even go on from its own states goes under
no name, and its detectors start again at every restart. Under the golden release itself nothing is tried.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np

from monitor.detectors import PLUGINS, DetectorState
from monitor.detectors.plugin import Plugin
from monitor.detectors.protocol import Detector
from monitor.errors import FormatError
from monitor.events import Float64s

RELEASE = "0.26.1"
"""The River that the golden answers are of."""
LENGTH, MIDDLE = 500, 240
SEED = 20


class Trial(NamedTuple):
    """A detector on the golden values: where it found changes, and digests of its states in the middle and at the end.

    `params`: those that are not River's defaults.
    """

    params: Mapping[str, Any]
    found: tuple[int, ...]
    middle: str
    end: str


GOLDEN: Mapping[str, tuple[Trial, ...]] = {
    "ADWIN": (
        Trial({}, (127, 223, 383, 479), "b556ef1ce4e87940", "c59d23df234f05fd"),
        Trial(
            {"delta": 0.05, "clock": 8, "max_buckets": 3},
            (103, 191, 271, 351, 439),
            "8e032e0fe339b56a",
            "776dcea7a4d2018f",
        ),
    ),
    "KSWIN": (
        Trial({}, (99, 199, 299, 399), "4a3170b70cff0f02", "943b1b26d24731ad"),
        Trial(
            {"alpha": 0.01, "window_size": 60, "stat_size": 20},
            (94, 172, 258, 344, 427),
            "cd0b8f33f85dcfb0",
            "43f817f68bc3d5c5",
        ),
    ),
    "PageHinkley": (
        Trial({}, (309,), "dcf3996e407d883b", "d31637eb48fcc82d"),
        Trial({"threshold": 5, "mode": "up"}, (92, 263, 437), "cba4dff606393d94", "e92e62456007750c"),
    ),
    "DDM": (
        Trial({}, (90, 297, 473), "80501455173fe89d", "0f79d0dcd425ea95"),
        Trial({"drift_threshold": 2.5, "min_errors": 5}, (85, 287, 464), "5d7cd8778771b3b4", "407c92c2b7915fed"),
    ),
    "EDDM": (
        Trial({}, (108, 150, 256, 314, 431, 480), "d1c412121a41c618", "2ae5063feb76b0a0"),
        Trial({"alpha": 0.9, "beta": 0.8, "warm_start": 20}, (96, 309, 454), "cfec11402037f9c1", "2a9a2e61e07849d4"),
    ),
    "FHDDM": (
        Trial({}, (136, 301, 477), "a48ff5c337e7db22", "a005e0c010c0319b"),
        Trial(
            {"sliding_window_size": 40, "confidence_level": 0.001, "short_window_size": 20},
            (90, 258, 441),
            "4b34d5903d791ca5",
            "8b63eb39e1a1a3aa",
        ),
    ),
    "HDDMA": (
        Trial({}, (88, 288, 452), "f1bdf1dfbd5b8c26", "1774b460e0afd0f6"),
        Trial(
            {"drift_confidence": 0.01, "two_sided_test": True},
            (88, 170, 255, 337, 443),
            "e7735254912b1d3b",
            "f9d9aeaaec147f44",
        ),
    ),
    "HDDMW": (
        Trial({}, (91, 264, 447), "640fbb267a12b0fd", "6628aea3f5c23ff7"),
        Trial(
            {"drift_confidence": 0.01, "lambda_val": 0.1, "two_sided_test": True},
            (87, 171, 255, 339, 442),
            "707ab55240bd5d4d",
            "cacd8161bd6cbb61",
        ),
    ),
}
"""The golden states, by River's class."""


def release_of(name: str) -> str:
    """The River whose states of a class the running one goes on from: a release, or empty for none.

    Raises FormatError for an unknown class.
    """
    return _release(name, running())


def running() -> str:
    """The release of the River that is installed."""
    from river import __version__  # here, because --help and check must start without river

    return str(__version__)


@cache
def _release(name: str, river: str) -> str:
    if name not in GOLDEN:
        raise FormatError(f"not a detector's state: River has no detector {name!r} here")
    trials = GOLDEN[name]
    if river == RELEASE or all(tried(name, trial.params) == trial for trial in trials):
        return RELEASE
    return river if all(tried(name, trial.params) is not None for trial in trials) else ""


def tried(name: str, params: Mapping[str, Any]) -> Trial | None:
    """What the running River makes of a trial; None if a restored detector does not go on as one that never stopped."""
    it = PLUGINS[name].model_validate({"class": name, "params": params})
    values = golden_values(it)
    try:
        undisturbed = it.build(SEED)
        first = undisturbed.update(values[:MIDDLE])
        middle = _encoded(undisturbed)
        restored = it.build(SEED)
        restored.restore(_DECODER.decode(middle))
        rest = restored.update(values[MIDDLE:])
        end = _encoded(restored)
        if (rest, end) != (undisturbed.update(values[MIDDLE:]), _encoded(undisturbed)):
            return None
    except Exception:  # whatever another release of River has in store, it must not stop a model
        return None
    found = (*first, *(MIDDLE + place for place in rest))
    return Trial(params, found, _digest(middle), _digest(end))


def golden_values(it: Plugin) -> Float64s:
    """Values with five changes up and down, made of integers alone: the same on every processor."""
    levels = (0.1, 0.8, 0.2, 0.9, 0.1, 0.7)
    numbers, word = [], 1
    for place in range(LENGTH):
        word = (word * 6364136223846793005 + 1442695040888963407) % (1 << 64)  # Knuth's MMIX
        x, level = (word >> 16) / (1 << 48), levels[place * len(levels) // LENGTH]
        numbers.append(float(x < level) if it.reads == "binary" else min(1.0, max(0.0, level + (x - 0.5) / 4)))
    return np.array(numbers)


_DECODER = msgspec.msgpack.Decoder(DetectorState)


def _encoded(detector: Detector) -> bytes:
    return msgspec.msgpack.encode(detector.state())


def _digest(state: bytes) -> str:
    return hashlib.sha256(state).hexdigest()[:16]
