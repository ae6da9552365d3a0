"""`streamdrift incidents`: those that are open, or all that the topic `incidents` still holds, as a table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, whole_values
from monitor.cli.shell import open_settings_bus_to_read, settings_of
from monitor.cli.tail import STYLES, printable
from monitor.codec.chunks import Assembler
from monitor.errors import ConfigurationError
from monitor.events import TopicPartition

LEAST_LETTERS = 6
"""Fewest letters of an id that name an incident."""
Data = dict[str, Any]


def show(model: str | None, all_of_them: bool, as_json: bool, bus_url: str | None) -> None:
    """Print the incidents that are open, or all."""
    settings = settings_of(bus=bus_url)
    bus = open_settings_bus_to_read(settings)
    try:
        found = newest_of(bus, settings.prefix)
    finally:
        bus.close()
    shown = [one for one in found if model in (None, one["model"]) and (all_of_them or is_open(one))]
    if as_json:
        typer.echo(msgspec.json.encode(shown).decode())
    elif not shown:
        typer.echo("no incidents" if all_of_them else "no open incidents; --all shows those that are closed")
    else:
        Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table_of(shown))


def newest_of(bus: Bus, prefix: str) -> list[Data]:
    """The data of the newest message of each incident, in the order in which these were first opened."""
    topic = f"{prefix}incidents"
    partitions = bus.partitions(topic)
    if partitions is None:
        raise ConfigurationError(f"{bus.name} has no {topic} topic yet; has `streamdrift run` been started there?")
    return newest(value for p in range(partitions) for value in _values(bus, TopicPartition(topic, p)))


def _values(bus: Bus, tp: TopicPartition) -> Iterator[bytes]:
    assembler = Assembler()
    for batch in read_whole(bus, tp, to=bus.last_stable(tp)):
        yield from (value for _, value in whole_values(assembler, batch))


def newest(messages: Iterable[bytes]) -> list[Data]:
    """The data of the newest message of each incident. `messages`: those of each in their order."""
    found: dict[str, Data] = {}
    for value in messages:
        data = msgspec.json.decode(value)["data"]
        found[data["incident"]] = data
    return sorted(found.values(), key=lambda data: (data["startsAt"], data["incident"]))


def is_open(data: Data) -> bool:
    """Return true unless the newest message of an incident says that it has closed."""
    return bool(data["status"] != "closed")


def the_one(wanted: str, found: Sequence[Data]) -> Data:
    """The open incident that an id, or the beginning of one, names; raises ConfigurationError."""
    matching = [one for one in found if one["incident"].startswith(wanted) and len(wanted) >= LEAST_LETTERS]
    going = [one for one in matching if is_open(one)]
    if len(going) == 1:
        return going[0]
    if len(going) > 1:
        raise ConfigurationError(f"{wanted} is the beginning of several: {', '.join(one['incident'] for one in going)}")
    if matching:
        raise ConfigurationError(f"the incident {matching[-1]['incident']} has closed already")
    if len(wanted) < LEAST_LETTERS:
        raise ConfigurationError(f"{wanted!r} is too short: name at least {LEAST_LETTERS} characters of an incident")
    known = ", ".join(one["incident"] for one in found if is_open(one))
    raise ConfigurationError(
        f"there is no open incident {wanted}; " + (f"there are {known}" if known else "there is none at all")
    )


def table_of(shown: Sequence[Data]) -> Table:
    """Incidents, one a row."""
    table = Table(box=None, pad_edge=False)
    for head in ("id", "model", "state", "severity", "opened (event time)", "firing", "title"):
        table.add_column(head, overflow="fold", no_wrap=head == "id")
    for one in shown:
        state = Text(_state(one), style=STYLES["resolved" if not is_open(one) else "firing"])
        alerts = f"{one['firing_count']} of {one['alerts_count']}"
        cells = (one["severity"], one["startsAt"], alerts, printable(one["title"]))
        table.add_row(one["incident"], printable(one["model"]), state, *cells)
    return table


def _state(data: Data) -> str:
    if not is_open(data):
        return "closed"
    taken = data.get("acknowledged")
    return "open" if taken is None else f"acknowledged by {printable(taken['by'])}"
