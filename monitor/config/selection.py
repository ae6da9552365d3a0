"""The models that a group of rules or a retraining trigger is for: those that match one of its globs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from monitor.config.model import ForModels
from monitor.config.sheet import Path, Sheet
from monitor.config.suggest import did_you_mean
from monitor.errors import Problem

_WILD = frozenset("*?[")
_LISTED = 5


def is_for(entry: ForModels, model: str) -> bool:
    """Return true if the entry is for the model of this name."""
    return any(fnmatchcase(model, glob) for glob in _globs(entry))


def models_of(entry: ForModels, models: Iterable[str]) -> list[str]:
    """Return those of `models` that the entry is for, in their order."""
    return [model for model in models if is_for(entry, model)]


def unmatched(entry: ForModels, path: Path, sheet: Sheet) -> Iterator[Problem]:
    """Yield a problem for each glob that matches no model of the file. `path`: of the entry.

    A model that was left out because of its own fault counts as a model of the file.
    """
    for place, glob in _placed(entry, path):
        if not any(fnmatchcase(model, glob) for model in sheet.models):
            what = f"no model matches {glob!r}" if _WILD & set(glob) else f"unknown model {glob!r}"
            yield sheet.problem(place, what + (did_you_mean(glob, sheet.models) or _listed(sheet)))


def _globs(entry: ForModels) -> list[str]:
    return entry.models if entry.models is not None else [entry.model or ""]


def _placed(entry: ForModels, path: Path) -> Iterator[tuple[Path, str]]:
    if entry.model is not None:
        yield (*path, "model"), entry.model
    for i, glob in enumerate(entry.models or ()):
        yield (*path, "models", i), glob


def _listed(sheet: Sheet) -> str:
    names = sorted(sheet.models)
    more = ", ..." if len(names) > _LISTED else ""
    return f"; there are {', '.join(names[:_LISTED])}{more}" if names else ""
