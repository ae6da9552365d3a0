"""`streamdrift top`: the streams of all models, their columns by drift, and what fires, again and again or once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import msgspec
import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from monitor.cli.board import SHOWN, Board, ColumnRow, Data, Snapshot, StreamRow
from monitor.cli.shell import open_settings_bus_to_read, settings_of
from monitor.cli.tail import STYLES, place_of_alert, printable
from monitor.errors import ConfigurationError
from monitor.service import ledger_topics

_LINES = 40
"""Lines that are shown in a pipe; on a terminal as many as it has."""
_LEAST = 3
"""Columns and alerts that are shown however low the terminal is."""
_FINGERPRINT = 16
"""Letters of a fingerprint, which `explain` takes: it is never cut."""
_HEADS = ("psi", "js", "ks", "missing", "new")
"""What the metrics of `SHOWN` are called in a table."""


def top(bus_url: str | None, every_s: float, once: bool, as_json: bool) -> None:
    """Show the service's models; on a terminal again every few seconds, until interrupted."""
    settings = settings_of(bus=bus_url)
    bus = open_settings_bus_to_read(settings)
    topics = ledger_topics(settings)
    if bus.partitions(topics.name("decisions")) is None:
        raise ConfigurationError(f"{bus.name} has no topics of ours yet; has `streamdrift run` been started there?")
    board = Board(bus, topics)
    try:
        if as_json:
            typer.echo(msgspec.json.encode(board.look()).decode())
        elif once or not sys.stdout.isatty():
            console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
            console.print(shown(board.look(), bus.name, _LINES))
        else:
            _again_and_again(board, bus.name, every_s)
    except KeyboardInterrupt:
        pass
    finally:
        bus.close()


def _again_and_again(board: Board, name: str, every_s: float) -> None:
    console = Console(highlight=False)
    with Live(shown(board.look(), name, console.height), console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(every_s)
            live.update(shown(board.look(), name, console.height), refresh=True)


def shown(snapshot: Snapshot, name: str, lines: int) -> RenderableType:
    """Three tables: all streams, and as many columns and alerts as these lines have room for."""
    models = {row.model for row in snapshot.streams}
    lag = sum({row.topic: row.lag for row in snapshot.streams}.values())
    head = f"{_number(len(models), 'model')}, {_number(len(snapshot.alerts), 'alert')} firing"
    head += f", {lag:,} records not folded, {snapshot.undecided:,} entries not judged"
    room = max(2 * _LEAST, lines - len(snapshot.streams) - 10)
    alerts = min(len(snapshot.alerts), max(_LEAST, room // 3))
    columns = max(_LEAST, room - alerts)
    parts: list[RenderableType] = [Text.assemble(("streamdrift top", "bold"), f"  {name}  {head}"), Text()]
    if snapshot.streams:
        parts += [_streams(snapshot.streams), Text()]
    parts += [_columns(snapshot.columns[:columns]), *_more(len(snapshot.columns) - columns, "column"), Text()]
    if snapshot.alerts:
        parts += [_alerts(snapshot.alerts[:alerts]), *_more(len(snapshot.alerts) - alerts, "alert")]
    return Group(*parts)


def _streams(rows: list[StreamRow]) -> Table:
    table = _table("model", "stream", "state", "events/s", "lag", "judged to")
    for row in rows:
        table.add_row(
            *(Text(printable(text)) for text in (row.model, row.stream, row.state or "nothing lately")),
            "" if row.per_second is None else f"{row.per_second:,.1f}",
            f"{row.lag:,}",
            "" if row.to is None else row.to.replace("T", " "),
        )
    return table


def _columns(rows: list[ColumnRow]) -> RenderableType:
    if not rows:
        return Text("no window has closed lately", style="dim")
    table = _table("column", "model", "rows", *_HEADS, "alerts")
    for row in rows:
        table.add_row(
            Text(printable(row.column)),
            Text(printable(row.model)),
            f"{row.events:,}",
            *("" if metric not in row.scores else f"{row.scores[metric]:.3f}" for metric in SHOWN),
            Text(str(row.alerts) if row.alerts else "", style=STYLES["firing"]),
        )
    return table


def _alerts(messages: list[Data]) -> Table:
    table = _table("fingerprint", "alert", "of", "since", "compared")
    table.columns[0].min_width = _FINGERPRINT
    for message in messages:
        data = message["data"]
        labels, evidence = data["labels"], data["evidence"]
        table.add_row(
            data["fingerprint"],
            Text(labels["alertname"], style=STYLES["firing"]),
            Text(printable("/".join(filter(None, (labels.get("model"), place_of_alert(labels)))))),
            data["startsAt"][5:].replace("T", " "),
            f"{labels['metric']} {evidence['value']:.4g} {evidence['op']} {evidence['threshold']:.4g}",
        )
    return table


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        is_number = name in (*_HEADS, "rows", "events/s", "lag", "alerts")
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True, overflow="ellipsis")
    return table


def _more(number: int, what: str) -> Iterator[Text]:
    if number > 0:
        yield Text(f"and {_number(number, f'more {what}')}", style="dim")


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
