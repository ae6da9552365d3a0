"""The fold of one input partition: decoded batches in, sealed panes, rejected rows and a watermark out.

Rules: a row is late iff its pane had ended under the watermark before it; the watermark is the largest accepted
time minus the lateness, or the heartbeats' floor where that is higher; a late row counts in the oldest open pane.
While a model has no grid its panes are sent raw, at most `raw_rows` rows; then the partition waits for the grid.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from monitor.contract import ModelContract
from monitor.events import Batch, Int64s, RecordBatch, Rejected, Rows, TopicPartition
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid
from monitor.panes.ledger import Watermark
from monitor.panes.open_pane import OpenPane
from monitor.panes.pane import Pane, RawPane
from monitor.profile.admission import Admission, Flush, admit, by_stamp
from monitor.profile.position import FORMAT, ModelPosition, ProfilePosition, RowState

TIME_AHEAD = "time_ahead"
_NEVER = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Drained:
    """What the fold has put out since the last time. `watermark` is None where it sealed nothing new."""

    panes: tuple[Pane | RawPane, ...]
    rejected: tuple[Rejected, ...]
    watermark: Watermark | None


@dataclass(slots=True)
class _Model:
    """What the fold keeps of one model."""

    contract: ModelContract
    empty: Rows
    grid: Grid | None = None
    sealed_to: int | None = None
    raw_sent: int = 0
    sampled: bool = False


class PartitionFold:
    """One input partition. All its models share a topic, and so lateness, clock skew and time field."""

    def __init__(self, tp: TopicPartition, contracts: Sequence[ModelContract], log_append_time: bool) -> None:
        self.tp = tp
        self.log_append_time = log_append_time
        self.lateness = contracts[0].lateness_ms
        self.skew = contracts[0].max_clock_skew_ms
        self.models = {contract.model: _Model(contract, _empty(contract, tp.topic)) for contract in contracts}
        self.contract_digest = contracts_digest(contracts)
        self.position = 0
        self.start: int | None = None
        self.highest: int | None = None
        self.reach: int | None = None
        self.floor: int | None = None
        self.first_watermark: int | None = None
        self.buckets: Counter[str] = Counter()
        self.heartbeats: list[tuple[int, int]] = []
        self._open: dict[tuple[str, int], OpenPane] = {}
        self._starts: dict[tuple[str, int], RowState] = {}
        self._held: list[Rows] = []
        self._held_records: dict[int, Rejected] = {}
        self._panes: list[Pane | RawPane] = []
        self._rejected: list[Rejected] = []
        self._told: int | None = None
        self._folding_again = False

    # ------------------------------------------------------------------ input

    def use_grid(self, grid: Grid) -> None:
        """From now on the model's panes are summarised on `grid`, open ones too; waiting panes are sealed."""
        model = self.models[grid.model]
        if model.grid is None:
            model.grid = grid
            self._seal()

    def feed(self, batch: Batch, records: RecordBatch) -> None:
        """Fold one decoded batch; `records` is what it was decoded from (dead letters quote it)."""
        if self.start is None:
            self.start = batch.first
        self.position = batch.last + 1
        self.buckets["tombstone"] += len(batch.tombstones)
        self.buckets["filtered"] += len(batch.filtered)
        for rejected in batch.rejected:
            self._reject(rejected)
        if batch.rows or self._held:
            self._admit([*self._held, *batch.rows], batch, records)
            self._seal()

    def heartbeat(self, watermark: int) -> None:
        """A wall clock moves the watermark of a still partition, after deciding on the rows that wait."""
        self.heartbeats.append((self.position, watermark))
        self._admit_now(Flush(watermark + self.lateness + self.skew))
        if self.floor is None or watermark > self.floor:
            self.floor = watermark
        self._seal()

    def end(self) -> None:
        """The end of a plain file: what waits is decided, what is open is sealed."""
        self._admit_now(Flush(None))
        if self.watermark is not None and self._open:
            ends = [(index + 1) * self.models[name].contract.pane_ms for name, index in self._open]
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
        model = self.models.get(grid.model)
        if model is None:
            return False
        stream = next(s for s in model.contract.streams if s.topic == self.tp.topic)
        return grid.stream == stream.stream and grid.series == stream.numeric_series + stream.categorical_series

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
            watermark = Watermark(*self.tp, told, self.first_watermark if self.first_watermark is not None else told)
        drained = Drained(tuple(self._panes), tuple(self._rejected), watermark)
        self._panes, self._rejected = [], []
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
        watermark = self.watermark
        if watermark is None:
            return None
        due = [
            index * self.models[name].contract.pane_ms
            for name, index in self._open
            if (index + 1) * self.models[name].contract.pane_ms <= watermark
        ]
        return min(due) if due else None

    # ------------------------------------------------------------------ restoring

    def low(self) -> RowState:
        """The state before the oldest record that is still needed."""
        states = [*self._starts.values()]
        if self._held:
            states.append(self._state(min(int(rows.offset[0]) for rows in self._held)))
        return min(states, key=lambda state: state.offset) if states else self._state(self.position)

    def _state(self, offset: int) -> RowState:
        return RowState(offset, self.highest, self.reach, self.floor)

    def snapshot(self, sequences: Mapping[str, int]) -> ProfilePosition:
        """The position record, with the sequence numbers of the task's outputs."""
        low = self.low()
        # the floor of `low` holds all heartbeats up to it; with nothing open, all there were
        self.heartbeats = [beat for beat in self.heartbeats if low.offset < beat[0] and low.offset < self.position]
        return ProfilePosition(
            format=FORMAT,
            low=low,
            position=self.position,
            start=self.start if self.start is not None else self.position,
            first_watermark=self.first_watermark,
            heartbeats=tuple(self.heartbeats),
            watermark=self._told,
            models={name: ModelPosition(m.sealed_to, m.raw_sent, m.sampled) for name, m in sorted(self.models.items())},
            digest=self.open_digest(),
            contract=self.contract_digest,
            buckets=dict(sorted(self.buckets.items())),
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
        for name, known in position.models.items():
            if name in self.models:
                self.models[name].sealed_to = known.sealed_to

    def arrive(self, position: ProfilePosition) -> bool:
        """End of folding again: forget what was published before; whether the state is the committed one."""
        self._folding_again = False
        self._panes, self._rejected = [], []
        self._told = position.watermark
        self.position = position.position
        self.buckets = Counter(position.buckets)
        for name, known in position.models.items():
            model = self.models[name]
            model.sealed_to, model.raw_sent, model.sampled = known.sealed_to, known.raw_sent, known.sampled
        for name, index in list(self._open):
            sealed_to = self.models[name].sealed_to
            if sealed_to is not None and index < sealed_to:
                self._forget(name, index)
        self.heartbeats = list(position.heartbeats)
        same = self.open_digest() == position.digest
        self._seal()
        return same

    def open_digest(self) -> str:
        """Digest of the offsets in the open panes and of those that wait."""
        parts = [
            f"{name}/{index}:{pane.events},{pane.late},{pane.first_offset},{pane.last_offset},{pane.offset_sum}"
            for (name, index), pane in sorted(self._open.items())
        ]
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
        pane_ms = self.models[rows.model].contract.pane_ms
        index = rows.time // pane_ms
        late = (index + 1) * pane_ms <= watermark
        pane = np.where(late, watermark // pane_ms, index)
        self.buckets["late"] += int(late.sum())
        self.buckets["pane"] += len(rows) - int(late.sum())
        for k in _distinct(pane):
            mine = pane == k
            first = int(np.argmax(mine))
            opened = self._pane(rows.model, k, self._row_state(rows.offset[first], before[first], reach[first]))
            if (in_time := mine & ~late).any():
                opened.add(rows_of.take(rows, in_time), self.models[rows.model].grid)
            if (too_late := mine & late).any():
                opened.add_late(rows.offset[too_late])

    def _row_state(self, offset: int, highest: int, reach: int) -> RowState:
        known = None if self.log_append_time else int(reach)
        return RowState(int(offset), None if highest == _NEVER else int(highest), known, self.floor)

    def _pane(self, name: str, index: int, state: RowState) -> OpenPane:
        key = (name, index)
        if key not in self._open:
            model = self.models[name]
            self._open[key] = OpenPane(model.empty, self.tp, index, model.contract.trace_points)
            self._starts[key] = state
        return self._open[key]

    def _forget(self, name: str, index: int) -> None:
        del self._open[(name, index)]
        del self._starts[(name, index)]

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
        i = bisect_left(records.offsets, offset)
        value = records.values[i]
        return Rejected(*self.tp, offset, records.timestamps[i], TIME_AHEAD, records.keys[i], value or b"")

    # ------------------------------------------------------------------ sealing

    def _seal(self) -> None:
        """Seal all panes that are due, as far as grids and raw rows allow."""
        watermark = self.watermark
        if watermark is None or self._folding_again:
            return
        if self.first_watermark is None:
            self.first_watermark = watermark
        for name, model in self.models.items():
            due = sorted(
                index
                for owner, index in self._open
                if owner == name and (index + 1) * model.contract.pane_ms <= watermark
            )
            for index in due:
                if not self._seal_one(model, self._open[(name, index)]):
                    break
                model.sealed_to = index + 1
                self._forget(name, index)

    def _seal_one(self, model: _Model, pane: OpenPane) -> bool:
        if model.grid is not None:
            self._panes.append(pane.seal(model.grid))
            return True
        left = model.contract.raw_rows - model.raw_sent
        if pane.events <= left:
            self._panes.append(pane.seal_raw())
            model.raw_sent += pane.events
            return True
        if not model.sampled:
            self._panes.append(pane.seal_raw(first_rows=left))
            model.sampled = True
        return False


def _distinct(pane: Int64s) -> list[int]:
    if len(pane) and pane[0] == pane[-1] and (pane == pane[0]).all():
        return [int(pane[0])]
    return [int(k) for k in np.unique(pane)]


def _empty(contract: ModelContract, topic: str) -> Rows:
    return rows_of.empty(contract.model, next(s for s in contract.streams if s.topic == topic))


def contracts_digest(contracts: Iterable[ModelContract]) -> str:
    """Names the contracts that a fold uses."""
    encoded = msgspec.json.encode(sorted(contracts, key=lambda contract: contract.model))
    return "sha256:" + hashlib.sha256(encoded).hexdigest()[:32]
