"""Dead letters: enough to find and to judge the record, never more than the broker takes."""

from __future__ import annotations

import hashlib

from monitor.codec.dead_letters import dead_letter, dead_letters_of, reject
from monitor.codec.reasons import INVALID_JSON
from monitor.events import RecordBatch, TopicPartition

TO = TopicPartition(dead_letters_of("streamdrift.", "ml.features"), 3)


def one(topic: str, partition: int, offset: int, timestamp: int, key: bytes, value: bytes) -> RecordBatch:
    return RecordBatch(topic, partition, [offset], [timestamp], [key], [value], [()])


def test_a_dead_letter_names_its_reason_and_its_record() -> None:
    """Key, partition and value are the record's; headers tell the reason and the place."""
    letter = dead_letter(reject(one("ml.features", 3, 17, 99, b"k", b"{"), 0, INVALID_JSON), TO)
    assert (letter.topic, letter.partition, letter.key, letter.value) == ("streamdrift.dlq.ml.features", 3, b"k", b"{")
    assert dict(letter.headers) == {
        "sd-reason": b"invalid_json",
        "sd-topic": b"ml.features",
        "sd-partition": b"3",
        "sd-offset": b"17",
        "sd-timestamp": b"99",
        "sd-length": b"1",
        "sd-value-sha256": hashlib.sha256(b"{").hexdigest().encode(),
    }


def test_a_large_record_is_quoted_in_part() -> None:
    """At most 64 KiB of it, with length and digest of the whole."""
    value = b"x" * 1_000_000
    letter = dead_letter(reject(one("t", 0, 0, 0, b"k" * 1_000_000, value), 0, INVALID_JSON), TO)
    assert letter.value == value[:65536]
    assert letter.key is not None
    assert len(letter.key) == 65536
    assert dict(letter.headers)["sd-length"] == b"1000000"
    assert dict(letter.headers)["sd-value-sha256"] == hashlib.sha256(value).hexdigest().encode()
