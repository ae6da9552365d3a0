"""Names of processes in their groups: on a host no two at once have the same.

The broker takes a second process of a name for the first one come back, and the two would fence each other for ever.
A name is held by a lock on a file, which the kernel lets go of however its process ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from monitor.errors import ConfigurationError


def instance_of(name: str, stage: str) -> str:
    """What the process of a stage is called in its group."""
    return f"{name}-{stage}"


@contextmanager
def held(place: str, name: str, stages: Sequence[str]) -> Iterator[None]:
    """Hold the instance's name for these stages; raises ConfigurationError where another process holds it.

    `place`: the cluster and the prefix of our topics.
    """
    opened: list[int] = []
    try:
        for stage in stages:
            opened.append(_open(file_of(place, instance_of(name, stage), "lock")))
            try:
                fcntl.flock(opened[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(
                    f"another process on this host already runs stage {stage} as instance {name!r}; "
                    "name it with --instance (or STREAMDRIFT_INSTANCE), each process another name"
                ) from None
        yield
    finally:
        for descriptor in opened:
            os.close(descriptor)


def file_of(place: str, instance: str, what: str) -> Path:
    """A file of the instance on this host. It stays when its lock is gone: a deleted one could be locked twice."""
    named = hashlib.sha256(f"{place}\n{instance}".encode()).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"streamdrift-instance-{named}.{what}"


def _open(path: Path) -> int:
    with suppress(FileExistsError):
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o644)
    return os.open(path, os.O_RDONLY)  # another user's, perhaps: it can be read, and that is enough for a lock
