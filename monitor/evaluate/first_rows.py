"""The first n rows of a lane in canonical order: what its grid and first reference are made from.

Until there is a grid, panes travel raw. A partition's rows are known up to its frontier: the end of its newest sealed
pane, or its sample's last row. The first n rows are certain when every partition's frontier is past the n-th of them;
so they do not depend on which partition was read first.

No more than n rows are kept: a row that comes later only takes a place away. For snapshots they are frozen into blocks
of at least BLOCK_ROWS rows. A block is named by its content and written once; the rows behind the last block are the
tail, which is written with every snapshot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec
import numpy as np

from monitor.contract import StreamContract
from monitor.errors import FormatError
from monitor.evaluate.growth import end_of_span, origin_of
from monitor.evaluate.reference import Reference, reference_in_steps
from monitor.evaluate.state import FirstRowsState
from monitor.events import Rows, TopicPartition
from monitor.ledger.entries import PartitionSet, Watermark
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid, grid_in_steps
from monitor.panes.pane import RawPane, decode_raw, encode_raw
from monitor.panes.steps import Steps

BLOCK_ROWS = 500
"""Fewest rows of a block: so a snapshot writes few bytes again, and few keys are needed."""
_RowKey = tuple[int, int, int, int]
"""The place of a row in canonical order: time in ms, partition, offset, part. A lane has one topic."""


@dataclass(slots=True)
class _Part:
    """Rows of one raw pane that are among the first. `block`: the name of the block that holds them; None: the tail.

    `span`: no offset of them is outside.
    """

    pane: RawPane
    span: tuple[int, int]
    block: str | None = None


class Certain(NamedTuple):
    """What is certain of first rows. `behind`: where the pane begins that a reference of them counts for, ms.

    `before`: only rows before that time are first rows, ms; None: all are. `span_ms`: of a reference in time, or 0.
    `grows_to`: where the pane begins that it counts for once it has grown, ms; None if it is whole.
    """

    behind: int
    before: int | None = None
    span_ms: int = 0
    grows_to: int | None = None

    def at(self, begins: int) -> Certain:
        """The same if no pane before `begins` (ms) can be taken any more: a span that is over then is whole."""
        is_over = self.grows_to is not None and begins >= self.grows_to
        return self._replace(grows_to=None) if is_over else self


class FirstRows:
    """Collects the raw panes of one lane. `wanted`: how many rows; None while nobody knows."""

    def __init__(self, wanted: int | None = None) -> None:
        self._wanted = wanted
        self._parts: list[_Part] = []
        self._held = 0
        """Rows of all parts. A sparse stream has as many parts, so sums over them are not made for each."""
        self._in_blocks = 0
        self._earliest = 1 << 62
        """Time of the first row so far, ms."""
        self._highest: dict[TopicPartition, int] = {}
        """The highest offset of each partition so far."""
        self._blocks: dict[str, bytes] = {}
        self._sampled_to: dict[TopicPartition, _RowKey] = {}
        self._last: _RowKey | None = None
        self._made: tuple[tuple[StreamContract, Certain], Grid, Reference] | None = None

    def want(self, rows: int) -> None:
        """How many rows are wanted, now that it is known."""
        self._wanted, self._made, self._last = rows, None, None
        self._trim()

    def add(self, pane: RawPane) -> None:
        """Take a sealed raw pane, or the sample of one that waits; rows that were taken before count once."""
        if not pane.complete and len(pane.rows):
            self._sampled_to[pane.tp] = _place_of_last(pane)
        self._made = None
        if self._last is not None and len(pane.rows) and int(pane.rows.time.min()) > self._last[0]:
            return  # all that are wanted come before
        low, high = span = _span(pane)
        known = [] if low > self._highest.get(pane.tp, -1) else self._names_near(pane.tp, low, high)
        if known and (again := np.isin(_names(pane.rows), np.concatenate(known))).any():
            pane = replace(pane, rows=rows_of.take(pane.rows, ~again))
        if len(pane.rows):
            self._take(_Part(pane, span))
            self._trim()
            self._freeze()

    def _take(self, part: _Part) -> None:
        self._parts.append(part)
        self._held += len(part.pane.rows)
        self._earliest = min(self._earliest, int(part.pane.rows.time.min()))
        self._in_blocks += len(part.pane.rows) if part.block is not None else 0
        self._highest[part.pane.tp] = max(part.span[1], self._highest.get(part.pane.tp, -1))

    def _names_near(self, tp: TopicPartition, low: int, high: int) -> list[np.ndarray]:
        """What names the rows of the parts of a partition that may hold offsets from `low` to `high`."""
        near = (p for p in self._parts if p.pane.tp == tp and p.span[0] <= high and p.span[1] >= low)
        return [_names(part.pane.rows) for part in near]

    def __len__(self) -> int:
        return self._held

    @property
    def parts(self) -> list[RawPane]:
        """What is kept, in the order in which it came."""
        return [part.pane for part in self._parts]

    # ------------------------------------------------------------------ the first rows

    def last_time(self, sealed: Mapping[TopicPartition, int]) -> int | None:
        """Return the time of the last of the first rows (ms), or None as long as they are not certain.

        `sealed`: of every partition of the lane, the event time (ms) below which all its rows are sealed.
        """
        if self._last is None:
            return None
        for tp, frontier in sealed.items():
            sampled = self._sampled_to.get(tp)
            if self._last[0] >= frontier and (sampled is None or self._last > sampled):
                return None
        return self._last[0]

    def certain(self, sealed: Mapping[TopicPartition, int], pane_ms: int, span_ms: int) -> Certain | None:
        """Return what is certain of the first rows; None as long as nothing is. `sealed`: see `last_time`.

        `span_ms`: of a reference in time, or 0. If fewer rows than wanted come in that, these are all.
        """
        last = self.last_time(sealed)
        behind = None if last is None else (last // pane_ms + 1) * pane_ms
        if not span_ms or not self._held:
            return None if behind is None else Certain(behind)
        ends = end_of_span(self._earliest, span_ms, pane_ms)
        if behind is not None and behind <= ends:  # also in the last pane, for whose end a partition may wait
            return Certain(behind, span_ms=span_ms, grows_to=ends).at(behind)
        is_over = all(frontier >= ends for frontier in sealed.values())
        return Certain(ends, before=ends, span_ms=span_ms) if is_over else None

    def make(self, contract: StreamContract, certain: Certain) -> Steps[tuple[Grid, Reference]]:
        """Make the grid of the first rows that are certain, and their reference; once, and in steps."""
        if self._made is None or self._made[0] != (contract, certain):
            joined = rows_of.concat([pane.rows for pane in self.parts])
            yield
            order = np.lexsort(self._places())
            yield
            if certain.before is not None:
                joined = rows_of.take(joined, order[joined.time[order] < certain.before])
                order = np.arange(len(joined))
            grid = yield from grid_in_steps(joined, contract)
            origin = origin_of(certain.span_ms, len(joined)) if certain.span_ms else f"first {len(joined)} events"
            reference = yield from reference_in_steps(grid, joined, order, origin, certain.grows_to)
            self._made = (contract, certain), grid, reference
        return self._made[1:]

    def _places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Part, offset, partition and time of all rows: keys from the last to the first, as lexsort takes them."""
        panes = self.parts
        return (
            np.concatenate([pane.rows.part for pane in panes]),
            np.concatenate([pane.rows.offset for pane in panes]),
            np.concatenate([np.full(len(pane.rows), pane.tp.partition) for pane in panes]),
            np.concatenate([pane.rows.time for pane in panes]),
        )

    def _trim(self) -> None:
        """Forget all but the first rows."""
        if self._wanted is None or len(self) < self._wanted:
            return
        part_of, offset, partition, time = places = self._places()
        order = np.lexsort(places)[: self._wanted]
        last = order[-1]
        self._last = (int(time[last]), int(partition[last]), int(offset[last]), int(part_of[last]))
        if len(order) == len(time):
            return
        kept = np.zeros(len(time), dtype=bool)
        kept[order] = True
        ends = np.cumsum([len(pane.rows) for pane in self.parts])
        losing = np.unique(np.searchsorted(ends, np.flatnonzero(~kept), side="right"))
        for i in losing.tolist():  # few of many: one a pane that comes
            part, mine = self._parts[i], kept[ends[i] - len(self._parts[i].pane.rows) : ends[i]]
            part.pane = replace(part.pane, rows=rows_of.take(part.pane.rows, mine))
        self._parts = [part for part in self._parts if len(part.pane.rows)]
        self._held = sum(len(part.pane.rows) for part in self._parts)
        self._in_blocks = sum(len(part.pane.rows) for part in self._parts if part.block is not None)
        used = {part.block for part in self._parts}
        self._blocks = {name: value for name, value in self._blocks.items() if name in used}

    # ------------------------------------------------------------------ state

    def _freeze(self) -> None:
        """Make a block of the tail if that is long enough."""
        if self._held - self._in_blocks < BLOCK_ROWS:
            return
        tail = [part for part in self._parts if part.block is None]
        value = msgspec.msgpack.encode([encode_raw(part.pane) for part in tail])
        name = f"first-rows/{_digest(value)[:32]}"
        self._blocks[name] = value
        for part in tail:
            part.block = name
        self._in_blocks = self._held

    def blocks(self) -> Mapping[str, bytes]:
        """The blocks by name; one that holds no row of the first any more is not among them."""
        return self._blocks

    def state(self) -> FirstRowsState:
        """What has been collected: which blocks, the tail, and where samples end."""
        return FirstRowsState(
            tuple((name, _digest(value)) for name, value in self._blocks.items()),
            tuple(encode_raw(part.pane) for part in self._parts if part.block is None),
            tuple((*tp, time, offset, part) for tp, (time, _, offset, part) in sorted(self._sampled_to.items())),
        )

    def restore(self, state: FirstRowsState, blocks: Mapping[str, bytes]) -> None:
        """Go on from there. `blocks`: by name, those of the state among them. Raises FormatError."""
        for name, digest in state.blocks:
            if name not in blocks or _digest(blocks[name]) != digest:
                raise FormatError(f"not a snapshot: its block {name} is not there, or damaged")
            self._blocks[name] = blocks[name]
            for value in _values_of(blocks[name]):
                self._take(_part(value, name))
        for value in state.tail:
            self._take(_part(value))
        self._sampled_to = {
            TopicPartition(topic, p): (time, p, offset, part) for topic, p, time, offset, part in state.sampled
        }
        self._trim()


def _part(value: bytes, block: str | None = None) -> _Part:
    pane = decode_raw(value)
    return _Part(pane, _span(pane), block)


def _span(pane: RawPane) -> tuple[int, int]:
    """Return the lowest and the highest offset; of a pane without rows what overlaps with none."""
    offset = pane.rows.offset
    return (int(offset.min()), int(offset.max())) if len(offset) else (1, 0)


def _place_of_last(pane: RawPane) -> _RowKey:
    rows = pane.rows
    last = rows_of.canonical_order(rows.time, rows.offset, rows.part)[-1]
    return int(rows.time[last]), pane.tp.partition, int(rows.offset[last]), int(rows.part[last])


def _names(rows: Rows) -> np.ndarray:
    """What names each row in its partition: offset and part, as one value."""
    names = np.empty(len(rows), dtype=[("offset", np.int64), ("part", np.int32)])
    names["offset"], names["part"] = rows.offset, rows.part
    return names


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


def _values_of(block: bytes) -> list[bytes]:
    """The raw panes of a block, as panes are written; raises FormatError."""
    try:
        return msgspec.msgpack.decode(block, type=list[bytes])
    except msgspec.DecodeError as error:
        raise FormatError(f"not a block of first rows: {error}") from error


def sealed_to(
    model: str,
    partitions: PartitionSet,
    contract: StreamContract,
    watermarks: Mapping[TopicPartition, Watermark],
    pane_ms: int,
) -> dict[TopicPartition, int]:
    """Return, by partition of the stream's topic, the event time (ms) below which all the model's rows are sealed."""
    found = {}
    for tp in partitions.partitions:
        if tp.topic == contract.topic:
            sealed = watermarks[tp].watermark_of(model) if tp in watermarks else None
            found[tp] = -(1 << 62) if sealed is None else sealed // pane_ms * pane_ms
    return found
