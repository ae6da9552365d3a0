"""The task of one input partition: decode, fold, and fold again from a committed position without publishing twice.

What is to happen at a place of the log (a heartbeat, the committed position) is a mark. A mark at offset o counts when
all records below o have been folded; offsets may have gaps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from monitor.errors import StateDivergence
from monitor.events import Batch, RecordBatch
from monitor.panes.grid import Grid
from monitor.panes.position import ProfilePosition
from monitor.profile.partition import Drained, PartitionFold


class Decode(Protocol):
    """What turns records of the task's topic into rows; called once a batch, in order."""

    def decode(self, batch: RecordBatch) -> Batch: ...


@dataclass(frozen=True, slots=True, order=True)
class _Mark:
    """Something that happens when the fold's position reaches `offset`; heartbeats before the arrival."""

    offset: int
    arrival: bool
    watermark: int


class ProfileTask:
    """One input partition of a profile process. `heartbeats`: recorded ones, as (offset, watermark)."""

    def __init__(self, fold: PartitionFold, decoder: Decode, heartbeats: Iterable[tuple[int, int]] = ()) -> None:
        self.fold = fold
        self._decoder = decoder
        self._marks = sorted(_Mark(offset, False, watermark) for offset, watermark in heartbeats)
        self._target: ProfilePosition | None = None
        self._is_whole = True

    @property
    def restoring(self) -> bool:
        """Whether the task still folds what was published before."""
        return self._target is not None

    @property
    def committed(self) -> int:
        """The position up to which the task folds again; where it doesn't, the position that it has reached."""
        return self._target.position if self._target is not None else self.fold.position

    def restore(self, position: ProfilePosition, is_whole: bool = True, later: Iterable[tuple[int, int]] = ()) -> None:
        """Go back to the low-water mark of `position`; feed from `position.low.offset` on.

        `is_whole`: whether the log still has all records from there on; else the state can't be checked. `later`:
        heartbeats behind the position that are in the ledger already, as (offset, watermark).
        """
        if position.contract != self.fold.contract_digest:
            raise StateDivergence(
                f"{self.fold.tp.topic}/{self.fold.tp.partition}: streams, columns or limits of its models have changed "
                "since the last commit, which is not supported yet; go back to the former alerts.yaml, or start anew "
                "under another STREAMDRIFT_PREFIX"
            )
        self._target = position
        self._is_whole = is_whole
        self._marks = sorted(
            [_Mark(offset, False, watermark) for offset, watermark in position.heartbeats]
            + [_Mark(position.position, True, 0)]
        ) + sorted(_Mark(offset, False, watermark) for offset, watermark in later)
        self.fold.go_back(position)
        self.reached(position.low.offset)

    def feed(self, records: RecordBatch) -> None:
        """Fold records that follow those before."""
        offsets = records.offsets
        at = 0
        while at < len(offsets):
            self.reached(offsets[at])
            if offsets[at] in self.fold.quarantined:
                self.fold.quarantine(records.cut(at, at + 1))
                at += 1
                continue
            stops = [self._marks[0].offset] if self._marks else []
            stops += [offset for offset in self.fold.quarantined if offset > offsets[at]]
            end = bisect_left(offsets, min(stops), at) if stops else len(offsets)
            part = records if at == 0 and end == len(offsets) else records.cut(at, end)
            self.fold.feed(self._decoder.decode(part), part)
            at = end
        if offsets:
            self.reached(offsets[-1] + 1)

    def quarantine(self, record: RecordBatch) -> None:
        """Leave out one record, which follows those before: it is not even decoded."""
        self.reached(record.offsets[0])
        self.fold.quarantine(record)
        self.reached(record.offsets[0] + 1)

    def reached(self, offset: int) -> None:
        """All records below `offset` have been fed (some offsets hold none)."""
        while self._marks and self._marks[0].offset <= offset:
            mark = self._marks.pop(0)
            self.fold.skip_to(mark.offset)
            if mark.arrival:
                self._arrive()
            else:
                self.fold.heartbeat(mark.watermark)

    def _arrive(self) -> None:
        target, self._target = self._target, None
        if target is not None and not self.fold.arrive(target) and self._is_whole:
            tp = self.fold.tp
            raise StateDivergence(
                f"{tp.topic}/{tp.partition}: folding again from {target.low.offset} to {target.position} did not give "
                "the committed state"
            )

    def use_grid(self, grid: Grid) -> None:
        """A grid of one of the task's models has been published."""
        self.fold.use_grid(grid)

    def drain(self) -> Drained:
        """What was put out since the last call; not to be asked for while folding again."""
        return self.fold.drain()

    def snapshot(self, sequences: Mapping[str, int]) -> ProfilePosition:
        """The position record to commit with the outputs drained so far."""
        return self.fold.snapshot(sequences)
