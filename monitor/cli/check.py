"""`streamdrift check` and `streamdrift schema`."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from monitor.alerts_file import load_config
from monitor.cli.shell import settings_of
from monitor.config.schema import alerts_schema
from monitor.errors import ConfigurationError
from monitor.log_lines import escaped

MESSAGES = Path(__file__).parents[1] / "schema" / "messages"
"""The schemas of messages, as they are shipped."""


def check(config: Path | None) -> int:
    """Load the configuration and describe it in a line; problems are raised, hints printed on standard error."""
    path = settings_of(config).config
    loaded = load_config(path)
    for hint in loaded.hints:
        typer.echo(escaped(f"{hint.file}:{hint.line}:{hint.column}: hint: {hint.message}"), err=True)
    rules = sum(len(model.rules.rules) for model in loaded.models)
    names = ", ".join(model.contract.model for model in loaded.models)
    typer.echo(f"{path}: ok, {len(loaded.models)} model(s) ({names}), {rules} rule(s)")
    return 0


def schema(message: str | None) -> None:
    """Print a JSON schema: that of alerts.yaml, or of a message."""
    if message is None:
        typer.echo(json.dumps(alerts_schema(), indent=2, ensure_ascii=False))
        return
    shipped = {path.stem: path for path in MESSAGES.glob("*.json")}
    if message not in shipped:
        raise ConfigurationError(f"there is no schema {message!r}; there are {', '.join(sorted(shipped))}")
    typer.echo(shipped[message].read_text(encoding="utf-8"), nl=False)
