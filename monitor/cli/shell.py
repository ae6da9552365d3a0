"""What commands share: settings and bus from flags."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.bus.address import open_bus
from monitor.bus.kafka_security import client_options
from monitor.bus.port import Bus
from monitor.errors import ConfigurationError
from monitor.settings import Settings, load_settings


def settings_of(
    config: Path | None = None, bus: str | None = None, instance: str | None = None, web: str | None = None
) -> Settings:
    """Return the settings of the flags, else of the environment."""
    return load_settings(config=config, bus=bus, instance=instance, web=web)


def open_settings_bus(settings: Settings, at_once: bool = False) -> Bus:
    """Open the bus of the settings. `at_once`: as in `open_bus`."""
    return open_bus(settings.bus, client_options(settings), at_once)


def open_settings_bus_to_read(settings: Settings) -> Bus:
    """Open the bus of the settings, on which something has to be there already."""
    return open_bus(settings.bus, client_options(settings), creates=False)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file in the error if it can't be written."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be written: {error.strerror or error}") from error
