"""What an input partition's task has written behind its last commit but one, as its output topics hold it now.

One transaction writes outputs, offsets and the position record; yet a broker that crashes can keep one part and lose
the other. So a restart looks into the output topics, from where they ended before the last commit. Outputs that the
position knows nothing of are not written again, and their heartbeats count; if some that it names are gone, the last
commit is done again from the one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from monitor.bus.port import Bus
from monitor.codec.chunks import Assembler
from monitor.events import Outgoing, TopicPartition
from monitor.panes.ledger import KIND, Heartbeat, decode_entry, kind_of
from monitor.panes.pane import Pane, RawPane
from monitor.panes.position import ProfilePosition
from monitor.runner.sequences import SEQUENCE, writer_and_sequence
from monitor.runner.topics import read_whole, records_of

Name = tuple[str | int, ...]
"""What names an output, whenever it is made again: a pane by model, stream and index, a dead letter by its offset."""


@dataclass(slots=True)
class Present:
    """Outputs of one writer from the tails on. `sequences`: the number behind the newest, by output partition.

    `names`: of what is there, by output partition, from the numbers of the last commit on or from its own.
    """

    sequences: dict[str, int] = field(default_factory=dict)
    names: dict[str, set[Name]] = field(default_factory=dict)
    heartbeats: set[tuple[int, int]] = field(default_factory=set)

    def lacks(self, position: ProfilePosition) -> bool:
        """Whether outputs that a committed position names are not there."""
        return any(self.sequences.get(place, 0) < number for place, number in position.sequences.items())

    def without(self, outputs: Iterable[Outgoing]) -> list[Outgoing]:
        """The outputs that are not there yet."""
        return [o for o in outputs if _name(o) not in self.names.get(f"{o.topic}/{o.partition}", ())]


def look_up(bus: Bus, writer: str, places: Iterable[TopicPartition], position: ProfilePosition) -> Present:
    """What is there of a writer's outputs. Where what lay behind the tail is deleted, all counts as there."""
    present = Present()
    before = position.before.sequences if position.before is not None else {}
    for tp in places:
        place = f"{tp.topic}/{tp.partition}"
        tail = position.tails.get(place, 0)
        if bus.beginning(tp) > tail:
            present.sequences[place] = position.sequences.get(place, 0)
            continue
        present.sequences[place] = before.get(place, 0)
        _look_into(bus, tp, tail, writer, present)
    return present


def _look_into(bus: Bus, tp: TopicPartition, tail: int, writer: str, present: Present) -> None:
    place, assembler = f"{tp.topic}/{tp.partition}", Assembler()
    names = present.names.setdefault(place, set())
    for batch in read_whole(bus, tp, tail):
        for record in records_of(batch):
            headers = dict(record.headers)
            if SEQUENCE not in headers:
                continue
            found, number = writer_and_sequence(record.headers)
            if found != writer:
                continue
            present.sequences[place] = max(present.sequences[place], number + 1)
            value = assembler.feed(record)
            if value is not None:
                output = Outgoing(record.topic, record.partition, record.key, value, record.headers)
                names.add(_name(output))
                present.heartbeats |= _heartbeat(output)


def _heartbeat(output: Outgoing) -> set[tuple[int, int]]:
    if KIND not in dict(output.headers) or kind_of(output.headers) != "heartbeat":
        return set()
    beat = decode_entry("heartbeat", output.value or b"")
    return {(beat.offset, beat.watermark)} if isinstance(beat, Heartbeat) else set()


def _name(output: Outgoing) -> Name:
    headers: Mapping[str, bytes] = dict(output.headers)
    if KIND not in headers:
        return ("dead letter", int(headers["sd-offset"]))
    kind = kind_of(output.headers)
    entry = decode_entry(kind, output.value or b"")
    if isinstance(entry, Pane | RawPane):
        sampled = isinstance(entry, RawPane) and not entry.complete
        return ("sample" if sampled else "pane", entry.model, entry.stream, entry.index)
    return (kind, (output.value or b"").decode())
