"""Dead letters: rejected records in a topic of their own, with the reason and where they came from."""

from __future__ import annotations

import hashlib

from monitor.events import Outgoing, RecordBatch, Rejected, TopicPartition

DEAD_LETTERS = "dlq."
"""This stands between our prefix and the input topic in the name of a topic of dead letters."""
MOST_BYTES = 64 * 1024


def dead_letters_of(prefix: str, topic: str) -> str:
    """Return the name of the topic that has the dead letters of an input topic."""
    return f"{prefix}{DEAD_LETTERS}{topic}"


def reject(records: RecordBatch, i: int, reason: str) -> Rejected:
    """Reject the record at place `i`. Only what a dead letter quotes is kept, because a poll may hold large records."""
    key, value = records.keys[i], records.values[i] or b""
    return Rejected(
        records.topic,
        records.partition,
        records.offsets[i],
        records.timestamps[i],
        reason,
        None if key is None else key[:MOST_BYTES],
        value[:MOST_BYTES],
        len(value),
        hashlib.sha256(value).hexdigest(),
    )


def dead_letter(rejected: Rejected, to: TopicPartition) -> Outgoing:
    """Return the dead letter of a rejected record: at most 64 KiB of key and of value.

    `sd-length` and `sd-value-sha256` are of the whole value.
    """
    headers = {
        "sd-reason": rejected.reason,
        "sd-topic": rejected.topic,
        "sd-partition": str(rejected.partition),
        "sd-offset": str(rejected.offset),
        "sd-timestamp": str(rejected.timestamp),
        "sd-length": str(rejected.length),
        "sd-value-sha256": rejected.sha256,
    }
    return Outgoing(
        to.topic,
        to.partition,
        rejected.key,
        rejected.value,
        tuple((name, text.encode()) for name, text in headers.items()),
    )
