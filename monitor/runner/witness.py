"""What a process was folding when it ended: kept where it outlives the process, and costs no system call.

A process that is killed can't say so. The one that follows under the same name asks its witness whether the end came
while records of a partition were folded, or elsewhere: waiting, committing, or by a decision of its own.
"""

from __future__ import annotations

import hashlib
import mmap
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from monitor.events import TopicPartition

_WIDTH = 8


class Witness(Protocol):
    """Of one process name; asked at the start for what was, then told what is."""

    def ended_in(self, tp: TopicPartition) -> bool | None:
        """Whether the process before ended while it folded that partition; None where nobody knows."""

    def folding(self, tp: TopicPartition | None) -> None:
        """Records of a partition are folded from now on, or (None) no more."""


class NoWitness:
    """Knows nothing of the past, and keeps nothing."""

    def ended_in(self, tp: TopicPartition) -> bool | None:
        return None

    def folding(self, tp: TopicPartition | None) -> None: ...


class MemoryWitness:
    """For processes that share this one's memory, one object a name."""

    def __init__(self) -> None:
        self._now: TopicPartition | None = None
        self._before: TopicPartition | None = None

    def begin(self) -> None:
        """A new process begins."""
        self._before, self._now = self._now, None

    def ended_in(self, tp: TopicPartition) -> bool | None:
        return self._before == tp

    def folding(self, tp: TopicPartition | None) -> None:
        self._now = tp


class FileWitness:
    """In a mapped file of eight bytes: the kernel keeps what was written last, however the process ends."""

    def __init__(self, path: Path) -> None:
        self._names: dict[TopicPartition | None, bytes] = {None: bytes(_WIDTH)}
        self._before: bytes | None = None
        with suppress(FileNotFoundError):
            self._before = path.read_bytes()[:_WIDTH]
        path.write_bytes(bytes(_WIDTH))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _WIDTH)

    def ended_in(self, tp: TopicPartition) -> bool | None:
        return None if self._before is None else self._before == self._name(tp)

    def folding(self, tp: TopicPartition | None) -> None:
        self._map[:_WIDTH] = self._name(tp)

    def _name(self, tp: TopicPartition | None) -> bytes:
        if tp not in self._names and tp is not None:
            self._names[tp] = hashlib.sha256(f"{tp.topic}/{tp.partition}".encode()).digest()[:_WIDTH]
        return self._names[tp]
