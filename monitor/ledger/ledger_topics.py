"""Names of our topics, and which ledger partition a model belongs to.

That is a digest of the model's name, ours and not the client's, so that every writer and reader agrees.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class LedgerTopics:
    """Names of our topics under a prefix, and the ledger's number of partitions."""

    prefix: str
    partitions: int

    def name(self, topic: str) -> str:
        return self.prefix + topic

    def partition_of(self, model: str) -> int:
        """The model's ledger partition; its alerts go to the partition of the same number."""
        return ledger_partition(model, self.partitions)


@lru_cache(maxsize=1 << 14)
def ledger_partition(model: str, partitions: int) -> int:
    """Which of `partitions` belongs to the model."""
    return int.from_bytes(hashlib.sha256(model.encode()).digest()[:8], "big") % partitions
