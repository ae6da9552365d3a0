"""Ids of messages in the output topics: by these a message is known again when its number is not.

A process that writes messages in another version than the commit that it goes on from can't count on numbers: it may
publish more or fewer of them. An id names what a message is about, in every version.
"""

from __future__ import annotations

import msgspec

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, whole_values
from monitor.codec.chunks import Assembler
from monitor.events import TopicPartition


class _Event(msgspec.Struct):
    """What of a CloudEvent names it."""

    id: str


_DECODER = msgspec.json.Decoder(_Event)


def id_of(value: bytes) -> str:
    """The id of a message."""
    return _DECODER.decode(value).id


def ids_between(bus: Bus, tp: TopicPartition, start: int, end: int) -> set[str]:
    """Ids of the messages of an output partition from offset `start` on and below `end`, as far as they are kept."""
    at, assembler = max(start, bus.beginning(tp)), Assembler(compacted=True)
    batches = read_whole(bus, tp, at, to=end) if at < end else ()
    return {id_of(value) for batch in batches for _, value in whole_values(assembler, batch)}
