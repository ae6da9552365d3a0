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
from monitor.events import Rows, TopicPartition
from monitor.ledger.entries import Decision, new_decision
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid, decode_grid, encode_grid
from monitor.sources.csv_dialect import FOUND, CsvFlags
from monitor.sources.file_content import Content, content_of
from monitor.sources.flat_rows import is_flat
from monitor.sources.reference_rows import Parts, grid_and_reference
from monitor.sources.row_files import RowFile, event_files, row_files
from monitor.sources.source_paths import paths_of
from monitor.sources.table_files import Room
from monitor.sources.table_rows import DEFAULT_START_MS, TableRows
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
    contents = [content_of(one) for one in paths_of(path)]
    if len(contents) == 1 and contents[0].kind == "lines" and FILE_FORMAT.encode() in contents[0].sample[:256]:
        return [pair for pair in read_reference_file(path.read_bytes()) if pair[0].model == contract.model]
    seen = unusable or Unusable()
    files = _files(contents, contract, seen, csv)
    pairs = []
    for stream in filter(_has_lane, contract.streams):
        if own := [file for file in files if file.rows.stream == stream]:
            read = partial(_rows_of_files, own, limit)
            found = grid_and_reference(partial(_checked, read, check), stream, f"file {path.name}")
            if found is not None:
                grid, reference = found
                is_timed = all(file.is_timed for file in own)
                pairs.append((grid, reference if is_timed else reference.without_times()))
    if not pairs:
        why = "; ".join(seen.lines(shows_values=False))
        raise ConfigurationError(f"{path} has no rows that make a reference of {contract.model}{why and ': ' + why}")
    return pairs


def _has_lane(stream: StreamContract) -> bool:
    return stream.has_lane


def _files(contents: Sequence[Content], contract: ModelContract, unusable: Unusable, csv: CsvFlags) -> list[RowFile]:
    """The files, for each stream that they may have rows of."""
    spec = TableRows(contract, contract.streams[0], DEFAULT_START_MS, csv=csv)
    lanes, found = [*filter(_has_lane, contract.streams)], []
    for content in contents:
        if content.is_table or is_flat(content):
            name = str(content.path) if len(contents) > 1 else ""
            found += row_files(content, spec, lanes, unusable, name)
        else:
            found += event_files(content, spec, lanes, unusable)
    return found


def references_of_topic(
    bus: Bus | None,
    topic: str,
    between: tuple[int | None, int | None],
    contract: ModelContract,
    check: Callable[[], None] = no_check,
) -> list[GridAndReference]:
    """Grid and reference from a topic's records in a range of event time [from, to)."""
    stream = next((s for s in contract.streams if s.topic == topic and s.has_lane), None)
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


def _rows_of_files(files: Sequence[RowFile], limit: int | None) -> Iterator[tuple[TopicPartition, Rows]]:
    """The rows of files of one stream, one file behind the other."""
    stream, contract = files[0].rows.stream, files[0].rows.contract
    decoder, tp = TableDecoder(Decoder(stream.topic, [contract])), TopicPartition(stream.topic, 0)
    number = found = 0
    for file in files:
        if limit is not None and found >= limit:
            break
        for batch in file.records(number, None, Room()):
            number += len(batch)
            for rows in decoder.decode(batch).rows:
                wanted = len(rows) if limit is None else min(len(rows), limit - found)
                found += wanted
                yield tp, rows_of.take(rows, np.arange(wanted))
            if limit is not None and found >= limit:
                break
        file.unusable.close()  # rows may be read once more


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
