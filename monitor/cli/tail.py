"""`streamdrift tail`: prints messages of the service as they come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, records_of, whole_values
from monitor.cli.details import details_of
from monitor.cli.shell import open_settings_bus_to_read, settings_of
from monitor.codec.chunks import Assembler
from monitor.codec.dead_letters import DEAD_LETTERS
from monitor.errors import ConfigurationError, RecordsLost
from monitor.evaluate.lane_messages import progress_of
from monitor.events import Record, RecordBatch, TopicPartition

_WAIT_MS = 200
FIRING = "firing"
Data = dict[str, Any]
Spans = list[str | tuple[str, str]]


def tail(topic: str, bus_url: str | None, from_beginning: bool, most: int | None) -> None:
    """Print messages until interrupted, or `most` of them."""
    settings = settings_of(bus=bus_url)
    bus = open_settings_bus_to_read(settings)
    dead_letters = tuple(name for name in bus.topics() if name.startswith(settings.prefix + DEAD_LETTERS))
    names = dead_letters if topic == "dlq" else (settings.prefix + topic,)
    if not names or any(bus.partitions(name) is None for name in names):
        raise ConfigurationError(f"{bus.name} has no {topic} topic yet; has `streamdrift run` been started there?")
    show = _pretty if sys.stdout.isatty() else _plain
    found = fires(bus, names[0]) if topic == FIRING else follow(bus, names, from_beginning)
    try:
        for record, value in islice(found, most):
            show(topic, record, value)
    except KeyboardInterrupt:
        pass
    finally:
        bus.close()


def follow(bus: Bus, topics: tuple[str, ...], from_beginning: bool) -> Iterator[tuple[Record, bytes]]:
    """Yield whole messages of topics without end: those that are there by time, then new ones as they come."""
    tps = _partitions(bus, topics)
    at = {tp: bus.beginning(tp) if from_beginning else bus.end(tp) for tp in tps}
    assembler = Assembler()
    while True:
        found = [whole for batch in _next(bus, at) for whole in whole_values(assembler, batch)]
        yield from sorted(found, key=lambda item: (item[0].timestamp, item[0].topic, item[0].partition, item[0].offset))


def fires(bus: Bus, topic: str) -> Iterator[tuple[Record, bytes]]:
    """Yield the newest message of each alert that fires or incident that is open, oldest first; then what changes.

    What has ended has no message in this topic: a JSON object of its key and null stands for it.
    """
    at = {tp: bus.end(tp) for tp in _partitions(bus, (topic,))}
    records = [r for tp, end in at.items() for batch in read_whole(bus, tp, to=end) for r in records_of(batch)]
    newest = {(record.partition, record.key): record for record in records}
    for record in sorted(newest.values(), key=lambda record: (record.timestamp, record.partition, record.offset)):
        if record.value is not None:
            yield record, record.value
    while True:
        for record in (record for batch in _next(bus, at) for record in records_of(batch)):
            yield record, record.value or _resolved(record)


def _partitions(bus: Bus, topics: tuple[str, ...]) -> list[TopicPartition]:
    return [TopicPartition(topic, p) for topic in topics for p in range(bus.partitions(topic) or 0)]


def _next(bus: Bus, at: dict[TopicPartition, int]) -> Iterator[RecordBatch]:
    """The next records of the partitions at these offsets, which move on; waits a moment if there are none."""
    for tp in [tp for tp in at if bus.end(tp) > at[tp]] or list(at)[:1]:
        try:
            batch = bus.read(tp, at[tp], None, _WAIT_MS)
        except RecordsLost as lost:
            typer.echo(f"streamdrift: {lost}", err=True)
            at[tp] = lost.beginning
            continue
        if batch.offsets:
            at[tp] = batch.offsets[-1] + 1
        yield batch


def _resolved(record: Record) -> bytes:
    return msgspec.json.encode({"partitionkey": (record.key or b"").decode("utf-8", "replace"), "data": None})


def _plain(topic: str, record: Record, value: bytes) -> None:
    """Print one JSON object a line."""
    if topic != "dlq":
        typer.echo(value.decode())
        return
    headers = {name: text.decode("utf-8", "replace") for name, text in record.headers}
    line = {"topic": record.topic, "headers": headers, "value": value.decode("utf-8", "replace")}
    typer.echo(msgspec.json.encode(line).decode())


_CONSOLE = Console(highlight=False)


def pretty(topic: str, value: bytes) -> None:
    """Print a line or two for people; everything from the stream is made printable, and nothing is markup."""
    message = msgspec.json.decode(value)
    if message["data"] is None:
        _CONSOLE.print(Text.assemble(("resolved", STYLES["resolved"]), f" {printable(message['partitionkey'])}"))
        return
    _CONSOLE.print(Text.assemble((message["time"], "dim"), " ", *_SHOW[topic](message["data"])), soft_wrap=True)


def _pretty(topic: str, record: Record, value: bytes) -> None:
    if topic != "dlq":
        pretty(topic, value)
        return
    headers = {name: printable(text.decode("utf-8", "replace")) for name, text in record.headers}
    shown = printable(value[:160].decode("utf-8", "replace"))
    reason, offset = headers.get("sd-reason", "?"), headers.get("sd-offset", "?")
    _CONSOLE.print(
        Text.assemble((reason, "red"), f" {record.topic} {record.partition}@{offset}  ", (shown, "dim")), soft_wrap=True
    )


STYLES = {
    "firing": "bold red",
    "updated": "red",
    "resolved": "green",
    "notice": "yellow",
    "opened": "bold red",
    "reopened": "bold red",
    "closed": "green",
}
"""Styles by which people see what kind of message of the topics `alerts` and `incidents` this is."""


def _alert(data: Data) -> Spans:
    status, labels = data.get("status", "notice"), data["labels"]
    text = data["text"] if status == "notice" else data["annotations"].get("summary") or _compared(data)
    return [
        (f"{status:<8}", STYLES[status]),
        " ",
        (labels["alertname"], "bold"),
        f" {printable('/'.join(filter(None, (labels.get('model'), place_of_alert(labels)))))}  ",
        printable(text),
        (f"  {printable(details)}" if (details := details_of(data.get("evidence", {}))) else "", "dim"),
        (f"  silenced by {printable(', '.join(ids))}" if (ids := data.get("silencedBy")) else "", "dim"),
        (f"  incident {data['incident'][:_LETTERS]}" if "incident" in data else "", "dim"),
    ]


_LETTERS = 8
"""Letters of an incident's id that a line of an alert shows."""


def _incident(data: Data) -> Spans:
    taken = data.get("acknowledged")
    return [
        (f"{data['status']:<8}", STYLES[data["status"]]),
        " ",
        (data["incident"][:_LETTERS], "bold"),
        f" {printable(data['model'])}  {printable(data['title'])}",
        (f"  {data['severity']}, {data['firing_count']} of {data['alerts_count']} alerts fire", "dim"),
        (f"  acknowledged by {printable(taken['by'])}" if taken else "", "dim"),
    ]


def _firing(data: Data) -> Spans:
    return _alert(data) if "labels" in data else _incident(data)


def _compared(data: Data) -> str:
    evidence = data["evidence"]
    return f"{data['labels']['metric']} {evidence['value']:.4g} {evidence['op']} {evidence['threshold']:.4g}"


def _retraining(data: Data) -> Spans:
    reasons = ", ".join(reason["alertname"] for reason in data["reasons"])
    topics = data["training_window"]["topics"]
    ranges = "; ".join(
        f"{topic['name']} " + ", ".join(f"{p['partition']}:[{p['start']}, {p['end']})" for p in topic["partitions"])
        for topic in topics
    )
    return [
        ("retrain ", "bold yellow"),
        (data["trigger"], "bold"),
        f" {data['model']['name']} because of {reasons}\n    ",
        printable(ranges),
    ]


def _observation(data: Data) -> Spans:
    if "state" in data:
        return _lane(data)
    window = data["window"]
    worst = sorted(((s.get("psi", 0.0), c) for c, s in data["columns"].items()), reverse=True)[:3]
    shown = ", ".join(f"{column} psi {value:.3f}" for value, column in worst)
    return [f"{data['model']}/{data['stream']} {window['events']} events  ", printable(shown)]


def _lane(data: Data) -> Spans:
    """How far one stream of a model is on its way to be judged."""
    name = "/".join(filter(None, (data["stream"], data["segment"])))
    events = (data["reference"] or {}).get("events")
    text = {
        "waiting": progress_of(data),
        "reference": f"reference of {events} rows",
        "judged": f"judged from here on, with a reference of {events} rows",
    }[data["state"]]
    return [f"{data['model']} {name}: ", text]


_SHOW: dict[str, Callable[[Data], Spans]] = {
    "alerts": _alert,
    "incidents": _incident,
    FIRING: _firing,
    "retraining": _retraining,
    "observations": _observation,
}


def place_of_alert(labels: Mapping[str, str]) -> str:
    """Return what an alert is about, below its model: a column, a stream, or the partition that a notice names."""
    partition = f"{labels['topic']}/{labels['partition']}" if "partition" in labels else ""
    return labels.get("column") or labels.get("stream") or partition


def printable(text: str) -> str:
    """Return text from a stream without characters that would act on a terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
