"""What an input partition's task has written behind its last commit but one, as its output topics hold it now.

One transaction writes outputs, offsets and the position record; yet a broker that crashes can keep one part and lose
the other. So a restart looks into the output topics, from where they ended before the last commit. Outputs that the
position knows nothing of are not written again, and their heartbeats and switches of contract count; if some that it
names are gone, the last commit is done again from the one before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, records_of
from monitor.codec.chunks import Assembler
from monitor.codec.reasons import QUARANTINED
from monitor.events import OffsetRange, Outgoing, TopicPartition
from monitor.ledger.entries import BEFORE_ALL, ContractSwitch, Entry, Heartbeat, Notice
from monitor.ledger.entry_codec import KIND, decode_entry, kind_of
from monitor.ledger.position_records import ProfilePosition, Switch, switch_of
from monitor.panes.keyed import KeyedRows
from monitor.panes.pane import Pane, RawPane
from monitor.profile.notices import RECORD_QUARANTINED, place_quarantined
from monitor.runner.sequences import SEQUENCE, writer_and_sequence

DEAD_LETTER, PANE, SAMPLE, KEYED = "dead letter", "pane", "sample", "keyed"
_OF_A_PANE = (PANE, SAMPLE, KEYED)
Name = tuple[str | int, ...]
"""What names an output, whenever it is made again: a pane by model, stream, contract and times, keyed rows by
part, too, a dead letter by its offset."""


@dataclass(slots=True)
class Present:
    """Outputs of one writer from the tails on. `sequences`: the number behind the newest, by output partition.

    `names`: of what is there, by output partition, from the numbers of the last commit on or from its own.
    """

    sequences: dict[str, int] = field(default_factory=dict)
    names: dict[str, set[Name]] = field(default_factory=dict)
    heartbeats: set[Heartbeat] = field(default_factory=set)
    switches: list[Switch] = field(default_factory=list)
    quarantined: set[int] = field(default_factory=set)
    """Offsets of records that were left out, as a dead letter or a notice says."""
    rows: dict[Name, OffsetRange] = field(default_factory=dict)
    """The rows of each pane and sample among the names."""

    def expect(self, heartbeats: Iterable[Heartbeat], switches: Iterable[Switch]) -> None:
        """These will be there with the next commit: until they are behind a position, a restart has to find them."""
        self.heartbeats |= set(heartbeats)
        self.switches += [switch for switch in switches if switch not in self.switches]

    @property
    def is_empty(self) -> bool:
        """True if nothing is there that has yet to be folded."""
        return not (any(self.names.values()) or self.heartbeats or self.switches or self.quarantined)

    def lacks(self, position: ProfilePosition) -> bool:
        """Return true if outputs that a committed position names are not there."""
        return any(self.sequences.get(place, 0) < number for place, number in position.sequences.items())

    def without(self, outputs: Iterable[Outgoing]) -> list[Outgoing]:
        """The outputs that are not there yet."""
        return [o for o in outputs if not self._has(o)]

    def is_ahead_of(self, position: ProfilePosition, pane_ms: Mapping[str, int]) -> bool:
        """Return true if some of it belongs to what is not folded at a position, and may have to be looked up again.

        Of records that is those behind its low-water mark: a row that waits for its neighbours is rejected after
        records that follow it. `pane_ms`: of the models that are folded.
        """
        offsets = {beat.offset for beat in self.heartbeats} | {switch.offset for switch in self.switches}
        names = [name for names in self.names.values() for name in names]
        offsets |= {int(name[1]) + 1 for name in names if name[0] == DEAD_LETTER}
        offsets |= {offset + 1 for offset in self.quarantined}
        panes = [name for name in names if name[0] in _OF_A_PANE and name[1] in pane_ms]
        is_ahead = any(offset > position.low.offset for offset in offsets)
        # any lane may have waited there, also one that is left by now
        return is_ahead or any(_was_open(name, position, pane_ms[str(name[1])]) for name in panes)

    def rejects_beyond(self, position: int, waiting: Collection[int]) -> bool:
        """Return true if records are rejected that have yet to be read at a position, or wait there to be decided."""
        names = [name for names in self.names.values() for name in names]
        offsets = self.quarantined | {int(name[1]) for name in names if name[0] == DEAD_LETTER}
        return any(offset >= position or offset in waiting for offset in offsets)

    def seals_beyond(self, watermark: int, models: Collection[str]) -> bool:
        """Return true if panes or samples of the models are there that end behind a watermark (ms)."""
        panes = (name for names in self.names.values() for name in names if name[0] in (PANE, SAMPLE))
        return any(int(name[5]) > watermark for name in panes if name[1] in models)

    def is_beyond(
        self, position: ProfilePosition, waiting: Collection[int], lanes: Mapping[str, tuple[str, int]]
    ) -> bool:
        """Return true if some of it follows from what has yet to be folded at a position.

        `waiting`: offsets of rows that wait to be accepted or rejected. `lanes`: of the models that are folded, each
        with the length of its panes; a lane that is left waits for no grid, and has sealed its panes as it was left.
        """
        names = [name for names in self.names.values() for name in names]
        switches = [switch for switch in self.switches if switch not in position.switches]
        panes = [(name, *lanes[str(name[1])]) for name in names if name[0] in _OF_A_PANE and name[1] in lanes]
        panes = [pane for pane in panes if pane[0][3] == pane[1] or not self._is_read(pane[0], position, waiting)]
        return (
            self.rejects_beyond(position.position, waiting)
            or any(switch.offset >= position.position or switch.offset in waiting for switch in switches)
            or any(_is_behind(position, beat) for beat in self.heartbeats)
            or any(_was_open(name, position, pane_ms, waits=name[3] == lane) for name, lane, pane_ms in panes)
        )

    def _is_read(self, name: Name, position: ProfilePosition, waiting: Collection[int]) -> bool:
        """Return true if all rows of a pane, or of keyed rows that of theirs, have been folded at a position."""
        rows = self.rows.get((PANE, *name[1:6]), self.rows.get((SAMPLE, *name[1:6])))
        if rows is None or rows.end > position.position:
            return False
        return not any(rows.start <= offset < rows.end for offset in waiting)

    def _has(self, output: Outgoing) -> bool:
        name = _name(output, _entry_of(output))
        if name[0] == DEAD_LETTER:  # wherever it went when the topic had fewer partitions
            return any(name in names for names in self.names.values())
        return name in self.names.get(f"{output.topic}/{output.partition}", ())


def _was_open(name: Name, position: ProfilePosition, pane_ms: int, waits: bool = True) -> bool:
    """Return true if a pane may have yet been to be sealed at a position, or a sample to be sent.

    `pane_ms`: of the model now; `waits`: whether its lane can have waited for a grid there.
    """
    start, end, known = int(name[4]), int(name[5]), position.models.get(str(name[1]))
    if waits and known is not None and known.blocked_at is not None:
        blocked = known.blocked_at * pane_ms
        if start > blocked or (start == blocked and name[0] != SAMPLE):
            return True
    return end > (-1 if position.published_to is None else position.published_to)


@dataclass(frozen=True, slots=True)
class Known:
    """The commit to resume from, judged by what the output topics hold and not by what the position record claims.

    `heartbeats`, `switches`: those after its position, found in the ledger or in a partly lost commit; their dead
    letters may already be written. `past_switches`: those at its position that it counts; a lost commit may have
    written them to some of the ledger partitions only. `is_again`: true if outputs of the last commit are lost, so that
    it is done again from the one before.
    """

    position: ProfilePosition
    before: ProfilePosition | None
    tails: dict[str, int]
    present: Present
    heartbeats: tuple[Heartbeat, ...]
    past_switches: tuple[Switch, ...]
    switches: tuple[Switch, ...]
    is_again: bool


def to_go_on_from(bus: Bus, writer: str, places: Iterable[TopicPartition], last: ProfilePosition) -> Known:
    """Compare the last commit of a task with what its output topics hold."""
    places = list(places)
    present = look_up(bus, writer, places, last)
    names = {f"{tp.topic}/{tp.partition}": tp for tp in places}
    without = {name: bus.beginning(tp) for name, tp in names.items() if name not in last.tails}
    known, before = last, msgspec.structs.replace(last, before=None)
    if present.lacks(last) and last.before is not None:
        known = before = last.before
    beats = {*last.heartbeats, *last.written_heartbeats, *present.heartbeats}
    switches = [*last.written_switches, *last.switches, *present.switches]
    return Known(
        known,
        before,
        last.tails | without,
        present,
        tuple(sorted((b for b in beats if _is_behind(known, b)), key=lambda beat: beat.order)),
        tuple(s for s in dict.fromkeys(switches) if _has_been_here(known, s)),
        tuple(s for s in dict.fromkeys(switches) if _is_to_come(known, s)),
        known is not last,
    )


def _is_to_come(position: ProfilePosition, switch: Switch) -> bool:
    """Return true if a switch is later than a position. Of those at its offset a position keeps how many have been."""
    return (switch.offset, switch.nth) > (position.position, position.switched)


def _has_been_here(position: ProfilePosition, switch: Switch) -> bool:
    """Return true if a position counts a switch at its offset, and does not name it."""
    is_here = switch.offset == position.position and not _is_to_come(position, switch)
    return is_here and switch not in position.switches


def _is_behind(position: ProfilePosition, beat: Heartbeat) -> bool:
    """Return true if a heartbeat is later than a position. Those at one offset rise; a position keeps the newest."""
    if beat.offset != position.position:
        return beat.offset > position.position
    reached = BEFORE_ALL if position.watermark is None else position.watermark
    if beat.reached != reached or beat.silent_to is None:
        return beat.reached > reached
    return position.silent_to is None or beat.silent_to > position.silent_to


def look_up(bus: Bus, writer: str, places: Iterable[TopicPartition], position: ProfilePosition) -> Present:
    """What is there of a writer's outputs. Where what lay behind the tail is deleted, all counts as there.

    `places`: where it writes now. Where it may have written before a topic got more partitions counts, too. Where no
    tail is, the position has written nothing; but a commit whose position is lost may have, so all of it is looked at.
    """
    before = position.before.sequences if position.before is not None else {}
    present = Present(dict(position.sequences))
    for tp in sorted({*places, *map(_partition_of, position.tails)}):
        place = f"{tp.topic}/{tp.partition}"
        tail, beginning = position.tails.get(place), bus.beginning(tp)
        is_known = tail is not None and tail >= beginning
        present.sequences[place] = (before if is_known else position.sequences).get(place, 0)
        tail = beginning if tail is None else max(tail, beginning)
        _look_into(bus, tp, tail, writer, present)
    return present


def _partition_of(place: str) -> TopicPartition:
    topic, _, partition = place.rpartition("/")
    return TopicPartition(topic, int(partition))


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
                entry = _entry_of(output)
                name = _name(output, entry)
                names.add(name)
                _remember(output, name, entry, present)


def _remember(output: Outgoing, name: Name, entry: Entry | None, present: Present) -> None:
    """What has to happen again at its place of the log."""
    headers = dict(output.headers)
    if headers.get("sd-reason") == QUARANTINED.encode():
        present.quarantined.add(int(headers["sd-offset"]))
    if isinstance(entry, Pane | RawPane):
        present.rows[name] = entry.offsets
    elif isinstance(entry, Heartbeat):
        present.heartbeats.add(entry)
    elif isinstance(entry, Notice) and entry.name == RECORD_QUARANTINED:
        present.quarantined.add(place_quarantined(entry)[1])
    elif isinstance(entry, ContractSwitch):
        switch = switch_of(entry)
        present.switches += [switch] if switch not in present.switches else []


def _entry_of(output: Outgoing) -> Entry | None:
    """The entry of the ledger that an output is; None: a dead letter."""
    is_entry = any(name == KIND for name, _ in output.headers)
    return decode_entry(output.headers, output.value or b"") if is_entry else None


def _name(output: Outgoing, entry: Entry | None) -> Name:
    if entry is None:
        return (DEAD_LETTER, int(dict(output.headers)["sd-offset"]))
    if isinstance(entry, Pane | RawPane):
        sampled = isinstance(entry, RawPane) and not entry.complete
        end = entry.start + entry.pane_ms
        return (SAMPLE if sampled else PANE, entry.model, entry.stream, entry.contract, entry.start, end)
    if isinstance(entry, KeyedRows):
        place = (entry.model, entry.stream, entry.contract, entry.start, entry.start + entry.pane_ms)
        return (KEYED, *place, entry.part)
    return (kind_of(output.headers), (output.value or b"").decode())
