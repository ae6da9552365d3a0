"""Commands of people for the models of one ledger partition: read from the topic `commands`, each once.

The owner of the ledger partition makes those that it accepts decisions in the ledger, in a transaction; from there they
are decisions like any other. The position record says up to where that is certain, which is one commit behind: a commit
that a broker tears may lose the decision and keep the record. So after a crash a command may be read again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from monitor.bus.port import Bus
from monitor.bus.reading import PATIENCE_MS, records_of
from monitor.errors import FormatError, NewerRelease
from monitor.events import Record, TopicPartition
from monitor.ledger.entries import Command, Decision, new_decision
from monitor.ledger.entry_codec import decode_command
from monitor.telemetry import Log

FOLLOW_S = 1.0
"""How often commands are looked for."""


class Placed(NamedTuple):
    """A command and where it stands."""

    command: Command
    place: str

    @property
    def decision(self) -> Decision:
        """The decision that it becomes: the same one if it is read again."""
        return new_decision(self.command.model, self.command.command, f'"{self.place}"')


class Commands:
    """One partition of `commands`. `safe`: the offset below which all that was accepted is in the ledger."""

    def __init__(self, bus: Bus, tp: TopicPartition, log: Log) -> None:
        self.safe = 0
        self._bus = bus
        self._tp = tp
        self._log = log
        self._next = 0
        self._handed = 0

    def restore(self, safe: int) -> None:
        """Go on from what a position record says."""
        self.safe = self._next = self._handed = safe

    def read(self) -> Iterator[Placed]:
        """The commands since the last time; one that can't be read is logged and passed over."""
        end = self._bus.last_stable(self._tp)
        if end <= self._next:
            return
        at = max(self._next, self._bus.beginning(self._tp))
        while at < end:
            batch = self._bus.read(self._tp, at, end, PATIENCE_MS)
            for record in records_of(batch):
                if (command := self._decoded(record)) is not None:
                    yield Placed(command, f"{record.topic}/{record.partition}@{record.offset}")
            at = batch.offsets[-1] + 1 if batch.offsets else end
        self._next = end

    def _decoded(self, record: Record) -> Command | None:
        try:
            return decode_command(record.headers, record.value or b"")
        except (FormatError, NewerRelease) as error:
            self._log.error("command_ignored", partition=record.partition, offset=record.offset, why=str(error))
            return None

    def commit(self) -> int:
        """What the record of the commit at hand says: `safe`."""
        self._handed = self._next
        return self.safe

    def confirm(self) -> None:
        """The commit is done, and the decisions of all commands read by then with it."""
        self.safe = self._handed
