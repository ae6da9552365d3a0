"""Grid and reference from what `reference:` names: a file of ours, a table, a JSONL file, or a range of a topic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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
from monitor.sources.csv_dialect import FOUND, CsvFlags
from monitor.sources.file_content import Content, content_of
from monitor.sources.flat_rows import flat_events, is_flat, names_of
from monitor.sources.plain_files import by_topic, events_of
from monitor.sources.reference_rows import Parts, grid_and_reference
from monitor.sources.table_rows import DEFAULT_START_MS, TableReader, TableRows, check_names, no_column
from monitor.sources.table_values import TableDecoder
from monitor.sources.topic_range import rows_between
from monitor.sources.unusable import Unusable

FILE_FORMAT = "streamdrift.reference-file/1"
GridAndReference = tuple[Grid, Reference]


class _ReferenceFile(msgspec.Struct, forbid_unknown_fields=True):
    """A reference file of ours: grids and references as JSON texts, one pair a stream."""

    format: str
    streams: tuple[tuple[str, str], ...]


def no_check() -> None:
    """Nothing is to be checked between batches of rows."""


def reference_decisions(
    bus: Bus | None, model: ModelConfig, check: Callable[[], None] = no_check, unusable: Unusable | None = None
) -> list[Decision]:
    """Grid and reference decisions that the configuration of a model asks for; none for `first: n`.

    `check`: called between batches of rows; it raises to end the reading. `unusable`: is given what of a table can't be
    used.
    """
    spec, name = model.rules.reference, model.contract.model
    if spec.path is not None:
        pairs = references_of_file(Path(spec.path), model.contract, check=check, unusable=unusable)
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
    path: Path,
    contract: ModelContract,
    limit: int | None = None,
    check: Callable[[], None] = no_check,
    unusable: Unusable | None = None,
    csv: CsvFlags = FOUND,
) -> list[GridAndReference]:
    """Grid and reference of every stream that the file has columns of; raises ConfigurationError if there are none.

    `limit`: first rows only. `unusable`: is given what of a table can't be used. `csv`: how a CSV file is written.
    """
    if not path.exists():
        raise ConfigurationError(f"{path}: no such file")
    content = content_of(path)
    if content.kind == "lines" and FILE_FORMAT.encode() in content.sample[:256]:
        return [pair for pair in read_reference_file(path.read_bytes()) if pair[0].model == contract.model]
    seen = unusable or Unusable()
    pairs = []
    for stream in _streams_of(content, contract, csv):
        tally = _FirstReading(seen)
        read = partial(_rows_of_file, content, contract, stream, limit, tally, csv)
        found = grid_and_reference(partial(_checked, read, check), stream, f"file {path.name}")
        if found is not None:
            pairs.append(found)
    if not pairs:
        why = "; ".join(seen.lines())
        raise ConfigurationError(f"{path} has no rows that make a reference of {contract.model}{why and ': ' + why}")
    return pairs


class _FirstReading:
    """Counts what can't be used once, although rows may be read twice."""

    def __init__(self, unusable: Unusable) -> None:
        self._first: Unusable | None = unusable

    def take(self) -> Unusable:
        first, self._first = self._first, None
        return first or Unusable()


def _streams_of(content: Content, contract: ModelContract, csv: CsvFlags) -> tuple[StreamContract, ...]:
    """The streams that the file may have rows of; of rows without an envelope, those that they have a column of."""
    if content.is_table:
        names = _reader(content, contract, contract.streams[0], Unusable(), csv).names
    elif is_flat(content):
        names = names_of(content)
    else:
        return contract.streams
    held = tuple(stream for stream in contract.streams if any(column.field in names for column in stream.columns))
    if not held:
        fields = sorted({column.field for stream in contract.streams for column in stream.columns})
        raise ConfigurationError(no_column(content.path, contract.model, fields, names))
    return held


def _reader(
    content: Content, contract: ModelContract, stream: StreamContract, unusable: Unusable, csv: CsvFlags
) -> TableReader:
    return TableReader(content.path, TableRows(contract, stream, DEFAULT_START_MS, csv=csv), unusable)


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
    content: Content,
    contract: ModelContract,
    stream: StreamContract,
    limit: int | None,
    tally: _FirstReading,
    csv: CsvFlags,
) -> Iterator[tuple[TopicPartition, Rows]]:
    decoder, tp = TableDecoder(Decoder(stream.topic, [contract])), TopicPartition(stream.topic, 0)
    found = 0
    if content.is_table:
        reader = _reader(content, contract, stream, tally.take(), csv)
        reader.check()
        batches = reader.batches()
    elif is_flat(content):
        rows_spec = TableRows(contract, stream, DEFAULT_START_MS)
        check_names(content.path, rows_spec, names_of(content), tally.take())
        batches = _numbered(tp, flat_events(content, rows_spec, Unusable()))
    else:
        batches = _numbered(tp, (by_topic(block, contract.streams).get(tp.topic, []) for block in events_of(content)))
    for batch in batches:
        for rows in decoder.decode(batch).rows:
            wanted = len(rows) if limit is None else min(len(rows), limit - found)
            found += wanted
            yield tp, rows_of.take(rows, np.arange(wanted))
        if limit is not None and found >= limit:
            return


def _numbered(tp: TopicPartition, blocks: Iterable[list[bytes]]) -> Iterator[RecordBatch]:
    number = 0
    for events in blocks:
        if events:
            yield plain_batch(tp, events, number)
        number += len(events)


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
