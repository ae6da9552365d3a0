"""The newest outcomes of a model: where a change in them began.

A detector says that there is a change, and not where. The best ramp over the newest outcomes does (`stats/ramp.py`), in
the order of their predictions: labels come long behind these, and mixed.
"""

from __future__ import annotations

import numpy as np

from monitor.codec.varints import pack, unpack, unzigzag, zigzag
from monitor.errors import FormatError
from monitor.evaluate.state import NewestOutcomesState
from monitor.events import Change, Float32s, Float64s, Int64s
from monitor.stats.ramp import MOST, best_change


class NewestOutcomes:
    """At most `ramp.MOST` of them."""

    def __init__(self, pane_ms: int) -> None:
        self._pane_ms = pane_ms
        self._panes: Int64s = np.zeros(0, dtype=np.int64)
        self._errors: Float32s = np.zeros(0, dtype=np.float32)
        self._losses: Float32s = np.zeros(0, dtype=np.float32)

    def add(self, prediction_time: Int64s, errors: Float64s | None, losses: Float64s) -> None:
        """Take outcomes, shape (n,). `prediction_time`: where the panes of their predictions begin, ms."""
        is_wrong = np.zeros(len(losses)) if errors is None else errors
        self._panes = np.concatenate([self._panes, prediction_time // self._pane_ms])[-MOST:]
        self._errors = np.concatenate([self._errors, is_wrong.astype(np.float32)])[-MOST:]
        self._losses = np.concatenate([self._losses, losses.astype(np.float32)])[-MOST:]

    def change(self, column: str) -> Change | None:
        """Return the change that explains a column best, by the time of the prediction; None if it is not kept."""
        values = {"error": self._errors, "loss": self._losses}.get(column)
        order = np.argsort(self._panes, kind="stable")
        found = None if values is None else best_change(values[order].astype(np.float64))
        if found is None:
            return None
        at, start, end = (int(self._panes[order[i]]) * self._pane_ms for i in (found.at, found.first, found.last))
        return Change(at, start, end, found.before, found.after, found.width, found.kind)

    def state(self) -> NewestOutcomesState:
        """All of them."""
        first = int(self._panes[0]) if len(self._panes) else 0
        return NewestOutcomesState(
            first,
            pack(zigzag(np.diff(self._panes, prepend=first))),
            np.packbits(self._errors > 0).tobytes(),
            self._losses.astype("<f4").tobytes(),
        )

    def restore(self, state: NewestOutcomesState) -> None:
        """Go on from there; raises FormatError."""
        steps = unzigzag(unpack(state.steps))
        losses = np.frombuffer(state.losses, dtype="<f4").astype(np.float32)
        errors = np.unpackbits(np.frombuffer(state.errors, dtype=np.uint8))
        if len(losses) != len(steps) or len(errors) < len(steps):
            raise FormatError("not a snapshot: columns of its newest outcomes differ in length")
        self._panes = np.cumsum(steps, dtype=np.int64) + state.first
        self._errors, self._losses = errors[: len(steps)].astype(np.float32), losses
