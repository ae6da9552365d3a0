"""What a process was folding when it ended: kept where it outlives the process, and costs no system call.

A process that is killed can't say so. The one that follows under the same name asks its witness whether the end came
while records of a partition were folded, or elsewhere: waiting, committing, or by a decision of its own.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from pathlib import Path
from typing import Protocol

from monitor.events import TopicPartition
from monitor.instances import open_unlinked

_FORM = struct.Struct("<8sq")
"""Digest of a partition, and the end of the batch of it that is folded."""
_NOTHING = _FORM.pack(bytes(8), 0)


class Witness(Protocol):
    """A witness of one process name: it is read at the start, then written. `knows`: true if it saw one end."""

    knows: bool

    def folded_to(self, tp: TopicPartition) -> int:
        """The end (exclusive offset) of the batch of that partition in whose fold the process before ended; 0: none."""

    def note_fold(self, tp: TopicPartition | None, end: int = 0) -> None:
        """Records of a partition below `end` are folded from now on, or (None) no more."""


class NoWitness:
    """Knows nothing of the past, and keeps nothing."""

    knows = False

    def folded_to(self, tp: TopicPartition) -> int:
        return 0

    def note_fold(self, tp: TopicPartition | None, end: int = 0) -> None: ...


class MemoryWitness:
    """A witness for processes that share this one's memory, one object a name."""

    knows = True

    def __init__(self) -> None:
        self._now: tuple[TopicPartition | None, int] = (None, 0)
        self._before: tuple[TopicPartition | None, int] = (None, 0)

    def begin(self) -> None:
        """A new process begins."""
        self._before, self._now = self._now, (None, 0)

    def folded_to(self, tp: TopicPartition) -> int:
        before, end = self._before
        return end if before == tp else 0

    def note_fold(self, tp: TopicPartition | None, end: int = 0) -> None:
        self._now = (tp, end)


class FileWitness:
    """A witness in a small mapped file: the kernel keeps what was written last, however the process ends.

    Raises OSError if the file can't be opened, or a symbolic link has its name.
    """

    def __init__(self, path: Path) -> None:
        self._digests: dict[TopicPartition, bytes] = {}
        descriptor = open_unlinked(path)
        try:
            found = os.pread(descriptor, _FORM.size + 1, 0)
            self.knows = len(found) == _FORM.size
            self._before = found if self.knows else _NOTHING
            os.ftruncate(descriptor, _FORM.size)
            self._map = mmap.mmap(descriptor, _FORM.size)
        finally:
            os.close(descriptor)
        self._map[:] = _NOTHING

    def folded_to(self, tp: TopicPartition) -> int:
        digest, end = _FORM.unpack(self._before)
        return int(end) if digest == self._digest(tp) else 0

    def note_fold(self, tp: TopicPartition | None, end: int = 0) -> None:
        self._map[: _FORM.size] = _NOTHING if tp is None else _FORM.pack(self._digest(tp), end)

    def _digest(self, tp: TopicPartition) -> bytes:
        if tp not in self._digests:
            self._digests[tp] = hashlib.sha256(f"{tp.topic}/{tp.partition}".encode()).digest()[:8]
        return self._digests[tp]
