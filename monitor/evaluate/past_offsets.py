"""Which offsets each stretch of event time holds, as far back as a retraining request may ask.

The rules of this file:

- A stretch begins as one pane and is joined with its neighbour as it ages: one that ended a panes ago has at most
  a/128 panes, rounded down to a power of two, and begins at a multiple of its length. So a request is given at most 1 %
  more event time than it asks for at either end, and as many stretches are kept as the logarithm of the time asks for.
- Stretches are joined when the newest pane has passed a multiple of 64: what is kept depends on the panes that held
  something, and on nothing else.
- In a snapshot a range is the distance to the one before it in its partition, and its length, in as few bytes as they
  need: 32 partitions of two topics over 30 days of panes of 10 s take less than 1 MiB.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from monitor.codec.varints import pack, unpack, unzigzag, zigzag
from monitor.errors import FormatError
from monitor.evaluate.state import PastState
from monitor.events import Int64s, OffsetRange, TopicPartition

FINE = 128
"""Panes of age for each pane of a stretch's length."""
_EVERY = 64
"""Panes between two times of joining."""
NOTHING = PastState((), b"", b"", b"", b"", b"", b"")
"""The state of no stretch."""


@dataclass(slots=True)
class _Stretch:
    """Panes [begin, begin + panes) by index. `ranges`: place of the partition, start, end; shape (n, 3), by place."""

    begin: int
    panes: int
    ranges: Int64s

    @property
    def end(self) -> int:
        return self.begin + self.panes


class PastOffsets:
    """The past offsets of one model. `keep` sets how far back they go; panes of another length drop all of them."""

    def __init__(self) -> None:
        self._pane_ms = 1
        self._longest = 0
        self._places: dict[TopicPartition, int] = {}
        self._stretches: deque[_Stretch] = deque()

    def keep(self, longest_ms: int, pane_ms: int) -> None:
        """From now on as much as this; 0: nothing is asked for, so nothing is kept."""
        if longest_ms == 0 or (self._stretches and pane_ms != self._pane_ms):
            self._stretches.clear()
            self._places.clear()
        self._pane_ms, self._longest = pane_ms, -(-longest_ms // pane_ms)

    def add(self, pane_end: int, offsets: Sequence[OffsetRange]) -> None:
        """The offsets of a pane, by partition; panes come in order."""
        if not self._longest or not offsets:
            return
        rows = [(self._place(TopicPartition(r.topic, r.partition)), r.start, r.end) for r in offsets]
        index, before = pane_end // self._pane_ms - 1, self._stretches[-1].end - 1 if self._stretches else None
        self._stretches.append(_Stretch(index, 1, _union(np.array(rows, dtype=np.int64))))
        while self._stretches[0].end <= index + 1 - self._longest:
            self._stretches.popleft()
        if before is not None and before // _EVERY != index // _EVERY:
            self._join(index // _EVERY * _EVERY)

    def _place(self, tp: TopicPartition) -> int:
        return self._places.setdefault(tp, len(self._places))

    def _join(self, now: int) -> None:
        """Make stretches as long as they may be when `now` is the newest pane."""
        blocks = groupby(self._stretches, key=lambda stretch: _block(stretch, now))
        joined = ((block, list(parts)) for block, parts in blocks)
        self._stretches = deque(
            parts[0] if len(parts) == 1 and parts[0].panes == panes else _Stretch(begin, panes, _joined(parts))
            for (begin, panes), parts in joined
        )

    def ranges(self, start: int, end: int) -> tuple[OffsetRange, ...]:
        """Offsets of the stretches that touch event time [start, end) in ms, one range a partition, sorted."""
        first, last = start // self._pane_ms, -(-end // self._pane_ms)
        parts = [stretch for stretch in self._stretches if stretch.end > first and stretch.begin < last]
        if not parts:
            return ()
        tps = list(self._places)
        found = [(tps[place], start, end) for place, start, end in _joined(parts).tolist()]
        return tuple(OffsetRange(tp.topic, tp.partition, start, end) for tp, start, end in sorted(found))

    # ------------------------------------------------------------------ state

    def state(self) -> PastState:
        """All stretches."""
        if not self._stretches:
            return NOTHING
        ranges = np.concatenate([stretch.ranges for stretch in self._stretches])
        begins = np.array([stretch.begin for stretch in self._stretches], dtype=np.int64)
        panes = np.array([stretch.panes for stretch in self._stretches], dtype=np.int64)
        gaps = begins - np.concatenate([[0], (begins + panes)[:-1]])
        return PastState(
            tuple(self._places),
            pack(zigzag(gaps)),
            pack(panes),
            pack(np.array([len(stretch.ranges) for stretch in self._stretches], dtype=np.int64)),
            pack(ranges[:, 0]),
            pack(zigzag(_distances(ranges))),
            pack(ranges[:, 2] - ranges[:, 1]),
        )

    def restore(self, state: PastState) -> None:
        """Go on from there, after `keep`. Raises FormatError."""
        self._places = {TopicPartition(*tp): place for place, tp in enumerate(state.places)}
        gaps, panes, sizes = unzigzag(unpack(state.gaps)), unpack(state.panes), unpack(state.sizes)
        places, distances, lengths = unpack(state.which), unzigzag(unpack(state.distances)), unpack(state.lengths)
        if not len(gaps) == len(panes) == len(sizes) or not int(sizes.sum()) == len(places) == len(distances) == len(
            lengths
        ):
            raise FormatError("not a snapshot: columns of offsets differ in length")
        if len(places) and int(places.max()) >= len(self._places):
            raise FormatError("not a snapshot: offsets of a partition that it does not name")
        ranges = _of_distances(places, distances, lengths)
        ends = np.cumsum(gaps + panes)
        parts = np.split(ranges, np.cumsum(sizes)[:-1]) if len(sizes) else []
        self._stretches = deque(
            _Stretch(int(end) - int(n), int(n), part) for end, n, part in zip(ends, panes, parts, strict=True)
        )


def _block(stretch: _Stretch, now: int) -> tuple[int, int]:
    """Begin and length of the longest stretch that may hold this one."""
    begin, panes = stretch.begin, stretch.panes
    while True:
        longer = 2 * panes
        start = begin // longer * longer
        if start + longer + FINE * longer > now:
            return begin, panes
        begin, panes = start, longer


def _union(rows: Int64s) -> Int64s:
    """One row a partition: its first start and its last end, by place."""
    if len(rows) == 1:
        return rows
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    firsts = np.flatnonzero(np.diff(rows[:, 0], prepend=-1))
    if len(firsts) == len(rows):
        return rows
    starts, ends = np.minimum.reduceat(rows[:, 1], firsts), np.maximum.reduceat(rows[:, 2], firsts)
    return np.stack([rows[firsts, 0], starts, ends], axis=1)


def _joined(parts: Iterable[_Stretch]) -> Int64s:
    return _union(np.concatenate([part.ranges for part in parts]))


def _by_place(places: Int64s) -> tuple[Int64s, Int64s]:
    """The order by partition and then by time, and where in it a partition begins."""
    order = np.argsort(places, kind="stable")
    return order, np.flatnonzero(np.diff(places[order], prepend=-1))


def _distances(ranges: Int64s) -> Int64s:
    """From the end of the range before in the same partition to each start; of the first its start."""
    order, firsts = _by_place(ranges[:, 0])
    starts, ends = ranges[order, 1], ranges[order, 2]
    before = np.concatenate([[0], ends[:-1]])
    before[firsts] = 0
    distances = np.empty(len(starts), dtype=np.int64)
    distances[order] = starts - before
    return distances


def _of_distances(places: Int64s, distances: Int64s, lengths: Int64s) -> Int64s:
    """The ranges that have these distances and lengths."""
    order, firsts = _by_place(places)
    ends = np.cumsum(distances[order] + lengths[order])
    if len(firsts):
        earlier = np.concatenate([[0], ends[firsts[1:] - 1]])
        ends -= np.repeat(earlier, np.diff(np.append(firsts, len(places))))
    ranges = np.empty((len(places), 3), dtype=np.int64)
    ranges[:, 0] = places
    ranges[order, 2] = ends
    ranges[:, 1] = ranges[:, 2] - lengths
    return ranges
