"""What stands between evaluate and River: the loop over values, the polarity, the gate on errors.

Each layer does one thing, so that each can be tested alone: the loop gives River's own detections, unchanged.

River's `update` spends most of its time in calls, properties and warnings, and evaluate folds panes of few rows again
after a crash, for all detectors. So plug-ins subclass River's classes with an `update` that does the same operations
on the same numbers in the same order, without the calls and without the warnings, which nobody reads. It returns what
`drift_detected` would say, so that `SteppedDetector` can loop in C. The contract suite compares each with River's own
class, to the last bit of its state.
"""

from __future__ import annotations

from operator import length_hint
from typing import Any

from monitor.detectors.protocol import Detector, Eats, River
from monitor.detectors.state import BlindState, Codec, State, require
from monitor.events import Float64s


class RiverDetector:
    """The plain loop: identity input, River's detections. River resets itself at the update after a detection."""

    def __init__(self, river: River, eats: Eats, codec: Codec) -> None:
        self.eats = eats
        self._river = river
        self._codec = codec

    def update(self, values: Float64s) -> list[int]:
        # A loop over values, because River's update takes one. The hot path: names are looked up once.
        river, step, found = self._river, self._river.update, []
        for place, value in enumerate(values.tolist()):
            step(value)
            if river.drift_detected:
                found.append(place)
        return found

    @property
    def is_blind(self) -> bool:
        return self._codec.is_blind(self._river)

    def state(self) -> State:
        return BlindState() if self.is_blind else self._codec.save(self._river)

    def restore(self, state: State) -> None:
        if isinstance(state, BlindState):
            self._river.update(float("nan"))
            return
        require(
            type(state) is self._codec.state, f"of {type(state).__name__}, where {self._codec.state.__name__} is due"
        )
        self._codec.load(self._river, state)


class SteppedDetector(RiverDetector):
    """The same loop in C, for a detector whose `update` returns whether it has detected a change."""

    def update(self, values: Float64s) -> list[int]:
        rest = iter(values.tolist())
        found = []
        # `True in map(...)` takes values from `rest` up to the first detection, and stops there
        while True in map(self._river.update, rest):
            found.append(len(values) - length_hint(rest) - 1)
        return found


class Inverted:
    """Polarity: feeds 1 - x, for a River detector that alarms when the mean falls."""

    def __init__(self, detector: Detector) -> None:
        self.eats = detector.eats
        self._detector = detector

    def update(self, values: Float64s) -> list[int]:
        return self._detector.update(1.0 - values)

    @property
    def is_blind(self) -> bool:
        return self._detector.is_blind

    def state(self) -> State:
        return self._detector.state()

    def restore(self, state: State) -> None:
        self._detector.restore(state)


class ErrorGate:
    """River's DDM, told that a minimum of p + s counts only once it rests on `min_errors` errors.

    DDM alarms when p + s exceeds the smallest so far by three of its standard deviations. Before the first error
    both are 0, so the first error is an alarm, whatever came before; to ignore that alarm alone would put it off to
    error `min_errors`. So the gate holds River's recorded minimum at infinity (its state after a reset) until then:
    nothing can exceed it, while the error rate goes on being learnt. It is River's own `warm_start`, counted in
    errors. Errors are counted from the last detection on.
    False alarms per 10,000 values at a steady error rate of 0.1, 1 and 10 % (20 runs): 8.8, 4.6, 0.8 with 0 errors
    asked for; 0, 0.05, 0.3 with 10. A jump from 0 to 50 % is then found after 32 values (median), not after 1.
    """

    def __init__(self, ddm: Any, min_errors: int) -> None:
        self.ddm = ddm
        self.min_errors = min_errors
        self.errors = 0

    @property
    def drift_detected(self) -> bool:
        return bool(self.ddm.drift_detected)

    def update(self, x: float) -> bool:
        """Feed one value; whether it is a change."""
        ddm = self.ddm
        if ddm._drift_detected:
            self.errors = 0
        self.errors += x == 1.0
        ddm.update(x)
        if self.errors < self.min_errors:
            ddm._ps_min = _INFINITE  # River has no public way to it; its version is pinned
        found: bool = ddm._drift_detected
        return found


_INFINITE = float("inf")
