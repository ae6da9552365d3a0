"""The codec of detectors' states: which of River's attributes a snapshot holds, explicit and checked, never executed.

Each class has a struct, tagged with River's name, and beside it a table that says where River keeps each of its fields.
That table is the only place that knows River's private attributes. A state holds what a later update reads, and nothing
else: not the parameters, which the rules give, and not what River keeps for show (p-values, warnings). What a struct's
types can't say (lengths, what must add up) its `check` says, so that a state that can be known to be wrong is refused
with FormatError. A detector that was never fed, or has just started afresh, has the same state in every class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Annotated, Any, NamedTuple

import msgspec

from monitor.errors import FormatError

Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""A number of values or errors. River counts in doubles."""
Fed = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
"""Values that came; a detector that was given none has the state `FreshState`."""
Finite = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]
"""No NaN and no infinity."""
Positive = Annotated[float, msgspec.Meta(ge=0, le=1e300)]
_SLACK = 1e-9
Share = Annotated[float, msgspec.Meta(ge=-_SLACK, le=1 + _SLACK)]
"""A mean of values in [0, 1], with room for rounding."""


class State(msgspec.Struct, frozen=True, array_like=True):
    """Base of the states of all detectors."""


class FreshState(State, frozen=True, tag="fresh"):
    """The state of a detector that has read nothing since it was made, or since its last detection."""


class BlindState(State, frozen=True, tag="blind"):
    """The state of a detector that was fed with something else than numbers in [0, 1].

    Gated input should make this impossible; if it happens, DetectorBlind reports it, and a restart still succeeds.
    """


class Part(NamedTuple):
    """One field of a state. `take`: its value, of River's detector; `give`: sets it on one that was just made."""

    take: Callable[[Any], Any]
    give: Callable[[Any, Any], None]


def attribute(
    path: str, save: Callable[[Any], Any] | None = None, load: Callable[[Any, Any], Any] | None = None
) -> Part:
    """A field that is one of River's attributes; `path`: its name, behind those of the objects that hold it.

    `save`: River's value as the state's. `load`: given what a new detector holds there, and the state's value, what it
    is to hold.
    """
    *holders, name = path.split(".")
    read = attrgetter(path)
    holder = attrgetter(".".join(holders)) if holders else None

    def take(river: Any) -> Any:
        return read(river) if save is None else save(read(river))

    def give(river: Any, value: Any) -> None:
        held = river if holder is None else holder(river)
        setattr(held, name, value if load is None else load(getattr(held, name), value))

    return Part(read if save is None else take, give)


def count(path: str) -> Part:
    """A number of values, which River keeps as a double."""
    return attribute(path, int, lambda _, number: float(number))


class Codec:
    """How the state of one of River's classes is read and set.

    `parts`: where River keeps each field of `state`. `check`: refuses, by FormatError, a state that a detector with
    these parameters can't have; it is given a detector of River that was just made, and the state.
    """

    def __init__(self, state: type[State], parts: Mapping[str, Part], check: Callable[[Any, Any], None]) -> None:
        self.state = state
        self._parts = tuple(parts[name] for name in state.__struct_fields__)
        self._check = check

    def save(self, river: Any) -> State:
        """The state of a detector of River."""
        return self.state(*[take(river) for take, _ in self._parts])

    def load(self, river: Any, state: State) -> None:
        """Set a state on a detector that was just made; raises FormatError."""
        self._check(river, state)
        for part, name in zip(self._parts, state.__struct_fields__, strict=True):
            part.give(river, getattr(state, name))


def require(holds: bool, what: str) -> None:
    """Refuse a state: `what` says what is wrong with it."""
    if not holds:
        raise FormatError(f"not a detector's state: {what}")


def adds_up(mean: float, n: int, total: float) -> bool:
    """Return true if a running mean of n values is that of their sum, but for rounding."""
    return abs(mean * n - total) <= 1e-6 * n + _SLACK
