"""Plain files as a recording for a replay: tables, rows as JSON, or native events, in partition 0 of a model's topics.

A table feeds each stream that it has columns of. Several files of one stream are merged by time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from pathlib import Path

import numpy as np

from monitor.contract import ModelContract, StreamContract
from monitor.errors import ConfigurationError
from monitor.events import RecordBatch, StreamName, TopicPartition
from monitor.sources.control import Control
from monitor.sources.csv_dialect import FOUND, CsvFlags
from monitor.sources.file_content import Content, content_of
from monitor.sources.flat_rows import is_flat
from monitor.sources.merging_files import Part, merged
from monitor.sources.plain_files import by_topic, events_of, plain_batch
from monitor.sources.recordings import Progress, Recording
from monitor.sources.row_files import NEVER, RowFile, Timed, row_files, times_of
from monitor.sources.table_files import Room
from monitor.sources.table_rows import TableRows
from monitor.sources.unusable import Unusable


@dataclass(frozen=True, slots=True)
class PlainRows:
    """How plain files are read. `stream`: the only one that is wanted.

    `start_ms`, `step_ms`: times of rows without. `sorted_bytes`: most that is held of rows that have to be sorted.
    """

    stream: StreamName | None = None
    start_ms: int | None = None
    step_ms: int = 1000
    csv: CsvFlags = FOUND
    sorted_bytes: int = 512 << 20


def plain(
    paths: Sequence[Path], contract: ModelContract, how: PlainRows, unusable: Unusable | None = None
) -> Recording:
    """Files as one log; refused if there is no row in them. `unusable`: is given what of tables can't be used."""
    seen = unusable or Unusable()
    streams = {s.stream: s for s in contract.streams}
    if how.stream is not None and how.stream not in streams:
        raise ConfigurationError(f"--stream {how.stream}: model {contract.model} has {', '.join(streams)}")
    wanted = tuple(stream for stream in contract.streams if how.stream in (None, stream.stream))
    contents = [content_of(path) for path in paths]
    has_rows = [content.is_table or is_flat(content) for content in contents]
    events = [content for content, rows in zip(contents, has_rows, strict=True) if not rows]
    tables = _by_topic([*compress(contents, has_rows)], contract, wanted, how, seen)
    if events and tables:
        raise ConfigurationError(
            f"{events[0].path} holds events, and {next(iter(tables.values()))[0].content.path} rows: replay one of them"
        )
    if not any(file.seen.rows for files in tables.values() for file in files) and not any(map(_has_events, events)):
        raise ConfigurationError(f"{', '.join(str(path) for path in paths[:3])}: has no rows")
    sequences: list[Callable[[Progress], Iterator[RecordBatch]]]
    sequences = [partial(_rows, files, how.sorted_bytes) for files in tables.values()]
    if events:
        sequences = [partial(_events, events, contract, wanted)]
    return Recording(
        tuple(TopicPartition(topic, 0) for topic in tables or [stream.topic for stream in wanted]),
        Control((), ()),
        (contract,),
        None,
        None,
        None,
        sum(file.seen.rows for files in tables.values() for file in files)
        + sum(content.path.stat().st_size for content in events),
        lambda progress: [sequence(progress) for sequence in sequences],
        counts_records=not events,
    )


def _by_topic(
    contents: Sequence[Content],
    contract: ModelContract,
    wanted: tuple[StreamContract, ...],
    how: PlainRows,
    unusable: Unusable,
) -> Mapping[str, list[RowFile]]:
    """The files of rows that feed each topic, looked at."""
    found: dict[str, list[RowFile]] = {stream.topic: [] for stream in wanted}
    spec = TableRows(contract, wanted[0], how.start_ms, how.step_ms, how.csv)
    for content in contents:
        name = str(content.path) if len(contents) > 1 else ""
        for file in row_files(content, spec, wanted, unusable, name):
            found[file.rows.stream.topic].append(file)
    for files in found.values():
        number = 0
        for file in files:
            number = file.look(number)
    return {topic: files for topic, files in found.items() if files}


def _rows(files: Sequence[RowFile], sorted_bytes: int, progress: Progress) -> Iterator[RecordBatch]:
    room = Room(sorted_bytes)
    parts = [Part(file.seen.first, partial(file.timed, room)) for file in files if file.seen.rows]
    for timed in merged(parts):
        progress(len(timed.records))
        yield timed.records


def _has_events(content: Content) -> bool:
    return next(events_of(content), None) is not None


def _events(
    contents: Sequence[Content], contract: ModelContract, wanted: tuple[StreamContract, ...], progress: Progress
) -> Iterator[RecordBatch]:
    """Native events, each file in its own order, because a log may hold late ones."""
    at = {stream.topic: 0 for stream in wanted}
    for block in events_of(contents[0]) if len(contents) == 1 else _merged_events(contents, contract, wanted[0]):
        progress(sum(len(line) + 1 for line in block))
        split = {wanted[0].topic: block} if len(wanted) == 1 else by_topic(block, contract.streams)
        for topic, values in split.items():
            yield plain_batch(TopicPartition(topic, 0), values, at[topic])
            at[topic] += len(values)


def _merged_events(
    contents: Sequence[Content], contract: ModelContract, stream: StreamContract
) -> Iterator[list[bytes]]:
    rows = TableRows(contract, stream)
    parts = []
    for content in contents:
        first = next(_timed_events(content, rows), None)
        if first is not None:
            parts.append(Part(int(first.times[0]), partial(_timed_events, content, rows)))
    for timed in merged(parts):
        yield [value for value in timed.records.values if value is not None]


def _timed_events(content: Content, rows: TableRows) -> Iterator[Timed]:
    """Events with the largest time so far."""
    last = NEVER
    tp = TopicPartition(rows.stream.topic, 0)
    for block in events_of(content):
        records = plain_batch(tp, block, 0)
        times = np.maximum(np.maximum.accumulate(times_of(records, rows, last)), last)
        last = int(times[-1])
        yield Timed(records, times)


def timed(batches: Iterable[RecordBatch], contract: ModelContract) -> Iterator[Timed]:
    """Records of plain files with their times, as those of one sequence of a recording."""
    streams = {stream.topic: stream for stream in contract.streams}
    last: dict[str, int] = {}
    for records in batches:
        rows = TableRows(contract, streams[records.topic])
        times = times_of(records, rows, last.get(records.topic, NEVER))
        last[records.topic] = int(times[-1])
        yield Timed(records, times)
