"""`streamdrift`: all commands and their flags. A command imports its modules when it runs, so that help is quick."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from monitor import __version__
from monitor.errors import ConfigurationError, StreamdriftError
from monitor.exit_codes import ExitCode, exit_code
from monitor.log_lines import escaped

app = typer.Typer(
    name="streamdrift",
    help="Streaming drift monitoring for machine-learning models, over Kafka or one file.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Exit codes: {'; '.join(f'{code} {code.meaning}' for code in ExitCode)}.",
)
reference_app = typer.Typer(no_args_is_help=True, help="Grids and references as files.")
produce_app = typer.Typer(no_args_is_help=True, help="Traffic: synthetic, from a recorded log, or from tables.")
silence_app = typer.Typer(no_args_is_help=True, help="Silences: alerts that go on, and are not to disturb anybody.")
app.add_typer(reference_app, name="reference")
app.add_typer(silence_app, name="silence")
app.add_typer(produce_app, name="produce")

ConfigFile = Annotated[Path | None, typer.Option("--config", help="alerts.yaml [env: STREAMDRIFT_CONFIG]")]
CsvText = Annotated[
    str | None, typer.Option("--csv", help="How a CSV file is written, if it is not found: sep=;,decimal=, (sep=tab).")
]
LabelDelay = Annotated[
    str, typer.Option(help="Time from a row of a table to the label in it; a table of labels alone has its own times.")
]
BusUrl = Annotated[
    str | None,
    typer.Option("--bus", help="kafka://host:port[,host:port] or sqlite:///path [env: STREAMDRIFT_BUS]"),
]


class StreamChoice(StrEnum):
    """Streams of a plain table."""

    features = "features"
    predictions = "predictions"
    labels = "labels"


class TailTopic(StrEnum):
    """What `tail` can follow."""

    alerts = "alerts"
    incidents = "incidents"
    firing = "firing"
    retraining = "retraining"
    observations = "observations"
    dlq = "dlq"


class FailOn(StrEnum):
    """What makes `replay` end with exit code 1."""

    firing = "firing"
    dead_letter = "dead-letter"
    not_judged = "not-judged"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamdrift {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Streaming drift monitoring for machine-learning models, over Kafka or one file."""


@app.command()
def init(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Table, rows or events, a folder, or topic:NAME.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("alerts.yaml"),
    bus: BusUrl = None,
    mapping: Annotated[
        Path | None, typer.Option("--from", help="Roles from NannyML's nann.yml or Evidently's column_mapping.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: the likelier role counts.")] = False,
) -> None:
    """Propose an alerts.yaml for your data: roles of columns, task, windows and reference, with the reasons."""
    from monitor.cli import init as command

    command.init(source, out, bus, mapping, force, yes)


@app.command()
def run(
    config: ConfigFile = None,
    bus: BusUrl = None,
    stages: Annotated[str, typer.Option(help="Stages to run, separated by commas.")] = "profile,evaluate",
    instance: Annotated[
        str | None, typer.Option(help="Name of this process in its group (default: host name).")
    ] = None,
    web: Annotated[
        str | None, typer.Option(help="host:port for /live, /ready and /metrics [env: STREAMDRIFT_WEB]")
    ] = None,
) -> None:
    """Run the service: watch the topics of alerts.yaml, publish alerts and retraining requests."""
    from monitor.cli import run as command

    raise typer.Exit(command.run(config, bus, stages, instance, web))


@app.command(hidden=True)
def stage(
    name: str,
    config: ConfigFile = None,
    bus: BusUrl = None,
    instance: str | None = None,
    parent: int | None = None,
) -> None:
    """One stage in this process: what `run` supervises."""
    from monitor.cli import run as command

    command.stage(name, config, bus, instance, parent)


@app.command()
def replay(  # noqa: PLR0913 - one argument a flag
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Captured log, events, tables, a folder or pattern, or topic:NAME."),
    ],
    config: ConfigFile = None,
    bus: BusUrl = None,
    start_at: Annotated[str | None, typer.Option("--from", help="First event time, RFC 3339.")] = None,
    end_at: Annotated[str | None, typer.Option("--to", help="End of event time (exclusive), RFC 3339.")] = None,
    stream: Annotated[StreamChoice | None, typer.Option(help="Only this stream of plain files.")] = None,
    model: Annotated[str | None, typer.Option(help="This model only; the model of a plain table's rows.")] = None,
    start: Annotated[str | None, typer.Option(help="Time of a plain table's first row, RFC 3339.")] = None,
    step: Annotated[str, typer.Option(help="Time between rows of a plain table.")] = "1s",
    label_delay: LabelDelay = "0s",
    csv: CsvText = None,
    alerts_out: Annotated[Path | None, typer.Option(help="Write the alert messages here, as JSONL.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Write all observations here, as JSONL.")] = None,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(
            help="Exit with 1 if there was one; not-judged: a stream that waits, or what a rule never judged."
        ),
    ] = None,
) -> None:
    """Replay a log through the same engine and show its alerts; with --config as a what-if."""
    from monitor.cli import replay as command

    options = command.Options(
        sources=tuple(sources),
        config=config,
        bus=bus,
        start_at=start_at,
        end_at=end_at,
        stream=stream.value if stream else None,
        model=model,
        start=start,
        step=step,
        label_delay=label_delay,
        csv=csv,
        alerts_out=alerts_out,
        scores=scores,
    )
    outcome = command.replay(options)
    failed = {
        FailOn.firing: outcome.firing,
        FailOn.dead_letter: outcome.dead_letters,
        FailOn.not_judged: outcome.not_judged,
    }
    raise typer.Exit(ExitCode.FOUND if fail_on is not None and failed[fail_on] else 0)


@app.command()
def calibrate(  # noqa: PLR0913 - one argument a flag
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="Logs or tables that begin with the rows of the reference, or topic:NAME; without, its own file.",
        ),
    ] = None,
    config: ConfigFile = None,
    bus: BusUrl = None,
    stream: Annotated[StreamChoice | None, typer.Option(help="Only this stream of plain files.")] = None,
    model: Annotated[str | None, typer.Option(help="This model only; the model of a plain table's rows.")] = None,
    start: Annotated[str | None, typer.Option(help="Time of a plain table's first row, RFC 3339.")] = None,
    step: Annotated[str, typer.Option(help="Time between rows of a plain table.")] = "1s",
    csv: CsvText = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws: another one shows how much they matter.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print, and write nothing.")] = False,
) -> None:
    """Solve the limits and thresholds that keep the budgets of alerts.yaml, and write them to alerts.lock.yaml."""
    from monitor.cli import calibrate as command
    from monitor.cli.replay import Options

    options = Options(
        sources=tuple(sources or ()),
        config=config,
        bus=bus,
        stream=stream.value if stream else None,
        model=model,
        start=start,
        step=step,
        csv=csv,
    )
    command.calibrate(options, seed, dry_run)


@app.command()
def tail(
    topic: TailTopic,
    bus: BusUrl = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="From the oldest message on.")] = False,
    max_messages: Annotated[int | None, typer.Option("--max", min=1, help="End after this many messages.")] = None,
) -> None:
    """Follow messages of the service: for people on a terminal, one JSON object a line in a pipe."""
    from monitor.cli import tail as command

    command.tail(topic.value, bus, from_beginning, max_messages)


@app.command()
def explain(
    alert: Annotated[
        str, typer.Argument(help="Fingerprint of an alert, id of a message, or six letters or more of its beginning.")
    ],
    bus: BusUrl = None,
    alerts: Annotated[Path | None, typer.Option(help="File of `replay --alerts-out`, instead of the bus.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
) -> None:
    """Show what an alert compared, in which bins, since when and on which rows, and what else fired."""
    from monitor.cli import explain as command

    command.explain(alert, alerts, bus, as_json)


@app.command()
def top(
    bus: BusUrl = None,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Show it once and end, as in a pipe.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, once.")] = False,
) -> None:
    """Show the streams of all models, their columns by drift, lag, rates, and the alerts that fire."""
    from monitor.cli import top as command

    command.top(bus, every, once, as_json)


@app.command()
def records(  # noqa: PLR0913 - one argument a flag
    ranges: Annotated[list[str], typer.Argument(metavar="RANGE...", help="TOPIC/PARTITION:START-END, without END.")],
    bus: BusUrl = None,
    sources: Annotated[
        list[str] | None, typer.Option("--in", help="What was replayed, instead of the bus; may be given again.")
    ] = None,
    config: ConfigFile = None,
    stream: Annotated[StreamChoice | None, typer.Option(help="As for `replay`.")] = None,
    model: Annotated[str | None, typer.Option(help="As for `replay`.")] = None,
    start: Annotated[str | None, typer.Option(help="As for `replay`.")] = None,
    step: Annotated[str, typer.Option(help="As for `replay`.")] = "1s",
    label_delay: Annotated[str, typer.Option(help="As for `replay`.")] = "0s",
    csv: CsvText = None,
) -> None:
    """Print the records of ranges of offsets, as alerts and retraining requests name them: one JSON object a line."""
    from monitor.cli import records as command
    from monitor.cli.replay_sources import FileFlags
    from monitor.cli.shell import settings_of

    flags = FileFlags(stream.value if stream else None, model, start, step, csv, label_delay)
    options = command.Options(tuple(map(command.parse_range, ranges)), tuple(sources or ()), flags)
    command.records(options, settings_of(config, bus))


@app.command()
def rebuild(
    model: Annotated[str, typer.Argument(help="The model that was stopped.")],
    bus: BusUrl = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the model runs again.")] = True,
) -> None:
    """Bring a stopped model back: the service folds its ledger again from the start, beside the other models."""
    from monitor.cli import rebuild as command

    command.rebuild(model, bus, wait)


@app.command()
def incidents(
    model: Annotated[str | None, typer.Option(help="This model's only.")] = None,
    every_one: Annotated[bool, typer.Option("--all", help="Those that are closed, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array of what their newest messages say.")] = False,
    bus: BusUrl = None,
) -> None:
    """List open incidents: what has happened, since when and in which columns, and who has acknowledged it."""
    from monitor.cli import incidents as command

    command.show(model, every_one, as_json, bus)


@app.command()
def ack(
    incident: Annotated[
        str, typer.Argument(metavar="INCIDENT", help="Its id, or six letters or more of its beginning.")
    ],
    comment: Annotated[str, typer.Option(help="What those who see it should know.")] = "",
    by: Annotated[str | None, typer.Option(help="Who has taken it on (default: your user name).")] = None,
    bus: BusUrl = None,
) -> None:
    """Acknowledge an open incident: its messages say who has taken it on. Nothing is muted by that."""
    from monitor.cli import ack as command

    command.ack(incident, comment, by, bus)


@silence_app.command("add")
def silence_add(  # noqa: PLR0913 - one argument a flag
    model: Annotated[str, typer.Option(help="The model whose alerts are silenced.")],
    comment: Annotated[str, typer.Option(help="Why, for those who see it.")],
    match: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=~PATTERN",
            help="Alerts whose label is that: = != =~ !~; several must all hold (default: all alerts of the model).",
        ),
    ] = None,
    lasts: Annotated[str | None, typer.Option("--for", help="How long from now on, in event time: 4h.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="First event time, RFC 3339 (default: now).")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of event time, RFC 3339.")] = None,
    by: Annotated[str | None, typer.Option(help="Who asks (default: your user name).")] = None,
    bus: BusUrl = None,
) -> None:
    """Silence alerts of a model for a while: they go on, and their messages name the silence in `silencedBy`."""
    from monitor.cli import silence as command

    command.add(model, match or (), command.Span(lasts, start, end), comment, by, bus)


@silence_app.command("list")
def silence_list(
    model: Annotated[str | None, typer.Option(help="This model's only.")] = None,
    every_one: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
    bus: BusUrl = None,
) -> None:
    """List silences, with when they end in event time, and about when that is by the clock on the wall."""
    from monitor.cli import silence as command

    command.show(model, every_one, as_json, bus)


@silence_app.command("expire")
def silence_expire(
    silence: Annotated[str, typer.Argument(metavar="ID", help="The silence, or six letters or more of its beginning.")],
    by: Annotated[str | None, typer.Option(help="Who asks (default: your user name).")] = None,
    bus: BusUrl = None,
) -> None:
    """End a silence now."""
    from monitor.cli import silence as command

    command.expire(silence, bus, by)


@app.command()
def accept(  # noqa: PLR0913 - one argument a flag
    model: Annotated[str, typer.Option(help="The model whose data have changed for good.")],
    start: Annotated[str, typer.Option("--from", help="Begin of the stretch, an event time, RFC 3339.")],
    end: Annotated[str, typer.Option("--to", help="Its end.")],
    comment: Annotated[str, typer.Option(help="Why it is normal, for those who see it.")],
    stream: Annotated[
        str, typer.Option(metavar="STREAM", help="features or predictions (default: the one that the model has).")
    ] = "",
    columns: Annotated[
        str | None,
        typer.Option(metavar="COLUMN,COLUMN", help="These alone; the others stay as they are (default: all)."),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who asks (default: your user name).")] = None,
    bus: BusUrl = None,
) -> None:
    """Accept what came in a stretch of event time as normal: it becomes the reference, and alerts on it resolve."""
    from monitor.cli import accept as command

    command.accept(model, stream, command.Stretch(start, end, columns), comment, by, bus)


@app.command()
def check(
    config: ConfigFile = None,
    against: Annotated[
        str | None, typer.Option(metavar="BUS", help="List what a change to this file means for the service on BUS.")
    ] = None,
) -> None:
    """Check alerts.yaml and report all errors at once, each with its place and a suggestion."""
    from monitor.cli import check as command

    raise typer.Exit(command.check(config, against))


@app.command()
def doctor(
    config: ConfigFile = None,
    bus: BusUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Examine settings, host, alerts.yaml, bus, topics, records and references; exit with 1 if something failed."""
    from monitor.cli import doctor as command

    raise typer.Exit(command.doctor(config, bus, as_json))


@app.command()
def schema(
    message: Annotated[
        str | None,
        typer.Argument(help="Message, such as alert-v1; without it, the schema is that of alerts.yaml."),
    ] = None,
    as_asyncapi: Annotated[
        bool, typer.Option("--asyncapi", help="Print the AsyncAPI document of all topics and messages, in YAML.")
    ] = False,
) -> None:
    """Print the JSON schema of alerts.yaml, for editors, or of a message."""
    from monitor.cli import check as command

    command.schema(message, as_asyncapi)


@reference_app.command("build")
def reference_build(
    source: Annotated[Path, typer.Argument(help="Table, file of events, or a folder or pattern of these.")],
    out: Annotated[Path, typer.Option(help="Reference file to write.")],
    config: ConfigFile = None,
    model: Annotated[str | None, typer.Option(help="Model of alerts.yaml (default: the only one).")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="First rows only.")] = None,
    csv: CsvText = None,
) -> None:
    """Make grid and reference of a model from a file."""
    from monitor.cli import reference as command

    command.build(source, out, config, model, rows, csv)


@reference_app.command("show")
def reference_show(file: Annotated[Path, typer.Argument(help="Reference file.")]) -> None:
    """Show what a reference file holds."""
    from monitor.cli import reference as command

    command.show(file)


@produce_app.command("synthetic")
def produce_synthetic(
    bus: BusUrl = None,
    drift: Annotated[Path | None, typer.Option(help="Drift on a schedule: YAML or JSON file.")] = None,
    rate: Annotated[float, typer.Option(min=0, help="Events a second; 0: as fast as possible.")] = 100.0,
    events: Annotated[int | None, typer.Option(min=1, help="End after this many events.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random draws.")] = 1,
    labels: Annotated[bool, typer.Option("--labels/--no-labels", help="With or without labels.")] = True,
    label_delay: Annotated[str, typer.Option(help="Median time from a prediction to its label.")] = "1m",
) -> None:
    """Write seeded traffic for the shipped alerts.yaml: features, predictions and labels of fraud-scorer."""
    from monitor.cli import produce as command

    command.synthetic(bus, command.Synthetic(drift, rate, events, seed, label_delay if labels else None))


@produce_app.command("log")
def produce_log(
    file: Annotated[Path, typer.Argument(help="Captured log.")],
    bus: BusUrl = None,
    speed: Annotated[float, typer.Option(min=0, help="Times as fast as recorded; 0: as fast as possible.")] = 1.0,
) -> None:
    """Write a captured log's records into its topics again."""
    from monitor.cli import produce as command

    command.log(file, bus, speed)


@produce_app.command("file")
def produce_file(  # noqa: PLR0913 - one argument a flag
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Tables, events, or a folder or pattern of these.")
    ],
    config: ConfigFile = None,
    bus: BusUrl = None,
    model: Annotated[str | None, typer.Option(help="Model of alerts.yaml (default: the only one).")] = None,
    stream: Annotated[StreamChoice | None, typer.Option(help="Only this stream of the files.")] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="1: at the pace of the rows' times, 2: twice as fast; 0: as fast as possible.")
    ] = 0.0,
    start: Annotated[str | None, typer.Option(help="Time of the first row, RFC 3339, if rows have none.")] = None,
    step: Annotated[str, typer.Option(help="Time between rows that have none.")] = "1s",
    label_delay: LabelDelay = "0s",
    csv: CsvText = None,
) -> None:
    """Write the rows of tables as events into the topics of their model: features, predictions, labels."""
    from monitor.cli import produce_file as command
    from monitor.cli.replay_sources import FileFlags

    flags = FileFlags(stream.value if stream else None, model, start, step, csv, label_delay)
    command.produce(tuple(sources), flags, command.Target(config, bus, speed))


@app.command()
def capture(
    topics: Annotated[list[str], typer.Argument(metavar="TOPIC...")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    config: ConfigFile = None,
    bus: BusUrl = None,
) -> None:
    """Record topics, with what the service decided on them, into a file that replays byte for byte."""
    from monitor.cli import capture as command

    command.capture(tuple(topics), out, config, bus)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End when all traffic has been judged.")] = False,
    drift: Annotated[bool, typer.Option("--drift/--no-drift", help="With or without drift in the traffic.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of the traffic.")] = 1,
) -> None:
    """Run producers and service on one file, without network, and show a drift alert within a minute."""
    from monitor.cli import demo as command

    command.demo(once, drift, seed)


def main() -> None:
    """Run the `streamdrift` command; errors become a line and an exit code."""
    try:
        app()
    except ConfigurationError as error:
        for problem in error.problems:
            typer.echo(escaped(str(problem)), err=True)
        if not error.problems:
            typer.echo(escaped(f"streamdrift: {error}", keep="\n"), err=True)
        sys.exit(exit_code(error))
    except StreamdriftError as error:
        typer.echo(escaped(f"streamdrift: {error}", keep="\n"), err=True)
        sys.exit(exit_code(error))
    except BrokenPipeError:
        sys.exit(0)  # the reader of our output has enough


if __name__ == "__main__":
    main()
