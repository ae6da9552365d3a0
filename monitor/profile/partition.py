"""The fold of one input partition: decoded batches in, sealed panes, rejected rows and a watermark out.

Rules: a row is late iff its pane had ended under the watermark before it; the watermark is the largest accepted
time minus the lateness, or the heartbeats' floor where that is higher; a late row counts in the oldest open pane.
While a model has no grid its panes are sent raw, at most `raw_rows` rows; then the partition waits for the grid.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from monitor.codec.dead_letters import reject
from monitor.codec.reasons import QUARANTINED, TIME_AHEAD
from monitor.contract import ModelContract, TopicContract, contract_of_topic
from monitor.events import Batch, Int64s, RecordBatch, Rejected, Rows, TopicPartition
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid
from monitor.panes.ledger import Activation, Watermark, joined_at
from monitor.panes.pane import Pane, RawPane
from monitor.panes.position import FORMAT, ProfilePosition, RowState
from monitor.profile.accounting import Account
from monitor.profile.admission import Admission, Flush, admit, by_stamp
from monitor.profile.model_panes import ModelPanes

_NEVER = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Drained:
    """What the fold has put out since the last time. `watermark` is None where it sealed nothing new."""

    panes: tuple[Pane | RawPane, ...]
    rejected: tuple[Rejected, ...]
    watermark: Watermark | None
    quarantined: tuple[tuple[int, int | None], ...]
    """Offset of each record that was left out, and the watermark before it."""


class PartitionFold:
    """One input partition. All its models share a topic, and so lateness, clock skew and time field.

    `grids`: those known, which models take that are there from the start or come later. `may_cut`: the log can be
    folded again, so rows that are too many to travel raw need not be kept.
    """

    def __init__(
        self,
        tp: TopicPartition,
        contracts: Sequence[ModelContract],
        log_append_time: bool,
        grids: Sequence[Grid] = (),
        may_cut: bool = False,
    ) -> None:
        self.tp = tp
        self.grids = grids
        self._may_cut = may_cut
        self.log_append_time = log_append_time
        self.lateness = contracts[0].lateness_ms
        self.skew = contracts[0].max_clock_skew_ms
        self.models = {contract.model: self._panes_of(contract, None) for contract in contracts}
        self.contract = contract_of_topic(tp.topic, contracts)
        self._contract_at_low = self.contract.digest
        self.switches: list[tuple[int, int | None, str]] = []
        self.gone: dict[str, tuple[int, int]] = {}
        self.position = 0
        self.start: int | None = None
        self.highest: int | None = None
        self.reach: int | None = None
        self.floor: int | None = None
        self.first_watermark: int | None = None
        self.buckets: Counter[str] = Counter()
        self.gaps = 0
        self.heartbeats: list[tuple[int, int]] = []
        self.quarantined: set[int] = set()
        """Offsets of records that are left out, as far as they may be folded again."""
        self._held: list[Rows] = []
        self._held_records: dict[int, Rejected] = {}
        self._panes: list[Pane | RawPane] = []
        self._rejected: list[Rejected] = []
        self._left_out: list[tuple[int, int | None]] = []
        self._told: int | None = None
        self._folding_again = False
        self.wants_again = False
        """Whether a grid is there that needs rows which were forgotten: the fold is to begin again where it stands."""

    def _panes_of(self, contract: ModelContract, first: int | None) -> ModelPanes:
        """A model without open panes, on its grid where that is known."""
        model = ModelPanes(contract, self.tp, first, self._may_cut)
        model.grid = next((grid for grid in self.grids if model.fits(grid)), None)
        return model

    # ------------------------------------------------------------------ input

    def join(self, activations: Sequence[Activation]) -> bool:
        """Begin as the models' sets of partitions say; False as long as one of them has yet to name this partition."""
        panes = {name: joined_at(self.tp, name, activations) for name in self.models}
        starts = [pane * self.models[n].contract.pane_ms for n, pane in panes.items() if isinstance(pane, int)]
        if "not yet" in panes.values():
            return False
        if starts:
            self.floor = self.first_watermark = max(starts)
        return True

    def use_grid(self, grid: Grid) -> None:
        """From now on the model's panes are summarised on `grid`, open ones too; waiting panes are sealed.

        Where rows of open panes were forgotten the log has to be folded again with the grid; until then it is not used.
        """
        model = self.models[grid.model]
        if model.grid is None and model.is_cut:
            self.wants_again = True
        elif model.grid is None:
            model.grid = grid
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
        if batch.rows or self._held:
            self._admit([*self._held, *batch.rows], batch, records)
            self._seal()

    def skip_to(self, offset: int) -> None:
        """All records below `offset` have been fed: what lies between holds none (markers, or compaction)."""
        if self.start is not None:
            self.gaps += max(0, offset - self.position)
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

    def heartbeat(self, watermark: int) -> None:
        """A wall clock moves the watermark of a still partition, after deciding on the rows that wait."""
        self.heartbeats.append((self.position, watermark))
        self._admit_now(Flush(watermark + self.lateness + self.skew))
        if self.floor is None or watermark > self.floor:
            self.floor = watermark
        self._seal()

    def switch(self, contract: TopicContract, watermark: int | None) -> None:
        """From here on another contract. `watermark`: of now; it is not taken back, and new models begin there."""
        self.switches.append((self.position, watermark, contract.digest))
        if watermark is not None:
            self.floor = max(watermark, watermark if self.floor is None else self.floor)
        self.contract = contract
        self.lateness, self.skew = contract.models[0].lateness_ms, contract.models[0].max_clock_skew_ms
        before, self.models = self.models, {}
        for one in contract.models:
            if one.model in before:
                self.models[one.model] = before.pop(one.model)
                self.models[one.model].contract = one
            else:
                began = self.gone[one.model][0] if one.model in self.gone else watermark
                self.models[one.model] = self._panes_of(one, began)
        self.gone = {name: span for name, span in self.gone.items() if name not in self.models}
        if watermark is not None:
            self.gone |= {name: (self._first_of(model), watermark) for name, model in before.items()}
        self._let_go(before.keys())
        self._seal()

    def _first_of(self, model: ModelPanes) -> int:
        """The watermark from which on a model is folded; once there is a watermark."""
        if model.first is not None:
            return model.first
        return self.first_watermark if self.first_watermark is not None else self.watermark or 0

    def _let_go(self, gone: AbstractSet[str]) -> None:
        """Rows of models that are gone, as far as they wait for their neighbours, are nobody's any more."""
        self.buckets["filtered"] += sum(len(rows) for rows in self._held if rows.model in gone)
        self._hold([rows for rows in self._held if rows.model not in gone], None)

    def end(self) -> None:
        """The end of a plain file: what waits is decided, what is open is sealed."""
        self._admit_now(Flush(None))
        ends = [end for model in self.models.values() if (end := model.last_end()) is not None]
        if self.watermark is not None and ends:
            self.floor = max([self.watermark, *ends])
            self._seal()

    # ------------------------------------------------------------------ output

    @property
    def watermark(self) -> int | None:
        """Event time (ms) up to which panes are due, or None before the first accepted row or heartbeat."""
        if self.highest is None:
            return self.floor
        own = self.highest - self.lateness
        return own if self.floor is None else max(own, self.floor)

    @property
    def natural_watermark(self) -> int | None:
        """The watermark as records alone have moved it."""
        return None if self.highest is None else self.highest - self.lateness

    @property
    def lacks_grid(self) -> bool:
        """Whether one of its models has no grid yet."""
        return any(model.grid is None for model in self.models.values())

    def fits(self, grid: Grid) -> bool:
        """Whether a grid is of one of its models' streams here, with the same series."""
        return grid.model in self.models and self.models[grid.model].fits(grid)

    @property
    def waiting(self) -> bool:
        """Whether a pane that is due can't be sealed before its model has a grid: the partition is to be paused."""
        return self._blocked() is not None

    def drain(self) -> Drained:
        """Take what was put out since the last call."""
        told = self._sealed_watermark()
        watermark = None
        if told is not None and (self._told is None or self._ends_a_pane(self._told, told)):
            self._told = told
            firsts = {name: self._first_of(model) for name, model in sorted(self.models.items())}
            first = told if self.first_watermark is None else self.first_watermark
            watermark = Watermark(*self.tp, told, first, firsts, dict(sorted(self.gone.items())))
        drained = Drained(tuple(self._panes), tuple(self._rejected), watermark, tuple(self._left_out))
        self._panes, self._rejected, self._left_out = [], [], []
        return drained

    def _ends_a_pane(self, before: int, after: int) -> bool:
        """Whether a pane of any model ends after `before` and at or before `after`."""
        lengths = {model.contract.pane_ms for model in self.models.values()}
        return any(after // pane_ms > before // pane_ms for pane_ms in lengths)

    def _sealed_watermark(self) -> int | None:
        blocked = self._blocked()
        return self.watermark if blocked is None or self.watermark is None else min(blocked, self.watermark)

    def _blocked(self) -> int | None:
        """Start of the oldest pane that is due and not sealed, in ms."""
        if self.watermark is None:
            return None
        starts = [model.blocked(self.watermark) for model in self.models.values()]
        return min((start for start in starts if start is not None), default=None)

    # ------------------------------------------------------------------ restoring

    def low(self) -> RowState:
        """The state before the oldest record that is still needed."""
        states = [state for model in self.models.values() for state in model.starts()]
        if self._held:
            states.append(self._state(min(int(rows.offset[0]) for rows in self._held)))
        return min(states, key=lambda state: state.offset) if states else self._state(self.position)

    def _state(self, offset: int) -> RowState:
        return RowState(offset, self.highest, self.reach, self.floor)

    def account(self) -> Account:
        """Where the offsets consumed so far have gone."""
        start = self.position if self.start is None else self.start
        return Account(start, self.position, self.buckets, self.gaps, sum(map(len, self._held)))

    def snapshot(self, sequences: Mapping[str, int]) -> ProfilePosition:
        """The position record, with the sequence numbers of the task's outputs."""
        low = self.low()
        # the floor of `low` holds all heartbeats up to it; with nothing open, all there were
        self.quarantined = {offset for offset in self.quarantined if offset >= low.offset}
        self.heartbeats = [beat for beat in self.heartbeats if low.offset < beat[0] and low.offset < self.position]
        past = [s for s in self.switches if not (low.offset < s[0] and low.offset < self.position)]
        self.switches = self.switches[len(past) :]
        self._contract_at_low = past[-1][2] if past else self._contract_at_low
        return ProfilePosition(
            format=FORMAT,
            low=low,
            position=self.position,
            start=self.start if self.start is not None else self.position,
            first_watermark=self.first_watermark,
            heartbeats=tuple(self.heartbeats),
            natural=self.natural_watermark,
            watermark=self.watermark,
            told=self._told,
            models={name: model.position() for name, model in sorted(self.models.items())},
            digest=self.open_digest(),
            contract=self._contract_at_low,
            switches=tuple(self.switches),
            gone=dict(sorted(self.gone.items())),
            buckets=dict(sorted(self.buckets.items())),
            gaps=self.gaps,
            held=sum(map(len, self._held)),
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
        self.highest, self.reach, self.floor = position.low.highest, position.low.reach, position.low.floor
        self.first_watermark = position.first_watermark
        self.quarantined = set(position.quarantined)

    def arrive(self, position: ProfilePosition) -> bool:
        """End of folding again: forget what was published before; whether the state is the committed one."""
        self._folding_again = False
        self._panes, self._rejected, self._left_out = [], [], []
        self._told = position.told
        self.position = position.position
        self.buckets, self.gaps = Counter(position.buckets), position.gaps
        for name, known in position.models.items():
            self.models[name].arrive(known)
        self.heartbeats, self.switches = list(position.heartbeats), list(position.switches)
        self.gone = dict(position.gone)
        ended = position.switches[-1][2] if position.switches else position.contract
        same = (self.open_digest(), self.contract.digest) == (position.digest, ended)
        self._seal()
        return same

    def open_digest(self) -> str:
        """Digest of the offsets in the open panes and of those that wait."""
        parts = [part for name in sorted(self.models) for part in self.models[name].offsets()]
        # sorted: which model's rows come first among those that wait depends on the batches
        parts.append("held:" + ",".join(str(o) for o in sorted(o for r in self._held for o in r.offset.tolist())))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    # ------------------------------------------------------------------ folding

    def _reject(self, rejected: Rejected) -> None:
        self.buckets[f"dead:{rejected.reason}"] += 1
        self._rejected.append(rejected)

    def _admit_now(self, flush: Flush) -> None:
        if self._held:
            self._admit(self._held, None, None, flush)

    def _admit(
        self, parts: list[Rows], batch: Batch | None, records: RecordBatch | None, flush: Flush | None = None
    ) -> None:
        """Decide on rows as far as possible, put them into panes, and hold the rest."""
        if len({rows.model for rows in parts}) < len(parts):
            parts = [
                rows_of.concat([r for r in parts if r.model == name]) for name in dict.fromkeys(r.model for r in parts)
            ]
        offset = np.concatenate([rows.offset for rows in parts])
        time = np.concatenate([rows.time for rows in parts])
        order = np.argsort(offset, kind="stable") if len(parts) > 1 else np.arange(len(offset))
        if self.log_append_time and batch is not None:
            stamp = batch.timestamp[np.searchsorted(batch.timestamp_offset, offset[order])]
            accepted = by_stamp(time[order], stamp, self.skew)
            admission = Admission(accepted, time[order], None)
        else:
            admission = admit(time[order], self.reach, self.skew, flush)
        decided = len(admission.accepted)
        highest, before = self._prefix_maximum(time[order][:decided], admission.accepted)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        at = 0
        held: list[Rows] = []
        for rows in parts:
            place = rank[at : at + len(rows)]
            at += len(rows)
            known = place < decided
            if not known.all():
                held.append(rows_of.take(rows, ~known))
                rows, place = rows_of.take(rows, known), place[known]
            if len(rows):
                self._place(rows, admission.accepted[place], before[place], admission.reach_before[place], records)
        if highest is not None and self.first_watermark is None and self.floor is None:
            self.first_watermark = int(time[order][:decided][admission.accepted][0]) - self.lateness
        self.highest, self.reach = highest, admission.reach
        self._hold(held, records)

    def _prefix_maximum(self, time: Int64s, accepted: np.ndarray) -> tuple[int | None, Int64s]:
        """Largest accepted time after all rows, and before each of them (_NEVER: none)."""
        start = _NEVER if self.highest is None else self.highest
        maximum = np.maximum.accumulate(np.concatenate([[start], np.where(accepted, time, _NEVER)]))
        highest = int(maximum[-1])
        return (None if highest == _NEVER else highest), maximum[:-1]

    def _place(
        self, rows: Rows, accepted: np.ndarray, before: Int64s, reach: Int64s, records: RecordBatch | None
    ) -> None:
        """Put decided rows of one model into the panes that they belong to."""
        if not accepted.all():
            for i in np.flatnonzero(~accepted).tolist():  # rejected rows are few: each becomes a dead letter
                self._reject(self._quote(int(rows.offset[i]), records))
            rows = rows_of.take(rows, accepted)
            before, reach = before[accepted], reach[accepted]
        if len(rows) == 0:
            return
        floor = _NEVER if self.floor is None else self.floor
        watermark = np.maximum(np.where(before == _NEVER, _NEVER, before - self.lateness), floor)
        late = self.models[rows.model].add(
            rows, watermark, lambda i: self._row_state(int(rows.offset[i]), int(before[i]), int(reach[i]))
        )
        self.buckets["late"] += late
        self.buckets["pane"] += len(rows) - late

    def _row_state(self, offset: int, highest: int, reach: int) -> RowState:
        known = None if self.log_append_time else reach
        return RowState(offset, None if highest == _NEVER else highest, known, self.floor)

    def _hold(self, held: list[Rows], records: RecordBatch | None) -> None:
        """Keep rows that wait, with what a dead letter would quote of them."""
        offsets = {o for rows in held for o in rows.offset.tolist()}
        quoted = {o: self._quote(o, records) for o in offsets}
        self._held, self._held_records = held, quoted

    def _quote(self, offset: int, records: RecordBatch | None) -> Rejected:
        if offset in self._held_records:
            return self._held_records[offset]
        if records is None:
            raise KeyError(offset)  # rows are either held or of this batch
        return reject(records, bisect_left(records.offsets, offset), TIME_AHEAD)

    # ------------------------------------------------------------------ sealing

    def _seal(self) -> None:
        """Seal all panes that are due, as far as grids and raw rows allow."""
        watermark = self.watermark
        if watermark is None or self._folding_again:
            return
        if self.first_watermark is None:
            self.first_watermark = watermark
        for model in self.models.values():
            self._panes += model.seal(watermark)
