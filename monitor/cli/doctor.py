"""`streamdrift doctor`: looks at everything that a run needs, and says what to do about what is wrong."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import msgspec
import typer

from monitor.cli.shell import settings_of
from monitor.doctor.examination import examine
from monitor.doctor.finding import Finding, worst
from monitor.exit_codes import ExitCode
from monitor.log_lines import escaped

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(config: Path | None, bus: str | None, as_json: bool) -> int:
    """Print each finding as it comes, or all as JSON; returns the exit code: 1 if one has failed."""
    settings = settings_of(config, bus)
    flags = [name for name, value in (("config", config), ("bus", bus)) if value is not None]
    findings = []
    for finding in examine(settings, flags, int(time.time() * 1000)):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        value = {"status": worst(findings), "findings": [finding._asdict() for finding in findings]}
        typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
    else:
        counts = Counter(finding.status for finding in findings)
        typer.echo(f"{counts['failed']} failed, {counts['warning']} warning(s), {counts['ok']} ok")
    return ExitCode.FOUND if worst(findings) == "failed" else 0


def _show(finding: Finding) -> None:
    status = typer.style(f"{finding.status:<8}", fg=_COLOURS[finding.status])
    typer.echo(f"{status}{finding.check:<12}{escaped(finding.found)}")
    if finding.remedy:
        typer.echo(f"{'':<20}→ {escaped(finding.remedy)}")
