"""`streamdrift produce file`: rows of tables, and events of files, into the topics of their model's streams."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from monitor.alerts_file import load_unlocked_config
from monitor.cli.produce import create_inputs, send
from monitor.cli.replay_log import tell
from monitor.cli.replay_sources import FileFlags, chosen_model, files_of
from monitor.cli.shell import open_settings_bus, settings_of
from monitor.contract import ModelContract
from monitor.errors import ConfigurationError
from monitor.events import Outgoing, RecordBatch
from monitor.sources.file_recordings import timed
from monitor.sources.recordings import Recording, is_captured_log
from monitor.sources.row_files import NEVER
from monitor.sources.source_paths import paths_of
from monitor.sources.unusable import Unusable
from producers.log import paced


@dataclass(frozen=True, slots=True)
class Target:
    """The place that the events go to, and how fast. `speed`: 1 is the pace of their times, 0 as fast as possible."""

    config: Path | None = None
    bus: str | None = None
    speed: float = 0.0


def produce(sources: tuple[str, ...], flags: FileFlags, target: Target) -> None:
    """Write the rows of all files in order of time; print how many."""
    settings = settings_of(target.config, target.bus)
    contract = chosen_model(load_unlocked_config(settings.config), flags.model).contract
    paths = list(dict.fromkeys(path for source in sources for path in paths_of(source)))
    for path in paths:
        if is_captured_log(path):
            raise ConfigurationError(f"{path}: is a captured log; write it with streamdrift produce log")
    unusable = Unusable()
    recording = files_of(paths, contract, flags, settings, unusable)
    bus = open_settings_bus(settings)
    topics = sorted(tp.topic for tp in recording.partitions)
    create_inputs(bus, topics)
    partitions = {topic: bus.partitions(topic) or 1 for topic in topics}
    total = recording.size if recording.counts_records else None
    sent = send(bus, paced(_records(recording, contract, partitions), target.speed or None), total)
    bus.close()
    tell({sources[0] if len(sources) == 1 else "files": unusable})
    done = ", ".join(f"{sent[topic]} to {topic}" for topic in topics)
    left = f"; interrupted, {total - sent.total()} are left" if total is not None and sent.total() < total else ""
    typer.echo(f"events written: {done}{left}")


def _records(
    recording: Recording, contract: ModelContract, partitions: dict[str, int]
) -> Iterator[tuple[int | None, Outgoing]]:
    """The events of all streams in order of time, with their times; those of a topic go to its partitions in turn."""
    numbers = dict.fromkeys(partitions, 0)
    streams = [_events(batches, contract) for batches in recording.sequences(lambda _: None)]
    for time, topic, value in heapq.merge(*streams, key=lambda event: event[0]):
        yield None if time == NEVER else time, Outgoing(topic, numbers[topic] % partitions[topic], None, value)
        numbers[topic] += 1


def _events(batches: Iterator[RecordBatch], contract: ModelContract) -> Iterator[tuple[int, str, bytes]]:
    """The events of one sequence of a recording, with time and topic."""
    for records, times in timed(batches, contract):
        for time, value in zip(times.tolist(), records.values, strict=True):
            if value is not None:
                yield time, records.topic, value
