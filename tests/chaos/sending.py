"""The producer of a chaos run: a thread that sends the traffic as fast as the faults go on, and survives its broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from threading import Event, Thread

from monitor.bus.kafka import KafkaBus
from tests.chaos.scenario import Feed

CHUNK = 1000
PATIENT = {"delivery_timeout_ms": 300_000, "request_timeout_ms": 10_000, "max_block_ms": 120_000}
"""A broker may be away for long: its producer waits."""


class Sending:
    """Sends the events of a feed from `start` on, never more than `allowed()` of them in all."""

    def __init__(self, servers: list[str], feed: Feed, start: int, allowed: Callable[[], int]) -> None:
        self.sent = start
        self.failed: BaseException | None = None
        self._bus = KafkaBus(servers, PATIENT)
        self._records = feed.all_records(start)
        self._events = feed.events
        self._allowed = allowed
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether all events are written, or none can be any more."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            sender = self._bus.sender()
            while self.sent < self._events and not self._stopping.is_set():
                due = min(self._allowed() - self.sent, CHUNK)
                if due <= 0:
                    time.sleep(0.02)
                    continue
                for records in islice(self._records, due):
                    for record in records:
                        sender.send(record)
                sender.flush()
                self.sent += due
        except BaseException as error:  # told by the main thread
            self.failed = error

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)
        self._bus.close()
