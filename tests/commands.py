"""Commands as people write them, without the clock."""

from __future__ import annotations

from typing import Literal

from monitor.events import Outgoing
from monitor.ledger.commands import Accept, Command, Expire, Matcher, Rebuild, Request, Silence
from monitor.ledger.entry_codec import encode_entry
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


def silence(lasts_ms: int, *matchers: str) -> Silence:
    """A silence from where it counts; `matchers` such as 'alertname=Psi'."""
    parts = [part.partition("=") for part in matchers]
    return Silence(tuple(Matcher(label, "=", value) for label, _, value in parts), "try", lasts_ms)


def accept(start: int, end: int, stream: Literal["features", "predictions", ""] = "") -> Accept:
    """What came in a stretch of event time, ms, is normal."""
    return Accept("try", start, end, stream)


def expire(name: str) -> Expire:
    """The end of a silence."""
    return Expire(name)
