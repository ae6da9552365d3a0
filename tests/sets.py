"""What evaluate writes first of a model, for tests that run profile alone."""

from __future__ import annotations

import msgspec

from monitor.bus.port import Bus
from monitor.panes.ledger import Activation, LedgerTopics, PartitionSet, encode_activation, new_change


def name_partitions(bus: Bus, topics: LedgerTopics, model: str, partitions: PartitionSet) -> None:
    """The model's first set of partitions: before it is there, profile reads none of them."""
    change = new_change(model, "set", msgspec.json.encode(partitions).decode())
    sender = bus.sender()
    sender.send(encode_activation(Activation(change, None), topics.name("grid")))
    sender.flush()
    sender.close()
