"""Records at a chosen speed: each record with the seconds to wait before it.

Whoever sends the records does the waiting, and so keeps the clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from monitor.codec.captured import CapturedLog
from monitor.errors import ConfigurationError
from monitor.events import Outgoing, Record

Paced = tuple[float, Outgoing]


def captured_traffic(path: Path, topics: Collection[str], speed: float | None) -> Iterator[Paced]:
    """Records of a captured log that belong to `topics`, into the partitions that they came from.

    `speed`: 1 is as it was recorded, 2 twice as fast, by the records' stamps; None without waiting. The stamps are
    not written again: a bus that keeps records for a time would delete old ones at once.
    """
    with _open(path) as file:
        records = (record for record in CapturedLog(file).records() if record.topic in topics)
        yield from paced(((record.timestamp, _again(record)) for record in records), speed)


def paced(records: Iterable[tuple[int | None, Outgoing]], speed: float | None) -> Iterator[Paced]:
    """Records with their times (ms; None: that of the record before), each after its wait."""
    pace = _Pace(speed)
    return ((pace.wait(time), record) for time, record in records)


def _again(record: Record) -> Outgoing:
    return Outgoing(record.topic, record.partition, record.key, record.value, record.headers)


class _Pace:
    """Turns times of records into waiting; time that goes back waits for nothing."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._latest: int | None = None

    def wait(self, time: int | None) -> float:
        """Seconds from the record before to one at `time` (ms)."""
        if self._speed is None or time is None:
            return 0.0
        before = time if self._latest is None else self._latest
        self._latest = max(before, time)
        return (self._latest - before) / 1000 / self._speed


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
