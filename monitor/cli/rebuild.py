"""`streamdrift rebuild`: the command to fold a stopped model again, written to the ledger for the service to read."""

from __future__ import annotations

import time

import typer

from monitor.cli.shell import open_settings_bus, settings_of
from monitor.errors import BusError, ConfigurationError
from monitor.events import TopicPartition
from monitor.ledger.entries import Command
from monitor.ledger.entry_codec import encode_entry
from monitor.ledger.position_records import Stopped, decode_model
from monitor.runner.positions import Positions
from monitor.service import ledger_topics

PATIENCE_S = 600.0


def rebuild(model: str, bus_url: str | None, wait: bool) -> None:
    """Write the command, and wait until the model runs again."""
    settings = settings_of(bus=bus_url)
    bus = open_settings_bus(settings)
    topics = ledger_topics(settings)
    ledger = topics.name("ledger")
    if bus.partitions(ledger) is None:
        raise ConfigurationError(f"{bus.name} has no topic {ledger}: the service never ran there")
    tp = TopicPartition(ledger, topics.partition_of(model))
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
    sender.send(encode_entry(Command("rebuild", model), tp.topic, tp.partition))
    sender.flush()
    typer.echo(f"{model}: the command is written; it was stopped because {stopped[model].why}", err=True)
    until = time.monotonic() + PATIENCE_S
    while wait and model in all_stopped():
        if time.monotonic() > until:
            raise BusError(f"the service has not rebuilt {model} within {PATIENCE_S:g} s: is it running?")
        time.sleep(0.5)
    if wait:
        typer.echo(f"{model}: rebuilt")
    bus.close()
