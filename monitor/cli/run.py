"""`streamdrift run`: the service, supervised; and the hidden command of one stage."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from monitor import __version__
from monitor.alerts_file import Accepted
from monitor.cli.shell import open_settings_bus, settings_of
from monitor.errors import ConfigurationError
from monitor.instances import held
from monitor.runner.status import read_status
from monitor.service import STAGES, prepare, run_stage
from monitor.settings import Settings
from monitor.signals import die_with
from monitor.supervisor import Supervisor
from monitor.telemetry import Sample, configure_logging, get_log, sample
from monitor.web.health import StageView
from monitor.web.pages import pages_of
from monitor.web.server import WebServer


def run(config: Path | None, bus: str | None, stages: str, instance: str | None, web: str | None) -> int:
    """Check everything that can be checked, then supervise one process a stage; returns the exit code."""
    settings = settings_of(config, bus, instance, web)
    configure_logging(settings.log_level, settings.log_format)
    names = [name.strip() for name in stages.split(",") if name.strip()]
    unknown = [name for name in names if name not in STAGES]
    if unknown or not names:
        raise ConfigurationError(f"--stages {stages}: there are {' and '.join(STAGES)}")
    with tempfile.TemporaryDirectory(prefix="streamdrift-") as folder:
        accepted = Accepted(settings.config, Path(folder) / "alerts.yaml")
        opened = open_settings_bus(settings, at_once=True)
        prepare(opened, accepted.config, settings, names)
        place = f"{opened.cluster_id()}/{settings.prefix}"
        opened.close()
        with held(place, settings.instance, names):
            return _supervise(names, settings, accepted, Path(folder))


def _supervise(names: list[str], settings: Settings, accepted: Accepted, folder: Path) -> int:
    """All stages until the end. `folder`: for what they and the supervisor tell each other."""
    supervisor = Supervisor(
        names,
        lambda name: stage_command(name, settings, accepted.copy, _status(folder, name)),
        get_log("service"),
        accepted.reload,
    )
    if settings.web is None:
        return supervisor.run()
    pages = pages_of(lambda: _views(supervisor, folder), lambda: _own(supervisor, settings))
    server = WebServer(settings.web, pages)
    try:
        return supervisor.run()
    finally:
        server.close()


def _status(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _views(supervisor: Supervisor, folder: Path) -> list[StageView]:
    views = []
    for child in supervisor.children:
        process, status = child.process, read_status(_status(folder, child.name))
        pid = process.pid if process is not None else None
        known = status if status is not None and status.pid == pid else None  # else it is its predecessor's
        views.append(StageView(child.name, pid, child.starts, child.started_at, known))
    return views


def _own(supervisor: Supervisor, settings: Settings) -> list[Sample]:
    return [
        sample("streamdrift_info", 1, __version__, settings.instance),
        sample("streamdrift_config_reload_failed", supervisor.reload_failed),
        sample("streamdrift_config_reload_seconds", supervisor.reloaded_at),
    ]


def stage_command(name: str, settings: Settings, config: Path, status: Path | None = None) -> list[str]:
    """The command line of a stage's process. `config`: checked. `status`: where it tells how it goes."""
    flags = ["--config", str(config), "--bus", settings.bus, "--instance", settings.instance]
    flags += ["--status", str(status)] if status is not None else []
    return [sys.executable, "-m", "monitor.cli.main", "stage", name, *flags]


def stage(
    name: str,
    config: Path | None,
    bus: str | None,
    instance: str | None,
    parent: int | None,
    status: Path | None,
) -> None:
    """One stage in this process; `parent`: the supervisor's, with which it ends."""
    if parent is not None:
        die_with(parent)
    settings = settings_of(config, bus, instance)
    configure_logging(settings.log_level, settings.log_format)
    if name not in STAGES:
        raise ConfigurationError(f"stage {name}: there are {' and '.join(STAGES)}")
    run_stage(name, open_settings_bus(settings), settings, get_log(name), status)
    # Its group and its writer have been left by now. To close the rest, and to take the interpreter down, can take
    # seconds of the five that a stage has to leave in; the end of the process closes all at once.
    sys.stderr.flush()
    os._exit(0)
