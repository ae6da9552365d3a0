"""Dead letters: rejected records in `<topic>.dlq`, with the reason and where they came from."""

from __future__ import annotations

import hashlib

from monitor.events import Outgoing, Rejected

SUFFIX = ".dlq"
MOST_BYTES = 64 * 1024


def dead_letter(rejected: Rejected) -> Outgoing:
    """The dead letter of a rejected record: in the partition of the same number, at most 64 KiB of key and of value.

    `sd-length` and `sd-value-sha256` are of the whole value.
    """
    headers = {
        "sd-reason": rejected.reason,
        "sd-topic": rejected.topic,
        "sd-partition": str(rejected.partition),
        "sd-offset": str(rejected.offset),
        "sd-timestamp": str(rejected.timestamp),
        "sd-length": str(len(rejected.value)),
        "sd-value-sha256": hashlib.sha256(rejected.value).hexdigest(),
    }
    return Outgoing(
        rejected.topic + SUFFIX,
        rejected.partition,
        None if rejected.key is None else rejected.key[:MOST_BYTES],
        rejected.value[:MOST_BYTES],
        tuple((name, text.encode()) for name, text in headers.items()),
    )
