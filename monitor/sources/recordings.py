"""Recordings for a replay: a captured log, or topics of a bus, with what goes with their records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole
from monitor.codec.captured import CapturedHeader, CapturedLog, is_captured
from monitor.contract import ModelContract
from monitor.errors import ConfigurationError
from monitor.evaluate.alerts import Place
from monitor.events import Record, RecordBatch, TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.sources.control import Control, control_records, decode_control, in_batches

Progress = Callable[[int], None]
"""Called with how many bytes (of files) or records (of topics) have been read since the last call."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A source of a replay. `partitions`: its input partitions.

    `sequences`: batches of disjoint partitions, each sequence in its order; which goes first is the replay's choice.
    `ends`: positions where a capture ended; a plain file has none, and its end seals what is open. `size`: what
    progress counts up to: records, else bytes.
    """

    partitions: tuple[TopicPartition, ...]
    control: Control
    contracts: tuple[ModelContract, ...]
    place: Place | None
    ledger_partitions: int | None
    ends: dict[TopicPartition, int] | None
    size: int
    sequences: Callable[[Progress], list[Iterator[RecordBatch]]] = field(repr=False)
    counts_records: bool = False


def captured(path: Path) -> Recording:
    """A captured log."""
    header = CapturedLog(_lines(path, lambda _: None)).header
    control = decode_control(_control_lines(path, header), header.prefix)
    place = Place(header.source, header.links_url, header.version, header.cluster_id)

    def batches(progress: Progress) -> Iterator[RecordBatch]:
        records = CapturedLog(_lines(path, progress)).records()
        return in_batches(record for record in records if record.topic in header.topics)

    return Recording(
        tuple(TopicPartition(n, p) for n, t in header.topics.items() for p in range(t.partitions)),
        control,
        header.contracts,
        place,
        header.ledger_partitions,
        {TopicPartition(n, r.partition): r.end for n, t in header.topics.items() for r in t.ranges},
        path.stat().st_size,
        lambda progress: [batches(progress)],
    )


def is_captured_log(path: Path) -> bool:
    """Return true if a file begins as a captured log does."""
    try:
        with path.open("rb") as file:
            return is_captured(file.readline(1 << 26))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error


def _lines(path: Path, progress: Progress) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            progress(len(line))
            yield line


def _control_lines(path: Path, header: CapturedHeader) -> Iterator[Record]:
    """Records of our own topics; other lines are passed over without being decoded."""
    mark = b'"' + header.prefix.encode()
    lines = _lines(path, lambda _: None)
    few = (line for number, line in enumerate(lines) if number == 0 or mark in line[:300] or line[:9] != b'{"topic":')
    for record in CapturedLog(few).some_records():
        if record.topic not in header.topics:
            yield record


def topics_of_bus(bus: Bus, names: tuple[str, ...], ours: LedgerTopics, place: Place) -> Recording:
    """Topics as they stand on a bus, with what the service decided on them."""
    missing = [name for name in names if bus.partitions(name) is None]
    if missing:
        raise ConfigurationError(f"{bus.name} has no topic {', '.join(missing)}")
    control = decode_control(control_records(bus, ours), ours.prefix).of(names)
    tps = [TopicPartition(name, p) for name in names for p in range(bus.partitions(name) or 0)]
    starts, ends = {tp: bus.beginning(tp) for tp in tps}, {tp: bus.end(tp) for tp in tps}

    def batches(tp: TopicPartition, progress: Progress) -> Iterator[RecordBatch]:
        for batch in read_whole(bus, tp, starts[tp], to=ends[tp]):
            progress(len(batch))
            yield batch

    return Recording(
        tuple(tps),
        control,
        control.contracts,
        place,
        ours.partitions,
        ends,
        sum(ends[tp] - starts[tp] for tp in tps),
        lambda progress: [batches(tp, progress) for tp in tps],
        counts_records=True,
    )
