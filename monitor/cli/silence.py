"""`streamdrift silence`: silences of alerts, added, listed and ended by commands of people.

All times are of event time, and an alert is silenced while the judging clock of its model is within them. When that is
by the clock on the wall follows from how far event time has come by now: it is an estimate.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from monitor.bus.port import Bus
from monitor.bus.reading import read_newest, read_whole, records_of
from monitor.cli.commanding import Desk, time_of
from monitor.cli.shell import open_settings_bus_to_read, settings_of
from monitor.cli.tail import printable
from monitor.codec.canonical import time_text
from monitor.codec.durations import parse_duration
from monitor.config.matchers import MatcherError, parse_matcher
from monitor.errors import ConfigurationError
from monitor.evaluate.silences import span_of
from monitor.events import TopicPartition
from monitor.ledger.commands import Command, Expire, Matcher, Silence, command_of, id_of
from monitor.ledger.entries import Activation, Heartbeat, PartitionSet, Watermark
from monitor.ledger.entry_codec import decode_entry, kind_of
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.activations import Activations

_LEAST_LETTERS = 6
"""Fewest letters of an id that name a silence."""
_NEWEST = 5000
"""Offsets of the ledger that are looked at for how far event time has come."""
State = Literal["coming", "active", "over"]


class Row(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """One silence. `start`, `end`: event time. `ends_about`: its end by the clock on the wall; None if over."""

    id: str
    model: str
    state: State
    matchers: list[str]
    start: str
    end: str
    ends_about: str | None
    by: str
    comment: str


class Span(NamedTuple):
    """When a silence is to be: as long as that, or from one time to another (RFC 3339)."""

    lasts: str | None
    start: str | None
    end: str | None


def add(model: str, matchers: Sequence[str], span: Span, comment: str, author: str | None, bus_url: str | None) -> None:
    """Write the command, wait until the service has taken it, and print the silence."""
    lasts_ms, start, end = _times(span)
    silence = Silence(tuple(map(matcher_of, matchers)), comment, lasts_ms, start, end)
    settings = settings_of(bus=bus_url)
    bus = open_settings_bus_to_read(settings)
    try:
        desk = Desk(bus, settings)
        activation = desk.send(model, silence, author).wait()
        (row,) = (row for row in rows_of(bus, desk.topics) if row.id == id_of(activation.decision.digest))
        typer.echo(row.id)
        about = f" (about {row.ends_about} on the clock)" if row.ends_about else ""
        what = ", ".join(row.matchers) or "all alerts"
        typer.echo(f"{model}: {what} silenced from {row.start} to {row.end} of event time{about}", err=True)
        matched, firing = _matched(bus, desk.topics, model, silence.matchers)
        typer.echo(f"{matched} of the {firing} alerts of {model} that fire now match", err=True)
    finally:
        bus.close()


def _times(span: Span) -> tuple[int | None, int | None, int | None]:
    try:
        lasts_ms = None if span.lasts is None else parse_duration(span.lasts)
    except ValueError as error:
        raise ConfigurationError(f"--for: {error}") from error
    start, end = (
        time_of(flag, text) if text is not None else None for flag, text in (("--from", span.start), ("--to", span.end))
    )
    if (lasts_ms is None) == (end is None):
        raise ConfigurationError("say how long the silence lasts, with --for 4h, or when it ends, with --to TIME")
    return lasts_ms, start, end


def matcher_of(text: str) -> Matcher:
    """A matcher as people write it: `alertname=Psi`, `column=~"amount.*"`; raises ConfigurationError."""
    try:
        found = parse_matcher(text)
    except MatcherError as error:
        raise ConfigurationError(f"--match: {error}") from error
    return msgspec.convert({"label": found.label, "op": found.op, "value": found.value}, Matcher)


def expire(silence: str, bus_url: str | None, author: str | None) -> None:
    """Write the command that ends a silence, and wait until the service has taken it."""
    settings = settings_of(bus=bus_url)
    bus = open_settings_bus_to_read(settings)
    try:
        desk = Desk(bus, settings)
        row = _named(silence, rows_of(bus, desk.topics))
        desk.send(row.model, Expire(row.id), author).wait()
        typer.echo(f"{row.id}: over")
    finally:
        bus.close()


def _named(wanted: str, rows: Sequence[Row]) -> Row:
    """The silence that an id, or the beginning of one, names."""
    found = [row for row in rows if row.id.startswith(wanted) and len(wanted) >= _LEAST_LETTERS]
    going = [row for row in found if row.state != "over"]
    if len(going) == 1:
        return going[0]
    if len(going) > 1:
        raise ConfigurationError(f"{wanted} is the beginning of several: {', '.join(row.id for row in going)}")
    if found:
        raise ConfigurationError(f"the silence {found[-1].id} is over already")
    known = ", ".join(row.id for row in rows if row.state != "over")
    raise ConfigurationError(f"there is no silence {wanted}; " + (f"there are {known}" if known else "there is none"))


def show(model: str | None, all_of_them: bool, as_json: bool, bus_url: str | None) -> None:
    """Print the silences that are not over, or all that were ever added."""
    settings = settings_of(bus=bus_url)
    bus = open_settings_bus_to_read(settings)
    try:
        rows = rows_of(bus, Desk(bus, settings).topics)
    finally:
        bus.close()
    shown = [row for row in rows if model in (None, row.model) and (all_of_them or row.state != "over")]
    if as_json:
        typer.echo(msgspec.json.encode(shown).decode())
    elif not shown:
        typer.echo("no silences" if all_of_them else "no silences; --all shows those that are over")
    else:
        Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(_table(shown))


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in (
        "id",
        "model",
        "state",
        "alerts",
        "from (event time)",
        "to (event time)",
        "ends about",
        "by",
        "comment",
    ):
        table.add_column(head, overflow="fold")
    for row in rows:
        what = ", ".join(row.matchers) or "all"
        cells = (row.id, row.model, row.state, what, row.start, row.end, row.ends_about or "", row.by, row.comment)
        table.add_row(*map(printable, cells))
    return table


# ---------------------------------------------------------------------- what the topics hold


def rows_of(bus: Bus, topics: LedgerTopics) -> list[Row]:
    """All silences, in the order in which they came; those of a model that was gone since are over."""
    activations = Activations(bus, topics)
    activations.read()
    found = _spans(activations.all)
    clocks = {command.model: 0 for _, command, _ in found.values()}
    for model in clocks:
        clocks[model] = _clock(bus, topics, model, activations.all)
    now = int(time.time() * 1000)
    return [_row(name, command, span, clocks[command.model], now) for name, (_, command, span) in found.items()]


_Found = dict[str, tuple[Silence, Command, tuple[int, int]]]


def _spans(activations: Sequence[Activation]) -> _Found:
    found: _Found = {}
    for activation in activations:
        decision, at = activation.decision, _clock_of(activation)
        if decision.kind == "silence":
            command = command_of(decision)
            if isinstance(command.request, Silence):
                found[id_of(decision.digest)] = command.request, command, span_of(command.request, at)
        ended = command_of(decision).request if decision.kind == "expire" else None
        for name, (silence, command, (start, end)) in found.items():
            is_named = isinstance(ended, Expire) and ended.silence == name
            if is_named or (decision.kind == "gone" and decision.model == command.model):
                found[name] = silence, command, (start, min(end, at))
    return found


def _clock_of(activation: Activation) -> int:
    """Return where the judging clock stood when a command came, ms."""
    return max(activation.at or 0, activation.silence_judged_to or 0)


def _row(name: str, command: Command, span: tuple[int, int], clock: int, now: int) -> Row:
    start, end = span
    state: State = "over" if end <= clock else "coming" if start > clock else "active"
    silence = command.request
    matchers = list(map(str, silence.matchers)) if isinstance(silence, Silence) else []
    comment = silence.comment if isinstance(silence, Silence) else ""
    about = None if state == "over" else time_text((now + end - clock) // 1000 * 1000)
    return Row(name, command.model, state, matchers, time_text(start), time_text(end), about, command.author, comment)


def _clock(bus: Bus, topics: LedgerTopics, model: str, activations: Sequence[Activation]) -> int:
    """How far event time has come in a model: the lowest of its partitions, by what the ledger holds of them now."""
    own = [activation for activation in activations if activation.decision.model == model]
    sets = [a.decision for a in own if a.decision.kind == "set"]
    inputs = msgspec.json.decode(sets[-1].content, type=PartitionSet).data_partitions if sets else ()
    reached: dict[TopicPartition, int] = {}
    for entry in _progress(bus, TopicPartition(topics.name("ledger"), topics.partition_of(model))):
        tp = TopicPartition(entry.topic, entry.partition)
        at = entry.watermark if isinstance(entry, Watermark) else max(entry.watermark or 0, entry.silent_to or 0)
        reached[tp] = max(at or 0, reached.get(tp, 0))
    known = [reached[tp] for tp in inputs if tp in reached]
    return max([min(known, default=0), *map(_clock_of, own)])


def _progress(bus: Bus, ledger: TopicPartition) -> Iterator[Watermark | Heartbeat]:
    for batch in read_newest(bus, ledger, _NEWEST):
        for record in records_of(batch):
            if kind_of(record.headers) in ("watermark", "heartbeat"):
                entry = decode_entry(record.headers, record.value or b"")
                if isinstance(entry, Watermark | Heartbeat):
                    yield entry


def _matched(bus: Bus, topics: LedgerTopics, model: str, matchers: Sequence[Matcher]) -> tuple[int, int]:
    """How many alerts of the model that fire now the matchers accept, and how many fire."""
    tp = TopicPartition(topics.name("firing"), topics.partition_of(model))
    newest: dict[bytes | None, bytes | None] = {}
    for batch in read_whole(bus, tp, to=bus.last_stable(tp)):
        newest.update((record.key, record.value) for record in records_of(batch))
    found = [msgspec.json.decode(value)["data"] for value in newest.values() if value is not None]
    labels: list[Mapping[str, str]] = [data["labels"] for data in found if "labels" in data]  # incidents have none
    own = [one for one in labels if one.get("model") == model]
    return sum(all(m.selector.matches(one) for m in matchers) for one in own), len(own)
