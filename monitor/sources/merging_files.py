"""Files of one stream as one log, by time: rows are taken from all files that are open at that time.

A file is opened when the merge comes to its first row, and of each open file one batch is held. So a year of daily
files needs the memory of one or two of them. Ties go by the order in which the files are given, then as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from monitor.events import Int64s, RecordBatch
from monitor.sources.plain_files import plain_batch
from monitor.sources.row_files import Timed
from monitor.sources.table_values import TableValues, joined


class Part(NamedTuple):
    """One file: its earliest time, and its records in order of time."""

    first: int
    read: Callable[[], Iterator[Timed]]


@dataclass(slots=True)
class _Open:
    """A file that is being read. `head`: what of its batch is left."""

    number: int
    rest: Iterator[Timed]
    head: Timed

    @property
    def last(self) -> tuple[int, int]:
        return int(self.head.times[-1]), self.number

    def take(self, bound: tuple[int, int]) -> Timed | None:
        """The records up to a time and, at that time, of files up to a number."""
        until, number = bound
        end = int(np.searchsorted(self.head.times, until, "right" if self.number <= number else "left"))
        taken, self.head = _cut(self.head, 0, end), _cut(self.head, end, len(self.head.times))
        return taken if end else None

    def goes_on(self) -> bool:
        """Return true if there are more records; the next batch is read if there are none left of this one."""
        while not len(self.head.times):
            following = next(self.rest, None)
            if following is None:
                return False
            self.head = following
        return True


def merged(parts: Sequence[Part]) -> Iterator[Timed]:
    """The records of all parts in order of time, their offsets from 0 on."""
    waiting = sorted(((part.first, number) for number, part in enumerate(parts)), reverse=True)
    opened: list[_Open] = []
    at = 0
    while waiting or opened:
        bound = min((file.last for file in opened), default=None)
        if waiting and (bound is None or waiting[-1] <= bound):
            number = waiting.pop()[1]
            file = _Open(number, parts[number].read(), _NOTHING)
            opened += [file] if file.goes_on() else []
            continue
        if bound is None:
            return
        opened.sort(key=lambda file: file.number)
        found = [taken for file in opened if (taken := file.take(bound)) is not None]
        opened = [file for file in opened if file.goes_on()]
        yield (merge := _merge(found, at))
        at += len(merge.records)


_NOTHING = Timed(RecordBatch("", 0, [], [], [], [], []), np.zeros(0, dtype=np.int64))


def _cut(timed: Timed, start: int, end: int) -> Timed:
    if (start, end) == (0, len(timed.times)):
        return timed
    return Timed(timed.records.cut(start, end), timed.times[start:end])


def _merge(found: Sequence[Timed], at: int) -> Timed:
    times = np.concatenate([timed.times for timed in found])
    if len(found) == 1:
        return Timed(replace(found[0].records, offsets=range(at, at + len(times))), times)
    order = np.argsort(times, kind="stable").astype(np.int64, copy=False)
    values = _values([timed.records for timed in found], order)
    return Timed(plain_batch(found[0].records.tp, values, at), times[order])


def _values(batches: Sequence[RecordBatch], order: Int64s) -> Sequence[bytes | None]:
    tables = [batch.values for batch in batches if isinstance(batch.values, TableValues)]
    if len(tables) == len(batches):
        return joined(tables, order)
    values = [value for batch in batches for value in batch.values]  # rows of a table beside JSON: as native events
    return [values[i] for i in order.tolist()]
