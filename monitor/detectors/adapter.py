"""The adapter between evaluate and River: gate, polarity, the loop over values, a new detector after each change.

River's own `update` does the work, in every class. What River leaves open is decided here, once for all eight:

- **Gate.** One value outside [0, 1] would disable most of River's detectors for good, without an error.
  River never sees it: the detector is blind from then on, finds nothing, and reports it.
- **Polarity.** A class that alarms when the mean of its input falls is fed with 1 - x.
- **Reset.** River's detectors reset themselves at the update after a detection; here a new one takes over at once,
  made of the same parameters and seed. The answers are the same, and a state is never one of a spent detector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import length_hint
from typing import Any

from monitor.detectors.protocol import Reads
from monitor.detectors.state import BlindState, Codec, FreshState, State, require
from monitor.events import Float64s

Feed = Callable[[Any, Iterator[float]], bool]
"""Feeds values to a detector of River up to the first change, and stops behind it; returns whether there was one."""


def feed(river: Any, values: Iterator[float]) -> bool:
    """The plain loop of River's documentation."""
    # A loop over values, because River's update takes one. The hot path: the method is looked up once.
    step = river.update
    for value in values:
        step(value)
        if river.drift_detected:
            return True
    return False


class RiverDetector:
    """A detector that River's class makes. `make`: a new one of River's, with parameters and seed; `codec`: its state.

    `turned`: whether it is fed with 1 - x. `feed`: the loop over values.
    """

    __slots__ = ("_codec", "_feed", "_is_fresh", "_make", "_river", "_turned", "is_blind", "reads")

    def __init__(
        self, make: Callable[[], Any], reads: Reads, codec: Codec, turned: bool = False, feed: Feed = feed
    ) -> None:
        self.reads = reads
        self.is_blind = False
        self._make = make
        self._codec = codec
        self._turned = turned
        self._feed = feed
        self._river = make()
        self._is_fresh = True

    def update(self, values: Float64s) -> list[int]:
        numbers: list[float] = values.tolist()
        # false for NaN and infinities, which a sum keeps; exact for numbers in [0, 1], for rounding is monotone
        if not 0 <= sum(numbers) <= len(numbers):
            self.is_blind = True
        if self.is_blind or not numbers:
            return []
        rest = iter([1.0 - number for number in numbers] if self._turned else numbers)
        found: list[int] = []
        while self._feed(self._river, rest):
            found.append(len(numbers) - length_hint(rest) - 1)
            self._river = self._make()
        self._is_fresh = bool(found) and found[-1] == len(numbers) - 1
        return found

    def state(self) -> State:
        if self.is_blind:
            return BlindState()
        return FreshState() if self._is_fresh else self._codec.save(self._river)

    def restore(self, state: State) -> None:
        self.is_blind = isinstance(state, BlindState)
        if not isinstance(state, BlindState | FreshState):
            due = self._codec.state
            require(type(state) is due, f"of {type(state).__name__}, where {due.__name__} is due")
            self._codec.load(self._river, state)
            self._is_fresh = False
