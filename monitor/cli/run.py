"""`streamdrift run`: the service, supervised; and the hidden command of one stage."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from monitor import __version__
from monitor.alerts_file import Accepted
from monitor.channel import Channel
from monitor.cli.shell import open_settings_bus, settings_of
from monitor.errors import ConfigurationError
from monitor.instances import file_of, held, instance_of
from monitor.service import STAGES, prepare, run_stage
from monitor.settings import Settings
from monitor.signals import die_with
from monitor.supervisor import Supervisor
from monitor.telemetry import Sample, configure_logging, get_log, sample
from monitor.web.health import StageView


def run(config: Path | None, bus: str | None, stages: str, instance: str | None, web: str | None) -> int:
    """Check everything that can be checked, then supervise one process a stage; returns the exit code."""
    settings = settings_of(config, bus, instance, web)
    configure_logging(settings.log_level, settings.log_format)
    names = [name.strip() for name in stages.split(",") if name.strip()]
    unknown = [name for name in names if name not in STAGES]
    if unknown or not names:
        raise ConfigurationError(f"--stages {stages}: there are {' and '.join(STAGES)}")
    accepted = Accepted(settings.config)
    opened = open_settings_bus(settings, at_once=True)
    prepare(opened, accepted.config, settings, names)
    place = f"{opened.cluster_id()}/{settings.prefix}"
    opened.close()
    with held(place, settings.instance, names, settings.bus):
        return _supervise(names, settings, accepted)


def _supervise(names: list[str], settings: Settings, accepted: Accepted) -> int:
    """All stages until the end."""
    supervisor = Supervisor(names, lambda name: stage_command(name, settings), accepted, get_log("service"))
    if settings.web is None:
        return supervisor.run()
    # here, because stages' processes, and services without endpoints, start without them
    from monitor.web.pages import pages_of
    from monitor.web.server import WebServer

    pages = pages_of(lambda: _views(supervisor), lambda: _own(supervisor, settings))
    server = WebServer(settings.web, pages)
    try:
        return supervisor.run()
    finally:
        server.close()


def _views(supervisor: Supervisor) -> list[StageView]:
    views = []
    for child in supervisor.children:
        process = child.process
        pid = process.pid if process is not None else None
        views.append(StageView(child.name, pid, child.starts, child.started_at, child.status if pid else None))
    return views


def _own(supervisor: Supervisor, settings: Settings) -> list[Sample]:
    return [
        sample("streamdrift_info", 1, __version__, settings.instance),
        sample("streamdrift_config_reload_failed", supervisor.reload_failed),
        sample("streamdrift_config_reload_seconds", supervisor.reloaded_at),
    ]


def stage_command(name: str, settings: Settings) -> list[str]:
    """The command line of a stage's process; it names alerts.yaml for messages, and gets the text from its parent."""
    flags = ["--config", str(settings.config), "--bus", settings.bus, "--instance", settings.instance]
    return [sys.executable, "-m", "monitor.cli.main", "stage", name, *flags]


def stage(
    name: str,
    config: Path | None,
    bus: str | None,
    instance: str | None,
    parent: int | None,
) -> None:
    """One stage in this process; `parent`: the supervisor's, with which it ends."""
    if parent is not None:
        die_with(parent)
    settings = settings_of(config, bus, instance)
    outages = configure_logging(settings.log_level, settings.log_format)
    if name not in STAGES:
        raise ConfigurationError(f"stage {name}: there are {' and '.join(STAGES)}")
    place = f"{settings.bus}/{settings.prefix}"  # the cluster's id can't be asked for while it is away
    outages.keep_in(file_of(place, instance_of(settings.instance, name), "outages", settings.bus))
    run_stage(name, open_settings_bus(settings), settings, get_log(name), Channel.of_stdin())
    # Its group and its writer have been left by now. To close the rest, and to take the interpreter down, can take
    # seconds of the five that a stage has to leave in; the end of the process closes all at once.
    sys.stderr.flush()
    os._exit(0)
