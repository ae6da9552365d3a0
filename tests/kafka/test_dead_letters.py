"""Records that cannot be rows, over a real broker: named, counted and quoted as dead letters; the stream goes on."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections import Counter

import msgspec
import pytest

from monitor.bus.kafka import KafkaBus
from monitor.bus.reading import read_whole, records_of
from monitor.codec import reasons
from monitor.codec.canonical import time_text
from monitor.codec.dead_letters import MOST_BYTES, dead_letters_of
from monitor.config import load
from monitor.errors import BusError
from monitor.events import Outgoing, Record, TopicPartition
from monitor.ledger import position_records as positions
from monitor.ledger.entries import PartitionSet
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import ProfilePosition
from monitor.runner.loop import Loop
from monitor.runner.positions import Positions
from monitor.runner.profile import ProfileStage
from monitor.runner.topics import create_topics
from monitor.telemetry import get_log
from tests.sets import name_partitions

pytestmark = pytest.mark.kafka
START = 1_790_000_000_000
HOUR, DAY = 3_600_000, 86_400_000
CONFIG = """
version: 1
defaults: {{lateness: 2s, pane: 2s, interval: 2s, idle_timeout: 1h, max_clock_skew: 1m}}
models:
  m:
    task: regression
    streams: {{features: {{topic: {topic}}}}}
    columns: {{timestamp: event_time, numerical: [a]}}
"""
BROKER_LIMIT = 1_048_588
BATCH_OVERHEAD = 72
"""Bytes of a batch with one record, without its value; of a value of about a megabyte."""
GOOD = 100


def event(number: int, **changes: object) -> bytes:
    """A native event; a change to None takes the field away."""
    fields: dict[str, object] = {
        "event_id": f"e-{number}",
        "model": "m",
        "event_time": time_text(START + 100 * number),
        "features": {"a": number / 10},
    }
    fields.update(changes)
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})


def grown(value: bytes, size: int) -> bytes:
    """An event made as long as `size` by a field that nobody declares."""
    head = value[:-1] + b',"note":"'
    return head + b"x" * (size - len(head) - 2) + b'"}'


LARGEST = BROKER_LIMIT - BATCH_OVERHEAD
BAD = (
    (reasons.INVALID_UTF8, event(1).replace(b"e-1", b"e-\xff")),
    (reasons.INVALID_JSON, event(1)[:-9]),
    (reasons.JSON_TOO_DEEP, event(1)[:-1] + b',"deep":' + b"[" * 600 + b"]" * 600 + b"}"),
    (reasons.UNKNOWN_MODEL, event(1, model="nobody")),
    (reasons.INVALID_ID, event(1, event_id=5)),
    (reasons.MISSING_TIME, event(1, event_time=None)),
    (reasons.TIME_OUT_OF_RANGE, event(1, event_time="1999-12-31T23:59:59Z")),
    (reasons.TIME_AHEAD, event(1, event_time=time_text(START + 30 * DAY))),
    (reasons.UNKNOWN_MODEL, grown(event(1, model="nobody"), LARGEST)),
)
"""Records with the reason for which each is rejected."""
KEPT = (
    event(60, features={"a": "no number"}),
    event(61, features={"a": None}),
    event(62, event_time=time_text(START - HOUR)),
    grown(event(63), LARGEST),
)
"""Records that are rows: one bad value, a null, one that is late, and one as large as the broker takes."""


class Profile:
    """The profile stage over one topic, in this process."""

    def __init__(self, bus: KafkaBus, topic: str) -> None:
        self._bus = bus
        self.tp = TopicPartition(topic, 0)
        self._topics = LedgerTopics(f"{topic}.", 1)
        self._config = load(CONFIG.format(topic=topic), "alerts.yaml")
        create_topics(bus, self._topics, (topic,))
        name_partitions(bus, self._topics, "m", PartitionSet({"features": (topic, 1)}))

    def run(self, most_turns: int = 30) -> ProfilePosition:
        """Until all records are committed; returns the position."""
        stage = ProfileStage(self._bus, self._config, self._topics, time.monotonic, get_log("profile"))
        loop = Loop(self._bus, stage, "one", time.monotonic, 0.0)
        turns = iter(range(most_turns))
        loop.run(lambda: next(turns, None) is None or self._is_read())
        value = Positions(self._bus, self._topics, stage.group).of(self.tp, None)
        assert value is not None
        return positions.decode_profile(value)

    def _is_read(self) -> bool:
        value = Positions(self._bus, self._topics, f"{self._topics.prefix}profile").of(self.tp, None)
        return value is not None and positions.decode_profile(value).position >= self._bus.end(self.tp)

    def dead_letters(self) -> list[Record]:
        tp = TopicPartition(dead_letters_of(self._topics.prefix, self.tp.topic), 0)
        return [record for batch in read_whole(self._bus, tp) for record in records_of(batch)]


@pytest.fixture
def topic(bus: KafkaBus) -> str:
    name = f"in-{uuid.uuid4().hex[:8]}"
    bus.create(name, 1, {"max.message.bytes": str(BROKER_LIMIT)})
    return name


def send(bus: KafkaBus, topic: str, *values: bytes | None) -> None:
    sender = bus.sender()
    for value in values:
        sender.send(Outgoing(topic, 0, b"k" if value is None else None, value))
    sender.flush()
    sender.close()


def fill(bus: KafkaBus, topic: str) -> None:
    """Good rows, the bad ones among them, a tombstone, and enough good rows to decide on the one that is ahead."""
    send(bus, topic, *map(event, range(50)))
    send(bus, topic, *(value for _, value in BAD), None, *KEPT)
    send(bus, topic, *map(event, range(64, 64 + GOOD - 50)))


def test_records_that_cannot_be_rows_become_dead_letters_and_the_stream_goes_on(bus: KafkaBus, topic: str) -> None:
    """Each is in the dead-letter topic with its reason and origin; every record is in one bucket."""
    fill(bus, topic)
    profile = Profile(bus, topic)
    position = profile.run()
    counts = {name: count for name, count in position.buckets.items() if count}
    dead = Counter(f"dead:{reason}" for reason, _ in BAD)
    assert counts == {**dead, "tombstone": 1, "late": 1, "pane": GOOD + len(KEPT) - 1}
    assert sum(counts.values()) == position.position == bus.end(profile.tp)
    letters = {int(headers_of(letter)["sd-offset"]): letter for letter in profile.dead_letters()}
    assert sorted(letters) == list(range(50, 50 + len(BAD)))
    for number, (reason, value) in enumerate(BAD):
        check_letter(letters[50 + number], reason, value, profile.tp)


def headers_of(record: Record) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


def check_letter(letter: Record, reason: str, value: bytes, tp: TopicPartition) -> None:
    """Reason and origin, length and digest of the whole, at most 64 KiB of the value."""
    headers = headers_of(letter)
    assert headers["sd-reason"] == reason
    assert (headers["sd-topic"], int(headers["sd-partition"])) == tp
    assert int(headers["sd-length"]) == len(value)
    assert headers["sd-value-sha256"] == hashlib.sha256(value).hexdigest()
    assert letter.value == value[:MOST_BYTES]


def test_a_stage_that_starts_again_writes_no_dead_letter_twice(bus: KafkaBus, topic: str) -> None:
    """What it folds again has been published; what came since follows."""
    fill(bus, topic)
    profile = Profile(bus, topic)
    profile.run()
    before = profile.dead_letters()
    send(bus, topic, b"no JSON")
    position = profile.run()
    letters = profile.dead_letters()
    assert letters[:-1] == before
    assert [int(headers_of(letter)["sd-seq"]) for letter in letters] == list(range(len(BAD) + 1))
    assert headers_of(letters[-1])["sd-offset"] == str(position.position - 1)


def test_the_largest_records_here_are_as_large_as_the_broker_takes(bus: KafkaBus, topic: str) -> None:
    """One byte more is refused, and the sender says so."""
    send(bus, topic, grown(event(1), LARGEST))
    with pytest.raises(BusError, match="were not written"):
        send(bus, topic, grown(event(1), LARGEST + 1))
