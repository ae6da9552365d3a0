"""What the topics should hold: an undisturbed replay of the captured log; and what they hold, byte for byte."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import kafka

from monitor.cli.replay_log import configured, recorded
from monitor.codec.dead_letters import dead_letter, dead_letters_of
from monitor.config import load
from monitor.evaluate.messages import Message
from monitor.events import TopicPartition
from monitor.profile.partition import Drained
from monitor.replay import Replay, ReplayLog, in_order
from monitor.runner.sequences import SEQUENCE, WRITER
from monitor.sources.recordings import captured
from tests.chaos.scenario import PREFIX
from tests.replaying import partition_of

MESSAGES = ("alerts", "incidents", "retraining", "observations")
MessageDigest = tuple[bytes | None, bytes]
"""Key and value of a message; of a dead letter the value is followed by its headers."""


class _Undisturbed(Replay):
    """A replay that keeps the dead letters too."""

    def __init__(self, log: ReplayLog) -> None:
        self.dead_letters: dict[TopicPartition, list[MessageDigest]] = defaultdict(list)
        super().__init__(log)

    def drain(self, tp: TopicPartition) -> Drained:
        drained = super().drain(tp)
        for letter in (dead_letter(rejected, tp) for rejected in drained.rejected):
            self.dead_letters[tp].append((letter.key, _with_headers(letter.value or b"", letter.headers)))
        return drained


def _with_headers(value: bytes, headers: Iterable[tuple[str, bytes]]) -> bytes:
    return value + repr([pair for pair in headers if pair[0] not in (WRITER, SEQUENCE)]).encode()


@dataclass
class Expected:
    """Messages by topic (without prefix) and partition, in order; and records by bucket."""

    topics: dict[str, dict[int, list[MessageDigest]]] = field(default_factory=dict)
    buckets: Counter[str] = field(default_factory=Counter)
    heartbeats: int = 0


def expected(log: Path, config: str | None) -> Expected:
    """A replay of a captured log: with what the service decided while it was made, or, where `config` (alerts.yaml) is
    given, from the records of the input topics alone."""
    recording = captured(log)
    if config is None:
        contracts, activations = recorded(recording)
    else:
        assert not recording.control.heartbeats, (
            f"{len(recording.control.heartbeats)} heartbeats without idle partitions"
        )
        contracts, activations = configured(recording, load(config, "alerts.yaml"), None)
    assert recording.place is not None
    assert recording.ledger_partitions is not None
    engine = _Undisturbed(
        ReplayLog(
            contracts,
            recording.partitions,
            recording.control.heartbeats if config is None else (),
            activations,
            recording.place,
            ends=False,
            ledger_partitions=recording.ledger_partitions,
            notices=recording.control.notices if config is None else (),
        )
    )
    messages: list[Message] = []
    for new in engine.fold(recording.sequences(lambda _: None)):
        messages += new
    messages += engine.finish(recording.ends or {})
    found = Expected(heartbeats=len(recording.control.heartbeats))
    found.topics = {name: defaultdict(list) for name in MESSAGES}
    for message in in_order(messages, recording.ledger_partitions):
        partition = partition_of(message, recording.ledger_partitions)
        found.topics[message.topic][partition].append((message.key.encode(), message.value))
    for tp in recording.partitions:
        letters = found.topics.setdefault(dead_letters_of("", tp.topic), {})
        letters[tp.partition] = engine.dead_letters[tp]
    lasting = (found.topics["alerts"], found.topics["incidents"])
    found.topics["firing"] = {p: _firing(chain(*(of[p] for of in lasting))) for p in {*lasting[0], *lasting[1]}}
    found.buckets = sum(engine.buckets().values(), Counter())
    return found


@dataclass
class Verdict:
    """Of one topic: messages expected and found, and how they differ."""

    expected: int
    found: int
    missing: int
    duplicate: int
    other: int
    """Messages that nobody expected."""
    out_of_order: int
    """Keys whose messages come in another order."""
    gaps: int
    """Writers of a partition whose sequence numbers are not 0, 1, 2, ..."""

    @property
    def holds(self) -> bool:
        return self.found == self.expected and not any(
            (self.missing, self.duplicate, self.other, self.out_of_order, self.gaps)
        )


def judge(servers: list[str], wanted: Expected, prefix: str = PREFIX) -> dict[str, Verdict]:
    """The topics as a plain read-committed consumer sees them, against what a replay says."""
    found = {name: list(published_in(servers, prefix + name)) for name in wanted.topics}
    return {name: _judge(name, found[name], partitions) for name, partitions in wanted.topics.items()}


_FIRES = re.compile(rb'"data":\{"status":"(firing|updated|opened|reopened)"')


def _firing(messages: Iterable[MessageDigest]) -> list[MessageDigest]:
    """What the compacted topic has to hold behind these messages of alerts and incidents."""
    newest = dict(messages)
    return [(key, value) for key, value in newest.items() if _FIRES.search(value)]


def _compacted(records: Iterable[Any]) -> list[Any]:
    newest = {(record.partition, record.key): record for record in records}
    return [record for record in newest.values() if record.value is not None]


def _judge(name: str, records: list[Any], wanted: dict[int, list[MessageDigest]]) -> Verdict:
    is_dead = name.startswith(dead_letters_of("", ""))
    if name == "firing":
        records = _compacted(records)
    found: dict[int, list[MessageDigest]] = defaultdict(list)
    numbers: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for record in records:
        headers = dict(record.headers)
        value = _with_headers(record.value, record.headers) if is_dead else record.value
        found[record.partition].append((record.key, value))
        numbers[record.partition, headers[WRITER]].append(int(headers[SEQUENCE]))
    verdict = Verdict(sum(map(len, wanted.values())), len(records), 0, 0, 0, 0, 0)
    for partition in sorted(wanted.keys() | found.keys()):
        want, got = Counter(wanted.get(partition, ())), Counter(found.get(partition, ()))
        verdict.missing += (want - got).total()
        verdict.duplicate += sum(n for published, n in (got - want).items() if published in want)
        verdict.other += sum(n for published, n in (got - want).items() if published not in want)
        if not is_dead:  # a row that waits for its neighbours may be rejected before or behind others of its batch
            verdict.out_of_order += len(_by_key(wanted.get(partition, ())) ^ _by_key(found.get(partition, ())))
    if name != "firing":  # compaction leaves gaps
        verdict.gaps = sum(1 for found_numbers in numbers.values() if found_numbers != list(range(len(found_numbers))))
    return verdict


def _by_key(messages: Iterable[MessageDigest]) -> set[tuple[bytes | None, tuple[bytes, ...]]]:
    values: dict[bytes | None, list[bytes]] = defaultdict(list)
    for key, value in messages:
        values[key].append(value)
    return {(key, tuple(published)) for key, published in values.items()}


def published_in(servers: list[str], topic: str) -> Iterator[Any]:
    """The records of a topic, up to its present end, as a plain read-committed consumer sees them."""
    consumer = kafka.KafkaConsumer(bootstrap_servers=servers, isolation_level="read_committed", metrics_enabled=False)
    try:
        tps = [kafka.TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(tps)
        consumer.seek_to_beginning(*tps)
        ends = consumer.end_offsets(tps)
        while any(consumer.position(tp) < ends[tp] for tp in tps):
            for records in consumer.poll(1000).values():
                yield from records
    finally:
        consumer.close()
