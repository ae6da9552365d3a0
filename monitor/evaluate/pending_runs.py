"""Predictions that wait for labels, as columns in runs that are sorted by id.

No id is twice in a run, and of two rows with one id the newer alone is live: an id counts again only when the cohort
that it was in has closed. A run is merged with the one before while that is less than eight times as long and one run
has room for both. So ten million rows are in some fifteen runs, and each was moved some thirty times. Rows of closed
cohorts are passed over, and removed when it suits. What the runs are like changes no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from monitor.evaluate.join_values import NO_CLASS, Indices, Panes, Values, ValueType
from monitor.events import Bools, Float32s, Int32s, Int64s, UInt64s

RUN_ROWS = 1 << 20
"""Most rows of a run: more are never copied at once."""
_RATIO = 8
_DEAD = 4
"""A run of which a fourth is dead is written again without that."""


@dataclass(slots=True)
class PendingRows:
    """Predictions as columns, shape (n,). `panes`: they came in, counted from the first. `labels`: see `is_missing`."""

    ids: UInt64s
    panes: Panes
    values: Values
    probabilities: Float32s
    labels: Values

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, which: Indices | Bools | slice) -> PendingRows:
        """The rows at these places."""
        return PendingRows(*(getattr(self, column)[which] for column in _COLUMNS))


_COLUMNS = tuple(field.name for field in fields(PendingRows))


class Places(NamedTuple):
    """The places of rows: the run, -1 if there is no such row, and the place in it. Shape (n,)."""

    run: Int32s
    place: Int64s


def no_labels(rows: int, value_type: ValueType) -> Values:
    """The labels of predictions that have none."""
    return np.full(rows, NO_CLASS if value_type == np.uint8 else np.nan, dtype=value_type)


def is_missing(values: Values) -> Bools:
    """True for each value that is no class, or NaN."""
    return np.asarray(values == NO_CLASS if values.dtype == np.uint8 else np.isnan(values), dtype=np.bool_)


class PendingRuns:
    """Rows by id. `value_type`: of predictions and labels."""

    def __init__(self, value_type: ValueType, run_rows: int = RUN_ROWS) -> None:
        self._value_type = value_type
        self._most = run_rows
        self._runs: list[PendingRows] = []
        self._live_from = 0

    def add(self, rows: PendingRows) -> None:
        """Add rows, sorted by id, with ids that are not live, and of panes not before those that are held."""
        for start in range(0, len(rows), self._most):
            self._runs.append(rows.take(slice(start, start + self._most)))
            self._merge()

    def _merge(self) -> None:
        """Merge the newest runs. They are taken from the end, so of rows with one id the newer is in the later run."""
        runs = self._runs
        while len(runs) > 1:
            older, newer = len(runs[-2]), len(runs[-1])
            if older >= _RATIO * newer or older + newer > self._most:
                return
            both = joined_rows(runs[-2:])
            # stable: of two ascending runs that is a merge rather than a sort
            runs[-2:] = self._without_dead(both.take(np.argsort(both.ids, kind="stable")))

    def _without_dead(self, rows: PendingRows) -> list[PendingRows]:
        """The run without dead rows, or no run."""
        live = rows.panes >= self._live_from
        if not live.all():
            rows = rows.take(live)
        return [rows] if len(rows) else []

    def forget_before(self, pane: int | None) -> None:
        """Rows of earlier panes are dead; None: all that are held."""
        if pane is None:
            self._runs, self._live_from = [], 0
            return
        self._live_from = pane
        kept = []
        for run in self._runs:
            dead = np.count_nonzero(run.panes < pane)
            kept += self._without_dead(run) if _DEAD * dead >= len(run) else [run]
        self._runs = kept

    def find(self, ids: UInt64s) -> Places:
        """Find the live rows with these ids, which are ascending."""
        places = Places(np.full(len(ids), -1, dtype=np.int32), np.zeros(len(ids), dtype=np.int64))
        rest = np.arange(len(ids))
        for number, run in enumerate(self._runs):
            if not len(rest):
                break
            wanted = ids[rest]
            at = np.searchsorted(run.ids, wanted)
            at[at == len(run)] = 0
            found = (run.ids[at] == wanted) & (run.panes[at] >= self._live_from)
            places.run[rest[found]] = number
            places.place[rest[found]] = at[found]
            rest = rest[~found]
        return places

    def take(self, places: Places) -> PendingRows:
        """The rows at places that all hold one."""
        rows = self.empty(len(places.run))
        for number, which in _by_run(places):
            run, at = self._runs[number], places.place[which]
            for column in _COLUMNS:
                getattr(rows, column)[which] = getattr(run, column)[at]
        return rows

    def label(self, places: Places, labels: Values) -> None:
        """Set the labels at places that all hold a row."""
        for number, which in _by_run(places):
            self._runs[number].labels[places.place[which]] = labels[which]

    def empty(self, rows: int = 0) -> PendingRows:
        """Rows of the right types, to be set."""
        types = (np.uint64, np.uint32, self._value_type, np.float32, self._value_type)
        return PendingRows(*(np.empty(rows, dtype=kind) for kind in types))

    def count(self) -> tuple[int, int]:
        """How many rows are live, and how many of them have a label."""
        found = [(len(rows), int(np.count_nonzero(~is_missing(rows.labels)))) for rows in self.live()]
        return sum(n for n, _ in found), sum(labelled for _, labelled in found)

    def live(self) -> Iterator[PendingRows]:
        """All live rows, in parts."""
        for run in self._runs:
            yield from self._without_dead(run)


def _by_run(places: Places) -> Iterator[tuple[int, Indices]]:
    """The runs that places are in, each with which of them."""
    for number in np.unique(places.run).tolist():
        yield number, np.flatnonzero(places.run == number)


def joined_rows(parts: Sequence[PendingRows]) -> PendingRows:
    """The rows of at least one part, one after the other."""
    return PendingRows(*(np.concatenate([getattr(part, column) for part in parts]) for column in _COLUMNS))
