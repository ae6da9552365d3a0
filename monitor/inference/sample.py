"""The first rows of a source as columns of values, whatever the source: a table, rows or events as JSON, a topic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from monitor.bus.port import Bus
from monitor.bus.reading import read_newest
from monitor.codec.event_times import read_texts
from monitor.codec.lenient import read_lenient
from monitor.codec.times import UNREADABLE
from monitor.contract import TimeForm
from monitor.errors import ConfigurationError
from monitor.events import TopicPartition
from monitor.inference.column_values import Values
from monitor.sources.file_content import content_of
from monitor.sources.plain_files import events_of
from monitor.sources.source_paths import paths_of
from monitor.sources.table_files import TableFile, open_table

ROWS: Final = 5000
"""Rows that are looked at."""
_ENVELOPE: Final = ("event_id", "model", "features")
"""Keys that rows as JSON do not have (`flat_rows.is_flat`)."""
_NO_COLUMNS: Final = (*_ENVELOPE, "prediction_id")
"""Keys of native events that are no columns."""


@dataclass
class Sample:
    """Rows by column. `columns`: values in order, None if absent; a CSV file's are texts. `rows`: of the whole source.

    `decimal`: the decimal sign of texts. `models`: how many rows name which model, of native events. `featured`: the
    columns within `features`. `bare`: those of events without `features`, or of all rows that are none. `repeated`:
    names that several columns have, whose values are not read. `has_values_for_names`: the header seems to be a row.
    """

    name: str
    columns: dict[str, list[Any]]
    rows: int
    decimal: str = "."
    models: Counter[str] = field(default_factory=Counter)
    is_events: bool = False
    featured: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()
    repeated: frozenset[str] = frozenset()
    has_values_for_names: bool = False


def sample_of_files(source: str) -> Sample:
    """The first rows of a file, a folder or a pattern; of several files those of the first one alone."""
    paths = paths_of(source)
    content = content_of(paths[0])
    name = paths[0].name if len(paths) == 1 else Path(source).name
    if content.is_table:
        rows = sum(_count(open_table(path, ())) for path in paths)
        return _of_table(name, open_table(paths[0], ()), rows)
    lines = (line for path in paths for block in events_of(content_of(path)) for line in block)
    found = list(islice(_objects(lines), ROWS))
    return _of_objects(name, found, len(found) + sum(1 for _ in lines))


def sample_of_topic(bus: Bus, topic: str) -> Sample:
    """The newest rows of a topic."""
    n = bus.partitions(topic)
    if n is None:
        raise ConfigurationError(f"{bus.name} has no topic {topic}; it has {', '.join(bus.topics()[:20]) or 'none'}")
    tps = [TopicPartition(topic, p) for p in range(n)]
    batches = (batch for tp in tps for batch in read_newest(bus, tp, ROWS // n + 1))
    values = [value for batch in batches for value in batch.values if value is not None]
    there = sum(bus.end(tp) - bus.beginning(tp) for tp in tps)
    return _of_objects(topic, list(islice(_objects(values), ROWS)), there)


def _count(table: TableFile) -> int:
    """Rows of a table; of one that does not say, by reading its first column that has a name of its own."""
    first = [name for name in table.names if table.names.count(name) == 1][:1] or table.names[:1]
    return table.rows or sum(batch.num_rows for batch in table.batches(first, lambda: None))


def _of_table(name: str, table: TableFile, rows: int) -> Sample:
    columns: dict[str, list[Any]] = {column: [] for column in dict.fromkeys(table.names)}
    once = [column for column in columns if table.names.count(column) == 1]
    left = ROWS
    for batch in table.batches(once, lambda: None):
        part = batch.slice(0, left)
        for column in once:
            columns[column] += part.column(part.schema.names.index(column)).to_pylist()
        left -= part.num_rows
        if left <= 0:
            break
    repeated = frozenset(columns.keys() - set(once))
    return Sample(name, columns, rows, table.decimal, repeated=repeated, has_values_for_names=_are_values(table.names))


def _are_values(names: Sequence[str]) -> bool:
    """Tell whether one of the names is a fraction or a time: then a row stands where the header should be.

    Whole numbers, such as years, are names.
    """
    fractions = Values(names, ".").numbers % 1 > 0
    times = read_texts([name for name in names if not name.strip().isdecimal()], TimeForm()).times
    return bool(fractions.any() or (times != UNREADABLE).any())


def _objects(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            found = read_lenient(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def _of_objects(name: str, found: Sequence[dict[str, Any]], rows: int) -> Sample:
    """Native events by their features and own fields, other objects as rows."""
    is_events = any(key in row for row in found[:1] for key in _ENVELOPE)
    models = Counter(row["model"] for row in found if isinstance(row.get("model"), str)) if is_events else Counter()
    if models:  # of several models the commonest
        found = [row for row in found if row.get("model") == models.most_common(1)[0][0]]
    rows_of, featured, bare = [], set[str](), set[str]()
    for row in found:
        own = row.get("features") if is_events else None
        inner = own if isinstance(own, dict) else {}
        outer = {key: value for key, value in row.items() if not (is_events and key in _NO_COLUMNS)}
        featured |= inner.keys()
        bare |= outer.keys() if own is None else set()
        rows_of.append(outer | inner)
    names = dict.fromkeys(key for row in rows_of for key in row)
    columns = {key: [row.get(key) for row in rows_of] for key in names}
    places = frozenset(featured), frozenset(bare)
    return Sample(name, columns, rows, ".", models, is_events, *places)
