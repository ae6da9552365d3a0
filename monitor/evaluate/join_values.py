"""What goes into the join of predictions with labels, and what comes out of it.

Arrays of one value have equal length (n,). A class is a small integer, or NO_CLASS; times are ms UTC.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.events import Bools, Float32s, Float64s, Int64s, UInt64s

Panes = NDArray[np.uint32]
Classes = NDArray[np.uint8]
Values = Classes | Float64s
ValueType = np.dtype[np.uint8] | np.dtype[np.float64]
Indices = NDArray[np.intp]

NO_CLASS = 255
"""The class of a prediction that has a probability only. Of regression, NaN is no value."""


class JoinSpec(NamedTuple):
    """How a model's predictions and labels are joined. `pending`: predictions that may wait at once.

    `step_ms`: length of a cohort, a multiple of the pane; None: it ends at the first pane end with at least
    `step_events` predictions. `max_delay_ms`: how long labels count behind the end of a cohort. `max_early_ms`: how
    long a label waits for its prediction.
    """

    pane_ms: int
    step_ms: int | None
    step_events: int | None
    max_delay_ms: int
    max_early_ms: int
    pending: int
    is_regression: bool

    @property
    def value_type(self) -> ValueType:
        """The type of predictions and labels."""
        return np.dtype("<f8") if self.is_regression else np.dtype(np.uint8)


class Predictions(NamedTuple):
    """Predictions of one pane in canonical order, those of one partition after those of another.

    `probability`: NaN if it has none.
    """

    ids: UInt64s
    value: Values
    probability: Float32s


class Labels(NamedTuple):
    """Labels of one pane, in the order of traces. Each has a value. `time`: of the event."""

    ids: UInt64s
    value: Values
    time: Int64s

    def take(self, which: Indices | Bools) -> Labels:
        """The labels at these places."""
        return Labels(self.ids[which], self.value[which], self.time[which])

    def followed_by(self, others: Labels) -> Labels:
        """These labels, and others behind them."""
        ids, value = np.concatenate([self.ids, others.ids]), np.concatenate([self.value, others.value])
        return Labels(ids, value, np.concatenate([self.time, others.time]))


class JoinedPairs(NamedTuple):
    """Predictions with their labels, each with the number of its cohort."""

    cohort: Int64s
    truth: Values
    prediction: Values
    probability: Float32s


Why = Literal["age", "budget"]


class Closing(NamedTuple):
    """A cohort that takes no labels any more. `unlabelled`: its predictions without one.

    `needed`: predictions that would wait if none were left out, at the rate of those that did; None: it closed by age.
    """

    number: int
    why: Why
    unlabelled: int
    needed: int | None


class Joined(NamedTuple):
    """What a pane has changed. `opened`: number of the cohort that its predictions began.

    `added`: pairs in the order of their labels, those that had waited first; `prediction_time`: where the pane of the
    prediction begins, `label_time`: of the label's event, `is_first`: False for the new value of a correction.
    `removed`: the pairs that corrections have replaced.
    """

    opened: int | None
    closed: tuple[Closing, ...]
    added: JoinedPairs
    prediction_time: Int64s
    label_time: Int64s
    is_first: Bools
    removed: JoinedPairs
