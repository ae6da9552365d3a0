"""Following the topic `decisions`: what was decided for the profile processes, by evaluate and among themselves."""

from __future__ import annotations

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, whole_values
from monitor.codec.chunks import Assembler
from monitor.events import TopicPartition
from monitor.ledger.entries import Activation
from monitor.ledger.entry_codec import decode_agreement
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.profile.grids import Grids
from monitor.runner.contracts import Contracts


class DecisionsTopic:
    """Grids and sets of partitions, which evaluate decides, and the contracts that were published."""

    def __init__(self, bus: Bus, topics: LedgerTopics, contracts: Contracts) -> None:
        self.grids = Grids()
        self.sets: list[Activation] = []
        self.contracts = contracts
        self._bus = bus
        self._tp = TopicPartition(topics.name("decisions"), 0)
        self._read_to = 0
        self._assembler = Assembler(compacted=True)

    def read(self) -> None:
        """Take all that has come since the last time, to the present end."""
        self._read(self._bus.end(self._tp))

    def glance(self) -> None:
        """Take what has come, without waiting for transactions that are open; but the first time for all there is."""
        self._read(self._bus.last_stable(self._tp) if self._read_to else self._bus.end(self._tp))

    def _read(self, to: int) -> None:
        if to <= self._read_to:
            return
        for batch in read_whole(self._bus, self._tp, self._read_to or None, to=to):
            for record, value in whole_values(self._assembler, batch):
                agreed = decode_agreement(record.headers, value)
                if isinstance(agreed, Activation):
                    self._take(agreed)
                else:
                    self.contracts.add(agreed)
        self._read_to = to  # gaps at the end are behind us, too

    def _take(self, activation: Activation) -> None:
        self.grids.add(activation)  # the folds share them
        self.contracts.lives.add(activation)
        if activation.decision.kind == "set":
            self.sets.append(activation)
