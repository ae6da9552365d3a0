"""`streamdrift init`: proposes an alerts.yaml for a file, a folder or a topic, and says what to type next."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from monitor.cli.replay_sources import TOPIC
from monitor.cli.shell import open_settings_bus_to_read, settings_of, writing
from monitor.cli.tail import printable
from monitor.config import load
from monitor.errors import ConfigurationError
from monitor.inference.event_roles import in_their_places
from monitor.inference.foreign import read_foreign
from monitor.inference.plan import plan_of
from monitor.inference.proposal import model_name, text_of, without_times
from monitor.inference.roles import Decision, roles_of
from monitor.inference.sample import Sample, sample_of_files, sample_of_topic


def init(source: str, out: Path, bus: str | None, mapping: Path | None, force: bool, yes: bool) -> None:
    """Look at the source, decide, write the file and show both."""
    if out.exists() and not force:
        raise ConfigurationError(f"{out}: is there already; --force overwrites it, --out names another file")
    topic = source.removeprefix(TOPIC) if source.startswith(TOPIC) else None
    sample = _sample(source, topic, bus)
    if not any(any(cell is not None for cell in cells) for cells in sample.columns.values()):
        raise ConfigurationError(f"{source}: has no rows")
    given, left = read_foreign(mapping, sample) if mapping is not None else ({}, [])
    decisions = roles_of(sample, given)
    if sample.is_events or topic is not None:
        decisions = in_their_places(decisions, sample, is_topic=topic is not None)
    if not yes and sys.stdin.isatty():
        try:
            decisions = [_asked(decision) for decision in decisions]
        except typer.Abort:
            raise ConfigurationError(f"{out}: not written, for a question has no answer; --yes asks none") from None
    if not any(d.role in ("numerical", "binary", "categorical", "arrays", "prediction") for d in decisions):
        raise ConfigurationError(f"{source}: has no column that can be watched; {_reasons(decisions)}")
    model = sample.models.most_common(1)[0][0] if sample.models else model_name(sample.name)
    plan = plan_of(sample, decisions)
    text = text_of(sample, decisions, plan, model, topic)
    load(text, str(out))  # what is proposed has to be right
    with writing(out):
        out.write_text(text, encoding="utf-8")
    _show(decisions)
    has_time = any(decision.role == "timestamp" for decision in decisions)
    if sample.has_values_for_names:
        typer.echo("the first line seems to be a row of values: columns are called by it; write a header before it")
    if not has_time:
        typer.echo(without_times(sample, topic))
    if sample.rows < plan.reference + plan.window:
        typer.echo(
            f"{sample.rows} rows are too few to judge: a reference of {plan.reference} and a window of {plan.window} "
            f"take {plan.reference + plan.window}"
        )
    for key in left:
        typer.echo(f"{mapping}: not taken over: {printable(key)}")
    typer.echo(
        f"{out}: model {model}, {plan.task}; reference of {plan.reference} rows, windows of {plan.window} events"
    )
    typer.echo(f"next: {_next(source, topic, out, bus, needs_start=not sample.is_events and not has_time)}")


def _sample(source: str, topic: str | None, bus: str | None) -> Sample:
    if topic is None:
        return sample_of_files(source)
    opened = open_settings_bus_to_read(settings_of(bus=bus))
    try:
        return sample_of_topic(opened, topic)
    finally:
        opened.close()


def _asked(decision: Decision) -> Decision:
    """Ask about a column that may as well have another role."""
    if decision.unsure is None:
        return decision
    question = f"{printable(decision.name)}: {decision.why}. Is it {decision.unsure} rather than {decision.role}?"
    role = decision.unsure if typer.confirm(question, default=False) else decision.role
    return Decision(decision.name, role, "as answered")


def _show(decisions: list[Decision]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    table = Table("column", "role", "why", box=None, header_style="dim")
    for decision in decisions:
        style = "dim" if decision.role in ("left out", "label", "id") else ""
        doubt = f"; or {decision.unsure}?" if decision.unsure else ""
        table.add_row(
            escape(printable(decision.name)), decision.role, escape(printable(decision.why + doubt)), style=style
        )
    console.print(table)


def _next(source: str, topic: str | None, out: Path, bus: str | None, *, needs_start: bool) -> str:
    """The command that comes next."""
    flag = "" if str(out) == "alerts.yaml" else f" --config {shlex.quote(str(out))}"
    if topic is not None:
        return f"streamdrift run{flag}" + ("" if bus is None else f" --bus {shlex.quote(bus)}")
    start = " --start 2026-01-01T00:00:00Z" if needs_start else ""
    return f"streamdrift replay {shlex.quote(source)}{flag}{start}"


def _reasons(decisions: list[Decision]) -> str:
    return "; ".join(f"{decision.name}: {decision.why}" for decision in decisions[:5])
