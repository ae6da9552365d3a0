"""What a detector's state is: one struct a class, explicit and checked, from which nothing is executed.

A state holds what a later update reads, and nothing else: not the parameters, which the rules give, and not what River
keeps for show (p-values, warnings). What a struct's types can't say (lengths, what must add up) its `load` checks, so
that a state that can be told to be wrong is refused with FormatError. Its tag is River's class name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any

import msgspec

from monitor.errors import FormatError

Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""Of values or errors. River counts in doubles."""
Finite = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]
"""No NaN and no infinity."""
Positive = Annotated[float, msgspec.Meta(ge=0, le=1e300)]
_SLACK = 1e-9
Share = Annotated[float, msgspec.Meta(ge=-_SLACK, le=1 + _SLACK)]
"""A mean of values in [0, 1], with room for rounding."""


class State(msgspec.Struct, frozen=True, array_like=True):
    """Base of the states of all detectors."""


class BlindState(State, frozen=True, tag="blind"):
    """Of a detector that can see no change any more, whichever: its numbers are none, and none may be loaded.

    Nothing ever comes to that, for all input is gated. But if it does, it has to be told (DetectorBlind), and must not
    stop the model at the next restart as well.
    """


@dataclass(frozen=True, slots=True)
class Codec:
    """How the state of one of River's classes is read and set.

    `save`: the state of a detector. `load`: sets a state on a detector that was just built; raises FormatError.
    `is_blind`: whether NaN or infinity has got into it, from which it would never recover.
    """

    state: type[State]
    save: Callable[[Any], State]
    load: Callable[[Any, Any], None]
    is_blind: Callable[[Any], bool]


def require(holds: bool, what: str) -> None:
    """Refuse a state: `what` says what is wrong with it."""
    if not holds:
        raise FormatError(f"not a detector's state: {what}")


def finite_or_none(value: float) -> float | None:
    """A bound that has not been set yet is infinite in River, and None in a state."""
    return value if isfinite(value) else None


def or_infinite(value: float | None, sign: float = 1.0) -> float:
    """The other way round."""
    return sign * float("inf") if value is None else value


def adds_up(mean: float, n: int, total: float) -> bool:
    """Whether a running mean of n values is that of their sum, but for rounding."""
    return abs(mean * n - total) <= 1e-6 * n + _SLACK
