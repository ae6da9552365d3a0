"""`streamdrift records`: prints the records of offset ranges, as messages name them, one JSON object a line."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, records_of
from monitor.cli.replay_log import tell
from monitor.cli.replay_sources import FileFlags, recording_of
from monitor.cli.shell import open_settings_bus_to_read
from monitor.codec.captured import record_line
from monitor.errors import ConfigurationError
from monitor.events import OffsetRange, Record, TopicPartition
from monitor.settings import Settings
from monitor.sources.unusable import Unusable

_RANGE = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)/(?P<partition>\d+):(?P<start>\d+)-(?P<end>\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Options:
    """The command's arguments. `sources`: what a replay has read; none: the bus."""

    ranges: tuple[OffsetRange, ...]
    sources: tuple[str, ...]
    flags: FileFlags


def records(options: Options, settings: Settings) -> None:
    """Print the records of the ranges."""
    unusable = Unusable()
    if options.sources:
        found = _of_sources(options, settings, unusable)
    else:
        found = _of_bus(open_settings_bus_to_read(settings), options.ranges)
    printed = 0
    for record in found:
        sys.stdout.buffer.write(record_line(record))
        printed += 1
    sys.stdout.buffer.flush()
    if not printed:
        names = ", ".join(f"{r.topic}/{r.partition}:{r.start}-{r.end}" for r in options.ranges)
        raise ConfigurationError(f"there are no records in {names}")
    tell({"files": unusable})


def parse_range(text: str) -> OffsetRange:
    """Return the half-open range of `TOPIC/PARTITION:START-END`; raises ConfigurationError."""
    found = _RANGE.fullmatch(text)
    if found is None or int(found["start"]) >= int(found["end"]):
        raise ConfigurationError(f"{text!r} is no range of offsets: write ml.features/0:100-200 (without 200)")
    return OffsetRange(found["topic"], int(found["partition"]), int(found["start"]), int(found["end"]))


def _of_bus(bus: Bus, ranges: Sequence[OffsetRange]) -> Iterator[Record]:
    try:
        for one in ranges:
            tp = TopicPartition(one.topic, one.partition)
            if one.partition >= (bus.partitions(one.topic) or 0):
                raise ConfigurationError(f"{bus.name} has no partition {one.topic}/{one.partition}")
            for batch in read_whole(bus, tp, start=one.start, to=one.end):
                yield from records_of(batch)
    finally:
        bus.close()


def _of_sources(options: Options, settings: Settings, unusable: Unusable) -> Iterator[Record]:
    """Records by the offsets that a replay of the sources gives them."""
    of_topics = any(source.startswith("topic:") for source in options.sources)
    bus = open_settings_bus_to_read(settings) if of_topics else None
    recording = recording_of(options.sources, options.flags, settings, bus, unusable)
    wanted: dict[tuple[str, int], list[OffsetRange]] = {}
    for one in options.ranges:
        if TopicPartition(one.topic, one.partition) not in recording.partitions:
            raise ConfigurationError(f"the sources have no partition {one.topic}/{one.partition}")
        wanted.setdefault((one.topic, one.partition), []).append(one)
    for sequence in recording.sequences(lambda _: None):
        for batch in sequence:
            here = wanted.get((batch.topic, batch.partition), ())
            if any(r.start <= batch.offsets[-1] and batch.offsets[0] < r.end for r in here):
                yield from (r for r in records_of(batch) if any(one.start <= r.offset < one.end for one in here))
