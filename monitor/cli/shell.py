"""What commands share: settings, configuration and bus from flags."""

from __future__ import annotations

from pathlib import Path

from monitor.bus.address import open_bus
from monitor.bus.kafka_security import client_options
from monitor.bus.port import Bus
from monitor.config import load
from monitor.config.resolved import Config
from monitor.errors import ConfigurationError
from monitor.settings import Settings, load_settings


def settings_of(config: Path | None = None, bus: str | None = None, instance: str | None = None) -> Settings:
    """Settings, flags first."""
    return load_settings(config=config, bus=bus, instance=instance)


def load_config(path: Path) -> Config:
    """alerts.yaml, checked; raises ConfigurationError with all its problems."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 at byte {error.start}") from error
    return load(text, str(path))


def open_settings_bus(settings: Settings) -> Bus:
    """The bus that the settings name."""
    return open_bus(settings.bus, client_options(settings))
