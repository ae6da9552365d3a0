"""The task of one input partition: decode, fold, and fold again from a committed position without publishing twice.

What is to happen at a place of the log (a heartbeat, another contract, the committed position) is a mark. A mark at
offset o counts when all records below o have been folded; offsets may have gaps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from monitor.contract import TopicContract, lane_contract
from monitor.errors import StateDivergence
from monitor.events import Batch, RecordBatch
from monitor.ledger.entries import BEFORE_ALL, ContractSwitch, Heartbeat
from monitor.ledger.position_records import ProfilePosition, Switch
from monitor.profile.partition import Drained, PartitionFold


class Decode(Protocol):
    """What turns records of the task's topic into rows; called once a batch, in order."""

    def decode(self, batch: RecordBatch) -> Batch: ...


@dataclass(frozen=True, slots=True)
class Mark:
    """What happens when the fold's position reaches `offset`: a heartbeat, a switch to `contract`, or the arrival.

    Of a switch, `watermark`: the partition's; `held`, `silent_to`, `nth`: see ContractSwitch.
    """

    offset: int
    watermark: int | None = None
    contract: TopicContract | None = None
    heartbeat: Heartbeat | None = None
    held: tuple[str, ...] = ()
    silent_to: int | None = None
    nth: int = 0

    @property
    def order(self) -> tuple[int, bool, int, int, bool, int]:
        """The order in which these happened.

        Heartbeats raise the watermark or the silence, so one at the same place that is no higher than a switch came
        before it.
        """
        beat = self.heartbeat
        if beat is not None:
            return self.offset, False, beat.reached, beat.silent_to or 0, False, 0
        watermark = BEFORE_ALL if self.watermark is None else self.watermark
        return self.offset, self.contract is None, watermark, self.silent_to or 0, True, self.nth


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
        self.assumed: dict[str, None] = {}
        """What was taken for granted of the times so far, as notes for people."""
        fold.lanes.waits_to_the_end = self._waits_to_the_end
        self._keep_waiting()
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

    @property
    def expects_more(self) -> bool:
        """True if something is known to happen at a place that it has yet to come to."""
        return bool(self._marks)

    @property
    def switches_later(self) -> bool:
        """True if it is known to take another contract at a place that it has yet to come to."""
        return any(mark.contract is not None for mark in self._marks)

    def _keep_waiting(self) -> None:
        """Take the grid from models that are recorded to have left their lane without one."""
        for model in self.fold.lanes.models.values():
            if self._waits_to_the_end(model.contract.model, model.lane):
                model.grid = None

    def _waits_to_the_end(self, model: str, lane: str) -> bool:
        """Return true if a lane is left at some later switch while it has no grid, and so has none before that either.

        One that only waits there goes on, and takes its grid as soon as it is known.
        """
        now = _lane_of(self.fold.contract, model)
        for mark in self._marks:
            if mark.contract is not None:
                before, now = now, _lane_of(mark.contract, model)
                if model in mark.held and before == lane != now:
                    return True
        return False

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
        known = contracts or {}
        switches = [mark_of(switch, known[switch.digest]) for switch in position.switches]
        beats = [Mark(beat.offset, heartbeat=beat) for beat in position.heartbeats]
        arrival = Mark(position.position)
        self._marks = sorted([*switches, *beats], key=lambda mark: mark.order)
        self._marks += [arrival, *sorted(later, key=lambda mark: mark.order)]
        self._keep_waiting()
        self.fold.go_back(position)
        self.reach(position.low.offset)

    def feed(self, records: RecordBatch) -> None:
        """Fold records that follow those before."""
        offsets = records.offsets
        at = 0
        while at < len(offsets):
            self.reach(offsets[at])
            if offsets[at] in self.fold.quarantined:
                self.fold.quarantine(records.cut(at, at + 1))
                at += 1
                continue
            stops = [self._marks[0].offset] if self._marks else []
            stops += [offset for offset in self.fold.quarantined if offset > offsets[at]]
            end = bisect_left(offsets, min(stops), at) if stops else len(offsets)
            part = records if at == 0 and end == len(offsets) else records.cut(at, end)
            decoded = self._decoder.decode(part)
            self.assumed.update(dict.fromkeys(decoded.assumed))
            self.fold.feed(decoded, part)
            at = end
        if offsets:
            self.reach(offsets[-1] + 1)

    def quarantine(self, record: RecordBatch) -> None:
        """Leave out one record, which follows those before: it is not even decoded."""
        self.reach(record.offsets[0])
        self.fold.quarantine(record)
        self.reach(record.offsets[0] + 1)

    def lose(self, end: int) -> None:
        """Records that follow those before, up to `end`, were deleted before they could be read."""
        self._is_whole = False
        self._pass(end, self.fold.lose)
        self.fold.lose(end)

    def reach(self, offset: int) -> None:
        """All records below `offset` have been fed (some offsets hold none)."""
        self._pass(offset, self.fold.skip_to)

    def _pass(self, offset: int, go_to: Callable[[int], None]) -> None:
        """Let happen what is recorded up to `offset`. `go_to`: moves the fold to where it happened."""
        while self._marks and self._marks[0].offset <= offset:
            mark = self._marks.pop(0)
            go_to(mark.offset)
            if mark.contract is not None:
                place = (self.fold.position, mark.watermark, mark.contract.digest)
                self.switch(mark.contract, Switch(*place, mark.held, mark.silent_to, mark.nth))
                self.fold.use_grids()
            elif mark.heartbeat is not None:
                self.fold.take_heartbeat(mark.heartbeat.watermark, mark.heartbeat.silent_to)
            else:
                self._arrive()

    def switch(self, contract: TopicContract, switch: Switch) -> None:
        """Fold under another contract from here on."""
        self.fold.switch(contract, switch)
        self._decoder = self._decoder_of(contract)

    def _arrive(self) -> None:
        target, self._target = self._target, None
        if target is not None and not self.fold.arrive(target) and self._is_whole:
            tp = self.fold.tp
            raise StateDivergence(
                f"{tp.topic}/{tp.partition}: folding again from {target.low.offset} to {target.position} did not give "
                "the committed state"
            )

    def drain(self) -> Drained:
        """What was put out since the last call; not to be asked for while folding again."""
        return self.fold.drain()

    def snapshot(self, sequences: Mapping[str, int]) -> ProfilePosition:
        """The position record to commit with the outputs drained so far."""
        return self.fold.snapshot(sequences)


def mark_of(switch: Switch | ContractSwitch, contract: TopicContract) -> Mark:
    """Return where a recorded switch happens again. `contract`: the one that it names, or what is folded of that."""
    return Mark(switch.offset, switch.watermark, contract, held=switch.held, silent_to=switch.silent_to, nth=switch.nth)


def _lane_of(contract: TopicContract, model: str) -> str:
    """What names the lane of a model there; empty if it has none."""
    return next((lane_contract(one, one.streams[0]) for one in contract.models if one.model == model), "")
