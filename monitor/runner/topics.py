"""Our topics: their names, how they are kept, and creating them; reading one from end to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from monitor.bus.port import Bus
from monitor.codec.chunks import Assembler
from monitor.codec.dead_letters import DEAD_LETTERS, dead_letters_of
from monitor.errors import ConfigurationError
from monitor.events import Record, RecordBatch, TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics

_DAY = 24 * 3600 * 1000
# A segment that is still written to is never compacted, and every process reads these topics when it starts.
_COMPACTED = {"cleanup.policy": "compact", "segment.bytes": str(16 << 20), "min.cleanable.dirty.ratio": "0.1"}


def _days(days: int) -> dict[str, str]:
    return {"retention.ms": str(days * _DAY)}


def create_topics(bus: Bus, topics: LedgerTopics, inputs: tuple[str, ...]) -> None:
    """Create those of our topics that are missing, with dead letters of the inputs; the users' must be there."""
    missing = [topic for topic in inputs if bus.partitions(topic) is None]
    if missing:
        raise ConfigurationError(
            f"{bus.name}: there is no topic {', '.join(missing)}; create it, or correct alerts.yaml "
            "(Streamdrift never creates the topics that it reads)"
        )
    for topic, (partitions, config) in our_topics(topics, inputs, bus.partitions).items():
        found = bus.partitions(topic)
        if found is None:
            bus.create(topic, partitions, config)
        elif found != partitions and not topic.startswith(topics.name(DEAD_LETTERS)):  # an input may have grown since
            raise ConfigurationError(f"{bus.name}: topic {topic} has {found} partitions; {partitions} are needed")


def our_topics(
    topics: LedgerTopics, inputs: tuple[str, ...], count: Callable[[str], int | None]
) -> dict[str, tuple[int, dict[str, str]]]:
    """Our topics, each with its partitions and how it is kept. `count`: gives the partitions of an input."""
    n = topics.partitions
    return {
        topics.name("ledger"): (n, _days(90)),
        topics.name("commands"): (n, _days(90)),
        topics.name("positions"): (1, _COMPACTED),
        topics.name("decisions"): (1, _COMPACTED),
        topics.name("state"): (n, _COMPACTED),
        topics.name("alerts"): (n, _days(90)),
        topics.name("firing"): (n, _COMPACTED),
        topics.name("retraining"): (n, _days(90)),
        topics.name("observations"): (n, _days(7)),
        **{dead_letters_of(topics.prefix, topic): (count(topic) or 1, _days(14)) for topic in inputs},
    }


PATIENCE_MS = 30_000
"""Longer than the transaction of a writer that died stays open: its time-out, 15 s, and 10 s until the broker looks."""


def read_whole(
    bus: Bus, tp: TopicPartition, start: int | None = None, timeout_ms: int = PATIENCE_MS, to: int | None = None
) -> Iterator[RecordBatch]:
    """All committed records from `start` to the present high watermark, or to `to` if that is lower.

    `start`: None is the log's start. Open transactions below the end are waited for; raises BusError if one does not
    end in time, and RecordsLost if records from `start` on were deleted.
    """
    at, end = bus.beginning(tp) if start is None else start, bus.end(tp)
    end = end if to is None else min(end, to)
    while at < end:
        batch = bus.read(tp, at, end, timeout_ms)
        if not batch.offsets:
            return
        yield batch
        at = batch.offsets[-1] + 1


def records_of(batch: RecordBatch) -> Iterator[Record]:
    """A batch's records one by one: for our own topics, which carry few."""
    columns = zip(batch.offsets, batch.timestamps, batch.keys, batch.values, batch.headers, strict=True)
    for offset, timestamp, key, value, headers in columns:
        yield Record(batch.topic, batch.partition, offset, timestamp, key, value, headers, batch.log_append_time)


def whole_values(assembler: Assembler, batch: RecordBatch) -> Iterator[tuple[Record, bytes]]:
    """Records of ours whose value is complete, put together from their chunks."""
    for record in records_of(batch):
        if record.value is not None:
            value = assembler.feed(record)
            if value is not None:
                yield record, value
