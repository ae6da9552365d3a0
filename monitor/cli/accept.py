"""`streamdrift accept`: what came in a stretch of event time is normal, and becomes the reference of a stream."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import typer

from monitor.cli.commanding import Desk, time_of
from monitor.cli.shell import open_settings_bus_to_read, settings_of
from monitor.codec.canonical import time_text
from monitor.errors import ConfigurationError
from monitor.ledger.commands import Accept
from monitor.ledger.entries import Activation


class Stretch(NamedTuple):
    """Event time as the flags say it (RFC 3339), and the columns that are accepted, if not all."""

    start: str
    end: str
    columns: str | None = None


def accept(model: str, stream: str, stretch: Stretch, comment: str, author: str | None, bus_url: str | None) -> None:
    """Write the command, wait until the service has taken it and made the reference, and print that."""
    start, end = time_of("--from", stretch.start), time_of("--to", stretch.end)
    try:
        columns = [] if stretch.columns is None else _names(stretch.columns)
        times = {"start": start, "end": end}
        asked = {"type": "accept", "comment": comment, "stream": stream, "columns": columns, **times}
        request = msgspec.convert(asked, Accept)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"--stream {stream!r}: write features or predictions") from error
    settings = settings_of(bus=bus_url)
    bus = open_settings_bus_to_read(settings)
    try:
        sent = Desk(bus, settings).send(model, request, author)
        sent.wait()
        typer.echo(f"{model}: taken; its reference is being made, whether or not this command waits", err=True)
        typer.echo(_made(sent.wait_for_answer()))
    finally:
        bus.close()


def _names(columns: str) -> list[str]:
    """The columns that are named; raises ConfigurationError if there are none, because that would mean all."""
    names = [name.strip() for name in columns.split(",") if name.strip()]
    if not names:
        raise ConfigurationError(f"--columns {columns!r}: name a column, or leave the flag out to accept all")
    return names


def _made(answer: Activation) -> str:
    """Return what is printed of a reference."""
    decision = answer.decision
    rows = sum(part["events"] for part in msgspec.json.decode(decision.content)["slices"])
    begin = "" if answer.at is None else f", from {time_text(answer.at)} of event time on"
    return f"{decision.model}: {decision.stream} has a reference of {rows:,} rows, {decision.digest}{begin}"
