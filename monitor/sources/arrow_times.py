"""Times of rows from a column of any Arrow type: texts, dates, timestamps and epochs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.codec.decode import TOO_LATE
from monitor.codec.event_times import DATES, LOCAL, EventTimes, read_local, read_numbers, read_texts
from monitor.codec.times import UNREADABLE
from monitor.contract import TimeForm
from monitor.sources.arrow_cells import family_of

_IN_MS: Final = pa.timestamp("ms", "UTC")
_USUAL: Final = (len("2026-03-01T00:00:00Z"), len("2026-03-01T00:00:00.000Z"))
_UNITS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def times_of(array: pa.Array, form: TimeForm) -> EventTimes:
    """Times of a column, whatever its type; UNREADABLE for what is none."""
    family = family_of(array.type)
    times = np.full(len(array), UNREADABLE, dtype=np.int64)
    held = array.is_valid().to_numpy(zero_copy_only=False)
    if not held.any():
        return EventTimes(times)
    array = array.drop_null() if array.null_count else array
    read = _READ_TIMES[family](array, form) if family in _READ_TIMES else EventTimes(times[held])
    times[held] = read.times
    return EventTimes(times, read.notes)


def _of_timestamps(array: pa.Array, form: TimeForm) -> EventTimes:
    kind = array.type
    none = np.full(len(array), UNREADABLE, dtype=np.int64)
    if pa.types.is_time(kind):
        return EventTimes(none)
    if pa.types.is_date(kind):
        days = array.view(pa.int32() if pa.types.is_date32(kind) else pa.int64()).to_numpy().astype(np.int64)
        return read_local(days * 86_400_000 if pa.types.is_date32(kind) else days, form, DATES)
    values, per_second = array.view(pa.int64()).to_numpy(), _UNITS[kind.unit]
    if per_second < 1000:  # seconds of years that no event is from would overflow
        values = np.clip(values, -TOO_LATE, TOO_LATE) * 1000
    else:
        values = np.floor_divide(values, per_second // 1000)
    return EventTimes(values) if kind.tz else read_local(values, form, LOCAL)


def _of_texts(array: pa.Array, form: TimeForm) -> EventTimes:
    if not form.format and family_of(array.type) == "text" and _are_usual(array):
        try:
            return EventTimes(pc.cast(array, _IN_MS).view(pa.int64()).to_numpy())
        except pa.ArrowInvalid:
            pass  # one at least is another form, or no time
    texts = array.to_pylist()
    if family_of(array.type) == "bytes":
        texts = [text.decode("utf-8", "replace") for text in texts]
    return read_texts([text.strip() for text in texts], form)


def _are_usual(array: pa.Array) -> bool:
    """Return true if all texts are as long as 2026-03-01T00:00:00Z, or with milliseconds, and end so.

    Only of these Arrow and events mean the same by each text, and Arrow reads them fifty times as fast.
    """
    shortest, longest = pc.min_max(pc.binary_length(array)).as_py().values()
    return shortest == longest and longest in _USUAL and bool(pc.all(pc.ends_with(array, "Z")).as_py())


_READ_TIMES: Final[dict[str, Callable[[pa.Array, TimeForm], EventTimes]]] = {
    "time": _of_timestamps,
    "integer": lambda array, form: read_numbers(_as_numpy(array, pa.int64()), form),
    "float": lambda array, form: read_numbers(_as_numpy(array, pa.float64()), form),
    "decimal": lambda array, form: read_numbers(_as_numpy(array, pa.float64()), form),
    "text": _of_texts,
    "bytes": _of_texts,
}


def _as_numpy(array: pa.Array, kind: pa.DataType) -> Any:
    return pc.cast(array, kind, safe=False).to_numpy(zero_copy_only=False)
