"""Roles of columns from files of other tools: NannyML's nann.yml and Evidently's column_mapping, as YAML or JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from monitor.config.document import compose
from monitor.errors import ConfigurationError
from monitor.inference.roles import Role

_ONE: Final[Mapping[str, Role]] = {
    "timestamp": "timestamp",
    "datetime": "timestamp",
    "y_pred": "prediction",
    "prediction": "prediction",
    "y_pred_proba": "probability",
    "prediction_probas": "probability",
    "y_true": "label",
    "target": "label",
    "id": "left out",
}
_LISTS: Final[Mapping[str, Role]] = {
    "numerical_features": "numerical",
    "categorical_features": "categorical",
    "text_features": "left out",
    "datetime_features": "left out",
}
_UNUSED: Final = ("features",)
"""Lists of names without a role: their values decide."""


def read_foreign(path: Path, columns: Collection[str]) -> tuple[dict[str, Role], list[str]]:
    """Return the roles of columns that the source has, and the keys that are not taken over."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError(f"{path}: {why}") from error
    root, problems = compose(text, str(path))
    if root is None or problems:
        raise ConfigurationError("", tuple(problems))
    raw = root.plain()
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{path}: is no mapping of NannyML or Evidently")
    mapping = raw.get("column_mapping", raw)
    roles: dict[str, Role] = {}
    left = [key for key in raw if mapping is not raw and key != "column_mapping"]
    for key, value in mapping.items() if isinstance(mapping, dict) else ():
        names = list(_names(value))
        role = _ONE.get(key) or _LISTS.get(key)
        if role is None:
            left += [] if key in _UNUSED else [key]
            continue
        roles |= {name: role for name in names if name in columns}
        left += [f"{key}: {name} (no such column)" for name in names if name not in columns]
    if not roles:
        raise ConfigurationError(f"{path}: names no column of the source; it has {', '.join(list(columns)[:10])}")
    return roles, left


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (one for one in value if isinstance(one, str))
    elif isinstance(value, dict):
        yield from (one for one in value.values() if isinstance(one, str))
