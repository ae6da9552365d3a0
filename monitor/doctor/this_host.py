"""The settings of this process and where each comes from, and the memory and disk that this host has for them."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Collection, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from monitor import __version__
from monitor.doctor.finding import Finding
from monitor.errors import ConfigurationError
from monitor.instances import private_folder
from monitor.settings import ENV_PREFIX, Settings

Origin = Literal["flag", "environment", "default"]
_LIBRARIES = ("river", "kafka-python", "numpy", "scipy", "pyarrow")
_SCARCE_BYTES, _TOO_FEW_BYTES = 2 << 30, 200 << 20
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def versions() -> Finding:
    """The releases that take part, for whoever reads a report."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return Finding("versions", "ok", f"streamdrift {__version__}, Python {platform.python_version()}, {libraries}")


def settings_found(settings: Settings, flags: Collection[str]) -> Iterator[Finding]:
    """Each setting that is not the default, with its source; secrets are masked. `flags`: those given by flag."""
    chosen = []
    for name in sorted(type(settings).model_fields):
        origin = _origin(name, flags)
        if origin != "default":
            chosen.append(f"{name}={_shown(name, getattr(settings, name))} ({origin})")
    yield Finding("settings", "ok", "; ".join(chosen) if chosen else "all at their defaults")
    if unknown := _unknown_variables():
        remedy = "correct the name, or remove it; docs/operations.md lists them"
        yield Finding("settings", "warning", f"variables that nothing reads: {', '.join(unknown)}", remedy)


def _origin(name: str, flags: Collection[str]) -> Origin:
    if name in flags:
        return "flag"
    return "environment" if os.environ.get(ENV_PREFIX + name.upper()) else "default"


def _shown(name: str, value: object) -> str:
    """A setting as it may be shown: of options that are passed on, which may be secrets, the names alone."""
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: ********" for key in sorted(value)) + "}"
    return str(value)


def _unknown_variables() -> list[str]:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.startswith(ENV_PREFIX) and name.upper() not in known)


def memory(settings: Settings, processes: int) -> Finding:
    """Compare the memory of this host with what the processes of the service may take."""
    wanted = settings.memory_mb * processes
    there = _memory_mb()
    if there is None:
        return Finding("memory", "ok", f"{processes} × {settings.memory_mb} MB may be taken; this host does not tell")
    found = f"{processes} × {settings.memory_mb} MB may be taken, of {there} MB"
    if wanted <= 0.9 * there:
        return Finding("memory", "ok", found)
    return Finding("memory", "warning", found, f"set {ENV_PREFIX}MEMORY_MB to {max(128, int(0.4 * there))} or less")


def _memory_mb() -> int | None:
    """Memory of this host, or of the container if that is less, MB."""
    try:
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (OSError, ValueError):
        found = []
    for path in _MEMORY_LIMITS:
        try:
            found.append(int(path.read_text()))
        except (OSError, ValueError):  # there is none, or it is "max"
            continue
    return min(found) >> 20 if found else None


def disk(settings: Settings) -> Iterator[Finding]:
    """Look for room where files of ours are: beside a bus that is a file, or in the folder of lock files."""
    if settings.bus.startswith("sqlite:///"):
        yield _room("bus", Path(settings.bus.removeprefix("sqlite:///")).absolute().parent)
        return
    try:
        yield _room("lock files", private_folder(settings.bus))
    except ConfigurationError as error:
        yield Finding("disk", "failed", str(error), "name a folder that you may write to in TMPDIR")


def _room(name: str, folder: Path) -> Finding:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("disk", "failed", f"{folder} ({name}): {error.strerror}", "create it, or name another file")
    if not os.access(folder, os.W_OK):
        return Finding("disk", "failed", f"{folder} ({name}) can't be written", "change its owner or its rights")
    found = f"{free / (1 << 30):.1f} GiB free in {folder} ({name})"
    if free >= _SCARCE_BYTES:
        return Finding("disk", "ok", found)
    return Finding("disk", "warning" if free >= _TOO_FEW_BYTES else "failed", found, "make room, or use another disk")
