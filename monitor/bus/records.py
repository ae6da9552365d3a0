"""What buses share: where a record goes, how a poll is divided, and the error of a reader that comes too late."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence

from monitor.errors import BusError, RecordsLost
from monitor.events import Outgoing, TopicPartition

POLL_BYTES = 32 << 20
"""Most bytes of values that a poll or a read hands out, but for the first record of each partition."""


def now_ms() -> int:
    """The wall clock, ms since 1970 UTC: the default of a bus's `clock` argument."""
    return time.time_ns() // 1_000_000


def choose_partition(outgoing: Outgoing, partitions: int | None, turn: int) -> int:
    """Partition that takes the record: the one it names, else by its key, else in turn. Refuses what Kafka refuses."""
    if partitions is None:
        raise BusError(f"there is no topic {outgoing.topic!r} to write to; create it first")
    if outgoing.key is None and outgoing.value is None:
        raise BusError(f"a record for {outgoing.topic!r} has neither key nor value")
    if outgoing.partition is not None:
        if not 0 <= outgoing.partition < partitions:
            raise BusError(f"topic {outgoing.topic!r} has {partitions} partitions and no number {outgoing.partition}")
        return outgoing.partition
    return (turn if outgoing.key is None else zlib.crc32(outgoing.key)) % partitions


def records_lost(bus: str, tp: TopicPartition, start: int, beginning: int) -> RecordsLost:
    """The error of a reader that comes too late. `bus`: the bus's name; `beginning`: the log's start by now."""
    return RecordsLost(
        f"{bus}: offsets {start} to {beginning} of {tp.topic}/{tp.partition} were deleted before they were read;"
        " keep the topic longer",
        beginning,
    )


def is_compacted(config: Mapping[str, str]) -> bool:
    """Return true if a topic keeps only the newest record of each key."""
    return "compact" in config.get("cleanup.policy", "")


def is_stamped(config: Mapping[str, str]) -> bool:
    """Return true if the bus itself stamps the topic's records (LogAppendTime)."""
    return config.get("message.timestamp.type") == "LogAppendTime"


def share_out(waiting: Sequence[int], budget: int) -> list[int]:
    """Divides `budget` records over partitions with `waiting` records each, as evenly as they allow.

    >>> share_out([10, 2, 10], 12)
    [5, 2, 5]
    """
    shares = [0] * len(waiting)
    order = sorted(range(len(waiting)), key=lambda i: (waiting[i], i))
    for place, i in enumerate(order):
        shares[i] = min(waiting[i], -(-budget // (len(order) - place)))
        budget -= shares[i]
    return shares
