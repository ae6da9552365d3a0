"""The newest records of the topics that models read: how many are events, and what their producers' clocks say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.bus.port import Bus
from monitor.bus.reading import read_newest
from monitor.codec.decode import Decoder
from monitor.codec.durations import duration_text
from monitor.config.resolved import Config
from monitor.contract import ModelContract
from monitor.doctor.finding import Finding, Status
from monitor.events import Int64s, RecordBatch, TopicPartition
from monitor.runner.contracts import input_topics

SAMPLE = 2000
"""Most of the newest records of a topic that are looked at."""
_HOUR = 3_600_000
_FARTHEST_ZONE_H = 14
_NEAR = 300_000
"""How near to a whole hour a delay has to be to be taken for a wrong time zone, ms."""


@dataclass
class _Sample:
    """Some records of one topic. `times`: event times, ms; `stamps`: the records' own."""

    records: int = 0
    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    times: list[Int64s] = field(default_factory=list)
    stamps: list[Int64s] = field(default_factory=list)

    def add(self, batch: RecordBatch, decoder: Decoder) -> None:
        found = decoder.decode(batch)
        self.records += len(batch.offsets)
        self.refused.update(rejected.reason for rejected in found.rejected)
        stamps = dict(zip(batch.offsets, batch.timestamps, strict=True))
        for rows in found.rows:
            self.rows += len(rows)
            self.times.append(rows.time)
            self.stamps.append(np.array([stamps[offset] for offset in rows.offset.tolist()], dtype=np.int64))


def traffic_found(bus: Bus, config: Config, now: int) -> Iterator[Finding]:
    """Look at the newest records of each topic that is there. `now`: ms UTC, by the clock of this host."""
    contracts = [model.contract for model in config.models]
    for topic in input_topics(config):
        readers = [one for one in contracts if any(stream.topic == topic for stream in one.streams)]
        n = bus.partitions(topic)
        if n is None:
            continue
        sample = _sample(bus, topic, n, readers)
        yield _records(topic, sample)
        if sample.rows:
            yield from _clocks(topic, sample, readers, now)


def _sample(bus: Bus, topic: str, partitions: int, readers: Sequence[ModelContract]) -> _Sample:
    sample, decoder = _Sample(), Decoder(topic, readers)
    for tp in (TopicPartition(topic, p) for p in range(partitions)):
        for batch in read_newest(bus, tp, max(1, SAMPLE // partitions)):
            sample.add(batch, decoder)
    return sample


def _records(topic: str, sample: _Sample) -> Finding:
    if not sample.records:
        return Finding("records", "warning", f"{topic}: no records", "let a producer write, then look again")
    refused = sample.refused.total()
    found = f"{topic}: {sample.rows} of the newest {sample.records} records are events"
    if not refused:
        return Finding("records", "ok", found)
    reasons = ", ".join(f"{reason} {n}" for reason, n in sample.refused.most_common(3))
    status: Status = "failed" if refused > sample.records // 2 else "warning"
    return Finding("records", status, f"{found}; refused: {reasons}", "docs/messages.md says what each reason means")


def _clocks(topic: str, sample: _Sample, readers: Sequence[ModelContract], now: int) -> Iterator[Finding]:
    """Event times ahead of this host's clock, whole hours off their records' stamps, or all right."""
    times, stamps = np.concatenate(sample.times), np.concatenate(sample.stamps)
    skew = min(contract.max_clock_skew_ms for contract in readers)
    ahead = times - now
    if (n := int((ahead > skew).sum())) > 0:
        found = (
            f"{topic}: {n} of {len(times)} event times lie ahead of this host's clock, by up to {_span(ahead.max())}"
        )
        yield Finding("clocks", "failed", found, "set the producers' clocks, or this host's, by NTP")
        return
    behind = stamps - times
    hours = int(np.rint(np.median(behind) / _HOUR))
    if 0 < abs(hours) <= _FARTHEST_ZONE_H and (np.abs(behind - hours * _HOUR) < _NEAR).mean() >= 0.9:
        side = "behind" if hours > 0 else "ahead of"
        found = f"{topic}: event times lie {abs(hours)} h {side} their records' stamps"
        remedy = "is local time written as UTC? set `timezone`, or write the offset"
        yield Finding("clocks", "warning", found, remedy)
        return
    yield Finding("clocks", "ok", f"{topic}: events are {_span(np.median(behind))} old when they are written (median)")


def _span(ms: float) -> str:
    """A duration for people, to the second where it is longer than one."""
    whole = int(max(ms, 0))
    return duration_text(whole if whole < 1000 else whole // 1000 * 1000)
