"""Labels that came before their prediction: they wait for it, but not long and not many at once."""

from __future__ import annotations

import numpy as np

from monitor.errors import FormatError
from monitor.evaluate.join_values import JoinSpec, Labels
from monitor.evaluate.state import WaitingState
from monitor.events import Bools, UInt64s

_PART_OF_BUDGET = 10
"""No more labels wait than a tenth of the predictions that may."""


class WaitingLabels:
    """Labels in the order in which they came, each with the start of the pane that it came in (ms)."""

    def __init__(self, spec: JoinSpec) -> None:
        self._spec = spec
        self._labels = Labels(np.empty(0, np.uint64), np.empty(0, spec.value_type), np.empty(0, np.int64))
        self._since = np.empty(0, np.int64)

    def use(self, spec: JoinSpec) -> None:
        """From the next pane on."""
        self._spec = spec

    def __len__(self) -> int:
        return len(self._since)

    def leave(self, now: int) -> int:
        """Have those leave that waited too long at the start of a pane; returns how many."""
        before = len(self)
        self._keep(self._since >= now - self._spec.max_early_ms)
        return before - len(self)

    def next_leaving(self) -> int | None:
        """The start of a pane from which on one has waited too long."""
        return int(self._since[0]) + self._spec.max_early_ms + 1 if len(self) else None

    def take(self, ids: UInt64s) -> Labels:
        """Take out those with one of these ids, which are ascending."""
        found = np.zeros(len(self), dtype=np.bool_)
        if len(ids):
            at = np.searchsorted(ids, self._labels.ids)
            at[at == len(ids)] = 0
            found = ids[at] == self._labels.ids
        taken = self._labels.take(found)
        self._keep(~found)
        return taken

    def add(self, labels: Labels, now: int) -> int:
        """Have labels of a pane wait; returns how many leave because too many wait, the oldest."""
        if not len(labels.ids):
            return 0
        self._labels = self._labels.followed_by(labels)
        self._since = np.concatenate([self._since, np.full(len(labels.ids), now, dtype=np.int64)])
        beyond = max(len(self) - self._spec.pending // _PART_OF_BUDGET, 0)
        self._keep(np.arange(len(self)) >= beyond)
        return beyond

    def _keep(self, which: Bools) -> None:
        if not which.all():
            self._labels, self._since = self._labels.take(which), self._since[which]

    # ------------------------------------------------------------------ state

    def state(self) -> WaitingState:
        ids, values, times = self._labels
        return WaitingState(ids.tobytes(), values.tobytes(), times.tobytes(), self._since.tobytes())

    def restore(self, state: WaitingState) -> None:
        """Go on from there; raises FormatError."""
        n = len(state.since) // 8
        sizes = (len(state.ids), len(state.values), len(state.times), len(state.since))
        if sizes != (8 * n, self._spec.value_type.itemsize * n, 8 * n, 8 * n):
            raise FormatError("not a snapshot: columns of waiting labels differ in length")
        ids, times = np.frombuffer(state.ids, np.uint64).copy(), np.frombuffer(state.times, np.int64).copy()
        values = np.empty(n, dtype=self._spec.value_type)
        values[:] = np.frombuffer(state.values, dtype=self._spec.value_type)
        self._labels = Labels(ids, values, times)
        self._since = np.frombuffer(state.since, np.int64).copy()
