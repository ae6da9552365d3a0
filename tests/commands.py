"""Commands as people write them, without the clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, records_of
from monitor.events import Outgoing, TopicPartition
from monitor.ledger.commands import Accept, Acknowledge, Command, Expire, Matcher, Rebuild, Request, Silence
from monitor.ledger.entries import COMMANDS, Decision
from monitor.ledger.entry_codec import decode_entry, encode_entry, kind_of
from monitor.ledger.ledger_topics import LedgerTopics


def command(model: str, request: Request, nonce: str = "1", prefix: str = "sd.", time: int = 0) -> Command:
    """A command for a service in memory."""
    return Command(model, request, "somebody", time, nonce, "memory", prefix)


def rebuild_of(model: str, topics: LedgerTopics, nonce: str = "1") -> Outgoing:
    """The record by which somebody asks for a model's rebuild."""
    return record_of(command(model, Rebuild(), nonce, topics.prefix), topics)


def record_of(asked: Command, topics: LedgerTopics) -> Outgoing:
    """The record of a command."""
    return encode_entry(asked, topics.name("commands"), topics.partition_of(asked.model))


def copies(bus: Bus, topics: LedgerTopics) -> Iterator[Decision]:
    """The commands that were copied into the ledger, as the decisions that they became."""
    for p in range(topics.partitions):
        for batch in read_whole(bus, TopicPartition(topics.name("ledger"), p)):
            for record in records_of(batch):
                if kind_of(record.headers) == "decision" and b"\0" not in (record.key or b""):  # else a chunk
                    decision = decode_entry(record.headers, record.value or b"")
                    if isinstance(decision, Decision) and decision.kind in COMMANDS:
                        yield decision


def silence(lasts_ms: int, *matchers: str) -> Silence:
    """A silence from where it counts; `matchers` such as 'alertname=Psi'."""
    parts = [part.partition("=") for part in matchers]
    return Silence(tuple(Matcher(label, "=", value) for label, _, value in parts), "try", lasts_ms)


def accept(
    start: int, end: int, stream: Literal["features", "predictions", ""] = "", columns: tuple[str, ...] = ()
) -> Accept:
    """What came in a stretch of event time, ms, is normal."""
    return Accept("try", start, end, stream, columns)


def acknowledge(incident: str) -> Acknowledge:
    """What says that somebody has taken on an incident."""
    return Acknowledge(incident, "looking")


def expire(name: str) -> Expire:
    """The end of a silence."""
    return Expire(name)
