"""What predictions and labels of tables meet by: the ids of their rows, and which rows have a label at all.

A row without a label is left out, and is no dead letter: its label has yet to come, or never does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from monitor.codec import reasons
from monitor.codec.ids import NO_ID, digests
from monitor.contract import Field
from monitor.events import Bools, CellState, Rows, UInt64s
from monitor.sources.arrow_cells import json_values

_WITHOUT: Final = (CellState.NULL, CellState.ABSENT, CellState.NAN)
"""The states of a label that is not there: tables of numbers write NaN where they have none."""


@dataclass(frozen=True, slots=True)
class RowIds:
    """The ids of the rows of a block. `field`: where an event has its id.

    `array`: the table's column of them, shape (n,). If it is None `prefix` and the number of the row, from `first`
    on, are the id; without that there is none.
    """

    field: Field
    array: pa.Array | None
    prefix: str | None
    first: int

    def digests(self, n: int) -> UInt64s:
        """Return the digest of each of the n ids, NO_ID for a row without."""
        if self.array is not None:
            return digests([_id(value) for value in json_values(self.array)])
        if self.prefix is None:
            return np.full(n, NO_ID, dtype=np.uint64)
        return digests([f"{self.prefix}{number}" for number in range(self.first, self.first + n)])

    def of(self, i: int) -> Any:
        """Return the id of one row, as an event has it; None if it has none."""
        if self.array is None:
            return None if self.prefix is None else f"{self.prefix}{self.first + i}"
        value = _id(json_values(self.array.slice(i, 1))[0])
        return value if isinstance(value, str | int | None) else str(value)


def _id(value: Any) -> Any:
    """Return an integer for a float that is one: a column of integers with gaps is one of floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def is_labelled(rows: Rows) -> Bools:
    """Return which rows of a table of labels have one, shape (n,)."""
    if not rows.categorical:
        return np.isin(rows.numeric_states[:, 0], _WITHOUT, invert=True)
    states = rows.categorical_states[:, 0]
    has_text = np.array([bool(text.strip()) for text in rows.categorical[0]], dtype=np.bool_)
    is_there: Bools = np.isin(states, _WITHOUT, invert=True) & (has_text | (states != CellState.VALID))
    return is_there


def label_faults(rows: Rows) -> dict[int, str]:
    """Return the reason of each label that can't be used, by its place; of those that are none, too."""
    states = (rows.categorical_states if rows.categorical else rows.numeric_states)[:, 0]
    faults = dict.fromkeys(np.flatnonzero(states != CellState.VALID).tolist(), reasons.INVALID_LABEL)
    if rows.ids is not None:
        faults |= dict.fromkeys(np.flatnonzero(rows.ids == NO_ID).tolist(), reasons.MISSING_PREDICTION_ID)
    return faults
