"""The files that a source names: one file, a folder with all below it, or a pattern such as `data/2026-*.parquet`."""

from __future__ import annotations

import glob
from pathlib import Path

from monitor.errors import ConfigurationError


def paths_of(source: str | Path) -> list[Path]:
    """Return the files, sorted by path; a source without any is refused.

    In a folder, names that begin with `.` or `_` are passed over, because programs leave their own marks under these.
    """
    path = Path(source)
    try:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if not _is_mark(p.relative_to(path)) and p.is_file())
            if not found:
                raise ConfigurationError(f"{path}: is a folder without files")
            return found
        if path.is_file():
            return [path]
        if path.exists():
            raise ConfigurationError(f"{path}: is a pipe or a device, which can't be read twice; save it as a file")
        matches = sorted({Path(name) for name in glob.glob(str(source), recursive=True)})
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigurationError(f"{source}: {why}") from error
    found = [match for match in matches if match.is_file()]
    if not found:
        raise ConfigurationError(f"{source}: no such file")
    return found


def _is_mark(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)
