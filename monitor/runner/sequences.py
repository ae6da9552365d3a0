"""Sequence numbers of a task's outputs: contiguous per output partition, so that nothing is missed or repeated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, records_of
from monitor.codec.chunks import split
from monitor.errors import FormatError
from monitor.events import Headers, Outgoing, TopicPartition

WRITER, SEQUENCE = "sd-writer", "sd-seq"


class Sequencer:
    """Numbers the outputs of one task, chunk by chunk. `writer`: the task's name."""

    def __init__(self, writer: str, start: Mapping[str, int] | None = None) -> None:
        self.name = writer
        self._writer = (WRITER, writer.encode())
        self._next = dict(start or {})

    @property
    def sequences(self) -> Mapping[str, int]:
        """The next number of each output partition, as "topic/partition"."""
        return self._next

    def go_on(self, sequences: Mapping[str, int]) -> None:
        """The numbers of a committed position."""
        self._next = dict(sequences)

    def number(self, outgoing: Iterable[Outgoing]) -> list[Outgoing]:
        """The records in chunks that the broker takes, each with its writer and number."""
        numbered = []
        for whole in outgoing:
            for part in split(whole):
                place = f"{part.topic}/{part.partition}"
                number = self._next.get(place, 0)
                self._next[place] = number + 1
                headers = (*part.headers, self._writer, (SEQUENCE, b"%d" % number))
                numbered.append(Outgoing(part.topic, part.partition, part.key, part.value, headers, part.timestamp))
        return numbered


def numbers_from(bus: Bus, tp: TopicPartition, start: int) -> dict[str, int]:
    """Return, by writer with records at or after `start`, the number behind its newest there."""
    found: dict[str, int] = {}
    for batch in read_whole(bus, tp, start):
        for record in records_of(batch):
            if any(name == SEQUENCE for name, _ in record.headers):
                writer, number = writer_and_sequence(record.headers)
                found[writer] = max(found.get(writer, 0), number + 1)
    return found


def offset_of(bus: Bus, tp: TopicPartition, writer: str, number: int) -> int | None:
    """The offset of a writer's first record from `number` on; None if there is none any more."""
    for batch in read_whole(bus, tp):
        for record in records_of(batch):
            if any(name == SEQUENCE for name, _ in record.headers):
                found, at = writer_and_sequence(record.headers)
                if found == writer and at >= number:
                    return record.offset
    return None


def writer_and_sequence(headers: Headers) -> tuple[str, int]:
    """Who wrote a record of ours, and its number; raises FormatError."""
    found = dict(headers)
    try:
        return found[WRITER].decode(), int(found[SEQUENCE])
    except (KeyError, ValueError) as error:
        raise FormatError(f"a record of ours lacks {WRITER} or {SEQUENCE}") from error
