"""`streamdrift top`: the streams of all models, their columns by drift, and what fires, again and again or once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sized

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
_LEAST = 4
"""Rows that each table has room for, however low the terminal is."""
_AROUND = 8
"""Lines that are no rows: the heading's, those of the tables' heads, and between tables."""
_FINGERPRINT = 12
"""Letters of a fingerprint that are shown: more than `explain` needs to find it."""
_HEADS = ("psi", "js", "ks", "missing", "new")
"""What the metrics of `SHOWN` are called in a table."""
_NAMES = ("model", "stream", "state", "column", "alert", "of", "metric")
"""Columns that are cut where the terminal is narrow, the longest first; numbers and times never are."""


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
    """A heading and three tables, each with as many rows as these lines have room for."""
    room = max(3 * _LEAST, lines - _AROUND)
    streams = _most_lag(snapshot.streams, _fitting(snapshot.streams, room // 3))
    alerts = snapshot.alerts[: _fitting(snapshot.alerts, room // 3)]
    left = room - sum(min(len(rows), room // 3) for rows in (snapshot.streams, snapshot.alerts))
    columns = snapshot.columns[: _fitting(snapshot.columns, left)]
    many = len({row.model for row in snapshot.streams}) > 1
    parts: list[RenderableType] = [*_heading(snapshot, name), Text()]
    if streams:
        parts += [_streams(streams), *_more(len(snapshot.streams) - len(streams), "stream"), Text()]
    parts += [_columns(columns, many), *_more(len(snapshot.columns) - len(columns), "column")]
    if alerts:
        parts += [Text(), _alerts(alerts, many), *_more(len(snapshot.alerts) - len(alerts), "alert")]
    return Group(*parts)


def _heading(snapshot: Snapshot, name: str) -> Iterator[Text]:
    models = {row.model for row in snapshot.streams}
    lag = sum({row.topic: row.lag for row in snapshot.streams}.values())
    yield _cut(Text.assemble(("streamdrift top", "bold"), f"  {printable(name)}"))
    yield _cut(
        Text.assemble(
            f"{_number(len(models), 'model')}, ",
            (f"{_number(len(snapshot.alerts), 'alert')} firing", STYLES["firing"] if snapshot.alerts else ""),
            f", {_number(lag, 'record')} not folded, {_number(snapshot.undecided, 'entry', 'entries')} not judged",
        )
    )


def _fitting(rows: Sized, lines: int) -> int:
    """Return how many rows are shown in that many lines: all, or one less than lines, which leaves one for `_more`."""
    return len(rows) if len(rows) <= lines else lines - 1


def _most_lag(rows: list[StreamRow], number: int) -> list[StreamRow]:
    """Return all rows in their order, or, if there are more than this number, those with the most lag."""
    return rows if len(rows) <= number else sorted(rows, key=lambda row: -row.lag)[:number]


def _streams(rows: list[StreamRow]) -> Table:
    table = _table("model", "stream", "state", "events/s", "lag", "judged to (UTC)")
    for row in rows:
        table.add_row(
            _name(row.model),
            _name(row.stream),
            _name(row.state or "nothing lately"),
            "" if row.per_second is None else f"{row.per_second:,.1f}",
            f"{row.lag:,}",
            "" if row.to is None else _time(row.to),
        )
    return table


def _columns(rows: list[ColumnRow], many: bool) -> RenderableType:
    """`many`: there are several models, so that the one of each row is shown."""
    if not rows:
        return Text("no window has closed lately", style="dim")
    table = _table("column", *(("model",) if many else ()), "rows", *_HEADS, "alerts")
    for row in rows:
        table.add_row(
            _name(row.column),
            *((_name(row.model),) if many else ()),
            f"{row.events:,}",
            *("" if metric not in row.scores else f"{row.scores[metric]:.3f}" for metric in SHOWN),
            Text(str(row.alerts) if row.alerts else "", style=STYLES["firing"]),
        )
    return table


def _alerts(messages: list[Data], many: bool) -> Table:
    model = ("model",) if many else ()
    table = _table("fingerprint", "alert", "of", *model, "metric", "value", "limit", "since (UTC)")
    for message in messages:
        data = message["data"]
        labels, evidence = data["labels"], data["evidence"]
        table.add_row(
            data["fingerprint"][:_FINGERPRINT],
            _name(labels["alertname"], STYLES["firing"]),
            _name(place_of_alert(labels)),
            *((_name(labels["model"]),) if many else ()),
            _name(labels["metric"]),
            f"{evidence['value']:.4g}",
            f"{evidence['op']} {evidence['threshold']:.4g}",
            _time(data["startsAt"])[5:16],
        )
    return table


def _table(*heads: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for head in heads:
        is_number = head in (*_HEADS, "rows", "events/s", "lag", "alerts", "value")
        table.add_column(head, justify="right" if is_number else "left", no_wrap=head not in _NAMES)
    return table


def _name(text: str, style: str = "") -> Text:
    """A cell of a column that may be narrower than its text."""
    return _cut(Text(printable(text), style=style))


def _cut(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


def _more(number: int, what: str) -> Iterator[Text]:
    if number > 0:
        yield Text(f"and {_number(number, f'more {what}')}", style="dim")


def _number(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
