"""Templates of annotations: `{{ labels.column }}`, `{{ value | percent }}`; a closed grammar without logic.

Numbers are shown with four significant digits, whole numbers whole; a value that the alert lacks is "unknown".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from monitor.config.suggest import did_you_mean

NUMBERS = ("value", "threshold", "reference", "events")
COLUMNS = "columns"
"""The columns that an alert of `drift` names."""
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_INSIDE = re.compile(r"\s*(?P<name>[^|\s]+)\s*(?:\|\s*(?P<filter>[^|\s]*)\s*)?")


class TemplateError(ValueError):
    """The template is refused. `position`: place of the fault in the text, from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class Placeholder(NamedTuple):
    """One `{{ name | percent }}`; `label` is set for `labels.LABEL`. `position`: of its name in the text."""

    name: str
    label: str | None
    percent: bool
    position: int


def parse(text: str) -> tuple[str | Placeholder, ...]:
    """Return literal texts and placeholders in order; raises TemplateError."""
    parts: list[str | Placeholder] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        parts += [_literal(text, end, match.start()), _placeholder(match[1], match.start(1))]
        end = match.end()
    parts.append(_literal(text, end, len(text)))
    return tuple(part for part in parts if part)


def render(text: str, values: Mapping[str, object]) -> str:
    """Return the text with its placeholders filled in.

    `values`: `labels` (a mapping), COLUMNS (a text or None), and each of
    NUMBERS or None.
    """
    return "".join(part if isinstance(part, str) else _filled(part, values) for part in parse(text))


def _literal(text: str, start: int, end: int) -> str:
    for brace in ("{{", "}}"):
        found = text.find(brace, start, end)
        if found >= 0:
            raise TemplateError(f"'{brace}' without its partner: write {{{{ value }}}}", found)
    return text[start:end]


def _placeholder(inside: str, position: int) -> Placeholder:
    match = _INSIDE.fullmatch(inside)
    if match is None:
        raise TemplateError("a placeholder has one name and at most one filter: {{ value | percent }}", position)
    name, place = match["name"], position + match.start("name")
    percent = match["filter"] is not None
    if percent and match["filter"] != "percent":
        raise TemplateError(f"unknown filter {match['filter']!r}; there is 'percent'", position + match.start("filter"))
    if name in NUMBERS:
        return Placeholder(name, None, percent, place)
    kind, _, label = name.partition(".")
    if name != COLUMNS and (kind != "labels" or not label):
        known = [*NUMBERS, COLUMNS, "labels.model", "labels.column"]
        raise TemplateError(f"unknown name {name!r}{did_you_mean(name, known)}", place)
    if percent:
        raise TemplateError(f"{name!r} is text: 'percent' is for numbers", place)
    return Placeholder(kind, label or None, False, place)


def _filled(placeholder: Placeholder, values: Mapping[str, object]) -> str:
    value = values[placeholder.name]
    if isinstance(value, Mapping):
        value = value.get(placeholder.label)
    if isinstance(value, int | float):
        return f"{_number(value * 100)} %" if placeholder.percent else _number(value)
    return "unknown" if value is None else str(value)


def _number(value: float) -> str:
    if abs(value) >= 1e15:
        return f"{value:.4g}"
    if abs(value) >= 1000 or value == int(value):
        return f"{value + 0.0:.0f}"  # + 0.0 makes -0 a 0
    return f"{value:.4g}"
