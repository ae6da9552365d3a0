"""Snapshots in the compacted topic `state`: one value a model of a ledger partition, and one for what belongs to none.

They are written in the transaction that commits the position they stand at. The position records name the first offset
and the digest of each part, so a restore reads only those records and rejects any that differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, records_of
from monitor.codec.chunks import Assembler, leftovers, split
from monitor.codec.snapshot import digest_of_part
from monitor.errors import FormatError
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.entries import SNAPSHOT_BYTES, Notice
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import Snapshot
from monitor.runner.parts import Rhythm

MODEL_BYTES = 64 << 20
"""Most bytes of a model's snapshot. A larger one is written all the same: without it there is no restart."""


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
    """The parts of all ledger partitions, by partition and name; what belongs to no model has the empty name.

    `rhythm`: when they are due.
    """

    def __init__(self, bus: Bus, topics: LedgerTopics, rhythm: Rhythm) -> None:
        self.rhythm = rhythm
        self._bus = bus
        self._topic = topics.name("state")

    def end(self, partition: int) -> int:
        """Return where the next parts of a partition will begin, or later."""
        return self._bus.end(TopicPartition(self._topic, partition))

    def outgoing(
        self, partition: int, parts: Mapping[str, bytes | None], before: Mapping[str, int] | None = None
    ) -> list[Outgoing]:
        """The records of parts, each of less than 512 KiB; None: the part is needed no longer.

        `before`: sizes (bytes) of those that they replace, whose chunks get tombstones.
        """
        records: list[Outgoing] = []
        for name, part in sorted(parts.items()):
            key = _key(partition, name)
            records += split(Outgoing(self._topic, partition, key, part))
            for left in leftovers(key, (before or {}).get(name, 0), len(part or b"")):
                records.append(Outgoing(self._topic, partition, left, None))
        return records

    def read(self, partition: int, wanted: Mapping[str, Snapshot]) -> dict[str, bytes]:
        """The parts that are named, by name, with their blocks: the value with the digest named, else the newest.

        What can't be put together is empty, what is not there is left out.
        """
        digests = {name: snapshot.digest for name, snapshot in wanted.items()}
        starts = [snapshot.start for snapshot in wanted.values()]
        for name, snapshot in wanted.items():
            digests |= {block_name(name, block): "" for block in snapshot.blocks}
            starts += snapshot.blocks.values()
        parts: dict[str, bytes] = {}
        found: set[str] = set()
        assembler = Assembler(compacted=True)
        tp = TopicPartition(self._topic, partition)
        start = max(min(starts, default=0), self._bus.beginning(tp))
        for batch in read_whole(self._bus, tp, start) if wanted else ():
            for record in records_of(batch):
                name = (record.key or b"").split(b"\0")[0].decode("utf-8", "replace").partition("/")[2]
                if name not in digests or name in found:
                    continue
                try:
                    value = assembler.feed(record)
                except FormatError:
                    value = b""
                if value is not None:
                    parts[name] = value
                    if digest_of_part(value) == digests[name]:
                        found.add(name)
        return parts


def block_name(model: str, block: str) -> str:
    """The name under which a block of a model's first rows is kept."""
    return f"{model}/{block}"


def _key(partition: int, name: str) -> bytes:
    return f"{partition}/{name}".encode()
