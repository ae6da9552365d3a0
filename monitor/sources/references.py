"""Grid and reference from what `reference:` names: a file of ours, a table, a JSONL file, or a range of a topic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from monitor.bus.port import Bus
from monitor.codec.decode import Decoder
from monitor.config.resolved import ModelConfig
from monitor.contract import ModelContract, StreamContract
from monitor.errors import ConfigurationError, FormatError
from monitor.evaluate.reference import Reference, build_reference, decode_reference, encode_reference
from monitor.events import RecordBatch, Rows, TopicPartition
from monitor.ledger.entries import Decision, new_decision
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid, decode_grid, encode_grid, make_grid
from monitor.runner.topics import read_whole
from monitor.sources.plain_files import TableRows, by_topic, columns_of_table, events_of_table, is_table, lines_of

FILE_FORMAT = "streamdrift.reference-file/1"
GridAndReference = tuple[Grid, Reference]


class _ReferenceFile(msgspec.Struct, forbid_unknown_fields=True):
    """A reference file of ours: grids and references as JSON texts, one pair a stream."""

    format: str
    streams: tuple[tuple[str, str], ...]


def reference_decisions(bus: Bus | None, model: ModelConfig) -> list[Decision]:
    """Grid and reference decisions that the configuration of a model asks for; none for `first: n`."""
    spec, name = model.rules.reference, model.contract.model
    if spec.path is not None:
        pairs = references_of_file(Path(spec.path), model.contract)
        if not pairs:
            raise ConfigurationError(f"{spec.path} has no column of model {name}: nothing to make a reference from")
    elif spec.topic is not None:
        pairs = references_of_topic(bus, spec.topic, (spec.from_ms, spec.to_ms), model.contract)
    else:
        return []
    decisions = []
    for grid, reference in pairs:
        decisions.append(new_decision(name, "grid", encode_grid(grid).decode(), grid.stream))
        decisions.append(new_decision(name, "reference", encode_reference(reference), grid.stream))
    return decisions


def references_of_file(path: Path, contract: ModelContract, limit: int | None = None) -> list[GridAndReference]:
    """Grid and reference of every stream that the file has columns of. `limit`: first rows only."""
    if not path.exists():
        raise ConfigurationError(f"{path}: no such file")
    if not is_table(path) and (ready := _ready_file(path)) is not None:
        return [pair for pair in ready if pair[0].model == contract.model]
    pairs = []
    for stream in contract.streams:
        rows = _rows_of_file(path, contract, stream, limit)
        if rows is not None and len(rows):
            pairs.append(_made(rows, stream, f"file {path.name}"))
    return pairs


def references_of_topic(
    bus: Bus | None, topic: str, between: tuple[int | None, int | None], contract: ModelContract
) -> list[GridAndReference]:
    """Grid and reference from a topic's records in a range of event time [from, to)."""
    stream = next((s for s in contract.streams if s.topic == topic), None)
    if bus is None or stream is None or bus.partitions(topic) is None:
        raise ConfigurationError(f"reference of {contract.model}: topic {topic} can't be read here")
    decoder = Decoder(topic, [contract])
    parts = [
        part
        for p in range(bus.partitions(topic) or 0)
        for batch in read_whole(bus, TopicPartition(topic, p))
        for part in decoder.decode(batch).rows
    ]
    if parts:
        rows = rows_of.concat(parts)
        low, high = between[0] or 0, between[1] if between[1] is not None else 1 << 62
        rows = rows_of.take(rows, (rows.time >= low) & (rows.time < high))
        if len(rows):
            return [_made(rows, stream, f"topic {topic}")]
    raise ConfigurationError(f"reference of {contract.model}: topic {topic} has no rows in that range")


def _made(rows: Rows, stream: StreamContract, origin: str) -> GridAndReference:
    rows = rows_of.take(rows, np.lexsort((rows.offset, rows.time)))
    grid = make_grid(rows, stream)
    return grid, build_reference(grid, rows, origin)


def _rows_of_file(path: Path, contract: ModelContract, stream: StreamContract, limit: int | None) -> Rows | None:
    decoder = Decoder(stream.topic, [contract])
    parts: list[Rows] = []
    number = 0
    for events in _events(path, contract, stream):
        if events:
            batch = plain_batch(TopicPartition(stream.topic, 0), events, number)
            parts += decoder.decode(batch).rows
            number += len(events)
        if limit is not None and sum(map(len, parts)) >= limit:
            return rows_of.take(rows_of.concat(parts), np.arange(limit))
    return rows_of.concat(parts) if parts else None


def _events(path: Path, contract: ModelContract, stream: StreamContract) -> Iterator[list[bytes]]:
    if not is_table(path):
        for block in lines_of(path):
            yield by_topic(block, contract.streams).get(stream.topic, [])
        return
    known = set(columns_of_table(path))
    if any(column.field in known for column in stream.columns):
        yield from events_of_table(path, TableRows(contract.model, stream))


def plain_batch(tp: TopicPartition, values: Sequence[bytes], first: int) -> RecordBatch:
    """Values without keys, headers or stamps, as records with offsets from `first` on."""
    n = len(values)
    return RecordBatch(*tp, range(first, first + n), [0] * n, [None] * n, values, [()] * n)


def write_reference_file(pairs: Sequence[GridAndReference]) -> bytes:
    """Grids and references as a file that `reference: {path: ...}` takes."""
    streams = tuple((encode_grid(grid).decode(), encode_reference(reference)) for grid, reference in pairs)
    return msgspec.json.encode(_ReferenceFile(FILE_FORMAT, streams)) + b"\n"


def read_reference_file(value: bytes) -> list[GridAndReference]:
    """Grids and references of a file of ours; raises FormatError."""
    try:
        raw = msgspec.json.decode(value, type=_ReferenceFile)
    except msgspec.DecodeError as error:
        raise FormatError(f"not a reference file: {error}") from error
    if raw.format != FILE_FORMAT:
        raise FormatError(f"reference file has format {raw.format!r}; this version reads {FILE_FORMAT!r}")
    pairs = []
    for grid_text, reference_text in raw.streams:
        grid = decode_grid(grid_text.encode())
        pairs.append((grid, decode_reference(reference_text, [grid])[0]))
    return pairs


def _ready_file(path: Path) -> list[GridAndReference] | None:
    """The pairs of a reference file of ours, or None where it is another file."""
    with path.open("rb") as file:
        if FILE_FORMAT.encode() not in file.read(256):
            return None
    return read_reference_file(path.read_bytes())
