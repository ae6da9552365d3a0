"""How far the service of a chaos run has come: by its position records and the ends of its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from monitor.bus.kafka import KafkaBus
from monitor.events import TopicPartition
from monitor.ledger import position_records as positions
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.positions import Positions
from tests.chaos.scenario import LEDGER_PARTITIONS, PARTITIONS, PREFIX, TOPIC

OURS = LedgerTopics(PREFIX, LEDGER_PARTITIONS)
LEDGER = tuple(TopicPartition(OURS.name("ledger"), p) for p in range(LEDGER_PARTITIONS))
COMMANDS = tuple(TopicPartition(OURS.name("commands"), p) for p in range(LEDGER_PARTITIONS))


class Reached:
    """Positions of both stages. `topics`: the inputs, with their partitions."""

    def __init__(self, bus: KafkaBus, topics: Mapping[str, int] = MappingProxyType({TOPIC: PARTITIONS})) -> None:
        self._bus = bus
        self.inputs = tuple(TopicPartition(topic, p) for topic, n in topics.items() for p in range(n))
        self._profile = Positions(bus, OURS, f"{PREFIX}profile")
        self._evaluate = Positions(bus, OURS, f"{PREFIX}evaluate")

    def position(self, tp: TopicPartition) -> int:
        """The committed position of a partition's task, 0 before the first."""
        if tp in self.inputs:
            value = self._profile.of(tp, None)
            return 0 if value is None else positions.decode_profile(value).position
        value = self._evaluate.of(TopicPartition(OURS.name("ledger"), tp.partition), None)
        if value is None:
            return 0
        found = positions.decode_evaluate(value)
        return found.commands if tp in COMMANDS else found.position

    def lag(self, tps: Iterable[TopicPartition]) -> int:
        """Records that are there and not committed as folded."""
        return sum(max(0, self._bus.end(tp) - self.position(tp)) for tp in tps)

    def buckets(self) -> dict[str, int]:
        """Where the input's records ended, over all partitions; and `records`, how many there are."""
        total: dict[str, int] = {"records": sum(self._bus.end(tp) - self._bus.beginning(tp) for tp in self.inputs)}
        for tp in self.inputs:
            value = self._profile.of(tp, None)
            if value is not None:
                for name, count in positions.decode_profile(value).buckets.items():
                    total[name] = total.get(name, 0) + count
        return total
