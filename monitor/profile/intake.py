"""Rows on their way into panes: those whose time is plausible go on, those from the future are rejected, others wait.

Rows of all models of a partition are decided together, in the order of their offsets (`admission.py` says how), and
handed on model by model, each with what the partition knew before it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.codec.dead_letters import reject
from monitor.codec.reasons import TIME_AHEAD
from monitor.events import Batch, Int64s, RecordBatch, Rejected, Rows
from monitor.ledger.position_records import RowState
from monitor.panes import rows as rows_of
from monitor.profile.admission import Flush, admit, by_stamp

NEVER = -(1 << 62)
"""A time before all others (ms): of a row before which none was accepted."""


@dataclass(frozen=True, slots=True)
class Decided:
    """Rows of one model that were decided.

    `rows`: the accepted ones, n of them. `highest`: the largest time accepted before each (NEVER: none), shape (n,).
    `reach`: the largest plausible time before each, shape (n,). `until`: when each was decided (see `RowState`), also
    where it did not have to wait, shape (n,). `rejected`: the others.
    """

    rows: Rows
    highest: Int64s
    reach: Int64s
    until: Int64s
    rejected: tuple[Rejected, ...]


class Intake:
    """What one partition has accepted so far, and the rows that wait for their neighbours.

    `highest`: the largest time accepted, `reach`: the largest that was plausible (ms; None: not known yet).
    """

    def __init__(self, skew: int) -> None:
        self.skew = skew
        self.highest: int | None = None
        self.reach: int | None = None
        self._until = 0
        """When decisions may begin (see `RowState`): there it was decided the first time, too."""
        self._waiting: list[Rows] = []
        self._vouched: Int64s = np.zeros(0, dtype=np.int64)
        """Offsets of the rows that wait only because of those before them: the broker's stamps vouch for them."""
        self._quotes: dict[int, Rejected] = {}
        """What a dead letter would say of each row that waits, by offset: their batch is gone by then."""

    def __len__(self) -> int:
        """How many rows wait."""
        return sum(map(len, self._waiting))

    @property
    def state(self) -> tuple[int, int | None, int | None]:
        """What deciding on rows changes: how many wait, and what is known of the times so far."""
        return len(self), self.highest, self.reach

    def offsets(self) -> list[int]:
        """The times of the rows that wait, ascending: which model's come first among them depends on the batches."""
        return sorted(offset for rows in self._waiting for offset in rows.offset.tolist())

    def take(self, batch: Batch, records: RecordBatch, passed: int | None = None) -> list[Decided]:
        """Decide on what waits and the rows of `batch`, as far as possible; `records`: what it was decoded from.

        `passed`: the event time (ms) that others have passed: up to there no row is ahead.
        """
        refused: list[Decided] = []
        parts = list(self._waiting)
        vouched = self._vouched
        for rows in batch.rows:
            if len(batch.timestamp):
                stamp = batch.timestamp[np.searchsorted(batch.timestamp_offset, rows.offset)]
                plausible = by_stamp(rows.time, stamp, self.skew)
                if not plausible.all():
                    refused.append(self._refused(rows_of.take(rows, ~plausible), records))
                    rows = rows_of.take(rows, plausible)
                vouched = np.concatenate([vouched, rows.offset])
            if len(rows):
                parts.append(rows)
        return refused + (self._decide(parts, vouched, records, batch.last + 1, None, passed) if parts else [])

    def flush(self, flush: Flush, position: int, passed: int | None = None) -> list[Decided]:
        """Decide on what waits, as far as a heartbeat or the end of the log asks for it, at that position."""
        return self._decide(self._waiting, self._vouched, None, position, flush, passed) if self._waiting else []

    def go_back(self, state: RowState) -> None:
        """Go on from the state before a row; where it had to wait for others, it waits again."""
        self.highest, self.reach, self._until = state.highest, state.reach, state.until or 0

    def _decide(
        self,
        parts: Sequence[Rows],
        vouched: Int64s,
        records: RecordBatch | None,
        position: int,
        flush: Flush | None,
        passed: int | None,
    ) -> list[Decided]:
        kinds = dict.fromkeys((rows.model, rows.contract) for rows in parts)
        if len(kinds) < len(parts):
            parts = [rows_of.concat([r for r in parts if (r.model, r.contract) == kind]) for kind in kinds]
        now = 2 * position + (flush is not None)
        if now < self._until:
            self._wait(list(parts), vouched, records)
            return []
        offset = np.concatenate([rows.offset for rows in parts])
        order = np.argsort(offset, kind="stable") if len(parts) > 1 else np.arange(len(offset))
        time = np.concatenate([rows.time for rows in parts])[order]
        known = _among(offset[order], vouched) | (time <= (NEVER if passed is None else passed + self.skew))
        admission = admit(time, known, self.reach, self.skew, flush)
        decided = len(admission.accepted)
        # decided by a row: at the position behind it; by a heartbeat: here
        until = np.maximum(np.append(2 * (offset[order] + 1), now)[admission.decided_by], self._until)
        self.highest, highest = self._prefix_maximum(time[:decided], admission.accepted)
        self.reach = admission.reach
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        at = 0
        waiting: list[Rows] = []
        result: list[Decided] = []
        for rows in parts:
            place = rank[at : at + len(rows)]
            at += len(rows)
            known = place < decided
            if not known.all():
                waiting.append(rows_of.take(rows, ~known))
                rows, place = rows_of.take(rows, known), place[known]
            if len(rows) == 0:
                continue
            accepted = admission.accepted[place]
            # rejected rows are few: each becomes a dead letter
            rejected = tuple(self._quote(o, records) for o in rows.offset[~accepted].tolist())
            place = place[accepted]
            taken = rows_of.take(rows, accepted)
            result.append(Decided(taken, highest[place], admission.reach_before[place], until[place], rejected))
        self._wait(waiting, vouched, records)
        return result

    def _refused(self, rows: Rows, records: RecordBatch) -> Decided:
        """Rows of the future by the broker's own stamps."""
        none = np.zeros(0, dtype=np.int64)
        return Decided(
            rows_of.take(rows, none), none, none, none, tuple(self._quote(o, records) for o in rows.offset.tolist())
        )

    def _prefix_maximum(self, time: Int64s, accepted: np.ndarray) -> tuple[int | None, Int64s]:
        """Largest accepted time after all rows, and before each of them (NEVER: none)."""
        start = NEVER if self.highest is None else self.highest
        maximum = np.maximum.accumulate(np.concatenate([[start], np.where(accepted, time, NEVER)]))
        highest = int(maximum[-1])
        return (None if highest == NEVER else highest), maximum[:-1]

    def _wait(self, waiting: list[Rows], vouched: Int64s, records: RecordBatch | None) -> None:
        """Keep rows that wait, with what a dead letter would quote of them. `vouched`: offsets, of others too."""
        offsets = [offset for rows in waiting for offset in rows.offset.tolist()]
        self._vouched = vouched[_among(vouched, offsets)]
        self._waiting, self._quotes = waiting, {offset: self._quote(offset, records) for offset in offsets}

    def _quote(self, offset: int, records: RecordBatch | None) -> Rejected:
        if offset in self._quotes:
            return self._quotes[offset]
        if records is None:
            raise KeyError(offset)  # rows either wait or are of this batch
        return reject(records, bisect_left(records.offsets, offset), TIME_AHEAD)


def _among(values: Int64s, some: Int64s | list[int]) -> NDArray[np.bool_]:
    """Return which values are among `some`; mostly there are none."""
    return np.isin(values, some) if len(values) and len(some) else np.zeros(len(values), dtype=np.bool_)
