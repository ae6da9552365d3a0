"""What evaluate writes first of a model, for tests that run profile alone."""

from __future__ import annotations

import msgspec

from monitor.bus.port import Bus
from monitor.ledger.entries import Activation, PartitionSet, new_decision
from monitor.ledger.entry_codec import encode_entry
from monitor.ledger.ledger_topics import LedgerTopics


def name_partitions(bus: Bus, topics: LedgerTopics, model: str, partitions: PartitionSet) -> None:
    """The model's first set of partitions: before it is there, profile reads none of them."""
    change = new_decision(model, "set", msgspec.json.encode(partitions).decode())
    sender = bus.sender()
    sender.send(encode_entry(Activation(change, None), topics.name("decisions"), 0))
    sender.flush()
    sender.close()
