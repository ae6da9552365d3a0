"""ADWIN: a window of variable length that is cut where the means of its two parts differ."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from math import ceil, frexp, isfinite, ldexp
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from monitor.detectors.adapter import Feed
from monitor.detectors.plugin import Count, Params, Plugin, Probability
from monitor.detectors.protocol import Reads
from monitor.detectors.state import Codec, State, attribute, require
from monitor.errors import FormatError


class ADWINParams(Params):
    """River's parameters of ADWIN."""

    delta: Probability = 0.002
    """Significance of a cut. Larger finds more and sooner, with more false alarms."""
    clock: Count = 32
    """The detector looks for a cut each time it has read this many values."""
    max_buckets: Annotated[int, Field(ge=2, le=1000)] = 5
    """Buckets of each size that are kept before two are merged; with a single one River fails."""
    min_window_length: Count = 5
    """Shortest part that is compared."""
    grace_period: Count = 10
    """Values before the first cut is looked for."""


class ADWINState(State, frozen=True, tag="ADWIN"):
    """The exponential histogram, in the bytes that River's Rust part gives; `_check` reads every field of them."""

    helper: bytes


_HEAD = struct.Struct("<dIQddddddIIII")
_TAIL = struct.Struct("<dIQII")
_LENGTH = struct.Struct("<Q")


@lru_cache(maxsize=64)
def _bucket(max_buckets: int) -> struct.Struct:
    """Buckets of one size: their room, how many are used, and their sums and variances."""
    return struct.Struct(f"<QQQ{max_buckets + 1}dQ{max_buckets + 1}d")


def _check(adwin: Any, state: Any) -> None:
    """Refuse bytes that River's Rust part would fail on, or load wrong, if that can be seen."""
    helper: bytes = state.helper
    bucket, room = _bucket(adwin.max_buckets), adwin.max_buckets
    rows, rest = divmod(len(helper) - _HEAD.size - _LENGTH.size - _TAIL.size, bucket.size)
    require(rows >= 1 and rest == 0, "its histogram is cut")
    *params, total, variance, width, widths, _, _, tick, found = _HEAD.unpack_from(helper)
    ours = [adwin.delta, adwin.clock, room, adwin.min_window_length, adwin.grace_period]
    require(params == ours and list(_TAIL.unpack_from(helper, len(helper) - _TAIL.size)) == ours, "of other parameters")
    require(_LENGTH.unpack_from(helper, _HEAD.size) == (rows,), "its number of rows")
    counted, summed = 0, 0.0
    for size, row in enumerate(bucket.iter_unpack(helper[_HEAD.size + _LENGTH.size : -_TAIL.size])):
        used, sums, variances = row[1], row[3 : 4 + room], row[5 + room :]
        require((row[0], row[2], row[4 + room]) == (room, room + 1, room + 1) and used <= room, "a row of other length")
        require(not any(sums[used:]) and not any(variances[used:]), "a bucket that is not used holds something")
        held = sums + variances
        # a NaN shows in the sum, but may not in the extremes
        most = (1 << size) * (1 + 1e-9)
        require(isfinite(sum(held)) and min(held) >= 0 and max(held) <= most, "a bucket holds more than its values")
        counted, summed = counted + (used << size), summed + sum(sums)
    require(width == counted <= tick and found == 0, "its buckets do not make its width")
    require(abs(total - summed) <= 1e-6 * (1 + width), "its buckets do not make its sum")
    require(0 <= variance <= width + 1e-6 and 0 <= widths < 1e300, "its totals")


def _helper(held: Any, helper: bytes) -> Any:
    """The part in Rust with its state set; raises FormatError if it can't read that."""
    try:
        held.__setstate__(helper)
    except BaseException as error:
        # River's Rust part panics on bytes that it can't read, and that is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise FormatError(f"not a detector's state: {error}") from None
    return held


_PARTS = {"helper": attribute("_helper", lambda helper: helper.__getstate__(), _helper)}


def _feed(river: Any, values: Iterator[float]) -> bool:
    """The loop in C over River's part in Rust, which is all that River's `update` calls before the first change.

    Not a copy of it, but a short cut past its Python: 0.09 µs a value instead of 0.31. ADWIN watches every column, and
    without it evaluate takes twice the time (16 µs an event instead of 8 at 20 columns, `benchmarks/throughput.py`).
    """
    # `True in map(...)` takes values up to the first detection, and stops there
    return True in map(river._helper.update, values)


_MOST_HALVINGS = 900
"""A delta of 0.002 / 2**900 is still a normal number."""


class ADWIN(Plugin):
    """Adaptive windowing: keeps the longest window in which no cut separates two different means.

    Reads ranks; its bound assumes numbers in [0, 1]. Finds changes of the mean in either direction. NaN would blind
    it for good, so none may come in. An empty update finds nothing.

    A. Bifet and R. Gavaldà, Learning from time-changing data with adaptive windowing, SDM 2007.

    >>> import numpy as np
    >>> detector = ADWIN.model_validate({"class": "ADWIN", "params": {"delta": 0.01}}).build(seed=0)
    >>> detector.update(np.repeat([0.2, 0.8], 500))
    [543]
    """

    reads: ClassVar[Reads] = "rank"
    codec: ClassVar[Codec] = Codec(ADWINState, _PARTS, _check)
    feed: ClassVar[Feed] = staticmethod(_feed)
    cost_us: ClassVar[float] = 0.5
    class_: Literal["ADWIN"] = Field(alias="class")
    params: ADWINParams = ADWINParams()

    def for_dependent(self, inflation: float) -> Self:
        """Its bound on a difference of means grows with the root of ln(1 / delta): so delta is taken to that power.

        It is halved so often that it is at most that power, because halving gives the same number everywhere.

        >>> detector = ADWIN.model_validate({"class": "ADWIN", "params": {"delta": 0.125}})
        >>> detector.for_dependent(1.0).params.delta, detector.for_dependent(2.0).params.delta
        (0.125, 0.015625)
        """
        halvings = ceil((inflation - 1.0) * (1 - frexp(self.params.delta)[1]))
        delta = ldexp(self.params.delta, -min(halvings, _MOST_HALVINGS))
        return self.model_copy(update={"params": self.params.model_copy(update={"delta": delta})})
