"""Roles of columns from files of other tools: NannyML's nann.yml and Evidently's column_mapping, as YAML or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from monitor.config.document import compose
from monitor.errors import ConfigurationError
from monitor.inference.column_values import Values
from monitor.inference.roles import Role, why_not
from monitor.inference.sample import Sample

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
_WITHOUT_ROLE: Final = ("features",)
"""Lists of names whose values decide on their role."""


def read_foreign(path: Path, sample: Sample) -> tuple[dict[str, Role], list[str]]:
    """Return the roles of columns that the source has, and what is not taken over, each with the reason."""
    mapping, left = _mapping_of(path)
    roles: dict[str, Role] = {}
    for key in sorted(mapping, key=lambda key: key not in _ONE):  # a feature that is the target, too, is the target
        role = _ONE.get(key) or _LISTS.get(key)
        if role is None and key not in _WITHOUT_ROLE:
            left.append(key)
            continue
        for name in _names(mapping[key]):
            if (fault := _fault(name, role, roles, sample)) is not None:
                left.append(f"{key}: {name} ({fault})")
            elif role is not None:
                roles[str(name)] = role
    if not roles:
        columns = ", ".join(list(sample.columns)[:10])
        why = f"; {'; '.join(left[:5])}" if left else ""
        raise ConfigurationError(f"{path}: gives no column of the source a role; it has {columns}{why}")
    return roles, left


def _mapping_of(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The keys that give roles, and the names of those beside them."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError(f"{path}: {why}") from error
    root, problems = compose(text, str(path))
    if root is None or problems:
        raise ConfigurationError("", tuple(problems))
    raw = root.plain()
    mapping = raw.get("column_mapping", raw) if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not isinstance(mapping, dict):
        raise ConfigurationError(f"{path}: is no mapping of NannyML or Evidently")
    return mapping, [key for key in raw if mapping is not raw and key != "column_mapping"]


def _fault(name: Any, role: Role | None, roles: Mapping[str, Role], sample: Sample) -> str | None:
    """Say why a name can't be taken over in that role. `roles`: what columns have already."""
    if not isinstance(name, str):
        return "is no name"
    if name not in sample.columns:
        return "no such column"
    if role is None:
        return None
    if roles.get(name, role) != role:
        return f"is its {roles[name]} already"
    return why_not(role, name, Values(sample.columns[name], sample.decimal))


def _names(value: Any) -> Iterator[Any]:
    """What stands for names under a key: one, a list, or by class."""
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()
    elif value is not None:
        yield value
