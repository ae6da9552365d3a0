"""`streamdrift run`: the service, supervised; and the hidden command of one stage."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from monitor.alerts_file import Accepted
from monitor.cli.shell import open_settings_bus, settings_of
from monitor.errors import ConfigurationError
from monitor.instances import held
from monitor.service import STAGES, prepare, run_stage
from monitor.settings import Settings
from monitor.signals import die_with
from monitor.supervisor import Supervisor
from monitor.telemetry import configure_logging, get_log


def run(config: Path | None, bus: str | None, stages: str, instance: str | None) -> int:
    """Check everything that can be checked, then supervise one process a stage; returns the exit code."""
    settings = settings_of(config, bus, instance)
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
            return Supervisor(
                names, lambda name: stage_command(name, settings, accepted.copy), get_log("service"), accepted.reload
            ).run()


def stage_command(name: str, settings: Settings, config: Path) -> list[str]:
    """The command line of a stage's process. `config`: the checked alerts.yaml."""
    flags = ["--config", str(config), "--bus", settings.bus, "--instance", settings.instance]
    return [sys.executable, "-m", "monitor.cli.main", "stage", name, *flags]


def stage(name: str, config: Path | None, bus: str | None, instance: str | None, parent: int | None) -> None:
    """One stage in this process; `parent`: the supervisor's, with which it ends."""
    if parent is not None:
        die_with(parent)
    settings = settings_of(config, bus, instance)
    configure_logging(settings.log_level, settings.log_format)
    if name not in STAGES:
        raise ConfigurationError(f"stage {name}: there are {' and '.join(STAGES)}")
    opened = open_settings_bus(settings)
    try:
        run_stage(name, opened, settings, get_log(name))
    finally:
        opened.close()
