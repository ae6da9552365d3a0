"""Rows on their way into panes: those whose time is plausible go on, those from the future are rejected, others wait.

Rows of all models of a partition are decided together, in the order of their offsets (`admission.py` says how), and
handed on model by model, each with what the partition knew before it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from monitor.codec.dead_letters import reject
from monitor.codec.reasons import TIME_AHEAD
from monitor.events import Batch, Int64s, RecordBatch, Rejected, Rows
from monitor.panes import rows as rows_of
from monitor.profile.admission import Admission, Flush, admit, by_stamp

NEVER = -(1 << 62)
"""A time before all others (ms): of a row before which none was accepted."""


@dataclass(frozen=True, slots=True)
class Decided:
    """Rows of one model that were decided.

    `rows`: the accepted ones, n of them. `highest`: the largest time accepted before each (NEVER: none), shape (n,).
    `reach`: the largest plausible time before each, shape (n,). `rejected`: the others.
    """

    rows: Rows
    highest: Int64s
    reach: Int64s
    rejected: tuple[Rejected, ...]


class Intake:
    """What one partition has accepted so far, and the rows that wait for their neighbours.

    `highest`: the largest time accepted, `reach`: the largest that was plausible (ms; None: not known yet).
    """

    def __init__(self, skew: int, log_append_time: bool) -> None:
        self.skew = skew
        self.log_append_time = log_append_time
        self.highest: int | None = None
        self.reach: int | None = None
        self._waiting: list[Rows] = []
        self._quotes: dict[int, Rejected] = {}
        """What a dead letter would say of each row that waits, by offset: their batch is gone by then."""

    def __len__(self) -> int:
        """How many rows wait."""
        return sum(map(len, self._waiting))

    def offsets(self) -> list[int]:
        """Of the rows that wait, ascending: which model's come first among them depends on the batches."""
        return sorted(offset for rows in self._waiting for offset in rows.offset.tolist())

    def take(self, batch: Batch, records: RecordBatch) -> list[Decided]:
        """Decide on what waits and the rows of `batch`, as far as possible; `records`: what it was decoded from."""
        parts = [*self._waiting, *batch.rows]
        return self._decide(parts, batch, records, None) if parts else []

    def flush(self, flush: Flush) -> list[Decided]:
        """Decide on what waits, as far as a heartbeat or the end of the log asks for it."""
        return self._decide(self._waiting, None, None, flush) if self._waiting else []

    def drop(self, models: AbstractSet[str]) -> int:
        """Forget the waiting rows of some models; how many they were."""
        before = len(self)
        self._wait([rows for rows in self._waiting if rows.model not in models], None)
        return before - len(self)

    def _decide(
        self, parts: Sequence[Rows], batch: Batch | None, records: RecordBatch | None, flush: Flush | None
    ) -> list[Decided]:
        if len({rows.model for rows in parts}) < len(parts):
            parts = [
                rows_of.concat([r for r in parts if r.model == name]) for name in dict.fromkeys(r.model for r in parts)
            ]
        offset = np.concatenate([rows.offset for rows in parts])
        order = np.argsort(offset, kind="stable") if len(parts) > 1 else np.arange(len(offset))
        time = np.concatenate([rows.time for rows in parts])[order]
        admission = self._admission(time, offset[order], batch, flush)
        decided = len(admission.accepted)
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
            result.append(Decided(taken, highest[place], admission.reach_before[place], rejected))
        self._wait(waiting, records)
        return result

    def _admission(self, time: Int64s, offset: Int64s, batch: Batch | None, flush: Flush | None) -> Admission:
        if self.log_append_time and batch is not None:
            stamp = batch.timestamp[np.searchsorted(batch.timestamp_offset, offset)]
            return Admission(by_stamp(time, stamp, self.skew), time, None)
        return admit(time, self.reach, self.skew, flush)

    def _prefix_maximum(self, time: Int64s, accepted: np.ndarray) -> tuple[int | None, Int64s]:
        """Largest accepted time after all rows, and before each of them (NEVER: none)."""
        start = NEVER if self.highest is None else self.highest
        maximum = np.maximum.accumulate(np.concatenate([[start], np.where(accepted, time, NEVER)]))
        highest = int(maximum[-1])
        return (None if highest == NEVER else highest), maximum[:-1]

    def _wait(self, waiting: list[Rows], records: RecordBatch | None) -> None:
        """Keep rows that wait, with what a dead letter would quote of them."""
        offsets = [offset for rows in waiting for offset in rows.offset.tolist()]
        self._waiting, self._quotes = waiting, {offset: self._quote(offset, records) for offset in offsets}

    def _quote(self, offset: int, records: RecordBatch | None) -> Rejected:
        if offset in self._quotes:
            return self._quotes[offset]
        if records is None:
            raise KeyError(offset)  # rows either wait or are of this batch
        return reject(records, bisect_left(records.offsets, offset), TIME_AHEAD)
