"""alerts.yaml and its lock on the disk: read and checked, read again when somebody asks, and handed to the stages.

The supervisor keeps the texts that passed its check and hands it to its stages: so they all have the same rules, and a
file that was spoilt meanwhile is not what a stage starts with after a crash.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from monitor.channel import Channel
from monitor.config import load, load_unlocked
from monitor.config.lock import LOCK_NAME, Lock, LockText, lock_text, sheet_of_lock
from monitor.config.resolved import Config
from monitor.errors import ConfigurationError
from monitor.runner.loop import Loop
from monitor.runner.reloading import refuse_reload
from monitor.sources.locked_references import refuse_other_files
from monitor.telemetry import Log


class Texts(msgspec.Struct, frozen=True, array_like=True):
    """The text of an alerts.yaml, and of the lock beside it, if there is one."""

    text: str
    lock: str | None


def load_config(path: Path) -> Config:
    """alerts.yaml, checked with its lock; raises ConfigurationError with all its problems."""
    return _checked(_texts_of(path), path)


def load_unlocked_config(path: Path) -> Config:
    """alerts.yaml without its lock, which is enough if no threshold is used; raises as `load_config` does."""
    return load_unlocked(_text_of(path), str(path))


def lock_path(path: Path) -> Path:
    """Return where the lock of an alerts.yaml is."""
    return path.with_name(LOCK_NAME)


def _texts_of(path: Path) -> Texts:
    beside = lock_path(path)
    return Texts(_text_of(path), _text_of(beside) if beside.exists() else None)


def _loaded(texts: Texts, path: Path) -> Config:
    return load(texts.text, str(path), None if texts.lock is None else LockText(texts.lock, str(lock_path(path))))


def _checked(texts: Texts, path: Path) -> Config:
    """Return the configuration of texts; raises ConfigurationError, also if the lock is of another reference file."""
    config = _loaded(texts, path)
    if texts.lock is not None:
        refuse_other_files(config, sheet_of_lock(texts.lock, str(lock_path(path))))
    return config


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 at byte {error.start}") from error


def read_lock(path: Path) -> Lock:
    """alerts.lock.yaml, checked by itself; raises ConfigurationError with all its problems."""
    return sheet_of_lock(_text_of(path), str(path)).lock


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
    """The newest texts of `path` and its lock that passed their check, with what they say; read when this is made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._texts, self.config = self._read()

    @property
    def message(self) -> bytes:
        """The texts as they are handed to stages."""
        return msgspec.json.encode(self._texts)

    def reload(self) -> None:
        """Read the files again; raises ConfigurationError, and keeps the old texts, if they can't be taken."""
        texts, config = self._read()
        refuse_reload(self.config, config)
        self._texts, self.config = texts, config

    def _read(self) -> tuple[Texts, Config]:
        texts = _texts_of(self._path)
        return texts, _checked(texts, self._path)


class Followed:
    """The alerts.yaml, with its lock, that a stage runs on: the texts that its supervisor has handed down last.

    `path`: what messages call it. Raises ConfigurationError if the supervisor is gone before it has handed one down.
    """

    def __init__(self, channel: Channel, path: Path, log: Log) -> None:
        self._channel = channel
        self._path = path
        self._log = log
        message = channel.take_first()
        if message is None:
            raise ConfigurationError(f"{path} was not handed down: a stage is started by `streamdrift run`")
        self.config = self._load(message)

    def follow(self, loop: Loop) -> None:
        """Take other texts if they have come; those that can't be taken change nothing."""
        message = self._channel.take_newest()
        if message is None:
            return
        try:
            config = self._load(message)
            loop.reload(config)
        except ConfigurationError as error:
            self._log.error("config_refused", why=str(error), kept="the previous rules")
        else:
            self.config = config
            self._log.info("config_taken", alerts_yaml_sha256=config.alerts_yaml_sha256)

    def _load(self, message: bytes) -> Config:
        return _loaded(msgspec.json.decode(message, type=Texts), self._path)
