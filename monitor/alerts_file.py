"""alerts.yaml on the disk: read and checked, taken anew when somebody asks, and followed by the stages.

The supervisor keeps a copy of the text that passed its check. Its stages run on the copy, and follow it: so they all
have the same rules, and a file that was spoilt meanwhile is not what a stage starts with after a crash.
"""

from __future__ import annotations

import os
from pathlib import Path

from monitor.config import load
from monitor.config.resolved import Config
from monitor.errors import ConfigurationError
from monitor.runner.loop import Loop
from monitor.runner.reloading import refuse_reload
from monitor.telemetry import Log


def load_config(path: Path) -> Config:
    """alerts.yaml, checked; raises ConfigurationError with all its problems."""
    return load(_text_of(path), str(path))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 at byte {error.start}") from error


class Accepted:
    """The newest text of `path` that passed its check, kept as `copy`; made with the text of now."""

    def __init__(self, path: Path, copy: Path) -> None:
        self.copy = copy
        self._path = path
        self.config = self._take(None)

    def reload(self) -> None:
        """Read the file again; raises ConfigurationError, and keeps the old text, where it can't be taken."""
        self.config = self._take(self.config)

    def _take(self, old: Config | None) -> Config:
        text = _text_of(self._path)
        config = load(text, str(self._path))
        if old is not None:
            refuse_reload(old, config)
        fresh = self.copy.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.copy)
        return config


class Followed:
    """The alerts.yaml that a stage runs on; where another one stands in its place, that is taken between two turns."""

    def __init__(self, path: Path, log: Log) -> None:
        self._path = path
        self._log = log
        self._seen = self._state()  # before it is read, so that no change is missed
        self.config = load_config(path)

    def follow(self, loop: Loop) -> None:
        """Take another one where there is one; one that can't be taken changes nothing."""
        before, self._seen = self._seen, self._state()
        if self._seen == before:
            return
        try:
            config = load_config(self._path)
            loop.reload(config)
        except ConfigurationError as error:
            self._log.error("config_refused", why=str(error), kept="the rules of before")
        else:
            self.config = config
            self._log.info("config_taken", alerts_yaml_sha256=config.alerts_yaml_sha256)

    def _state(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None  # the supervisor is gone, and with it this process soon
        return found.st_ino, found.st_mtime_ns
