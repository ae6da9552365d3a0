"""From the text of alerts.yaml to the configuration, or to all that is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from monitor.config.check import check
from monitor.config.check_lock import check_lock
from monitor.config.document import compose
from monitor.config.hints import hints
from monitor.config.lock import Lock, LockText, sheet_of_lock
from monitor.config.locking import with_lock
from monitor.config.model import AlertsFile
from monitor.config.resolve import resolve
from monitor.config.resolved import Config
from monitor.config.shape import validate
from monitor.config.sheet import Sheet
from monitor.errors import ConfigurationError, Problem


def load(text: str, file: str, lock: LockText | None = None) -> Config:
    """Return the configuration of `text`; raises ConfigurationError with all problems. `file`: its name in them.

    `lock`: that of alerts.lock.yaml; None if there is none.
    """
    config, alerts_file, sheet = _checked(text, file)
    locked = None if lock is None else sheet_of_lock(*lock)
    if problems := list(check_lock(config, alerts_file, sheet, locked)):
        raise _refusal(problems)
    return config if lock is None or locked is None else _with_lock(config, text, lock.text, locked.lock)


def _with_lock(config: Config, text: str, lock_text: str, lock: Lock) -> Config:
    """Return the configuration with the numbers of a lock, named by the digest of both files."""
    digest = _digest(text + lock_text)
    models = tuple(replace(model, alerts_yaml_sha256=digest) for model in with_lock(config, lock).models)
    return replace(config, models=models, alerts_yaml_sha256=digest)


def load_unlocked(text: str, file: str) -> Config:
    """Return the configuration without what a lock says: thresholds that are to be calibrated are no numbers yet."""
    return _checked(text, file)[0]


def _checked(text: str, file: str) -> tuple[Config, AlertsFile, Sheet]:
    root, unreadable = compose(text, file)
    if root is None:
        raise _refusal(unreadable)
    sheet = Sheet(file, root)
    alerts_file, problems = validate(sheet, AlertsFile)
    if alerts_file is not None:
        problems += check(alerts_file, sheet)
    if alerts_file is None or unreadable or problems:
        # an unreadable value has one problem, and its type is not another
        places = {(problem.line, problem.column) for problem in unreadable}
        raise _refusal([*unreadable, *(p for p in problems if (p.line, p.column) not in places)])
    config = resolve(alerts_file, _digest(text))
    contracts = {model.contract.model: model.contract for model in config.models}
    config = replace(config, hints=tuple(sorted(hints(alerts_file, contracts, sheet))))
    return config, alerts_file, sheet


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refusal(problems: Iterable[Problem]) -> ConfigurationError:
    """Return the error with the problems in order of place, each once."""
    ordered = tuple(sorted(set(problems)))
    return ConfigurationError("\n".join(str(problem) for problem in ordered), ordered)
