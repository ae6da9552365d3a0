"""Dead letters: rejected records in `<topic>.dlq`, with the reason and where they came from."""

from __future__ import annotations

import hashlib

from monitor.events import Outgoing, RecordBatch, Rejected

SUFFIX = ".dlq"
MOST_BYTES = 64 * 1024


def reject(records: RecordBatch, i: int, reason: str) -> Rejected:
    """The record at place `i` as rejected. Only what a dead letter quotes is kept: a poll may be full of large ones."""
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


def dead_letter(rejected: Rejected, partitions: int) -> Outgoing:
    """The dead letter of a rejected record: at most 64 KiB of key and of value.

    It goes to the partition of the same number, as long as its topic has as many (`partitions`) as the input.
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
        rejected.topic + SUFFIX,
        rejected.partition % partitions,
        rejected.key,
        rejected.value,
        tuple((name, text.encode()) for name, text in headers.items()),
    )
