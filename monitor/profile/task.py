"""The task of one input partition: decode, fold, and fold again from a committed position without publishing twice.

What is to happen at a place of the log (a heartbeat, another contract, the committed position) is a mark. A mark at
offset o counts when all records below o have been folded; offsets may have gaps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from monitor.contract import TopicContract
from monitor.errors import StateDivergence
from monitor.events import Batch, RecordBatch
from monitor.ledger.entries import Heartbeat
from monitor.ledger.position_records import ProfilePosition
from monitor.panes.grid import Grid
from monitor.profile.partition import Drained, PartitionFold


class Decode(Protocol):
    """What turns records of the task's topic into rows; called once a batch, in order."""

    def decode(self, batch: RecordBatch) -> Batch: ...


@dataclass(frozen=True, slots=True)
class Mark:
    """What happens when the fold's position reaches `offset`: a heartbeat, a switch to `contract`, or the arrival.

    `watermark`: the partition's at the switch.
    """

    offset: int
    watermark: int | None = None
    contract: TopicContract | None = None
    heartbeat: Heartbeat | None = None

    @property
    def order(self) -> tuple[int, bool, int, bool, int]:
        """As it happened: a heartbeat raises the watermark, so one at the same place came before if it is no higher."""
        beat = self.heartbeat
        if beat is not None:
            return self.offset, False, beat.reached, False, beat.silent_to or 0
        watermark = -(1 << 62) if self.watermark is None else self.watermark
        return self.offset, self.contract is None, watermark, True, 0


class ProfileTask:
    """One input partition of a profile process.

    `decoder_of`: gives what decodes under a contract. `marks`: recorded ones, those of the same place as they happened.
    """

    def __init__(
        self, fold: PartitionFold, decoder_of: Callable[[TopicContract], Decode], marks: Iterable[Mark] = ()
    ) -> None:
        self.fold = fold
        self._decoder_of = decoder_of
        self._decoder = decoder_of(fold.contract)
        self._marks = sorted(marks, key=lambda mark: mark.order)
        self._target: ProfilePosition | None = None
        self._is_whole = True
        """True if the log has all records from the low-water mark on; else the state can't be checked."""

    @property
    def restoring(self) -> bool:
        """True if the task still folds what was published before."""
        return self._target is not None

    @property
    def published_to(self) -> int | None:
        """Up to which panes it has published (ms); None: nothing."""
        return self._target.published_to if self._target is not None else self.fold.published_to

    @property
    def committed(self) -> int:
        """The position up to which the task folds again; where it doesn't, the position that it has reached."""
        return self._target.position if self._target is not None else self.fold.position

    def restore(
        self,
        position: ProfilePosition,
        contracts: Mapping[str, TopicContract] | None = None,
        later: Iterable[Mark] = (),
    ) -> None:
        """Go back to the low-water mark of `position`; feed from `position.low.offset` on.

        The fold is under the contract that `position` names. `contracts`: by digest, those that the position switches
        to. `later`: marks behind the position that are in the ledger already.
        """
        self._target = position
        self._is_whole = True
        switches = [Mark(offset, at, (contracts or {})[digest]) for offset, at, digest in position.switches]
        beats = [Mark(beat.offset, heartbeat=beat) for beat in position.heartbeats]
        arrival = Mark(position.position)
        self._marks = sorted([*switches, *beats], key=lambda mark: mark.order)
        self._marks += [arrival, *sorted(later, key=lambda mark: mark.order)]
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

    def lose(self, end: int) -> None:
        """Records that follow those before, up to `end`, were deleted before they could be read."""
        self._is_whole = False
        self._pass(end, self.fold.lose)
        self.fold.lose(end)

    def reached(self, offset: int) -> None:
        """All records below `offset` have been fed (some offsets hold none)."""
        self._pass(offset, self.fold.skip_to)

    def _pass(self, offset: int, go_to: Callable[[int], None]) -> None:
        """Let happen what is recorded up to `offset`. `go_to`: moves the fold to where it happened."""
        while self._marks and self._marks[0].offset <= offset:
            mark = self._marks.pop(0)
            go_to(mark.offset)
            if mark.contract is not None:
                self.switch(mark.contract, mark.watermark)
            elif mark.heartbeat is not None:
                self.fold.heartbeat(mark.heartbeat.watermark, mark.heartbeat.silent_to)
            else:
                self._arrive()

    def switch(self, contract: TopicContract, watermark: int | None) -> None:
        """Fold under another contract from here on. `watermark`: the partition's present one."""
        self.fold.switch(contract, watermark)
        self._decoder = self._decoder_of(contract)

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
