"""References of files under a lock: one that was solved for others is refused before the first record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from monitor.config.check_lock import CALIBRATE
from monitor.config.lock import LockSheet
from monitor.config.resolved import Config, ModelConfig
from monitor.errors import ConfigurationError, Problem, StreamdriftError
from monitor.evaluate.reference import Reference
from monitor.sources.references import references_of_file


def refuse_other_files(config: Config, locked: LockSheet) -> None:
    """Raises ConfigurationError if thresholds were solved for other references than those of the files."""
    problems = tuple(problem for model in config.models for problem in _others(model, locked))
    if problems:
        raise ConfigurationError("\n".join(map(str, problems)), problems)


def _others(model: ModelConfig, locked: LockSheet) -> Iterator[Problem]:
    path = model.rules.reference.path
    if path is None or not model.rules.solved:
        return
    try:
        pairs = references_of_file(Path(path), model.contract)
    except (StreamdriftError, OSError):  # who needs the file says why
        return
    for _, reference in pairs:
        solved = model.rules.solved.get(reference.stream)
        if solved is not None and solved.reference != reference.digest:
            yield _problem(model.contract.model, reference, path, locked)


def _problem(model: str, reference: Reference, path: str, locked: LockSheet) -> Problem:
    place = ("models", model, "lanes", reference.stream, "reference")
    what = f"this was another reference of {reference.stream!r} than {path} gives now, {reference.digest}: {CALIBRATE}"
    return locked.sheet.problem(place, what)
