"""Bytes to rows: each record of one topic becomes a row, or the reason why it can't be one.

Three tiers, each for what the one before refuses:

1. a block of records with typed decoders, straight into arrays (`Shapes.strict`);
2. the block with all values as they are, looked at column by column (`Shapes.loose`), so that a producer who sends
   "12.5" for a number all the time costs one column's loop;
3. one record at a time, at last with the standard library's parser, to save the row or to name what is wrong.

A record's fate depends on the record alone: a tier takes a block only if each record alone would get the same
from the later tiers. So it makes no difference how records are cut into polls and blocks. Records are decoded one
call each: joining the poll for one `decode_lines` measures no faster, and two broken records could join into one.
Blocks are small since what stays in the processor's cache is decoded half again as fast.

Of duplicate keys the last wins. Fields that no model declares are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from monitor.codec import reasons
from monitor.codec.columns import is_unicode
from monitor.codec.dead_letters import reject
from monitor.codec.event_times import is_missing, read_values
from monitor.codec.ids import LONGEST_ID, NO_ID, digests
from monitor.codec.lenient import MAX_DEPTH, flaw, read_lenient
from monitor.codec.rows import Cells, RowReader
from monitor.codec.shapes import Shapes, shapes_of, stream_on
from monitor.codec.times import UNREADABLE
from monitor.contract import ModelContract, lane_contract
from monitor.events import Batch, Bools, CellState, Int64s, RecordBatch, Rows, States, UInt64s

BLOCK: Final = 500
"""Most records of a block."""
BLOCK_BYTES: Final = 1 << 20
"""Most bytes of a block of more than one record: an event can take fifty times its bytes as objects."""

EARLIEST: Final = 946_684_800_000
"""2000-01-01, ms."""

TOO_LATE: Final = 4_102_444_800_000
"""2100-01-01, ms."""

_FILTERED = "filtered"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class _Decoded(NamedTuple):
    """Decoded events of a block, and their places in the batch. `strict`: whether they have the strict shape."""

    places: list[int]
    events: list[Any]
    strict: bool


class _Sound(NamedTuple):
    """Events whose envelope is sound. `items`: the objects that hold their columns."""

    places: list[int]
    models: list[str]
    times: Int64s
    items: list[Any]
    strict: bool
    assumed: tuple[str, ...] = ()


class _Piece(NamedTuple):
    """Rows of one model from one block. `ids`: digests, if the stream has keys."""

    places: list[int]
    times: Int64s
    cells: Cells
    ids: UInt64s | None

    def take(self, mask: Bools) -> _Piece:
        """The rows at which the mask, shape (n,), is true."""
        places = list(compress(self.places, mask.tolist()))
        ids = None if self.ids is None else self.ids[mask]
        return _Piece(places, self.times[mask], self.cells.take(mask), ids)


class Decoder:
    """Decodes one topic. All `contracts` have a stream on it, of one kind, and with one field and form of the time.

    If there is one model, and no other was left out, events need not name it.

    `filtered`: models whose records are left out on purpose, and not dead letters.
    """

    def __init__(self, topic: str, contracts: Sequence[ModelContract], filtered: frozenset[str] = frozenset()) -> None:
        streams = {contract.model: stream_on(contract, topic) for contract in contracts}
        first = next(iter(streams.values()))
        self._stream, self._form = first.stream, first.times
        self._shapes: Shapes = shapes_of(tuple(streams.values()))
        self._contracts = {c.model: lane_contract(c, streams[c.model]) for c in contracts}
        self._readers = {model: RowReader(stream, self._shapes) for model, stream in streams.items()}
        keyed = [(model, stream.keys) for model, stream in streams.items() if stream.keys is not None]
        self._ids = {model: self._shapes.getter(keys.id_field) for model, keys in keyed}
        self._filtered = filtered
        self._only = next(iter(streams)) if len(streams) == 1 and not filtered else None
        """The model of events that name none."""

    def decode(self, batch: RecordBatch) -> Batch:
        """The batch (not empty) with each record in exactly one of rows, rejected, tombstones and filtered."""
        pieces: dict[str, list[_Piece]] = {model: [] for model in self._readers}
        assumed: dict[str, None] = {}
        refused: list[tuple[int, str]] = []
        for start, end in _blocks(batch.values):
            events = self._sound(self._block(batch.values[start:end], start, refused), refused)
            assumed.update(dict.fromkeys(events.assumed))
            for model, piece in self._pieces(events):
                sound = piece if self._stream != "labels" else _sound_labels(piece, refused)
                if sound.places:
                    pieces[model].append(sound)
        refused.sort()
        offsets = np.array(batch.offsets, dtype=np.int64)
        stamped = batch.log_append_time
        return Batch(
            topic=batch.topic,
            partition=batch.partition,
            first=int(offsets[0]),
            last=int(offsets[-1]),
            rows=tuple(self._rows(model, own, offsets) for model, own in pieces.items() if own),
            rejected=tuple(reject(batch, i, reason) for i, reason in refused if reason != _FILTERED),
            tombstones=offsets[[i for i, value in enumerate(batch.values) if value is None]],
            filtered=offsets[[i for i, reason in refused if reason == _FILTERED]],
            timestamp_offset=offsets if stamped else offsets[:0],
            timestamp=np.array(batch.timestamps if stamped else [], dtype=np.int64),
            assumed=tuple(assumed),
        )

    def _block(self, some: Sequence[bytes | None], start: int, refused: list[tuple[int, str]]) -> _Decoded:
        """The events of one block that begins at place `start`, by the fastest tier that takes them."""
        places = [start + i for i, value in enumerate(some) if value is not None]
        present = [value for value in some if value is not None]
        if _is_plain(present):
            for read, strict in ((self._shapes.strict, True), (self._shapes.loose, False)):
                try:
                    return _Decoded(places, list(map(read, present)), strict)
                except msgspec.DecodeError:
                    continue
        events: list[Any] = []
        kept: list[int] = []
        for place, value in zip(places, present, strict=True):
            event = self._one(value)
            if isinstance(event, str):
                refused.append((place, event))
            else:
                events.append(event)
                kept.append(place)
        return _Decoded(kept, events, False)

    def _one(self, value: bytes) -> Any:
        """The loose event of one record, or the reason (a text) why it has none."""
        reason = flaw(value)
        if reason is not None:
            return reason
        try:
            return self._shapes.loose(value)
        except msgspec.DecodeError:
            pass
        try:
            found = read_lenient(value)
        except ValueError as error:
            return str(error)
        return self._shapes.from_object(found) if isinstance(found, dict) else reasons.NOT_AN_OBJECT

    def _sound(self, decoded: _Decoded, refused: list[tuple[int, str]]) -> _Sound:
        """The events with a sound envelope; the others go to `refused`."""
        places, events, strict = decoded
        if not events:
            return _Sound([], [], np.zeros(0, dtype=np.int64), [], strict)
        models, ids, texts = map(list, zip(*map(self._shapes.envelope, events), strict=True))
        items = events if self._shapes.features is None else list(map(self._shapes.features, events))
        if self._only is not None and set(map(type, models)) != {str}:
            models = [self._only if _is_missing(model) else model for model in models]
        times, assumed = read_values(texts, self._form)
        if self._all_known(models, items) and _all_ids(ids) and bool(((times >= EARLIEST) & (times < TOO_LATE)).all()):
            return _Sound(places, models, times, items, strict, assumed)
        envelopes = zip(models, ids, texts, times.tolist(), items, strict=True)
        faults = [self._fault(*envelope) for envelope in envelopes]
        refused += [(place, reason) for place, reason in zip(places, faults, strict=True) if reason is not None]
        good = [reason is None for reason in faults]
        kept = (list(compress(some, good)) for some in (places, models, items))
        places, models, items = kept
        return _Sound(places, models, times[good], items, strict, assumed)

    def _all_known(self, models: list[Any], items: list[Any]) -> bool:
        if set(map(type, models)) != {str} or not self._readers.keys() >= set(models):
            return False
        return not {type(None), msgspec.UnsetType} & set(map(type, items))

    def _fault(self, model: Any, event_id: Any, time: Any, ms: int, item: Any) -> str | None:
        """Why an event is no row: the first reason that holds, or None."""
        if _is_missing(model):
            return reasons.MISSING_MODEL
        if not isinstance(model, str) or model not in self._readers:
            return _FILTERED if isinstance(model, str) and model in self._filtered else reasons.UNKNOWN_MODEL
        if not _is_missing(event_id) and not _is_id(event_id):
            return reasons.INVALID_ID
        if is_missing(time):
            return reasons.MISSING_TIME
        if not EARLIEST <= ms < TOO_LATE:
            return reasons.INVALID_TIME if ms == UNREADABLE else reasons.TIME_OUT_OF_RANGE
        return reasons.MISSING_FEATURES if _is_missing(item) else None

    def _pieces(self, sound: _Sound) -> Iterator[tuple[str, _Piece]]:
        """Splits the events by model, only if there are several."""
        models = set(sound.models)
        for model in self._readers:
            if model not in models:
                continue
            places, times, items = sound.places, sound.times, sound.items
            if len(models) > 1:
                own = [i for i, name in enumerate(sound.models) if name == model]
                places, times, items = [places[i] for i in own], times[own], [items[i] for i in own]
            take = self._ids.get(model)
            ids = None if take is None else digests(list(map(take, items)))
            yield model, _Piece(places, times, self._readers[model].read(items, strict=sound.strict), ids)

    def _rows(self, model: str, pieces: list[_Piece], offsets: Int64s) -> Rows:
        cells = [piece.cells for piece in pieces]
        offset = offsets[[place for piece in pieces for place in piece.places]]
        return Rows(
            model=model,
            stream=self._stream,
            contract=self._contracts[model],
            offset=offset,
            part=np.zeros(len(offset), dtype=np.int32),
            time=np.concatenate([piece.times for piece in pieces]),
            numeric=np.concatenate([cell.numeric for cell in cells]),
            numeric_states=np.concatenate([cell.numeric_states for cell in cells]),
            categorical=tuple(
                [text for cell in cells for text in cell.categorical[k]] for k in range(len(cells[0].categorical))
            ),
            categorical_states=np.concatenate([cell.categorical_states for cell in cells]),
            ids=np.concatenate(ids) if (ids := [piece.ids for piece in pieces if piece.ids is not None]) else None,
        )


def _sound_labels(piece: _Piece, refused: list[tuple[int, str]]) -> _Piece:
    """The labels that have an id and a value; the others go to `refused`."""
    states = _label_states(piece.cells)
    has_id = np.zeros(len(states), dtype=np.bool_) if piece.ids is None else piece.ids != NO_ID
    sound = has_id & (states == CellState.VALID)
    if sound.all():
        return piece
    bad = np.flatnonzero(~sound).tolist()  # each becomes a dead letter
    refused += [(piece.places[i], _fault_of_label(has_id=bool(has_id[i]), state=CellState(states[i]))) for i in bad]
    return piece.take(sound)


def _label_states(cells: Cells) -> States:
    """The state of each label; an empty text is as good as null."""
    if not cells.categorical:
        return cells.numeric_states[:, 0]
    states, texts = cells.categorical_states[:, 0], cells.categorical[0]
    if "" not in texts:
        return states
    is_empty = np.array([text == "" for text in texts])
    return np.where(is_empty & (states == CellState.VALID), np.uint8(CellState.NULL), states)


def _fault_of_label(*, has_id: bool, state: CellState) -> str:
    if not has_id:
        return reasons.MISSING_PREDICTION_ID
    return reasons.MISSING_LABEL if state in (CellState.NULL, CellState.ABSENT) else reasons.INVALID_LABEL


def _blocks(values: Sequence[bytes | None]) -> Iterator[tuple[int, int]]:
    """Cuts into blocks of at most BLOCK records and BLOCK_BYTES bytes, at least one record each."""
    for start in range(0, len(values), BLOCK):
        some = values[start : start + BLOCK]
        if sum(len(value) for value in some if value is not None) <= BLOCK_BYTES:
            yield start, start + len(some)
            continue
        first, size = start, 0
        for place, value in enumerate(some, start):  # large records are few in a poll of bounded size
            size += len(value or b"")
            if size > BLOCK_BYTES and place > first:
                yield first, place
                first, size = place, len(value or b"")
        yield first, start + len(some)


def _is_plain(values: list[bytes]) -> bool:
    """Return true if all values are UTF-8 and none can be too deep; a false alarm only costs the slow tier's time."""
    joined = b"".join(values)
    if not joined.isascii():
        try:
            joined.decode()
        except UnicodeDecodeError:
            return False
    longest = max(map(len, values), default=0)
    if longest <= MAX_DEPTH:
        return True
    # MAX_DEPTH + 1 opening brackets within the longest value's length: one value may have them all
    opening = np.flatnonzero((np.frombuffer(joined, dtype=np.uint8) | 0x20) == ord("{"))
    return len(opening) <= MAX_DEPTH or int((opening[MAX_DEPTH:] - opening[:-MAX_DEPTH]).min()) >= longest


def _all_ids(ids: list[Any]) -> bool:
    if set(map(type, ids)) != {str}:
        ids = [one for one in ids if not _is_missing(one)]
        if not set(map(type, ids)) <= {str}:
            return False
    if not "".join(ids).isprintable():
        return False
    if not ids:
        return True
    lengths = set(map(len, ids))
    return min(lengths) >= 1 and max(lengths) <= LONGEST_ID


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= LONGEST_ID and is_unicode(value) and not _CONTROL.search(value)


def _is_missing(value: Any) -> bool:
    return value is None or value is msgspec.UNSET
