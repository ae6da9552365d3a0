"""alerts.lock.yaml on the disk: written as a whole, and read as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.alerts_file import read_lock, write_lock
from monitor.config.lock import FORMAT, Lock, LockedModel
from monitor.errors import ConfigurationError

LOCK = Lock(format=FORMAT, models={"m": LockedModel(rules="sha256:" + "0" * 32, lanes={})})


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    """In the place of an older one, and with no other file beside it."""
    path = tmp_path / "alerts.lock.yaml"
    path.write_text("an older one")
    write_lock(path, LOCK)
    assert read_lock(path) == LOCK
    assert list(tmp_path.iterdir()) == [path]


def test_what_can_not_be_written_or_read_is_refused_by_name(tmp_path: Path) -> None:
    """A folder that is not there, and a file that is no text."""
    with pytest.raises(ConfigurationError, match="No such file"):
        write_lock(tmp_path / "nowhere" / "alerts.lock.yaml", LOCK)
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8 at byte 0"):
        read_lock(tmp_path / "bytes")
