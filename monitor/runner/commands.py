"""One partition of the topic `commands`: its records in order, as commands or as what can't be one.

The position record of the ledger partition says up to where all that was taken is certain to be in the ledger, which is
one commit behind: a commit that a broker tears may lose the copy and keep the record. So after a crash a command may be
read again; `command_desk.py` knows what was copied. No more than MOST_UNCERTAIN offsets are read ahead of what is
certain, so little is read twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from monitor.bus.port import Bus
from monitor.bus.reading import PATIENCE_MS, records_of
from monitor.bus.secret_file import read_secret
from monitor.errors import FormatError, NewerRelease
from monitor.events import Record, TopicPartition
from monitor.ledger.commands import MOST_BYTES, SIGNATURE, Command, is_signature
from monitor.ledger.entry_codec import decode_command

FOLLOW_S = 1.0
"""How often commands are looked for."""
MOST_UNCERTAIN = 500


class Gate(NamedTuple):
    """What a command has to fit: cluster and prefix of the service, and the key that signs, if there is one."""

    cluster: str
    prefix: str
    key: str | None = None


def key_in(path: Path | None) -> str | None:
    """The key in a file, None without one; raises ConfigurationError."""
    return None if path is None else read_secret(path)


class Placed(NamedTuple):
    """A command and where it stands."""

    command: Command
    place: str


class Unusable(NamedTuple):
    """A record that is no command for this service. `text`: what is wrong with it."""

    reason: Literal["unreadable", "unsigned", "elsewhere"]
    text: str
    place: str


class Commands:
    """One partition of `commands`. `safe`: the offset below which all that was accepted is in the ledger."""

    def __init__(self, bus: Bus, tp: TopicPartition, gate: Gate) -> None:
        self.safe = 0
        self._bus = bus
        self._tp = tp
        self._gate = gate
        self._next = 0
        self._handed = 0

    def restore(self, safe: int) -> None:
        """Go on from what a position record says."""
        self.safe = self._next = self._handed = safe

    def read(self) -> Iterator[Placed | Unusable]:
        """What has come since the last time."""
        end = min(self._bus.last_stable(self._tp), max(self.safe, self._bus.beginning(self._tp)) + MOST_UNCERTAIN)
        if end <= self._next:
            return
        at = max(self._next, self._bus.beginning(self._tp))
        while at < end:
            batch = self._bus.read(self._tp, at, end, PATIENCE_MS)
            for record in records_of(batch):
                yield self._decoded(record)
            at = batch.offsets[-1] + 1 if batch.offsets else end
        self._next = end

    def _decoded(self, record: Record) -> Placed | Unusable:
        place, value = f"{record.topic}/{record.partition}@{record.offset}", record.value or b""
        try:
            if len(value) > MOST_BYTES:
                raise FormatError(f"it has more than {MOST_BYTES} bytes")
            command = decode_command(record.headers, value)
        except (FormatError, NewerRelease) as error:
            return Unusable("unreadable", str(error), place)
        if (command.cluster, command.prefix) != (self._gate.cluster, self._gate.prefix):
            return Unusable("elsewhere", "it is for another cluster or another prefix", place)
        signed = next((value for name, value in record.headers if name == SIGNATURE), None)
        if self._gate.key is not None and not is_signature(signed, self._gate.key, value):
            return Unusable("unsigned", "its signature is not made with this service's key, or missing", place)
        return Placed(command, place)

    @property
    def has_news(self) -> bool:
        """Return true if records were read behind what the newest commit knows."""
        return self._next > self._handed

    def commit(self) -> int:
        """What the record of the commit at hand says: `safe`."""
        self._handed = self._next
        return self.safe

    def confirm(self) -> None:
        """The commit is done, and the decisions of all commands read by then with it."""
        self.safe = self._handed
