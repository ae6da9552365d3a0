"""`streamdrift rebuild`: the command to fold a stopped model again, written to `commands` for the service to read."""

from __future__ import annotations

import time

import typer

from monitor.cli.commanding import PATIENCE_S, Desk
from monitor.cli.shell import open_settings_bus_to_read, settings_of
from monitor.errors import BusError, ConfigurationError
from monitor.events import TopicPartition
from monitor.ledger.commands import Rebuild
from monitor.ledger.position_records import Stopped, decode_model
from monitor.runner.positions import Positions


def rebuild(model: str, bus_url: str | None, wait: bool) -> None:
    """Write the command, and wait until the model runs again."""
    settings = settings_of(bus=bus_url)
    bus = open_settings_bus_to_read(settings)
    desk = Desk(bus, settings)
    tp = TopicPartition(desk.topics.name("ledger"), desk.topics.partition_of(model))
    positions = Positions(bus, desk.topics, f"{desk.topics.prefix}evaluate")

    def all_stopped() -> dict[str, Stopped]:
        positions.follow()
        records = {name: decode_model(value) for name, value in positions.models(tp).items()}
        return {name: record.stopped for name, record in sorted(records.items()) if record.stopped is not None}

    stopped = all_stopped()
    if model not in stopped:
        names = ", ".join(stopped)
        raise ConfigurationError(f"model {model} is not stopped; " + (f"stopped: {names}" if names else "no model is"))
    sent = desk.send(model, Rebuild())
    typer.echo(f"{model}: the command is written; it was stopped because {stopped[model].why}", err=True)
    until, is_taken = time.monotonic() + PATIENCE_S, bool(stopped[model].rebuild)
    while wait and (now := all_stopped().get(model)) is not None:
        sent.look()  # a model that stands still has no echo but a refusal
        if is_taken and not now.rebuild:
            raise BusError(f"the service has not rebuilt {model}: {now.why}")
        is_taken = is_taken or bool(now.rebuild)
        if not is_taken and time.monotonic() > until:
            raise BusError(f"the service has not begun to rebuild {model} within {PATIENCE_S:g} s: is it running?")
        time.sleep(0.5)
    if wait:
        typer.echo(f"{model}: rebuilt")
    bus.close()
