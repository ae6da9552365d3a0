"""Grid and reference from what `reference:` names: a file of ours, a table, a JSONL file, or a range of a topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from monitor.bus.port import Bus
from monitor.codec.decode import Decoder
from monitor.config.inputs import lanes_of
from monitor.config.resolved import ModelConfig
from monitor.contract import ModelContract, StreamContract, field_text, lane_contract
from monitor.errors import ConfigurationError
from monitor.evaluate.labelled_reference import LabelledReference, encode_labelled
from monitor.evaluate.reference import encode_reference
from monitor.events import Rows, StreamName, TopicPartition
from monitor.ledger.entries import Decision, new_decision
from monitor.panes import rows as rows_of
from monitor.panes.grid import encode_grid
from monitor.sources.csv_dialect import FOUND, CsvFlags
from monitor.sources.file_content import Content, content_of
from monitor.sources.flat_rows import is_flat, names_of
from monitor.sources.labelled_rows import LEAST_ROWS, LabelledStreams, labelled_reference, labelled_streams
from monitor.sources.reference_file import FILE_FORMAT, GridAndReference, read_reference_file
from monitor.sources.reference_rows import Parts, grid_and_reference
from monitor.sources.row_files import RowFile, event_files, row_files
from monitor.sources.source_paths import paths_of
from monitor.sources.table_files import Room, open_table
from monitor.sources.table_rows import DEFAULT_START_MS, TableRows
from monitor.sources.table_values import TableDecoder
from monitor.sources.topic_range import rows_between
from monitor.sources.unusable import Unusable

INSTEAD = "performance and outcomes are compared with the first predictions whose labels are nearly all there"
"""What becomes of a model with labels whose reference has none."""


def no_check() -> None:
    """Nothing is to be checked between batches of rows."""


def reference_decisions(
    bus: Bus | None, model: ModelConfig, check: Callable[[], None] = no_check, unusable: Unusable | None = None
) -> list[Decision]:
    """Grid and reference decisions that the configuration of a model asks for; none for `first: n`.

    `check`: called between batches of rows; it raises to end the reading. `unusable`: is given what of a table can't be
    used.
    """
    spec, name, seen = model.rules.reference, model.contract.model, unusable or Unusable()
    labelled: LabelledReference | str = ""
    if spec.path is not None:
        pairs = references_of_file(Path(spec.path), model.contract, check=check, unusable=seen)
        labelled = labelled_of_file(Path(spec.path), model, pairs, check=check)
    elif spec.topic is not None:
        pairs = references_of_topic(bus, spec.topic, (spec.from_ms, spec.to_ms), model.contract, check)
    else:
        return []
    lanes = {stream.stream: lane_contract(model.contract, stream) for stream in lanes_of(model.contract)}
    decisions = []
    for grid, reference in pairs:
        of, lane = grid.stream, lanes[grid.stream]
        decisions.append(new_decision(name, "grid", encode_grid(grid).decode(), of, lane=lane))
        decisions.append(new_decision(name, "reference", encode_reference(reference), of, lane=lane))
    if isinstance(labelled, LabelledReference):
        content, lane = encode_labelled(labelled), lanes["outcomes"]
        decisions.append(new_decision(name, "reference", content, "outcomes", lane=lane))
    elif labelled_streams(model.contract) is not None and spec.path is not None:
        seen.notes[f"{spec.path}: {labelled}; {INSTEAD}"] = None
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
    if _is_ours(contents):
        return [pair for pair in read_reference_file(path.read_bytes()).pairs if pair[0].model == contract.model]
    seen = unusable or Unusable()
    streams = tuple(msgspec.structs.replace(stream, keys=None) for stream in contract.streams)  # no row has to be met
    files = _files(contents, msgspec.structs.replace(contract, streams=streams), seen, csv)
    pairs = []
    for stream in filter(_has_lane, streams):
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


def rows_of_file(path: Path, contract: ModelContract, lane: StreamName, limit: int) -> Rows | None:
    """Return the first rows of a stream in files, as they stand there; None if a file of ours holds counts alone."""
    contents = [content_of(one) for one in paths_of(path)]
    if _is_ours(contents):
        return None
    streams = tuple(msgspec.structs.replace(stream, keys=None) for stream in contract.streams)
    files = _files(contents, msgspec.structs.replace(contract, streams=streams), Unusable(), FOUND)
    own = [file for file in files if file.rows.stream.stream == lane]
    return rows_of.concat([rows for _, rows in _rows_of_files(own, limit)])


def labelled_of_file(
    path: Path,
    model: ModelConfig,
    pairs: Sequence[GridAndReference],
    limit: int | None = None,
    check: Callable[[], None] = no_check,
    csv: CsvFlags = FOUND,
) -> LabelledReference | str:
    """Return the labelled reference of a file, or why it has none. `pairs`: what `references_of_file` gives of it."""
    streams = labelled_streams(model.contract)
    grid = next((grid for grid, _ in pairs if grid.stream == "predictions"), None)
    if streams is None or grid is None:
        return f"{model.contract.model} has no labels" if streams is None else "it has no predictions"
    contents = [content_of(one) for one in paths_of(path)]
    if _is_ours(contents):
        labelled = read_reference_file(path.read_bytes()).labelled
        if isinstance(labelled, str):
            return labelled or "it was built without labels"
        is_fit = labelled.fits(grid, streams.outcomes)
        return labelled if is_fit else "it was built for another label, task or `performance`"
    held = [content for content in contents if _has_both(content, streams, csv)]
    if not held:
        return f"it has no column {field_text(streams.labels.columns[0].field)}, the label, beside predictions"
    seen, contract = Unusable(), msgspec.structs.replace(model.contract, streams=(streams.both,))
    files = _files(held, contract, seen, csv)
    parts = partial(_checked, partial(_rows_of_files, files, limit), check)
    found = labelled_reference(parts, model.rules, model.contract, grid, f"file {path.name}")
    if isinstance(found, int):
        why = "; ".join(["", *seen.lines(shows_values=False)])
        return f"{found} of its rows have prediction and label, fewer than {LEAST_ROWS}{why}"
    return found if all(file.is_timed for file in files) else found.without_times()


def _has_both(content: Content, streams: LabelledStreams, csv: CsvFlags) -> bool:
    """Return true if the rows of a file may have a prediction and its label."""
    predictions, labels = streams.predictions.roots, streams.labels.roots
    names = set(open_table(content.path, predictions | labels, csv).names if content.is_table else names_of(content))
    return labels <= names and not predictions.isdisjoint(names)


def _is_ours(contents: Sequence[Content]) -> bool:
    """Return true if this is a file that `streamdrift reference build` has written."""
    return len(contents) == 1 and contents[0].kind == "lines" and FILE_FORMAT.encode() in contents[0].sample[:256]


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
