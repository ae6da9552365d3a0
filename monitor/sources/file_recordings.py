"""Plain files as a recording for a replay: tables, rows as JSON, or native events, in partition 0 of a model's topics.

A table feeds each stream that it has columns of. Several files of one stream are merged by time.

Labels are a sequence of their own, sorted by time, whichever files they are in: a label arrives at its event time. So
they may stand in tables while all else is in events, and the other way round. Where two have the same time, the name of
the file decides, and not the order in which the files are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
from monitor.sources.plain_files import by_topic, events_of, plain_batch, topics_of
from monitor.sources.recordings import Progress, Recording
from monitor.sources.row_files import NEVER, RowFile, Timed, event_file, row_files, times_of
from monitor.sources.table_files import Room
from monitor.sources.table_rows import TableRows
from monitor.sources.unusable import Unusable


@dataclass(frozen=True, slots=True)
class PlainRows:
    """How plain files are read. `stream`: the only one that is wanted.

    `start_ms`, `step_ms`: times of rows without. `label_delay_ms`: from the time of a row of a table to that of its
    label. `sorted_bytes`: most that is held of rows that have to be sorted.
    """

    stream: StreamName | None = None
    start_ms: int | None = None
    step_ms: int = 1000
    label_delay_ms: int = 0
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
    tables = [content for content in contents if content.is_table or is_flat(content)]
    events = [(content, _streams_in(content, wanted)) for content in contents if content not in tables]
    spec = TableRows(contract, wanted[0], how.start_ms, how.step_ms, how.csv, how.label_delay_ms)
    rows = _rows_by_topic(tables, spec, wanted, seen)
    labels = _labels_by_topic(events, rows, spec, wanted)
    data = [content for content, held in events if held[0].has_lane]
    if data and rows:
        raise ConfigurationError(
            f"{data[0].path} holds events, and {next(iter(rows.values()))[0].content.path} rows: replay one of them"
        )
    files = {**rows, **labels}
    if not any(file.seen.rows for own in files.values() for file in own) and not any(map(_has_events, data)):
        raise ConfigurationError(f"{', '.join(str(path) for path in paths[:3])}: has no rows")
    sequences: list[Callable[[Progress], Iterator[RecordBatch]]]
    sequences = [partial(_events, data, contract, wanted)] if data else []
    sequences += [partial(_rows, own, how.sorted_bytes) for own in files.values()]
    topics = [stream.topic for stream in wanted if data and stream.has_lane] + list(files)
    return Recording(
        tuple(TopicPartition(topic, 0) for topic in topics),
        Control((), ()),
        (contract,),
        None,
        None,
        None,
        sum(file.seen.rows for own in files.values() for file in own)
        + sum(content.path.stat().st_size for content in data),
        lambda progress: [sequence(progress) for sequence in sequences],
        counts_records=not data,
    )


def _streams_in(content: Content, wanted: Sequence[StreamContract]) -> Sequence[StreamContract]:
    """The streams that a file of native events may hold; what can't be read is of the first.

    That is the labels, if there is nothing else in it.
    """
    labels_first = sorted(wanted, key=lambda stream: stream.has_lane)
    if labels_first[0].has_lane or len(wanted) == 1:
        return wanted
    topics = (topic for block in events_of(content) for topic in topics_of(block, labels_first))
    return labels_first if all(topic == labels_first[0].topic for topic in topics) else wanted


def _rows_by_topic(
    contents: Sequence[Content], spec: TableRows, wanted: Sequence[StreamContract], unusable: Unusable
) -> dict[str, list[RowFile]]:
    """The files of rows that feed each topic, looked at."""
    found: dict[str, list[RowFile]] = {stream.topic: [] for stream in wanted}
    names = sorted(str(content.path) for content in contents)
    for content in contents:
        name = str(content.path) if len(contents) > 1 else ""
        rows = replace(spec, row_ids=f"{names.index(str(content.path))}:")
        for file in row_files(content, rows, wanted, unusable, name):
            found[file.rows.stream.topic].append(file)
    for files in found.values():
        number = 0
        for file in files:
            number = file.look(number)
    return {topic: files for topic, files in found.items() if files}


def _labels_by_topic(
    events: Sequence[tuple[Content, Sequence[StreamContract]]],
    rows: dict[str, list[RowFile]],
    spec: TableRows,
    wanted: Sequence[StreamContract],
) -> dict[str, list[RowFile]]:
    """The files that hold labels, by name: those among `rows`, which are taken out, and those of native events."""
    found = {}
    for stream in [stream for stream in wanted if not stream.has_lane]:
        files = rows.pop(stream.topic, [])
        for content, held in events:
            file = event_file(content, replace(spec, stream=stream), held, Unusable())
            file.look(0)
            files += [file] if file.seen.rows else []
        if files:
            found[stream.topic] = sorted(files, key=lambda file: str(file.content.path))
    return found


def _rows(files: Sequence[RowFile], sorted_bytes: int, progress: Progress) -> Iterator[RecordBatch]:
    room = Room(sorted_bytes)
    parts = [Part(file.seen.first, partial(file.timed, room)) for file in files if file.seen.rows]
    for timed in merged(parts):
        progress(len(timed.records))
        yield timed.records


def _has_events(content: Content) -> bool:
    return next(events_of(content), None) is not None


def _events(
    contents: Sequence[Content], contract: ModelContract, wanted: Sequence[StreamContract], progress: Progress
) -> Iterator[RecordBatch]:
    """Native events but for labels, each file in its own order, because a log may hold late ones."""
    at = {stream.topic: 0 for stream in wanted if stream.has_lane}
    for block in events_of(contents[0]) if len(contents) == 1 else _merged_events(contents, contract, wanted):
        progress(sum(len(line) + 1 for line in block))
        for topic, values in by_topic(block, wanted).items():
            if topic in at:
                yield plain_batch(TopicPartition(topic, 0), values, at[topic])
                at[topic] += len(values)


def _merged_events(
    contents: Sequence[Content], contract: ModelContract, wanted: Sequence[StreamContract]
) -> Iterator[list[bytes]]:
    parts = []
    for content in contents:
        first = next(_timed_events(content, contract, wanted), None)
        if first is not None:
            parts.append(Part(int(first.times[0]), partial(_timed_events, content, contract, wanted)))
    for timed in merged(parts):
        yield [value for value in timed.records.values if value is not None]


def _timed_events(content: Content, contract: ModelContract, wanted: Sequence[StreamContract]) -> Iterator[Timed]:
    """Events but for labels, with the largest time so far."""
    last, rows = NEVER, TableRows(contract, wanted[0])
    lanes = {stream.topic for stream in wanted if stream.has_lane}
    tp = TopicPartition(rows.stream.topic, 0)
    for block in events_of(content):
        if len(lanes) < len(wanted):
            block = [line for line, topic in zip(block, topics_of(block, wanted), strict=True) if topic in lanes]
        if not block:
            continue
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
