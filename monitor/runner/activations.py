"""Follows what evaluate has decided, as the grid topic keeps it: sets of partitions, grids, references, rules."""

from __future__ import annotations

from monitor.bus.port import Bus
from monitor.codec.chunks import Assembler
from monitor.events import TopicPartition
from monitor.panes.ledger import CONTRACT, Activation, Change, LedgerTopics, decode_activation, kind_of
from monitor.runner.topics import read_whole, whole_values

Pane = tuple[str, str, str, int | None]
"""Model, kind and stream of a change, and the pane that it counts from."""


class Activations:
    """All activations so far. `changes`: each change by its digest. `newest`: by pane the digest that counts there.

    Rules may change more than once before a pane is folded, and go back: the one that was written last counts.
    """

    def __init__(self, bus: Bus, topics: LedgerTopics) -> None:
        self.all: list[Activation] = []
        self.changes: dict[str, Change] = {}
        self.newest: dict[Pane, str] = {}
        self._bus = bus
        self._tp = TopicPartition(topics.name("grid"), 0)
        self._read_to = 0
        self._assembler = Assembler(compacted=True)

    def read(self) -> None:
        """Take what has come to the grid topic since the last time."""
        for batch in read_whole(self._bus, self._tp, self._read_to):
            self._read_to = batch.offsets[-1] + 1
            for record, value in whole_values(self._assembler, batch):
                if kind_of(record.headers) == CONTRACT:
                    continue  # what profile agrees on
                activation = decode_activation(value)
                self.all.append(activation)
                self.changes[activation.change.digest] = activation.change
                self.newest[pane_of(activation)] = activation.change.digest


def pane_of(activation: Activation) -> Pane:
    """Where an activation counts."""
    change = activation.change
    return change.model, change.kind, change.stream, activation.pane
