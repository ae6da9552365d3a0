"""Grid and reference from what `reference:` names: a file of ours, a table, a JSONL file, or a range of a topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from monitor.bus.port import Bus
from monitor.codec.decode import Decoder
from monitor.codec.formats import decode_format
from monitor.config.resolved import ModelConfig
from monitor.contract import ModelContract, StreamContract, lane_contract
from monitor.errors import ConfigurationError
from monitor.evaluate.reference import Reference, decode_reference, encode_reference
from monitor.events import RecordBatch, Rows, TopicPartition
from monitor.ledger.entries import Decision, new_decision
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid, decode_grid, encode_grid
from monitor.sources.plain_files import TableRows, by_topic, columns_of_table, events_of_table, is_table, lines_of
from monitor.sources.reference_rows import Parts, grid_and_reference
from monitor.sources.topic_range import rows_between

FILE_FORMAT = "streamdrift.reference-file/1"
GridAndReference = tuple[Grid, Reference]


class _ReferenceFile(msgspec.Struct, forbid_unknown_fields=True):
    """A reference file of ours: grids and references as JSON texts, one pair a stream."""

    format: str
    streams: tuple[tuple[str, str], ...]


def no_check() -> None:
    """Nothing is to be checked between batches of rows."""


def reference_decisions(bus: Bus | None, model: ModelConfig, check: Callable[[], None] = no_check) -> list[Decision]:
    """Grid and reference decisions that the configuration of a model asks for; none for `first: n`.

    `check`: called between batches of rows; it raises to end the reading.
    """
    spec, name = model.rules.reference, model.contract.model
    if spec.path is not None:
        pairs = references_of_file(Path(spec.path), model.contract, check=check)
        if not pairs:
            raise ConfigurationError(f"{spec.path} has no column of model {name}: nothing to make a reference from")
    elif spec.topic is not None:
        pairs = references_of_topic(bus, spec.topic, (spec.from_ms, spec.to_ms), model.contract, check)
    else:
        return []
    lanes = {stream.stream: lane_contract(model.contract, stream) for stream in model.contract.streams}
    decisions = []
    for grid, reference in pairs:
        of, lane = grid.stream, lanes[grid.stream]
        decisions.append(new_decision(name, "grid", encode_grid(grid).decode(), of, lane=lane))
        decisions.append(new_decision(name, "reference", encode_reference(reference), of, lane=lane))
    return decisions


def references_of_file(
    path: Path, contract: ModelContract, limit: int | None = None, check: Callable[[], None] = no_check
) -> list[GridAndReference]:
    """Grid and reference of every stream that the file has columns of. `limit`: first rows only."""
    if not path.exists():
        raise ConfigurationError(f"{path}: no such file")
    if not is_table(path) and (ready := _ready_file(path)) is not None:
        return [pair for pair in ready if pair[0].model == contract.model]
    made = [
        grid_and_reference(
            partial(_checked, partial(_rows_of_file, path, contract, stream, limit), check), stream, f"file {path.name}"
        )
        for stream in contract.streams
    ]
    return [pair for pair in made if pair is not None]


def references_of_topic(
    bus: Bus | None,
    topic: str,
    between: tuple[int | None, int | None],
    contract: ModelContract,
    check: Callable[[], None] = no_check,
) -> list[GridAndReference]:
    """Grid and reference from a topic's records in a range of event time [from, to)."""
    stream = next((s for s in contract.streams if s.topic == topic), None)
    if bus is None or stream is None or bus.partitions(topic) is None:
        raise ConfigurationError(f"reference of {contract.model}: topic {topic} can't be read here")
    parts = partial(_checked, partial(_rows_of_topic, bus, topic, between, contract), check)
    found = grid_and_reference(parts, stream, f"topic {topic}")
    if found is None:
        raise ConfigurationError(f"reference of {contract.model}: topic {topic} has no rows in that range")
    return [found]


def _checked(parts: Parts, check: Callable[[], None]) -> Iterator[tuple[TopicPartition, Rows]]:
    for part in parts():
        check()
        yield part


def _rows_of_topic(
    bus: Bus, topic: str, between: tuple[int | None, int | None], contract: ModelContract
) -> Iterator[tuple[TopicPartition, Rows]]:
    for p in range(bus.partitions(topic) or 0):
        tp = TopicPartition(topic, p)
        for rows in rows_between(bus, tp, contract, *between):
            yield tp, rows


def _rows_of_file(
    path: Path, contract: ModelContract, stream: StreamContract, limit: int | None
) -> Iterator[tuple[TopicPartition, Rows]]:
    decoder, tp = Decoder(stream.topic, [contract]), TopicPartition(stream.topic, 0)
    number = found = 0
    for events in _events(path, contract, stream):
        if not events:
            continue
        for rows in decoder.decode(plain_batch(tp, events, number)).rows:
            wanted = len(rows) if limit is None else min(len(rows), limit - found)
            found += wanted
            yield tp, rows_of.take(rows, np.arange(wanted))
        number += len(events)
        if limit is not None and found >= limit:
            return


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
    raw = decode_format(value, _ReferenceFile, FILE_FORMAT, "reference file")
    pairs = []
    for grid_text, reference_text in raw.streams:
        grid = decode_grid(grid_text.encode())
        pairs.append((grid, decode_reference(reference_text, [grid])[0]))
    return pairs


def _ready_file(path: Path) -> list[GridAndReference] | None:
    """Return the pairs of a reference file of ours, or None if it is another file."""
    with path.open("rb") as file:
        if FILE_FORMAT.encode() not in file.read(256):
            return None
    return read_reference_file(path.read_bytes())
