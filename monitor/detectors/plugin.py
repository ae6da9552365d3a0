"""What stands in alerts.yaml under a detector's name: River's class and parameters, and how its detector is built.

To add one: a file here with a subclass of `Plugin`, its parameters and its state, both names in the unions of
`__init__.py`, and its rows in `golden.py`.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from monitor.detectors.adapter import Feed, RiverDetector, feed
from monitor.detectors.late_import import put_off
from monitor.detectors.protocol import Detector, Reads
from monitor.detectors.state import Codec

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""A number of values; the upper end keeps it inside a C long."""
Probability = Annotated[float, Field(gt=0, lt=1)]


class Params(BaseModel):
    """Base of the parameters: River's names, River's defaults, checked before River sees them."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Plugin(BaseModel):
    """Base of the plug-ins. A subclass has the name of River's class, and that name as its `class_`.

    `reads`: what it is fed with. `codec`: its state. `draws`: whether it draws at random, and so needs a seed.
    `turned`: whether River's class is fed with 1 - x. `feed`: the loop over values. `cost_us`: about what River's
    `update` takes, µs: no output depends on it, but how much work may lie behind a snapshot.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)
    reads: ClassVar[Reads]
    codec: ClassVar[Codec]
    draws: ClassVar[bool] = False
    turned: ClassVar[bool] = False
    cost_us: ClassVar[float] = 1.0
    feed: ClassVar[Feed] = staticmethod(feed)
    class_: str
    params: Params

    def river(self, seed: int) -> Any:
        """River's own detector with these parameters. `seed` serves those that draw at random."""
        return self.river_class()(**self.settings(seed))

    def river_class(self) -> Any:
        """River's class of that name."""
        put_off("scipy.stats")  # else it is two thirds of River's import, and KSWIN alone needs it, at times
        from river import drift  # here, because --help and check must start without river

        return getattr(drift.binary if self.reads == "binary" else drift, self.class_)

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The parameters by River's names, read once for all detectors of this entry."""
        return dict(self.params)

    def settings(self, seed: int) -> dict[str, Any]:
        """River's arguments."""
        return self.arguments

    def for_dependent(self, inflation: float) -> Self:
        """What stands for it where sums of values vary `inflation` times (1 at least) as much as independent ones."""
        return self

    def build(self, seed: int) -> Detector:
        """The detector as evaluate feeds it."""
        it = type(self)
        return RiverDetector(partial(self.river, seed), it.reads, it.codec, it.turned, it.feed)
