"""The fold of one input partition: decoded batches in, sealed panes, rejected rows and a watermark out.

Rules: a row is late iff its pane had ended under the watermark before it; the watermark is the largest accepted
time minus the lateness, or the heartbeats' floor if that is higher; a late row counts in the oldest open pane.
While a model has no grid its panes are sent raw, at most `raw_rows` rows; then the partition waits for the grid, and
its watermark stands still for that model alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from monitor.codec.dead_letters import reject
from monitor.codec.reasons import QUARANTINED
from monitor.contract import ModelContract, TopicContract, contract_of_topic
from monitor.events import Batch, RecordBatch, Rejected, TopicPartition
from monitor.ledger.entries import Activation, Heartbeat, Watermark, joined_at
from monitor.ledger.position_records import FORMAT, ProfilePosition, RowState, Switch
from monitor.panes.keyed import KeyedRows
from monitor.panes.pane import Pane, RawPane
from monitor.profile.accounting import Account
from monitor.profile.admission import Flush
from monitor.profile.grids import Grids
from monitor.profile.intake import NEVER, Decided, Intake
from monitor.profile.kept_heartbeats import KeptHeartbeats
from monitor.profile.partition_lanes import PartitionLanes


@dataclass(frozen=True, slots=True)
class Drained:
    """What the fold has put out since the last time. `watermark` is None if it sealed nothing new."""

    panes: tuple[Pane | RawPane | KeyedRows, ...]
    """Sealed panes, each behind its keyed rows."""
    rejected: tuple[Rejected, ...]
    watermark: Watermark | None
    quarantined: tuple[tuple[int, int | None], ...]
    """Offset of each record that was left out, and the watermark before it."""


class PartitionFold:
    """One input partition. All its models share a topic, and so lateness, clock skew and time field.

    `grids`: those known, of lanes that are there from the start or come later. `may_cut`: the log can be folded again,
    so rows that are too many to travel raw need not be kept.
    """

    def __init__(
        self,
        tp: TopicPartition,
        contracts: Sequence[ModelContract],
        grids: Grids | None = None,
        may_cut: bool = False,
    ) -> None:
        self.tp = tp
        self.lanes = PartitionLanes(tp, contracts, grids or Grids(), may_cut)
        self.intake = Intake(contracts[0].max_clock_skew_ms)
        self.floor: int | None = None
        self.contract = contract_of_topic(tp.topic, contracts)
        self.lateness = self.contract.lateness_ms
        self._contract_at_low = self.contract.digest
        self.switches: list[Switch] = []
        self._switched = 0, 0
        """The offset at which the contract changed last, and how often there."""
        self._has_switched = False
        """True if it has changed since a watermark was last published: a model may be new here, and wait for one."""
        self.position = 0
        self.start: int | None = None
        self.first_watermark: int | None = None
        self.buckets: Counter[str] = Counter()
        self.gaps = 0
        self._heartbeats = KeptHeartbeats()
        self.quarantined: set[int] = set()
        """Offsets of records that are left out, as far as they may be folded again."""
        self._panes: list[Pane | RawPane | KeyedRows] = []
        self._rejected: list[Rejected] = []
        self._left_out: list[tuple[int, int | None]] = []
        self.published_to: int | None = None
        """The watermark up to which it has published panes (ms)."""
        self._published_held: dict[str, int] = {}
        """The models that the newest published watermark holds back, and the begin of the pane where (ms)."""
        self._folding_again = False

    # ------------------------------------------------------------------ input

    def join(self, activations: Sequence[Activation]) -> bool:
        """Begin as the models' sets of partitions say; return false if one of them has yet to name this partition."""
        joined = [joined_at(self.tp, name, activations) for name in self.lanes.models]
        starts = [at for at in joined if isinstance(at, int)]
        if "not yet" in joined:
            return False
        if starts:
            self.floor = self.first_watermark = max(starts)
        return True

    def use_grids(self) -> None:
        """Have models without a grid take theirs, if it is known by now, and seal the panes that waited for it."""
        if self.lanes.use_grids():
            self._seal()

    def feed(self, batch: Batch, records: RecordBatch) -> None:
        """Fold one decoded batch; `records` is what it was decoded from (dead letters quote it)."""
        self.skip_to(batch.first)
        if self.start is None:
            self.start = batch.first
        self.position = batch.last + 1
        self.gaps += self.position - batch.first - len(records)
        self.buckets["tombstone"] += len(batch.tombstones)
        self.buckets["filtered"] += len(batch.filtered)
        for rejected in batch.rejected:
            self._reject(rejected)
        if batch.rows:
            self._heartbeats.close()
        if decided := self.intake.take(batch, records, self._passed):
            self._place(decided)
            self._seal()

    def skip_to(self, offset: int) -> None:
        """Pass over the offsets below `offset`, which hold no records (markers, or compaction)."""
        if self.start is not None:
            self.gaps += max(0, offset - self.position)
        self.position = max(offset, self.position)

    def lose(self, offset: int) -> None:
        """Pass over the records below `offset`, which were deleted before they could be read."""
        if self.start is None:
            self.start = self.position
        self.buckets["lost"] += max(0, offset - self.position)
        self.position = max(offset, self.position)

    def quarantine(self, record: RecordBatch) -> None:
        """Leave out one record that ends the process wherever it is looked at: a dead letter, whatever it holds."""
        offset = record.offsets[0]
        self.skip_to(offset)
        if self.start is None:
            self.start = offset
        self.position = offset + 1
        self.quarantined.add(offset)
        self._left_out.append((offset, self.watermark))
        self._reject(reject(record, 0, QUARANTINED))

    def take_heartbeat(self, watermark: int | None, silent_to: int | None = None) -> Heartbeat:
        """Take what a wall clock gives a still partition: a watermark, or the time up to which it is silent.

        Before that it decides on the rows that wait, as far as it can.
        """
        if watermark is None:
            beat = Heartbeat(*self.tp, self.position, None, silent_to, self.watermark, tuple(sorted(self.lanes.gone)))
        else:
            beat = Heartbeat(*self.tp, self.position, watermark)
        before = self.intake.state
        plausible = watermark + self.contract.allowance_ms if watermark is not None else silent_to
        if plausible is not None:
            self._place(self.intake.flush(Flush(plausible + self.intake.skew), self.position, self._passed))
        self._heartbeats.take(beat, self.intake.state != before, before[1])
        if watermark is not None and (self.floor is None or watermark > self.floor):
            self.floor = watermark
        self._seal()
        return beat

    @property
    def switches_here(self) -> int:
        """How often the contract has changed at the present position."""
        position, times = self._switched
        return times if position == self.position else 0

    def switch_here(self, contract: TopicContract) -> Switch:
        """Return what records that another contract counts from the present position on."""
        silent_to = self._heartbeats.silence_at(self.position)
        place = self.position, self.watermark, contract.digest
        return Switch(*place, tuple(sorted(self.held)), silent_to, self.switches_here + 1)

    def switch(self, contract: TopicContract, switch: Switch) -> None:
        """Switch to another contract. The watermark of `switch` is not taken back, and new models begin there."""
        watermark = switch.watermark
        self.switches.append(switch)
        self._switched, self._has_switched = (self.position, switch.nth), True
        self._heartbeats.close()
        if watermark is not None:
            self.floor = max(watermark, watermark if self.floor is None else self.floor)
        self.contract = contract
        self.lateness, self.intake.skew = contract.lateness_ms, contract.models[0].max_clock_skew_ms
        self.lanes.switch(contract.models, watermark, self.watermark, self._first)
        self._seal()

    @property
    def _first(self) -> int:
        """The watermark from which on models are folded that have none of their own; once there is a watermark."""
        return self.first_watermark if self.first_watermark is not None else self.watermark or 0

    def end(self, watermark: int | None = None) -> None:
        """End a plain file: decide on what waits, and seal what is open, and all panes that end at `watermark`."""
        self._place(self.intake.flush(Flush(None), self.position, self._passed))
        ends = [end for lane in self.lanes.all if (end := lane.last_end()) is not None]
        known = [at for at in (self.watermark, watermark) if at is not None]
        if known and (ends or watermark is not None):
            self.floor = max([*known, *ends])
            self._seal()

    # ------------------------------------------------------------------ output

    @property
    def watermark(self) -> int | None:
        """Event time (ms) up to which panes are due, or None before the first accepted row or heartbeat."""
        own = self.natural_watermark
        if own is None or self.floor is None:
            return self.floor if own is None else own
        return max(own, self.floor)

    @property
    def natural_watermark(self) -> int | None:
        """The watermark as records alone have moved it."""
        return None if self.intake.highest is None else self.intake.highest - self.lateness

    @property
    def _passed(self) -> int | None:
        """The event time that the data has passed that labels are of, as heartbeats say; None: not known, or no labels.

        Labels that carry their prediction's time come in no order of time, so their neighbours tell little.
        """
        is_known = self.contract.is_labels and self.floor is not None
        return (self.floor or 0) + self.contract.allowance_ms if is_known else None

    @property
    def silent_to(self) -> int | None:
        """The newest heartbeat's end of silence; None if a row has moved the largest accepted time since."""
        return self._heartbeats.silent_to(self.intake.highest)

    @property
    def waiting(self) -> bool:
        """Return true if a due pane can't be sealed before its model has a grid: the partition is to be paused."""
        return bool(self.lanes.held(self.watermark))

    @property
    def held(self) -> frozenset[str]:
        """Models with a pane that is due and waits for a grid."""
        return frozenset(self.lanes.held(self.watermark))

    @property
    def held_lanes(self) -> frozenset[str]:
        """Lanes with a pane that is due and waits for a grid."""
        return frozenset(self.lanes.models[name].lane for name in self.held)

    def drain(self) -> Drained:
        """Take what was put out since the last call."""
        reached, held = self.watermark, self.lanes.held(self.watermark)
        watermark = None
        before = self.published_to
        is_news = self._has_switched or held != self._published_held
        if reached is not None and (before is None or is_news or self.lanes.has_end_between(before, reached)):
            self.published_to, self._published_held, self._has_switched = reached, held, False
            first = self._first
            firsts, again = self.lanes.firsts(first), self.lanes.lives(first)
            watermark = Watermark(*self.tp, reached, first, firsts, dict(sorted(self.lanes.gone.items())), held, again)
        drained = Drained(tuple(self._panes), tuple(self._rejected), watermark, tuple(self._left_out))
        self._panes, self._rejected, self._left_out = [], [], []
        return drained

    # ------------------------------------------------------------------ restoring

    def low(self) -> RowState:
        """The state before the oldest record that is still needed."""
        states = self.lanes.starts()
        if not states or self.intake:
            oldest = min(self.intake.offsets(), default=self.position)
            states.append(RowState(oldest, self.intake.highest, self.intake.reach, self.floor))
        return min(states, key=lambda state: state.offset)

    def account(self) -> Account:
        """The buckets that the offsets consumed so far have gone into."""
        start = self.position if self.start is None else self.start
        return Account(start, self.position, self.buckets, self.gaps, len(self.intake))

    def snapshot(self, sequences: Mapping[str, int]) -> ProfilePosition:
        """The position record, with the sequence numbers of the task's outputs."""
        low = self.low()
        self.quarantined = {offset for offset in self.quarantined if offset >= low.offset}
        self._heartbeats.forget_before(low.offset, self.position)
        past = [s for s in self.switches if not (low.offset < s.offset and low.offset < self.position)]
        self.switches = self.switches[len(past) :]
        self._contract_at_low = past[-1].digest if past else self._contract_at_low
        return ProfilePosition(
            format=FORMAT,
            low=low,
            position=self.position,
            start=self.start if self.start is not None else self.position,
            first_watermark=self.first_watermark,
            heartbeats=tuple(self._heartbeats.beats),
            highest=self.intake.highest,
            silent_to=self.silent_to,
            natural=self.natural_watermark,
            watermark=self.watermark,
            published_to=self.published_to,
            models=self.lanes.positions(self.watermark),
            digest=self.open_digest(),
            contract=self._contract_at_low,
            switches=tuple(self.switches),
            switched=self.switches_here,
            gone=dict(sorted(self.lanes.gone.items())),
            buckets=dict(sorted(self.buckets.items())),
            gaps=self.gaps,
            held=len(self.intake),
            quarantined=tuple(sorted(self.quarantined)),
            sequences=dict(sorted(sequences.items())),
        )

    def go_back(self, position: ProfilePosition) -> None:
        """Start from the low-water mark of a committed position; feed up to `position.position`, then `arrive`.

        Nothing is sealed until then: what was due has been published, and what waited for a grid still waits.
        """
        self._folding_again = True
        self.position = position.low.offset
        self.start = position.start
        self.intake.go_back(position.low)
        self.floor = position.low.floor
        self.first_watermark = position.first_watermark
        self.quarantined = set(position.quarantined)

    def arrive(self, position: ProfilePosition) -> bool:
        """End folding again, and forget what was published before; return true if the state is the committed one."""
        self._folding_again = False
        self._panes, self._rejected, self._left_out = [], [], []
        self.published_to = position.published_to
        self._heartbeats.restore(position.heartbeats, self.intake.highest, position.silent_to)
        self.position = position.position
        self._switched, self._has_switched = (position.position, position.switched), False
        self.buckets, self.gaps = Counter(position.buckets), position.gaps
        if deleted := position.held - len(self.intake):
            self.buckets["lost"] += deleted  # rows that waited, and can't be folded again
        self.lanes.arrive(position.models, position.watermark)
        self.switches = list(position.switches)
        self.lanes.gone = dict(position.gone)
        ended = position.switches[-1].digest if position.switches else position.contract
        same = (self.open_digest(), self.contract.digest) == (position.digest, ended)
        self._published_held = self.lanes.held(self.watermark)  # at the commit; some may have their grid by now
        self._seal()
        return same

    def open_digest(self) -> str:
        """Digest of the offsets in the open panes and of those that wait."""
        parts = [*self.lanes.offsets(), "held:" + ",".join(map(str, self.intake.offsets()))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    # ------------------------------------------------------------------ folding

    def _reject(self, rejected: Rejected) -> None:
        self.buckets[f"dead:{rejected.reason}"] += 1
        self._rejected.append(rejected)

    def _place(self, decided: Sequence[Decided]) -> None:
        """Put decided rows into the panes that they belong to."""
        for part in decided:
            for rejected in part.rejected:
                self._reject(rejected)
            rows, highest = part.rows, part.highest
            if len(rows) == 0:
                continue
            floor = NEVER if self.floor is None else self.floor
            watermark = np.maximum(np.where(highest == NEVER, NEVER, highest - self.lateness), floor)
            records = rows.part == 0  # a record is counted once, with the first of its rows
            lane = self.lanes.lane_of(rows)
            if lane is None:  # they waited when a contract let their model go
                self.buckets["filtered"] += int(records.sum())
                continue
            late = lane.add(rows, watermark, partial(self._state_before, part))
            self.buckets["late"] += int((late & records).sum())
            self.buckets["pane"] += int((~late & records).sum())
        accepted = [part.rows for part in decided if len(part.rows)]
        if accepted and self.first_watermark is None and self.floor is None:
            first = min(accepted, key=lambda rows: int(rows.offset[0]))
            self.first_watermark = int(first.time[0]) - self.lateness

    def _state_before(self, part: Decided, i: int) -> RowState:
        """The state before row `i` of a part."""
        offset, highest, reach, until = (
            int(column[i]) for column in (part.rows.offset, part.highest, part.reach, part.until)
        )
        waited = None if until == 2 * (offset + 1) else until
        return RowState(offset, None if highest == NEVER else highest, reach, self.floor, waited)

    # ------------------------------------------------------------------ sealing

    def _seal(self) -> None:
        """Seal all panes that are due, as far as grids and raw rows allow."""
        watermark = self.watermark
        if watermark is None or self._folding_again:
            return
        if self.first_watermark is None:
            self.first_watermark = watermark
        self._panes += self.lanes.seal(watermark)
        if not self.intake:
            self.lanes.forget_ended()
