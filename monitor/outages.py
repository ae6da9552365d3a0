"""Outages of brokers, from what the Kafka clients log: `broker_unreachable` and `broker_back`, one line each.

Several clients of a process, each with its own connections, log every attempt that fails; a broker's restart makes
dozens of lines. The first attempt that fails begins an outage, and the first connection to the same broker ends it,
whichever client makes it. A connection that breaks does neither: brokers close idle ones, and the client makes another.

A stage ends when the bus fails, and is started again. So the brokers that can't be reached are kept in a file: the
process that follows does not report them again, and reports when they are back.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Protocol

import msgspec

CLIENTS = "kafka"
"""The logger of the library, above all others of it."""
CONNECTIONS = (f"{CLIENTS}.net.manager", f"{CLIENTS}.net.connection")
"""Loggers whose lines at level info are needed here."""
_ADDRESS = "Initializing connection for node_id %s at %s:%s (rack=%s)"
_CONNECTED = "%s: Connected"
_LOST = "%s: Connection lost: %s"
_BOOTSTRAP = "bootstrap"


class Report(Protocol):
    """Logs one event: `broker_unreachable` with `why`, or `broker_back` with `after_s`."""

    def __call__(self, event: str, **keys: object) -> None: ...


class Outages:
    """The brokers that can't be reached now. `clock`: s since 1970. `report`: logs an event, from any thread."""

    def __init__(self, clock: Callable[[], float], report: Report) -> None:
        self._clock = clock
        self._report = report
        self._lock = Lock()
        self._addresses: dict[object, str] = {}
        self._since: dict[str, float] = {}
        self._file: Path | None = None

    def keep_in(self, file: Path) -> None:
        """Go on from what the process before has kept there, and keep it there from now on.

        The file lies in a folder of this user's own; what can't be read or written is not kept.
        """
        with self._lock, suppress(OSError, msgspec.DecodeError):
            self._file = file
            self._since |= msgspec.json.decode(file.read_bytes(), type=dict[str, float])

    def take(self, record: logging.LogRecord) -> bool:
        """Return true if a line is the clients' talk about connections; what it reports of brokers is logged instead.

        Exceptions that the library did not expect are no such talk, but for those of sockets.
        """
        if not f"{record.name}.".startswith(f"{CLIENTS}."):
            return False
        self._learn(record)
        is_unexpected = record.exc_info is not None and not record.name.startswith(f"{CLIENTS}.net.transport")
        return not is_unexpected

    def _learn(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        if record.msg == _ADDRESS:
            node, host, port, _ = arguments
            self._addresses[node] = f"{host}:{port}"
        elif record.msg == _CONNECTED:
            self._note_connection(arguments[0])
        # without arguments it is this process that gives the attempt up
        elif record.msg == _LOST and not _was_open(arguments[0]) and getattr(arguments[1], "args", ()):
            self._note_failure(arguments[0], arguments[1])

    def _note_failure(self, connection: object, why: object) -> None:
        broker = self._broker(connection)
        with self._lock:
            # an address to begin with can be another name of a broker that is known to be away
            is_known = broker in self._since or (bool(self._since) and _is_bootstrap(connection))
            if not is_known:
                self._since[broker] = self._clock()
                self._write()
        if not is_known:
            self._report("broker_unreachable", broker=broker, why=str(why))

    def _note_connection(self, connection: object) -> None:
        broker, now = self._broker(connection), self._clock()
        with self._lock:
            back = {broker: self._since.pop(broker)} if broker in self._since else {}
            if back:
                self._write()
        for name, since in back.items():
            self._report("broker_back", broker=name, after_s=round(max(0.0, now - since), 1))

    def _broker(self, connection: object) -> str:
        node = getattr(connection, "node_id", None)
        return self._addresses.get(node, str(node))

    def _write(self) -> None:
        if self._file is not None:
            fresh = self._file.with_suffix(".new")
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
                with fresh.open("xb") as file:  # a link in its place is not followed
                    file.write(msgspec.json.encode(self._since))
                os.replace(fresh, self._file)


def _was_open(connection: object) -> bool:
    future = getattr(connection, "init_future", None)
    return future is not None and future.succeeded()


def _is_bootstrap(connection: object) -> bool:
    return str(getattr(connection, "node_id", "")).startswith(_BOOTSTRAP)
