"""A replay of what lies in a bus's topics, with what the service decided meanwhile, as capture takes it along."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole
from monitor.evaluate.alerts import Place
from monitor.evaluate.messages import Message
from monitor.events import TopicPartition
from monitor.ledger.ledger_topics import LedgerTopics, ledger_partition
from monitor.replay import Replay, ReplayLog
from monitor.sources.control import Control, control_records, decode_control


def partition_of(message: Message, ledger_partitions: int) -> int:
    """The partition that a message goes to: that of its model; of a notice of commands that names none, its place's."""
    if message.model:
        return ledger_partition(message.model, ledger_partitions)
    return int(msgspec.json.decode(message.value)["data"]["place"]["partition"])


def replay_log(control: Control, tps: Iterable[TopicPartition], place: Place, ledger_partitions: int) -> ReplayLog:
    """The replay of a captured log of these partitions."""
    return ReplayLog(
        control.contracts,
        list(tps),
        control.heartbeats,
        control.activations,
        place,
        False,
        ledger_partitions,
        switches=control.switches,
        topic_contracts={contract.digest: contract for contract in control.topic_contracts},
        notices=control.notices,
    )


def replayed(bus: Bus, topics: LedgerTopics, tps: Iterable[TopicPartition], place: Place) -> list[Message]:
    """All messages, as they come."""
    control = decode_control(control_records(bus, topics), topics.prefix)
    log = replay_log(control, tps, place, topics.partitions)
    engine = Replay(log)
    messages = [m for tp in log.partitions for batch in read_whole(bus, tp) for m in engine.feed(batch)]
    return messages + engine.finish({tp: bus.end(tp) for tp in log.partitions})
