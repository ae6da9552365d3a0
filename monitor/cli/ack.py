"""`streamdrift ack`: the command that lets everybody know who has taken on an incident."""

from __future__ import annotations

import typer

from monitor.cli.commanding import Desk
from monitor.cli.incidents import newest_of, the_one
from monitor.cli.shell import open_settings_bus_to_read, settings_of
from monitor.cli.tail import printable
from monitor.ledger.commands import Acknowledge


def ack(incident: str, comment: str, author: str | None, bus_url: str | None) -> None:
    """Write the command, and wait until the service has taken it."""
    settings = settings_of(bus=bus_url)
    bus = open_settings_bus_to_read(settings)
    try:
        desk = Desk(bus, settings)
        found = the_one(incident, newest_of(bus, settings.prefix))
        sent = desk.send(found["model"], Acknowledge(found["incident"], comment), author)
        sent.wait()
        typer.echo(f"{found['incident']}: acknowledged by {printable(sent.command.author)}")
        typer.echo(printable(f"{found['model']}: {found['title']}"), err=True)
    finally:
        bus.close()
