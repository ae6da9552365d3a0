"""The join of a model's predictions with their labels, as one fold in pane order.

The order within a pane:

1. Cohorts that are too old close, and labels that have waited too long for their prediction leave.
2. The pane's predictions are added. Of an id that is live the first prediction counts, and others are repeated; once
   its cohort has closed an id may be used again.
3. If there were new ones, the oldest cohort closes, while more predictions are live than may wait.
4. Labels that waited and whose prediction has come, in the order in which they came.
5. The pane's labels, in the order of traces. One whose prediction is live and has no label is *joined*; one that says
   the same again is *repeated*; one with another value is a *correction*, and the old pair goes; one without a live
   prediction waits.

So the result is a function of the keyed rows of each pane, and labels are later than others only by this order. A live
prediction is named by its id, and one of the past by id and pane: labels are written with both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from monitor.errors import FormatError
from monitor.evaluate.cohorts import Cohort, CohortColumns, Cohorts
from monitor.evaluate.join_values import (
    Closing,
    Indices,
    Joined,
    JoinedPairs,
    JoinSpec,
    Labels,
    Panes,
    Predictions,
    Values,
)
from monitor.evaluate.pending_runs import (
    RUN_ROWS,
    PendingRows,
    PendingRuns,
    Places,
    is_missing,
    joined_rows,
    no_labels,
)
from monitor.evaluate.pieces import PIECE_ROWS, Pieces, Table
from monitor.evaluate.state import JoinState
from monitor.evaluate.waiting_labels import WaitingLabels
from monitor.events import Bools, Int64s, UInt64s

COUNTERS = (
    "predictions",
    "repeated_predictions",
    "left_out",
    "joined",
    "repeated_labels",
    "corrections",
    "unmatched",
    "early",
)
"""`predictions`: that count in a cohort; `left_out`: those of them without label when the budget closed their cohort.

A label is joined, repeated, a correction, unmatched, or it waits. `unmatched`: it waited until it had to leave, and its
prediction is unknown, or of a cohort that has closed. `early`: it waited, and found its prediction.
"""
_PREDICTION = ("id", "pane", "value", "probability")


class Sizes(NamedTuple):
    """Rows of a piece, and most rows of a run. No answer depends on them, and snapshots on the first alone."""

    piece: int = PIECE_ROWS
    run: int = RUN_ROWS


USUAL = Sizes()


class Join:
    """The join of one model. It is given each pane with rows, in order, and others if `next_closing` asks for them."""

    def __init__(self, spec: JoinSpec, sizes: Sizes = USUAL) -> None:
        self._spec = spec
        self._sizes = sizes
        self._origin: int | None = None
        self._cohorts = Cohorts(spec)
        self._runs = PendingRuns(spec.value_type, sizes.run)
        self._waiting = WaitingLabels(spec)
        value = spec.value_type
        row = [("id", "<u8"), ("pane", "<u4"), ("value", value)]
        self._predictions = Pieces("pending/predictions", np.dtype([*row, ("probability", "<f4")]), sizes.piece)
        self._labels = Pieces("pending/labels", np.dtype(row), sizes.piece)
        self.counters = dict.fromkeys(COUNTERS, 0)
        """How many there were of each kind so far."""

    @property
    def cohorts(self) -> Sequence[Cohort]:
        """The cohorts that are not forgotten, with consecutive numbers."""
        return self._cohorts.all

    def cohort_columns(self) -> CohortColumns:
        """The same as columns, good until the next pane."""
        return self._cohorts.columns()

    @property
    def pending(self) -> int:
        """How many predictions are live, with and without label."""
        return self._cohorts.pending

    @property
    def waiting(self) -> int:
        """How many labels wait for their prediction."""
        return len(self._waiting)

    def use(self, spec: JoinSpec) -> None:
        """Have other lengths and bounds count from the next pane on; another pane or task needs another join."""
        if (spec.pane_ms, spec.is_regression) != (self._spec.pane_ms, self._spec.is_regression):
            raise ValueError(f"{spec} is not for rows of {self._spec}")
        self._spec = spec
        self._cohorts.use(spec)
        self._waiting.use(spec)

    # ------------------------------------------------------------------ a pane

    def fold(self, start_ms: int, predictions: Predictions, labels: Labels) -> Joined:
        """Fold the rows of the pane that starts there; panes ascend, and those without rows may be passed over."""
        closed = self._cohorts.close_old(start_ms)
        self._forget_dead(closed)
        self.counters["unmatched"] += self._waiting.leave(start_ms)
        opened, fresh = self._add(start_ms, predictions)
        beyond = self._cohorts.close_beyond_budget(start_ms + self._spec.pane_ms) if len(fresh) else []
        self._forget_dead(beyond)
        self.counters["left_out"] += sum(closing.unlabelled for closing in beyond)
        early = self._waiting.take(fresh if self._cohorts.newest_is_live else fresh[:0])
        self.counters["early"] += len(early.ids)
        return self._join(start_ms, early.followed_by(labels), opened, (*closed, *beyond))

    def next_closing(self) -> int | None:
        """The start of a pane (ms) from which on the fold changes, even if no row comes; None: it does not.

        A cohort closes by age, or a waiting label leaves. Of panes without rows, the first that does not start before
        that time is to be folded.
        """
        times = (self._cohorts.next_closing(), self._waiting.next_leaving())
        return min((time for time in times if time is not None), default=None)

    def forget_before(self, number: int) -> None:
        """Forget closed cohorts with lower numbers; not the newest."""
        self._cohorts.forget_before(number)

    def _forget_dead(self, closed: Sequence[Closing]) -> None:
        """Rows of closed cohorts are needed no longer."""
        if closed:
            live_from = self._live_from()
            for rows in (self._runs, self._predictions, self._labels):
                rows.forget_before(live_from)

    def _live_from(self) -> int | None:
        """The pane at which the oldest live cohort starts."""
        oldest = self._cohorts.oldest_live
        return None if oldest is None else self._pane_of(oldest.start)

    def _add(self, start_ms: int, predictions: Predictions) -> tuple[int | None, UInt64s]:
        """Add predictions; returns the number of the cohort that they open, and the ids that are new, ascending."""
        ids, first = np.unique(predictions.ids, return_index=True)
        new = self._runs.find(ids).run < 0
        ids, first = ids[new], first[new]
        self.counters["repeated_predictions"] += len(predictions.ids) - len(ids)
        self.counters["predictions"] += len(ids)
        if not len(ids):
            return None, ids
        opened = self._cohorts.open(start_ms)
        if self._origin is None:
            self._origin = self._cohorts.all[0].start
        if self._cohorts.add(len(ids), start_ms + self._spec.pane_ms):
            panes = np.full(len(ids), self._pane_of(start_ms), dtype=np.uint32)
            values, probabilities = predictions.value[first], predictions.probability[first]
            self._runs.add(PendingRows(ids, panes, values, probabilities, no_labels(len(ids), self._spec.value_type)))
            rows = self._predictions.table(id=ids, pane=panes, value=values, probability=probabilities)
            self._predictions.add(rows)
        else:
            self.counters["left_out"] += len(ids)
        return opened, ids

    # ------------------------------------------------------------------ labels

    def _join(self, start_ms: int, labels: Labels, opened: int | None, closed: tuple[Closing, ...]) -> Joined:
        """Join labels in their order; those without a live prediction wait."""
        if not len(labels.ids):
            return _nothing(opened, closed, self._spec)
        order = np.argsort(labels.ids, kind="stable")  # by id, and those of one id in their order
        heads = _heads(labels.ids[order])
        places = self._runs.find(labels.ids[order[heads]])
        known = places.run >= 0
        has_row = known[np.cumsum(heads) - 1]
        unknown = np.sort(order[~has_row])
        self.counters["unmatched"] += self._waiting.add(labels.take(unknown), start_ms)
        places, heads, order = Places(places.run[known], places.place[known]), heads[has_row], order[has_row]
        rows, row = self._runs.take(places), np.cumsum(heads) - 1
        value = labels.value[order]
        before = _shifted(value, heads, rows.labels)
        is_first, is_change = is_missing(before), before != value
        self._count(is_first, is_change)
        cohort = self._cohorts.numbers_of(self._times_of(rows.panes))
        self._cohorts.label(cohort[row[is_first]])
        self._set(rows, places, value[_tails(heads)])
        added = np.flatnonzero(is_change)
        added = added[np.argsort(order[added])]
        removed = added[~is_first[added]]
        return Joined(
            opened=opened,
            closed=closed,
            added=_pairs(rows, row[added], cohort, value[added]),
            prediction_time=self._times_of(rows.panes[row[added]]),
            label_time=labels.time[order[added]],
            is_first=is_first[added],
            removed=_pairs(rows, row[removed], cohort, before[removed]),
        )

    def _count(self, is_first: Bools, is_change: Bools) -> None:
        first, changes = int(np.count_nonzero(is_first)), int(np.count_nonzero(is_change))
        self.counters["joined"] += first
        self.counters["corrections"] += changes - first
        self.counters["repeated_labels"] += len(is_change) - changes

    def _set(self, rows: PendingRows, places: Places, labels: Values) -> None:
        """Set the newest labels of rows, and have those be written that are others than before."""
        self._runs.label(places, labels)
        new = rows.labels != labels
        self._labels.add(self._labels.table(id=rows.ids[new], pane=rows.panes[new], value=labels[new]))

    def live_pairs(self) -> JoinedPairs:
        """All pairs of live cohorts, by cohort and then id."""
        parts = [rows.take(~is_missing(rows.labels)) for rows in self._runs.live()]
        rows = joined_rows([self._runs.empty(), *parts])
        cohort = self._cohorts.numbers_of(self._times_of(rows.panes))
        order = np.lexsort((rows.ids, cohort))
        return _pairs(rows, order, cohort, rows.labels[order])

    def _pane_of(self, start_ms: int) -> int:
        return (start_ms - (self._origin or 0)) // self._spec.pane_ms

    def _times_of(self, panes: Panes) -> Int64s:
        """The times (ms) at which panes begin."""
        return panes.astype(np.int64) * self._spec.pane_ms + (self._origin or 0)

    # ------------------------------------------------------------------ state

    def blocks(self) -> Mapping[str, bytes | None]:
        """The pieces that the state lists, by name; None: its bytes are forgotten."""
        return {**self._predictions.blocks(), **self._labels.blocks()}

    def forget_bytes(self, names: Iterable[str]) -> None:
        """Keep the bytes of these pieces no longer, because they are committed, or never will be."""
        known = frozenset(names)
        self._predictions.forget_bytes(known)
        self._labels.forget_bytes(known)

    def state(self) -> JoinState:
        """All that later panes depend on, beside the pieces that are listed."""
        return JoinState(
            origin=self._origin,
            counters=dict(self.counters),
            cohorts=self._cohorts.state(),
            predictions=self._predictions.state(),
            labels=self._labels.state(),
            waiting=self._waiting.state(),
        )

    def restore(self, state: JoinState, blocks: Mapping[str, bytes]) -> None:
        """Go on from there; of a join that was just begun. `blocks`: by name, those of the state among them.

        Raises FormatError.
        """
        if state.counters.keys() != self.counters.keys():
            raise FormatError("not a snapshot: the join has other counters")
        self.counters = {name: state.counters[name] for name in COUNTERS}
        self._origin = state.origin
        self._cohorts.restore(state.cohorts)
        self._waiting.restore(state.waiting)
        live_from = self._live_from()
        self._runs.forget_before(live_from)
        self._restore_predictions(self._predictions.restore(state.predictions, blocks, live_from, self._sizes.run))
        self._restore_labels(self._labels.restore(state.labels, blocks, live_from, self._sizes.run))
        if self._runs.count() != self._cohorts.count():
            raise FormatError("not a snapshot: its cohorts have other numbers of predictions and labels than there are")

    def _restore_predictions(self, tables: Iterable[Table]) -> None:
        for table in tables:
            ids, panes, values, probabilities = (table[name].copy() for name in _PREDICTION)
            none = no_labels(len(table), self._spec.value_type)
            self._runs.add(PendingRows(ids, panes, values, probabilities, none))

    def _restore_labels(self, tables: Iterable[Table]) -> None:
        for table in tables:
            newest = table[_tails(_heads(table["id"]))]
            places = self._runs.find(newest["id"])
            if (places.run < 0).any():
                raise FormatError("not a snapshot: a label names a prediction that is not there")
            self._runs.label(places, newest["value"])


def _nothing(opened: int | None, closed: tuple[Closing, ...], spec: JoinSpec) -> Joined:
    """What a pane without labels changes."""
    none, value = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=spec.value_type)
    pairs = JoinedPairs(none, value, value, np.zeros(0, dtype=np.float32))
    return Joined(opened, closed, pairs, none, none, np.zeros(0, dtype=np.bool_), pairs)


def _heads(ids: UInt64s) -> Bools:
    """True where an id begins; they are sorted."""
    heads = np.ones(len(ids), dtype=np.bool_)
    heads[1:] = ids[1:] != ids[:-1]
    return heads


def _tails(heads: Bools) -> Bools:
    """True where a group ends, given where they begin."""
    tails = np.ones(len(heads), dtype=np.bool_)
    tails[:-1] = heads[1:]
    return tails


def _shifted(values: Values, heads: Bools, before: Values) -> Values:
    """What comes before each value: the one to its left, or for the first of a group the one `before` that."""
    shifted = np.empty_like(values)
    shifted[1:] = values[:-1]
    shifted[heads] = before
    return shifted


def _pairs(rows: PendingRows, which: Indices, cohort: Int64s, truth: Values) -> JoinedPairs:
    return JoinedPairs(cohort[which], truth, rows.values[which], rows.probabilities[which])
