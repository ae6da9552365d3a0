"""`streamdrift explain`: what an alert compared, where it shows, since when, on which rows, and what else fired."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, whole_values
from monitor.cli.details import change_text, kind_text, labels_text, listed, names_text
from monitor.cli.explained import Bin, Explanation, Messages, Other, explained
from monitor.cli.shell import open_settings_bus_to_read, settings_of
from monitor.cli.tail import STYLES, place_of_alert, printable
from monitor.codec.chunks import Assembler
from monitor.errors import ConfigurationError
from monitor.events import TopicPartition

_BARS, _NARROW = (12, 20), 100
"""Characters of the longest bar, on a terminal of fewer columns and on others."""
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MOST = 5
"""Steps of the history and other alerts that are printed; `--json` has all."""
_SOURCE = "SOURCE"
"""Stands for what was replayed in the command that prints its rows: messages don't name it."""
Line = tuple[str, str | Text]
"""A name, and what is printed beside it."""


def explain(alert: str, file: Path | None, bus_url: str | None, as_json: bool) -> None:
    """Print what there is to say of one alert of a bus, or of a file that a replay has written."""
    if file is not None:
        found = explained(alert, lambda: _lines_of(file))
    else:
        settings = settings_of(bus=bus_url)
        bus = open_settings_bus_to_read(settings)
        try:
            found = explained(alert, _messages_of(bus, settings.prefix + "alerts"))
        finally:
            bus.close()
    command = records_command(found.evidence["window"], file is not None)
    if as_json:
        typer.echo(msgspec.json.encode({**msgspec.to_builtins(found), "rows": command}).decode())
        return
    _print(found, command)


def _lines_of(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as lines:
            yield from (line for line in lines if not line.isspace())
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror or error}") from error


def _messages_of(bus: Bus, topic: str) -> Messages:
    """The messages of a topic up to its present end."""
    partitions = bus.partitions(topic)
    if partitions is None:
        raise ConfigurationError(f"{bus.name} has no {topic} topic yet; has `streamdrift run` been started there?")
    ends = {tp: bus.end(tp) for tp in (TopicPartition(topic, p) for p in range(partitions))}

    def messages() -> Iterator[bytes]:
        for tp, end in ends.items():
            assembler = Assembler()
            for batch in read_whole(bus, tp, to=end):
                yield from (value for _, value in whole_values(assembler, batch))

    return messages


def records_command(window: Any, is_replay: bool) -> str | None:
    """The command that prints the rows of a window; None for a rule on silence, and if no offsets are known.

    Windows of performance have none, because their rows are pairs.
    """
    if window is None or not window["offsets"]:
        return None
    ranges = [f"{r['topic']}/{r['partition']}:{r['start']}-{r['end']}" for r in window["offsets"]]
    return shlex.join(["streamdrift", "records", *ranges, *(("--in", _SOURCE) if is_replay else ())])


# ---------------------------------------------------------------------- for people


def _print(found: Explanation, command: str | None) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    data = found.alert["data"]
    labels = data["labels"]
    subject = "/".join(filter(None, (labels.get("model"), place_of_alert(labels))))
    state = f"{data['status']} {_time(found.alert['time'])}"
    console.print(
        Text.assemble((labels["alertname"], "bold"), f"  {printable(subject)}  ", (state, STYLES[data["status"]]))
    )
    if summary := data["annotations"].get("summary"):
        console.print(Text(printable(summary)))
    console.print(_facts(_compared(found)))
    if found.bins:
        console.print(_histogram(found.bins, labels["metric"], _BARS[console.width >= _NARROW]))
    console.print(_facts([*_course(found), *_also(found), *_rows(found, command)]))


def _facts(lines: list[Line]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=14)
    table.add_column(overflow="fold")
    for name, text in lines:
        table.add_row(name, Text(printable(text)) if isinstance(text, str) else text)
    table.add_row("", "")
    return table


def _compared(found: Explanation) -> list[Line]:
    """What was compared with what."""
    data, evidence = found.alert["data"], found.evidence
    source = evidence["threshold_source"]
    named = "" if source == "constant" else f"  ({source})"
    shown = ("alertname", "column", "metric", "model")
    labels = {name: value for name, value in data["labels"].items() if name not in shown}
    lines: list[Line] = [
        (data["labels"]["metric"], f"{evidence['value']:.6g} {evidence['op']} {evidence['threshold']:.6g}{named}"),
        ("rule", data["config"]["rule"] + "".join(f"  {name}={value}" for name, value in labels.items())),
    ]
    if "recovery_threshold" in evidence:
        lines.insert(1, ("goes on while", f"{evidence['op']} {evidence['recovery_threshold']:.6g}"))
    if window := evidence["window"]:
        lines.append(("window", f"{window['events']:,} rows, {_span(window)}  ({window['name']})"))
    if text := labels_text(evidence.get("labels")):
        lines.append(("labels", text))
        bounds = [f"{low:.6g} to {high:.6g}" for low, high in evidence["labels"]["intervals"].values()]
        lines += [("interval", one) for one in bounds]
    if text := change_text(evidence.get("change")):
        lines.append(("change", text))
    if reference := evidence["reference"]:
        lines.append(("reference", f"{reference['events']:,} rows, {_span(reference)}  ({reference['id'][:14]}…)"))
    if "unverified" in evidence:
        lines.append(("unverified", evidence["unverified"]))
    histogram = evidence["histogram"]
    if histogram and histogram["beyond_rate"]:
        lines.append(("beyond the grid", f"{histogram['beyond_rate']:.2%} of the window's values"))
    return lines


def _histogram(bins: list[Bin], metric: str, width: int) -> Table:
    """The bins as bars, both sides on one scale, and each one's part of the score."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    has_parts = bins[0].part is not None
    table.add_column("", justify="right", max_width=28, overflow="ellipsis", no_wrap=True)
    for side in ("reference", "window"):
        table.add_column(side, justify="right")
        table.add_column("", min_width=width, no_wrap=True)
    table.add_column(f"part of {metric}" if has_parts else "difference", justify="right")
    longest = max(max(one.reference, one.window) for one in bins)
    largest = max((one.part or 0.0) for one in bins)
    for one in bins:
        last = f"{one.window - one.reference:+.1%}" if one.part is None else f"{one.part:.0%}"
        table.add_row(
            Text(printable(one.name)),
            f"{one.reference:.1%}",
            Text(bar(one.reference, longest, width), style="blue"),
            f"{one.window:.1%}",
            Text(bar(one.window, longest, width), style="yellow"),
            Text(last, style="bold" if one.part and one.part == largest else ""),
        )
    table.add_row()
    return table


def bar(share: float, longest: float, width: int) -> str:
    """A bar of eighths of a character; the longest has the whole width.

    >>> bar(0.25, 0.5, 5), bar(0.0, 0.5, 5)
    ('██▌', '')
    """
    eighths = round(share / longest * width * 8) if longest > 0 else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _course(found: Explanation) -> Iterator[Line]:
    """Since when it fires, and how it went on."""
    yield "since", f"{_time(found.alert['data']['startsAt'])}, the first judgement that passed the threshold"
    hidden = len(found.history) - _MOST
    for place, step in enumerate(found.history[-_MOST:]):
        before = f"  (and {hidden} before)" if place == 0 and hidden > 0 else ""
        style = STYLES[step.status]
        value = f"  {step.value:.6g}{_added(step.added)}{before}"
        line = Text.assemble(f"{_time(step.time)}  ", (f"{step.status:<8}", style), value)
        yield ("history" if place == 0 else ""), line


def _added(added: Mapping[str, Any]) -> str:
    text = names_text(added)
    return f"  {printable(text)}" if text else ""


def _also(found: Explanation) -> Iterator[Line]:
    """What else moved: columns that broke the same rule at that judgement, alerts under it, and others of the model."""
    names, number = found.evidence["also_drifting"], found.evidence["also_drifting_count"]
    if number:
        yield "same rule", listed(names, number, len(names))
    for place, column in enumerate(found.evidence.get("columns", ())):
        yield ("columns" if place == 0 else ""), _column(column)
    if (more := found.evidence.get("columns_count", 0) - len(found.evidence.get("columns", ()))) > 0:
        yield "", f"and {more} more"
    if under := found.evidence.get("under"):
        yield "alerts under it", listed(under, found.evidence["under_count"], len(under))
    if ids := found.alert["data"].get("silencedBy"):
        yield "silenced by", ", ".join(ids)
    if incident := found.alert["data"].get("incident"):
        yield "incident", incident
    for place, other in enumerate(found.others[:_MOST]):
        yield ("other alerts" if place == 0 else ""), _other(other)
    if len(found.others) > _MOST:
        yield "", f"and {len(found.others) - _MOST} more"
    if not number and not found.others:
        yield "other alerts", "none of this model"


def _column(column: Mapping[str, Any]) -> str:
    """One column in which the change shows, and how clearly."""
    name = " with ".join(filter(None, (column["column"], column.get("with_column"))))
    kind = kind_text(column["kind"]) or "changed"
    return f"{name}  {kind} from {column['before']:.4g} to {column['after']:.4g}  (z {column['z']:.3g})"


def _other(other: Other) -> str:
    ended = "" if other.ended is None else f" to {_time(other.ended)}"
    name = f"{other.labels.get('alertname', '')} {place_of_alert(other.labels)}"
    return f"{other.fingerprint}  {_time(other.began)}{ended}  {name}"


def _rows(found: Explanation, command: str | None) -> Iterator[Line]:
    window = found.evidence["window"]
    if window is None or command is None:
        return
    for place, one in enumerate(window["offsets"]):
        where = f"{one['topic']}/{one['partition']}"
        yield ("rows" if place == 0 else ""), f"{where}  offsets {one['start']} to {one['end'] - 1}"
    if window["offsets_count"] > len(window["offsets"]):
        yield "", f"and {window['offsets_count'] - len(window['offsets'])} more ranges, which its observation has"
    yield "to print them", Text(command, style="bold")


def _span(value: Any) -> str:
    """From when to when, without the date of the end where it is that of the beginning."""
    start, end = value["from"], value["to"]
    if start is None or end is None:
        return "times unknown"
    same = start[:10] == end[:10]
    return f"{_time(start)} to {end[11:] if same else _time(end)}"


def _time(text: str) -> str:
    return text.replace("T", " ", 1)
