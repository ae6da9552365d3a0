"""`streamdrift replay`: folds a log, with a progress bar, a table of alerts, and messages as a file."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from monitor import __version__
from monitor.alerts_file import load_config
from monitor.bus.port import Bus
from monitor.cli.coverage import coverage_lines
from monitor.cli.incidents import newest, table_of
from monitor.cli.replay_log import configured, label_delays, left_out, recorded, tell
from monitor.cli.replay_sources import TOPIC, FileFlags, recording_of, time_of
from monitor.cli.shell import open_settings_bus_to_read, settings_of, writing
from monitor.cli.sight import sight_text
from monitor.cli.tail import STYLES, place_of_alert, printable
from monitor.config.built_in import GROUP
from monitor.config.resolved import Config
from monitor.contract import ModelContract
from monitor.errors import ConfigurationError
from monitor.evaluate.alerts import Place
from monitor.evaluate.lane import LaneStanding
from monitor.evaluate.messages import Message
from monitor.events import TopicPartition
from monitor.log_lines import escaped
from monitor.replay import Replay, ReplayLog, in_order
from monitor.settings import Settings
from monitor.sources.recordings import Recording
from monitor.sources.unusable import Unusable


@dataclass(frozen=True, slots=True)
class Options:
    """The command's flags."""

    sources: tuple[str, ...]
    config: Path | None = None
    bus: str | None = None
    start_at: str | None = None
    end_at: str | None = None
    stream: str | None = None
    model: str | None = None
    start: str | None = None
    step: str = "1s"
    label_delay: str = "0s"
    csv: str | None = None
    alerts_out: Path | None = None
    scores: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a replay: records by bucket, firing alerts, dead letters, and what was not judged.

    `not_judged`: lanes that still wait, and columns or streams that a rule selects and has never judged.
    """

    records: int
    firing: int
    dead_letters: int
    not_judged: int


def replay(options: Options) -> Outcome:
    """Replay the sources and show the outcome."""
    for path in (options.alerts_out, options.scores):
        if path is not None:
            with writing(path):
                path.open("ab").close()  # what can't be written is refused before the work
    settings = settings_of(options.config, options.bus)
    bus = open_settings_bus_to_read(settings) if any(source.startswith(TOPIC) for source in options.sources) else None
    unusable = Unusable()
    flags = FileFlags(options.stream, options.model, options.start, options.step, options.csv, options.label_delay)
    recording = recording_of(options.sources, flags, settings, bus, unusable)
    log = log_of(recording, options, settings, bus)
    engine = Replay(log)
    with _scores_to(options.scores) as keep:
        messages = _messages(engine, recording, keep)
    for topic, notes in engine.assumed().items():
        for note in notes:
            typer.echo(escaped(f"{topic}: {note}"), err=True)
    tell({options.sources[0] if len(options.sources) == 1 else "files": unusable})
    ordered = in_order(messages, log.ledger_partitions)
    alerts = [message for message in ordered if message.topic == "alerts"]
    if options.alerts_out is not None:
        with writing(options.alerts_out):
            options.alerts_out.write_bytes(b"".join(message.value + b"\n" for message in alerts))
    waiting = [lane for lane in engine.lanes() if lane.state == "waiting"]
    rules = [rule for rule in engine.coverage() if rule.rule.group != GROUP]
    _show(alerts, engine.buckets(), waiting)
    _show_incidents(message.value for message in ordered if message.topic == "incidents")
    for line in (*coverage_lines(rules), *map(sight_text, engine.sights())):
        typer.echo(line)
    if bus is not None:
        bus.close()
    firing = [message.key for message in alerts if message.status == "firing"]
    if firing and options.alerts_out is not None:
        alerts_file = shlex.quote(str(options.alerts_out))
        typer.echo(f"next: streamdrift explain {firing[0][:6]} --alerts {alerts_file}", err=True)
    total = sum(engine.buckets().values(), Counter())
    dead = sum(n for name, n in total.items() if name.startswith("dead:"))
    never = sum(len(rule.never) for rule in rules)
    return Outcome(total.total(), len(firing), dead, len(waiting) + never)


def log_of(
    recording: Recording, options: Options, settings: Settings, bus: Bus | None, config: Config | None = None
) -> ReplayLog:
    """Return what the engine is given; prints on stderr what differs from the recording.

    `config`: instead of the file that the settings name.
    """
    if recording.control.contracts and options.config is None and config is None:
        (contracts, activations), whole = recorded(recording), list(recording.contracts)
        switches, topic_contracts = recording.control.switches, recording.control.topic_contracts
    else:
        is_what_if = config is None
        config = config or load_config(settings.config)
        contracts, activations = configured(recording, config, bus)
        switches, topic_contracts = (), ()
        whole = [m.contract for m in config.models if m.contract.model in {c.model for c in contracts}]
        if recording.control.contracts and is_what_if:
            typer.echo(f"what-if: the rules of {settings.config}, not those recorded in the log", err=True)
    if missing := left_out(recording, whole):
        typer.echo(f"not in the log, and left out: {', '.join(missing)}", err=True)
    models = [contract.model for contract in contracts]
    wanted = set(models) if options.model is None else {options.model}
    if not wanted <= set(models):
        raise ConfigurationError(f"--model {options.model}: the log has {', '.join(models)}")
    if not any(stream.has_lane for contract in contracts for stream in contract.streams):
        raise ConfigurationError("there are labels alone: replay them with the predictions that they are of")
    return ReplayLog(
        contracts=[c for c in contracts if c.model in wanted],
        partitions=recording.partitions,
        heartbeats=recording.control.heartbeats,
        activations=[a for a in activations if a.decision.model in wanted],
        place=recording.place or Place(settings.source, settings.links_url, __version__, ""),
        ends=recording.ends is None,
        ledger_partitions=recording.ledger_partitions or settings.ledger_partitions,
        filtered=_filtered([c for c in contracts if c.model not in wanted]),
        switches=switches,
        topic_contracts={contract.digest: contract for contract in topic_contracts},
        notices=[n for n in recording.control.notices if n.model in {"", *wanted}],
        time_range=(
            None if options.start_at is None else time_of("--from", options.start_at),
            None if options.end_at is None else time_of("--to", options.end_at),
        ),
        label_delays=label_delays(contracts, activations),
    )


def _filtered(contracts: Sequence[ModelContract]) -> dict[str, frozenset[str]]:
    """Return, by topic, the models that are not replayed."""
    topics = {stream.topic for contract in contracts for stream in contract.streams}
    return {t: frozenset(c.model for c in contracts if t in {s.topic for s in c.streams}) for t in topics}


@contextmanager
def _scores_to(path: Path | None) -> Iterator[Callable[[Message], None]]:
    """Give what writes an observation to the file, as soon as it comes: there may be one for every pane."""
    if path is None:
        yield lambda message: None
        return
    with writing(path), path.open("wb") as file:

        def keep(message: Message) -> None:
            file.write(message.value + b"\n")

        yield keep


def _messages(engine: Replay, recording: Recording, keep: Callable[[Message], None]) -> list[Message]:
    """Fold the recording and return messages of alerts and incidents. `keep`: is given each observation."""
    found: dict[str, list[Message]] = {"alerts": [], "incidents": []}

    def take(messages: Iterable[Message]) -> None:
        for message in messages:
            if message.topic in found:
                found[message.topic].append(message)
            elif message.topic == "observations":
                keep(message)

    columns = (
        TextColumn("replay"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[alerts]} alerts"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("replay", total=recording.size or None, alerts=0)
        for new in engine.fold(recording.sequences(lambda n: bar.advance(task, n))):
            take(new)
            bar.update(task, alerts=len(found["alerts"]))
        take(engine.finish(recording.ends or {}))
    return [*found["alerts"], *found["incidents"]]


def _show_incidents(messages: Iterable[bytes]) -> None:
    """Print the incidents that the alerts were, each once."""
    if shown := newest(messages):
        Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table_of(shown))


def _show(
    alerts: Sequence[Message], buckets: Mapping[TopicPartition, Counter[str]], waiting: Sequence[LaneStanding]
) -> None:
    # a terminal's width if there is one; else wide enough that nothing is cut
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    table = Table("time", "status", "alert", "model", "where", "value", "threshold", box=None, header_style="dim")
    doubts: dict[str, None] = {}
    for message in alerts:
        event = msgspec.json.decode(message.value)
        data, labels = event["data"], event["data"]["labels"]
        status, evidence = data.get("status", "notice"), data.get("evidence")  # a notice compares nothing
        table.add_row(
            event["time"],
            f"[{STYLES[status]}]{status}[/]",
            labels["alertname"],
            labels.get("model", ""),
            Text(printable(place_of_alert(labels))),
            f"{evidence['value']:.6g}" if evidence else "",
            f"{evidence['op']} {evidence['threshold']:.6g}{_doubted(evidence)}" if evidence else "",
        )
        if evidence and "unverified" in evidence:
            doubts[f"unverified: {labels['model']}/{place_of_alert(labels)}: {evidence['unverified']}"] = None
    if alerts:
        console.print(table)
    for doubt in doubts:
        console.print(Text(printable(doubt)), soft_wrap=True)
    total = sum(buckets.values(), Counter())
    shown = ", ".join(f"{count} {name}" for name, count in sorted(total.items()) if count)
    console.print(f"{len(alerts)} alert messages; {sum(total.values())} records: {shown or 'none'}")
    for lane in waiting:
        console.print(f"not judged: {lane.model} {lane.text}")


def _doubted(evidence: Mapping[str, Any]) -> str:
    return " unverified" if "unverified" in evidence else ""
