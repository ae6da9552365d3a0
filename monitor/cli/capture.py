"""`streamdrift capture`: writes topics, and what the service decided on them, into a file."""

from __future__ import annotations

import heapq
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from monitor.alerts_file import load_unlocked_config
from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, records_of
from monitor.cli.shell import open_settings_bus_to_read, settings_of, writing
from monitor.codec.captured import CapturedHeader, CapturedRange, CapturedTopic
from monitor.contract import ModelContract
from monitor.errors import ConfigurationError
from monitor.events import Record, TopicPartition
from monitor.service import ledger_topics, place_of
from monitor.settings import Settings
from monitor.sources.control import control_records, decode_control, is_about
from producers.capture import capture as write_capture


def capture(topics: tuple[str, ...], out: Path, config: Path | None, bus_url: str | None) -> None:
    """Record the topics from their first record to their present end, control records first."""
    settings = settings_of(config, bus_url)
    bus = open_settings_bus_to_read(settings)
    missing = [topic for topic in topics if bus.partitions(topic) is None]
    if missing:
        raise ConfigurationError(f"{bus.name} has no topic {', '.join(missing)}")
    tps = [TopicPartition(topic, p) for topic in topics for p in range(bus.partitions(topic) or 0)]
    ranges = {tp: (bus.beginning(tp), bus.end(tp)) for tp in tps}
    ours = ledger_topics(settings)
    records = control_records(bus, ours)
    control = decode_control(records, ours.prefix).of(topics)
    contracts = control.contracts or _configured(settings, topics)
    header = _header(bus, settings, ranges, contracts)
    kept = [record for record in records if is_about(record, {c.model for c in contracts}, set(topics))]
    partial = out.with_name(out.name + ".part")
    with writing(out):
        opened = partial.open("wb")
    with opened as file:
        counts = write_capture(header, _everything(bus, kept, ranges), file.write)
    with writing(out):
        os.replace(partial, out)
    inputs = sum(counts[topic] for topic in topics)
    typer.echo(f"{out}: {inputs} records of {', '.join(topics)}, {len(kept)} control records", err=True)
    bus.close()


def _configured(settings: Settings, topics: tuple[str, ...]) -> tuple[ModelContract, ...]:
    """Return the contracts of alerts.yaml, for a bus on which the service never ran; none without that file."""
    if not settings.config.exists():
        return ()
    models = load_unlocked_config(settings.config).models
    return tuple(m.contract for m in models if any(stream.topic in topics for stream in m.contract.streams))


def _header(
    bus: Bus, settings: Settings, ranges: dict[TopicPartition, tuple[int, int]], contracts: tuple[ModelContract, ...]
) -> CapturedHeader:
    place, ours = place_of(bus, settings), ledger_topics(settings)
    named = {
        topic: CapturedTopic(
            bus.partitions(topic) or 0,
            tuple(CapturedRange(tp.partition, *ranges[tp]) for tp in sorted(ranges) if tp.topic == topic),
        )
        for topic in sorted({tp.topic for tp in ranges})
    }
    return CapturedHeader(
        topics=named,
        contracts=contracts,
        source=place.source,
        version=place.version,
        links_url=place.links_url,
        cluster_id=place.cluster_id,
        prefix=ours.prefix,
        ledger_partitions=ours.partitions,
    )


def _everything(bus: Bus, control: list[Record], ranges: dict[TopicPartition, tuple[int, int]]) -> Iterator[Record]:
    yield from control
    total = sum(end - start for start, end in ranges.values())
    columns = (TextColumn("capture"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("capture", total=total)
        for record in _by_stamp(bus, ranges):
            bar.advance(task, 1)
            yield record


def _by_stamp(bus: Bus, ranges: dict[TopicPartition, tuple[int, int]]) -> Iterator[Record]:
    """Yield the records of all partitions in the order of their stamps, so that a replay has to hold few of them."""

    def records(tp: TopicPartition) -> Iterator[tuple[tuple[int, int, int], Record]]:
        start, end = ranges[tp]
        for batch in read_whole(bus, tp, start, to=end):
            for record in records_of(batch):
                yield (record.timestamp, record.offset - start, numbers[tp]), record

    numbers = {tp: number for number, tp in enumerate(ranges)}
    # a partition whose stamps go back keeps its order all the same
    return (record for _, record in heapq.merge(*map(records, ranges), key=lambda item: item[0]))
