"""`streamdrift run`: the service, supervised; and the hidden command of one stage."""

from __future__ import annotations

import sys
from pathlib import Path

from monitor.cli.shell import load_config, open_settings_bus, settings_of
from monitor.errors import ConfigurationError
from monitor.service import STAGES, Supervisor, prepare, run_stage
from monitor.settings import Settings
from monitor.telemetry import configure_logging, get_log


def run(config: Path | None, bus: str | None, stages: str, instance: str | None) -> int:
    """Check everything that can be checked, then supervise one process a stage; returns the exit code."""
    settings = settings_of(config, bus, instance)
    configure_logging(settings.log_level, settings.log_format)
    names = [name.strip() for name in stages.split(",") if name.strip()]
    unknown = [name for name in names if name not in STAGES]
    if unknown or not names:
        raise ConfigurationError(f"--stages {stages}: there are {' and '.join(STAGES)}")
    opened = open_settings_bus(settings)
    prepare(opened, load_config(settings.config), settings)
    opened.close()
    return Supervisor(names, lambda name: stage_command(name, settings), get_log("service")).run()


def stage_command(name: str, settings: Settings) -> list[str]:
    """The command line of a stage's process."""
    flags = ["--config", str(settings.config), "--bus", settings.bus, "--instance", settings.instance]
    return [sys.executable, "-m", "monitor.cli.main", "stage", name, *flags]


def stage(name: str, config: Path | None, bus: str | None, instance: str | None) -> None:
    """One stage in this process."""
    settings = settings_of(config, bus, instance)
    configure_logging(settings.log_level, settings.log_format)
    if name not in STAGES:
        raise ConfigurationError(f"stage {name}: there are {' and '.join(STAGES)}")
    opened = open_settings_bus(settings)
    try:
        run_stage(name, opened, load_config(settings.config), settings, get_log(name))
    finally:
        opened.close()
