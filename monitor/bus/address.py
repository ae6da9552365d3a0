"""From an address to the bus behind it; kafka-python and sqlite3 are imported only when asked for."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping

from monitor.bus.port import Bus
from monitor.errors import ConfigurationError

FORMS = "kafka://host:port[,host:port], sqlite:///path or memory:"


def open_bus(url: str, options: Mapping[str, object] | None = None, at_once: bool = False, creates: bool = True) -> Bus:
    """The bus at `url`. `options`: settings for every Kafka client, by kafka-python's names; only Kafka takes them.

    `sqlite:///drift.db` is relative to the working directory, `sqlite:////var/drift.db` absolute.
    `at_once`: a refusal raises at once; otherwise brokers that are just starting are waited for first.
    `creates`: the file of a SQLite bus begins here if there is none; otherwise that is refused.
    Raises ConfigurationError for an address of no known form, BusUnreachable when nobody answers there.
    """
    scheme, _, rest = url.partition(":")
    if scheme != "kafka" and options:
        raise ConfigurationError(f"{url}: options are for kafka:// only")
    if "@" in rest and scheme == "kafka":
        raise ConfigurationError(
            "the address kafka://... holds an '@': a user and password there could be read by everybody; "
            "set STREAMDRIFT_KAFKA_USERNAME and STREAMDRIFT_KAFKA_PASSWORD_FILE"
        )
    if scheme == "kafka" and rest.startswith("//"):
        with warnings.catch_warnings():  # the library reads its own files by deprecated calls while it is imported
            warnings.simplefilter("ignore", DeprecationWarning)
            from monitor.bus.kafka import KafkaBus
            from monitor.bus.kafka_probe import diagnosis

        servers = _servers(url, rest[2:])
        problem = diagnosis(servers, options or {}) if at_once else None
        if problem is not None:
            raise problem
        return KafkaBus(servers, options or {})
    if scheme == "sqlite" and rest.startswith("///") and len(rest) > 3:
        from monitor.bus.embedded import EmbeddedBus

        if not creates and not os.path.exists(rest[3:]):
            raise ConfigurationError(f"{url}: there is no such file; correct the address, or start the service on it")
        return EmbeddedBus(rest[3:])
    if url == "memory:":
        from monitor.bus.memory import MemoryBus

        return MemoryBus()
    raise ConfigurationError(f"{url!r} is no bus address; expected {FORMS}")


def _servers(url: str, rest: str) -> tuple[str, ...]:
    servers = tuple(rest.rstrip("/").split(","))
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigurationError(f"{url!r}: {server!r} is no host:port; expected kafka://host:port[,host:port]")
    return servers
