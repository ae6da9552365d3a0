"""Snapshots of a ledger partition's task in the compacted topic `state`: one value a model, and one for all models.

They are written in the transaction that commits the position they stand at, and the position record says from which
offset on they lie there and what digest each part has; so a restore reads the newest ones only, and takes nothing that
is not what was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from monitor.bus.port import Bus
from monitor.codec.chunks import Assembler, split
from monitor.errors import FormatError
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.entries import SNAPSHOT_BYTES, Notice
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.topics import read_whole, records_of

MODEL_BYTES = 64 << 20
"""Most bytes of a model's snapshot. A larger one is written all the same: without it there is no restart."""


RECORDS = 20_000
"""Ledger records between two snapshots at most: watermarks and heartbeats come where no pane does."""
VALUES = 200_000
"""Values fed to detectors between two snapshots at most, and one more for each byte of the last snapshot. To feed one
takes 0.5 µs or more, to write a byte 20 ns and a commit 4 ms: so a snapshot is written for a twentieth of the work, and
what a restart has to fold again is bounded however dense the traffic is."""


class Since(NamedTuple):
    """What a ledger partition has folded since its last snapshot. `values`: that its detectors were given."""

    panes: int
    records: int
    values: int


def is_due(since: Since, panes: int, size: int) -> bool:
    """Whether the next snapshot is to be written. `panes`: most between two. `size`: of the last one, bytes."""
    return since.panes >= panes or since.records >= RECORDS or since.values >= VALUES + size


def too_large(parts: Mapping[str, bytes], judged_to: Mapping[str, int], tp: TopicPartition) -> Iterator[Notice]:
    """What raises the alert of each model whose snapshot is beyond the bound. `judged_to`: ms, of models that judge."""
    for model, part in sorted(parts.items()):
        if len(part) > MODEL_BYTES and model in judged_to:
            text = (
                f"{model}: its snapshot has grown past {MODEL_BYTES >> 20} MiB, so restarts take long; "
                "fewer columns, fewer detectors or longer steps of sliding windows make it smaller"
            )
            yield Notice(model, "CardinalityLimited", judged_to[model], *tp, (SNAPSHOT_BYTES,), text)


class Snapshots:
    """The parts of all ledger partitions, by partition and name; the name of what belongs to no model is empty."""

    def __init__(self, bus: Bus, topics: LedgerTopics) -> None:
        self._bus = bus
        self._topic = topics.name("state")

    def end(self, partition: int) -> int:
        """Where the next snapshot of a partition will begin, or later."""
        return self._bus.end(TopicPartition(self._topic, partition))

    def outgoing(self, partition: int, parts: Mapping[str, bytes]) -> list[Outgoing]:
        """The records of a snapshot, each of less than 512 KiB."""
        return [
            chunk
            for name in sorted(parts)
            for chunk in split(Outgoing(self._topic, partition, _key(partition, name), parts[name]))
        ]

    def read(self, partition: int, start: int) -> dict[str, bytes]:
        """The newest value of each part from offset `start` on; what can't be put together is empty."""
        parts: dict[str, bytes] = {}
        assembler = Assembler(compacted=True)
        tp = TopicPartition(self._topic, partition)
        for batch in read_whole(self._bus, tp, max(start, self._bus.beginning(tp))):
            for record in records_of(batch):
                name = (record.key or b"").split(b"\0")[0].decode("utf-8", "replace").partition("/")[2]
                try:
                    value = assembler.feed(record)
                except FormatError:
                    value = b""
                if value is not None:
                    parts[name] = value
        return parts


def _key(partition: int, name: str) -> bytes:
    return f"{partition}/{name}".encode()
