"""CPU time of the whole path on a real Kafka: both stages of the service, beside polling and throwing away."""

from __future__ import annotations

import uuid
from time import monotonic, process_time

from benchmarks.traffic import PARTITIONS, POLL, Traffic
from monitor.bus.kafka_clients import KafkaClients, kafka_tp
from monitor.bus.port import Bus
from monitor.config.resolved import Config
from monitor.evaluate.alerts import Place
from monitor.events import Outgoing, RecordBatch, TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.loop import Loop
from monitor.runner.profile import ProfileStage
from monitor.runner.topics import create_topics
from monitor.telemetry import get_log
from tests.references import AtOnce

_COMMIT_S = 1.0
_JOIN_MS = 1000
_TURN_MS = 10
_PATIENCE_S = 60.0


class _Profile(ProfileStage):
    """The stage, and how many records it was fed with."""

    fed = 0

    def feed(self, records: RecordBatch) -> None:
        self.fed += len(records)
        super().feed(records)


class _Evaluate(EvaluateStage):
    """The stage, and how far it has folded each ledger partition."""

    def __init__(self, bus: Bus, config: Config, topics: LedgerTopics) -> None:
        place = Place("/bench", "http://localhost:8787", "0", bus.cluster_id())
        super().__init__(bus, config, topics, place, AtOnce(), monotonic, get_log("evaluate"))
        self.reached_to: dict[TopicPartition, int] = {}

    def reach(self, tp: TopicPartition, position: int) -> None:
        super().reach(tp, position)
        self.reached_to[tp] = position


def send(bus: Bus, traffic: Traffic) -> None:
    """Create the traffic's topic, which has to be new, and fill it."""
    bus.create(traffic.topic, PARTITIONS)
    sender = bus.sender()
    for poll in traffic.polls():
        for batch in poll:
            for value in batch.values:
                sender.send(Outgoing(batch.topic, batch.partition, None, value))
        sender.flush()
    sender.close()


def discard_seconds(address: str, traffic: Traffic) -> float:
    """CPU time of the client alone: every record is polled and thrown away."""
    consumer = KafkaClients([address], {}).consumer(group_id=None)
    tps = [kafka_tp(TopicPartition(traffic.topic, partition)) for partition in range(PARTITIONS)]
    consumer.assign(tps)
    consumer.seek_to_beginning(*tps)
    read, start, deadline = 0, process_time(), monotonic() + _PATIENCE_S
    while read < traffic.events and monotonic() < deadline:
        read += sum(map(len, consumer.poll(_TURN_MS, max_records=POLL).values()))
    seconds = process_time() - start
    consumer.close()
    return _whole(seconds, read, traffic)


def path_seconds(bus: Bus, traffic: Traffic) -> float:
    """CPU time of both stages, in one process, from the first record to the last commit."""
    topics = LedgerTopics(f"bench-{uuid.uuid4().hex[:8]}.", 1)
    create_topics(bus, topics, (traffic.topic,))
    profile = _Profile(bus, traffic.config, topics, monotonic, get_log("profile"))
    evaluate = _Evaluate(bus, traffic.config, topics)
    ledger = TopicPartition(topics.name("ledger"), 0)
    loops = [Loop(bus, stage, "bench", monotonic, _COMMIT_S) for stage in (profile, evaluate)]
    start, deadline = process_time(), monotonic() + _PATIENCE_S
    while profile.fed < traffic.events and monotonic() < deadline:
        wait_ms = _TURN_MS if profile.fed and evaluate.reached_to else _JOIN_MS
        for loop in loops:
            loop.turn(wait_ms)
    loops[0].turn(0, last=True)
    while evaluate.reached_to[ledger] < bus.end(ledger) and monotonic() < deadline:
        loops[1].turn(_TURN_MS)
    loops[1].turn(0, last=True)
    seconds = process_time() - start
    for loop in loops:
        loop.run(lambda: True)
    return _whole(seconds, profile.fed, traffic)


def _whole(seconds: float, read: int, traffic: Traffic) -> float:
    if read != traffic.events:
        raise RuntimeError(f"{read} of {traffic.events} events came within {_PATIENCE_S:g} s")
    return seconds
