"""alerts.yaml on the disk: read and checked, read again when somebody asks, and handed to the stages.

The supervisor keeps the text that passed its check and hands it to its stages: so they all have the same rules, and a
file that was spoilt meanwhile is not what a stage starts with after a crash.
"""

from __future__ import annotations

import os
from pathlib import Path

from monitor.channel import Channel
from monitor.config import load
from monitor.config.lock import Lock, lock_text, sheet_of_lock
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


def read_lock(path: Path) -> Lock:
    """alerts.lock.yaml, checked by itself; raises ConfigurationError with all its problems."""
    return sheet_of_lock(_text_of(path), str(path))[0]


def write_lock(path: Path, lock: Lock) -> None:
    """Write alerts.lock.yaml as a whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(lock_text(lock), encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error


class Accepted:
    """The newest text of `path` that passed its check, with what it says; read when this is made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.text, self.config = self._read()

    def reload(self) -> None:
        """Read the file again; raises ConfigurationError, and keeps the old text, if it can't be taken."""
        text, config = self._read()
        refuse_reload(self.config, config)
        self.text, self.config = text, config

    def _read(self) -> tuple[str, Config]:
        text = _text_of(self._path)
        return text, load(text, str(self._path))


class Followed:
    """The alerts.yaml that a stage runs on: the text that its supervisor has handed down last.

    `path`: what messages call it. Raises ConfigurationError if the supervisor is gone before it has handed one down.
    """

    def __init__(self, channel: Channel, path: Path, log: Log) -> None:
        self._channel = channel
        self._path = path
        self._log = log
        text = channel.take_first()
        if text is None:
            raise ConfigurationError(f"{path} was not handed down: a stage is started by `streamdrift run`")
        self.config = self._load(text)

    def follow(self, loop: Loop) -> None:
        """Take another text if one has come; one that can't be taken changes nothing."""
        text = self._channel.take_newest()
        if text is None:
            return
        try:
            config = self._load(text)
            loop.reload(config)
        except ConfigurationError as error:
            self._log.error("config_refused", why=str(error), kept="the previous rules")
        else:
            self.config = config
            self._log.info("config_taken", alerts_yaml_sha256=config.alerts_yaml_sha256)

    def _load(self, text: bytes) -> Config:
        return load(text.decode(), str(self._path))
