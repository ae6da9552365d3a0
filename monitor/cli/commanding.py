"""What commands of people share: they are written to `commands`, and their echo is waited for.

The echo of one that the service has taken is its activation in `decisions`, with the pane from which it counts; that of
one that it has refused is a notice in `alerts`, with the reason.
"""

from __future__ import annotations

import getpass
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec

from monitor.bus.port import Bus, Needs
from monitor.bus.reading import read_whole, records_of, whole_values
from monitor.codec.chunks import Assembler
from monitor.codec.times import parse_time
from monitor.errors import BusError, ConfigurationError
from monitor.events import Record, TopicPartition
from monitor.ledger.commands import MOST_TEXT, SIGNATURE, Command, Request, fault_of, signature
from monitor.ledger.entries import Activation, Agreement
from monitor.ledger.entry_codec import decode_agreement, encode_entry
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.log_lines import escaped
from monitor.runner.commands import key_in
from monitor.service import ledger_topics
from monitor.settings import Settings

PATIENCE_S = 60.0
"""Within that the service answers a command."""
_LOOK_S = 0.2


def time_of(flag: str, text: str) -> int:
    """The time that a flag gives, ms UTC; raises ConfigurationError."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise ConfigurationError(f"{flag}: {text!r} is no time: write 2026-11-21T10:00:00Z") from error


class Desk:
    """Hands in commands for the service of these settings."""

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self.bus = bus
        self.topics: LedgerTopics = ledger_topics(settings)
        self._key = key_in(settings.command_key_file)
        if bus.partitions(self.topics.name("commands")) is None:
            raise ConfigurationError(
                f"{bus.name} has no topic {self.topics.name('commands')}: the service never ran there"
            )

    def send(self, model: str, request: Request, author: str | None = None) -> Sent:
        """Write a command; raises ConfigurationError if it would be refused, BusError if it may not be written."""
        now, nonce = int(time.time() * 1000), secrets.token_hex(8)
        by = (author or getpass.getuser())[:MOST_TEXT]
        command = Command(model, request, by, now, nonce, self.bus.cluster_id(), self.topics.prefix)
        if why := fault_of(command):
            raise ConfigurationError(f"{command.kind} of {model}: {why}")
        topic = self.topics.name("commands")
        self.bus.check_rights(Needs((), (topic,), ()))
        sent = Sent(self.bus, self.topics, command)
        record = encode_entry(command, topic, self.topics.partition_of(model))
        if self._key is not None:
            signed = (SIGNATURE, signature(self._key, record.value or b""))
            record = replace(record, headers=(*record.headers, signed))
        sender = self.bus.sender()
        sender.send(record)
        sender.flush()
        return sent


class Sent:
    """A command on its way; made before it is written, so that no answer is missed."""

    def __init__(self, bus: Bus, topics: LedgerTopics, command: Command) -> None:
        self.command = command
        self._bus = bus
        decisions = TopicPartition(topics.name("decisions"), 0)
        alerts = TopicPartition(topics.name("alerts"), topics.partition_of(command.model))
        self._at = {tp: bus.end(tp) for tp in (decisions, alerts)}
        self._decisions = decisions
        self._echo: Activation | None = None
        self._answer: Activation | None = None
        self._assembler = Assembler(compacted=True)

    def wait(self) -> Activation:
        """The activation of the command; raises ConfigurationError if it is refused, BusError if nobody answers."""
        until = time.monotonic() + PATIENCE_S
        while (echo := self.look()) is None:
            if time.monotonic() > until:
                raise BusError(
                    f"nobody has taken {self.command.kind} {self.command.id} within {PATIENCE_S:g} s: is the service "
                    "running there, and does it know the same STREAMDRIFT_COMMAND_KEY_FILE? It may still be taken"
                )
            time.sleep(_LOOK_S)
        return echo

    def wait_for_answer(self) -> Activation:
        """The reference that was made because of it; raises ConfigurationError if the command is refused."""
        while self._answer is None:
            self.look()
            time.sleep(_LOOK_S)
        return self._answer

    def look(self) -> Activation | None:
        """What has come of it: its activation, or None yet; raises ConfigurationError if it is refused."""
        for record, value in self._news():
            if record.topic == self._decisions.topic:
                self._hear(decode_agreement(record.headers, value))
            elif (why := _refusal(msgspec.json.decode(value), self.command.id)) is not None:
                raise ConfigurationError(escaped(why))
        return self._echo

    def _hear(self, agreed: Agreement) -> None:
        if not isinstance(agreed, Activation):
            return
        if agreed.decision.digest == self.command.decision.digest:
            self._echo = agreed
        if agreed.decision.command == self.command.id and agreed.decision.kind == "reference":
            self._answer = agreed

    def _news(self) -> Iterator[tuple[Record, bytes]]:
        """Records that have come since the last look."""
        for tp, start in self._at.items():
            for batch in read_whole(self._bus, tp, start, to=self._bus.last_stable(tp)):
                self._at[tp] = batch.offsets[-1] + 1
                if tp == self._decisions:
                    yield from whole_values(self._assembler, batch)
                else:
                    yield from ((record, record.value) for record in records_of(batch) if record.value is not None)


def _refusal(message: Any, command: str) -> str | None:
    """The text of a notice, if it refuses the command of this id."""
    data = message["data"]
    labels = data.get("labels", {})
    is_it = labels.get("alertname") == "CommandRefused" and labels.get("command") == command
    return str(data["text"]) if is_it else None
