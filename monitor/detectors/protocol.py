"""What a detector is, and what its plug-in is: the two shapes that every file of this package has.

| class | eats | River's input | ours | seeded |
|---|---|---|---|---|
| ADWIN, PageHinkley | rank | any number | the rank | no |
| KSWIN | rank | any number | the rank | yes: by `seed`, else by the series |
| DDM, EDDM, HDDMA, HDDMW | binary | 1 = error | 1 = error | no |
| FHDDM | binary | says 1 = error, but alarms when the mean falls | 1 = error, turned round for River | no |

A detector that eats ranks may be fed with 0 and 1 as well: those are numbers in [0, 1].
To add one: a file here with a subclass of `Plugin` and its state, and both names in the unions of `__init__.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from monitor.detectors.state import Codec, State
from monitor.events import Float64s

Eats = Literal["rank", "binary"]
"""rank: numbers in [0, 1]. binary: 0 or 1, where 1 is the error or event that is watched."""

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""A number of values; the upper end keeps it inside a C long."""
Probability = Annotated[float, Field(gt=0, lt=1)]


class Detector(Protocol):
    """One change detector on one series. Evaluate feeds it with the trace of each pane, in pane order.

    The caller leaves out what is not VALID: all values are finite and in [0, 1] (0 or 1 where `eats` is "binary").
    It may rely on this: however the stream is cut into calls, the same values are found; after a detection the
    detector has started afresh.
    """

    eats: Eats

    def update(self, values: Float64s) -> list[int]:
        """Feed values (n,) in order; the places in `values`, ascending, at which a change is detected."""

    @property
    def is_blind(self) -> bool:
        """Whether NaN or infinity has got in, so that it finds nothing for ever. Never, if all inputs are gated."""

    def state(self) -> State:
        """All that later updates depend on."""

    def restore(self, state: State) -> None:
        """Go on from there; of a detector just built of the same plug-in and seed. Raises FormatError."""


class River(Protocol):
    """The part of River's drift detectors that is used here."""

    @property
    def drift_detected(self) -> bool:
        """Whether the last update detected a change."""

    def update(self, x: float) -> bool | None:
        """Feed one value. Ours return whether it is a change, River's own nothing."""


class Params(BaseModel):
    """Base of the parameters: River's names, River's defaults, checked before River sees them."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Plugin(BaseModel):
    """Base of what stands in alerts.yaml under a detector's name: River's `class`, and its `params`."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)
    eats: ClassVar[Eats]
    codec: ClassVar[Codec]
    draws: ClassVar[bool] = False
    """Whether it draws at random, and so needs a seed."""

    @abstractmethod
    def river(self, seed: int) -> River:
        """River's own detector with these parameters. `seed` serves those that draw at random."""

    @abstractmethod
    def build(self, seed: int) -> Detector:
        """The detector as evaluate feeds it: River's, with polarity and gates in front."""
