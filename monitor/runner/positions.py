"""Reading position records back from the compacted topic `positions`."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.bus.port import Bus, Committed
from monitor.bus.reading import read_whole, whole_values
from monitor.codec.chunks import Assembler
from monitor.errors import StateDivergence
from monitor.events import Outgoing, TopicPartition
from monitor.ledger import position_records as positions
from monitor.ledger.ledger_topics import LedgerTopics


class Positions:
    """The newest position record of every task of a group."""

    def __init__(self, bus: Bus, topics: LedgerTopics, group: str) -> None:
        self._bus = bus
        self._tp = TopicPartition(topics.name("positions"), 0)
        self._group = group
        self._records: dict[bytes, bytes] = {}
        self._read_to = 0
        self._assembler = Assembler(compacted=True)

    def of(self, tp: TopicPartition, committed: Committed | None) -> bytes | None:
        """The record of a task, or None at a first start.

        Where Kafka has forgotten the group's offset the record alone is the position. Where both are there they have
        to agree, since one transaction wrote them.
        """
        self._read(self._bus.end(self._tp))
        known = self.newest(tp)
        if committed is not None and (known is None or positions.digest(known) != committed.metadata):
            raise StateDivergence(f"{tp.topic}/{tp.partition}: the position record does not match the committed offset")
        return known

    def models(self, tp: TopicPartition) -> dict[str, bytes]:
        """The records of the models of a ledger partition, by name, as of the last look at the topic."""
        prefix = positions.models_key(self._group, *tp)
        records = {key: value for key, value in self._records.items() if key.startswith(prefix)}
        return {key.removeprefix(prefix).decode(): value for key, value in records.items()}

    def follow(self) -> None:
        """Take what has come, without waiting for transactions that are open."""
        self._read(self._bus.last_stable(self._tp))

    def newest(self, tp: TopicPartition) -> bytes | None:
        """The record of a task as of the last look at the topic; the same object as long as none has come."""
        return self._records.get(positions.key_of(self._group, *tp))

    def _read(self, to: int) -> None:
        if to <= self._read_to:
            return
        for batch in read_whole(self._bus, self._tp, self._read_to or None, to=to):
            for record, value in whole_values(self._assembler, batch):
                if record.key is not None:
                    self._records[record.key] = value
        self._read_to = to  # gaps at the end are behind us, too

    def mark_of(self, tp: TopicPartition) -> positions.GuardRecord | None:
        """The newest mark of a task, as of the last look at the topic."""
        value = self._records.get(positions.mark_key(self._group, *tp))
        return None if value is None else positions.decode_mark(value)

    def mark(self, tp: TopicPartition, mark: positions.GuardRecord) -> Outgoing:
        """The record to write before folding goes on."""
        return Outgoing(self._tp.topic, 0, positions.mark_key(self._group, *tp), positions.encode(mark))

    def outgoing(self, tp: TopicPartition, value: bytes) -> Outgoing:
        """The record to write with a commit."""
        return Outgoing(self._tp.topic, 0, positions.key_of(self._group, *tp), value)

    def of_models(self, tp: TopicPartition, values: Mapping[str, bytes]) -> list[Outgoing]:
        """The models' records to write with it."""
        prefix = positions.models_key(self._group, *tp)
        return [Outgoing(self._tp.topic, 0, prefix + name.encode(), value) for name, value in values.items()]
