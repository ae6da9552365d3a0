"""Accounting: every consumed offset of a partition is in exactly one bucket, holds no record, or waits.

    position - start  =  the buckets' sum  +  gaps  +  held

The buckets are `pane`, `late`, `tombstone`, `filtered`, `lost`, and `dead:REASON` for each reason of a dead letter. A
late row is in its own bucket and not in `pane`, though the oldest open pane counts it too. Lost is an offset below the
log's start by the time it was to be read, whatever it held. A gap is an offset without a record: a transaction's
marker, what compaction took, a transaction that was aborted. A held row is consumed and not decided: it waits for its
neighbours to tell whether its time is plausible. Every term is counted by itself, so the
identity can be checked; tests do it after every run, and the service exports the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.ledger.position_records import ProfilePosition


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the offsets [start, position) of one partition."""

    start: int
    position: int
    buckets: Mapping[str, int]
    gaps: int
    held: int

    @property
    def difference(self) -> int:
        """Offsets that are in no bucket; below 0: counted more than once. Always 0."""
        return self.position - self.start - sum(self.buckets.values()) - self.gaps - self.held


def account_of(position: ProfilePosition) -> Account:
    """What a position record accounts for."""
    return Account(position.start, position.position, position.buckets, position.gaps, position.held)
