"""All looks in order, each by itself: what one of them can't find keeps no other from being taken."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from monitor.alerts_file import load_config
from monitor.bus.address import open_bus
from monitor.bus.kafka_security import client_options
from monitor.bus.port import Bus
from monitor.config.built_in import GROUP
from monitor.config.resolved import Config
from monitor.doctor.finding import Finding
from monitor.doctor.references import references_found
from monitor.doctor.this_host import disk, memory, settings_found, versions
from monitor.doctor.topics import bus_found, inputs_found, our_topics_found, rights_found
from monitor.doctor.traffic import traffic_found
from monitor.errors import BusError, ConfigurationError, StreamdriftError
from monitor.service import STAGES
from monitor.settings import Settings


def examine(settings: Settings, flags: Collection[str], now: int) -> Iterator[Finding]:
    """Look at everything that a run of the service needs. `flags`: settings given by flag; `now`: ms UTC."""
    yield versions()
    yield from settings_found(settings, flags)
    yield memory(settings, len(STAGES))
    yield from disk(settings)
    config: Config | None = None
    try:
        config = load_config(settings.config)
    except ConfigurationError as error:
        for problem in error.problems or (error,):
            yield Finding("alerts.yaml", "failed", str(problem), "`streamdrift check` shows all of its problems")
    if config is not None:
        yield from _file_found(config, settings)
    bus: Bus | None = None
    try:
        bus = open_bus(settings.bus, client_options(settings), at_once=True, creates=False)
    except (BusError, ConfigurationError) as error:
        yield _no_bus(settings, error)
    if bus is None:
        yield from () if config is None else references_found(None, config)
        return
    with closing(bus):
        yield bus_found(bus)
        if config is not None:
            yield from _on(bus, config, settings, now)


def _no_bus(settings: Settings, error: StreamdriftError) -> Finding:
    """Say why there is no bus; a file that nobody has written to yet is none, and nothing is wrong with that."""
    path = settings.bus.removeprefix("sqlite:///")
    if path != settings.bus and Path(path).parent.is_dir() and not Path(path).exists():
        remedy = "start the service or a producer there: the first one creates it"
        return Finding("bus", "warning", f"{settings.bus}: there is no such file yet", remedy)
    return Finding("bus", "failed", str(error), "correct --bus or STREAMDRIFT_BUS, or start the broker")


def _file_found(config: Config, settings: Settings) -> Iterator[Finding]:
    found = f"{len(config.models)} model(s), {config.own_rules(GROUP)} rule(s) beside the built-in ones"
    yield Finding("alerts.yaml", "ok", f"{settings.config}: {found}")
    for hint in config.hints:
        yield Finding("alerts.yaml", "warning", f"{hint.file}:{hint.line}:{hint.column}: {hint.message}")


def _on(bus: Bus, config: Config, settings: Settings, now: int) -> Iterator[Finding]:
    """What of the configuration is on the bus; one look that fails is a finding, and the next one goes on."""
    looks: tuple[tuple[str, Callable[[], Iterable[Finding]]], ...] = (
        ("topics", lambda: inputs_found(bus, config)),
        ("topics", lambda: [our_topics_found(bus, config, settings)]),
        ("rights", lambda: [rights_found(bus, config, settings)]),
        ("records", lambda: traffic_found(bus, config, now)),
        ("references", lambda: references_found(bus, config)),
    )
    for name, look in looks:
        try:
            yield from look()
        except StreamdriftError as error:
            yield Finding(name, "failed", str(error), "look at the broker's log")
