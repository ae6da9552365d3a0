"""Follows what evaluate has decided, in the topic `decisions`: sets of partitions, grids, references, rules."""

from __future__ import annotations

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, whole_values
from monitor.codec.chunks import Assembler
from monitor.events import TopicPartition
from monitor.ledger.entries import Activation, Decision, DecisionKey
from monitor.ledger.entry_codec import decode_agreement
from monitor.ledger.ledger_topics import LedgerTopics

ActivationKey = tuple[str, int, DecisionKey, int | None]
"""Model, its life and the key of a decision, and where the pane begins that it counts from."""


class Activations:
    """All activations so far. `decisions`: each decision by its digest. `newest`: by pane the one that counts there.

    Rules may change more than once before a pane is folded, and go back: the one that was written last counts.
    """

    def __init__(self, bus: Bus, topics: LedgerTopics) -> None:
        self.all: list[Activation] = []
        self.decisions: dict[str, Decision] = {}
        self.newest: dict[ActivationKey, Activation] = {}
        self.files: list[str] = []
        """SHA-256 of each alerts.yaml that has decided something, in order; one that decides again comes again."""
        self._bus = bus
        self._tp = TopicPartition(topics.name("decisions"), 0)
        self._read_to = 0
        self._assembler = Assembler(compacted=True)

    def read(self) -> None:
        """Take what has come to the topic `decisions` since the last time."""
        for batch in read_whole(self._bus, self._tp, self._read_to or None):
            self._read_to = batch.offsets[-1] + 1
            for record, value in whole_values(self._assembler, batch):
                activation = decode_agreement(record.headers, value)
                if not isinstance(activation, Activation):
                    continue  # what profile agrees on
                self.all.append(activation)
                self.decisions[activation.decision.digest] = activation.decision
                self.newest[activation_key(activation)] = activation
                if (file := activation.decision.alerts_yaml_sha256) not in ("", *self.files[-1:]):
                    self.files.append(file)


def activation_key(activation: Activation) -> ActivationKey:
    """Return where an activation counts."""
    decision = activation.decision
    return decision.model, decision.life, decision.key, activation.at
