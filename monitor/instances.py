"""Names of processes in their groups: on a host no two at once have the same. And the folder where that is kept.

The broker takes a second process of a name for the first one come back, and the two would go on fencing each other.
A name is held by a lock on a file, which the kernel lets go of however its process ends. Such files lie in a folder
that belongs to this user alone, and are never opened through a symbolic link: in a folder that all may write to,
another user could put a link of that name to any file of ours.
"""

from __future__ import annotations

import errno
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
def held(place: str, name: str, stages: Sequence[str], bus: str = "") -> Iterator[None]:
    """Hold the instance's name for these stages; raises ConfigurationError if another process holds it.

    `place`: the cluster and the prefix of our topics. `bus`: its address, see `private_folder`.
    """
    opened: list[int] = []
    try:
        for stage in stages:
            path = file_of(place, instance_of(name, stage), "lock", bus)
            try:
                opened.append(open_unlinked(path))
            except OSError as error:
                raise ConfigurationError(f"{path}: {error.strerror}; remove it") from error
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


def file_of(place: str, instance: str, what: str, bus: str = "") -> Path:
    """A file of the instance on this host. It stays when its lock is gone: a deleted one could be locked twice."""
    named = hashlib.sha256(f"{place}\n{instance}".encode()).hexdigest()[:24]
    return private_folder(bus) / f"instance-{named}.{what}"


def open_unlinked(path: Path) -> int:
    """A descriptor of the file, made if there is none; raises OSError if a symbolic link has its name."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a symbolic link, and no file of ours", str(path)) from error
        raise


def private_folder(bus: str) -> Path:
    """The folder of this user's processes on this host, made if there is none.

    It lies in XDG_RUNTIME_DIR; if that can't be, beside the file of the bus; on a bus that is no file, in the folder
    for temporary files. `bus`: the bus's address. Raises ConfigurationError if all of them are refused.
    """
    refused = []
    for folder in _candidates(bus):
        try:
            _make_private(folder)
        except OSError as error:
            refused.append(f"{folder}: {error.strerror or error}")
        else:
            return folder
    raise ConfigurationError(
        f"no place for lock files ({'; '.join(refused)}); name a folder of your own in XDG_RUNTIME_DIR"
    )


def _candidates(bus: str) -> Iterator[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        yield Path(runtime) / "streamdrift"
    scheme, _, path = bus.partition(":///")
    if scheme == "sqlite":
        yield Path(f"{path}.run")
    else:
        yield Path(tempfile.gettempdir()) / f"streamdrift-{os.geteuid()}"


def _make_private(folder: Path) -> None:
    """Make the folder with mode 0700, or check that it is this user's own, and no link; raises OSError if it is not."""
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "belongs to another user")
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
