"""`streamdrift rebuild`: the command to fold a stopped model again, written to `commands` for the service to read."""

from __future__ import annotations

import time

import typer

from monitor.cli.shell import open_settings_bus_to_read, settings_of
from monitor.errors import BusError, ConfigurationError
from monitor.events import TopicPartition
from monitor.ledger.entries import Command
from monitor.ledger.entry_codec import encode_entry
from monitor.ledger.position_records import Stopped, decode_model
from monitor.runner.positions import Positions
from monitor.service import ledger_topics

PATIENCE_S = 60.0
"""Within that the service takes a command; the rebuild itself takes as long as the ledger is."""


def rebuild(model: str, bus_url: str | None, wait: bool) -> None:
    """Write the command, and wait until the model runs again."""
    settings = settings_of(bus=bus_url)
    bus = open_settings_bus_to_read(settings)
    topics = ledger_topics(settings)
    commands = topics.name("commands")
    if bus.partitions(commands) is None:
        raise ConfigurationError(f"{bus.name} has no topic {commands}: the service never ran there")
    tp = TopicPartition(topics.name("ledger"), topics.partition_of(model))
    positions = Positions(bus, topics, f"{topics.prefix}evaluate")

    def all_stopped() -> dict[str, Stopped]:
        positions.follow()
        records = {name: decode_model(value) for name, value in positions.models(tp).items()}
        return {name: record.stopped for name, record in sorted(records.items()) if record.stopped is not None}

    stopped = all_stopped()
    if model not in stopped:
        names = ", ".join(stopped)
        raise ConfigurationError(f"model {model} is not stopped; " + (f"stopped: {names}" if names else "no model is"))
    sender = bus.sender()
    sender.send(encode_entry(Command("rebuild", model), commands, tp.partition))
    sender.flush()
    typer.echo(f"{model}: the command is written; it was stopped because {stopped[model].why}", err=True)
    until, is_taken = time.monotonic() + PATIENCE_S, bool(stopped[model].rebuild)
    while wait and (now := all_stopped().get(model)) is not None:
        if is_taken and not now.rebuild:
            raise BusError(f"the service has not rebuilt {model}: {now.why}")
        is_taken = is_taken or bool(now.rebuild)
        if not is_taken and time.monotonic() > until:
            raise BusError(f"the service has not begun to rebuild {model} within {PATIENCE_S:g} s: is it running?")
        time.sleep(0.5)
    if wait:
        typer.echo(f"{model}: rebuilt")
    bus.close()
