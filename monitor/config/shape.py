"""Checking a tree against the shape of alerts.yaml, or of its lock: all faults at once, with places and suggestions.

A fault is reported and then mended (a mistyped choice is taken for the nearest) or taken out of the tree, until the
rest has the shape. So names and rules can be checked in the same run, and nobody has to mend a file one fault at a
time. A fault that only exists because something was taken out (a key that is missing now) is not reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from monitor.config.document import KeyedNode, Location, Node, Scalar
from monitor.config.entry import Shape
from monitor.config.scalars import COLUMN_PATTERN
from monitor.config.schema import known_keys
from monitor.config.sheet import Sheet
from monitor.config.suggest import did_you_mean, nearest
from monitor.errors import Problem

NOT_YET_KEYS = {
    "": ("route", "receivers", "silences"),
    "models": ("segments",),
    "columns": ("embeddings",),
    "retraining": ("unless", "min_labels"),
    "training_window": ("exclude_while",),
}
"""These keys of the design are not built yet. They stand under the nearest named place above them."""
NOT_YET_VALUES = {
    "format": ("cloudevents", "kserve", "openinference", "seldon", "bentoml"),
    "approval": ("manual",),
    "since": ("change_point",),
}
"""These values of the design are not built yet. They stand under their key."""
REFUSED_VALUES = {
    ("format", "auto"): "a format is named, not guessed; write native, or leave the key out",
}
"""What to do instead of values that one might expect, by key and value."""


_STAND_INS: Mapping[str, Scalar | dict[str, KeyedNode]] = {
    "version": 1,
    "models": {},
    "task": "classification_binary",
    "streams": {},
}
"""Required keys whose absence would hide everything under them, and what stands in for the rest of the check."""


S = TypeVar("S", bound=Shape)


class _Spot(NamedTuple):
    """The place of an error: the path as far as it is written, the nodes along it (root first), and the rest.

    `shape`: what the root should be.
    """

    path: tuple[str | int, ...]
    nodes: tuple[Node, ...]
    rest: tuple[str | int, ...]
    shape: type[Shape]

    @property
    def node(self) -> Node:
        return self.nodes[-1]


def validate(sheet: Sheet, shape: type[S]) -> tuple[S | None, list[Problem]]:
    """Return the file without its faults (None if nothing is left), and the problems. Takes faults out of the tree."""
    problems: list[Problem] = []
    while True:
        try:
            return shape.model_validate(sheet.root.plain(), strict=True), problems
        except ValidationError as refused:
            errors = refused.errors(include_url=False, include_input=False)
        spots = [(_spot(sheet.root, error["loc"], shape), error) for error in errors]
        problems += [_problem(sheet, spot, error) for spot, error in spots if not _follows(spot, error)]
        for spot, error in spots:
            if not _mended(spot, error):
                if len(spot.nodes) == 1:
                    return None, problems
                spot.nodes[-2].remove(spot.node)


def _spot(root: Node, loc: tuple[str | int, ...], shape: type[Shape]) -> _Spot:
    """Return the place of a location; steps that are not in the file (members of unions, missing keys) are skipped."""
    path: list[str | int] = []
    nodes, rest = [root], []
    for step in loc:
        child = nodes[-1].child(step)
        if child is None:
            rest.append(step)
        else:
            path.append(step)
            nodes.append(child)
    return _Spot(tuple(path), tuple(nodes), tuple(rest), shape)


def _follows(spot: _Spot, error: ErrorDetails) -> bool:
    """Return true if the error may only exist because something was taken out."""
    return bool(spot.node.lost) and error["type"] in ("missing", "value_error", "too_short", "union_tag_not_found")


def _mended(spot: _Spot, error: ErrorDetails) -> bool:
    """Mend the error in the tree if that is possible; return true if the entry may stay."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden" and _is_not_yet(spot.path):
        spot.nodes[-2].ignore(spot.node)  # nothing else can depend on it
        return True
    if kind == "missing" and spot.rest[-1] in _STAND_INS:
        return _stand_in(spot.node, str(spot.rest[-1]))
    if kind == "literal_error" and not _is_key(spot):
        return _take_for_nearest(spot.node, context["expected"])
    if kind == "union_tag_invalid":
        tag = spot.node.child("class")
        return tag is not None and _take_for_nearest(tag, context["expected_tags"])
    return False


def _is_key(spot: _Spot) -> bool:
    """Return true if the fault is in the key that the place ends with."""
    return spot.rest[-1:] == ("[key]",)


def _stand_in(node: Node, key: str) -> bool:
    if not isinstance(node.content, dict):
        return False
    content = _STAND_INS[key]
    node.content[key] = KeyedNode(node.place, Node(node.place, dict(content) if isinstance(content, dict) else content))
    node.lost.add(key)
    return True


def _take_for_nearest(node: Node, expected: str) -> bool:
    near = nearest(_shown(node), _words(expected))
    if near is not None:
        node.content = near
    return near is not None


def _problem(sheet: Sheet, spot: _Spot, error: ErrorDetails) -> Problem:
    place = spot.node.place
    if error["type"] == "extra_forbidden" or _is_key(spot):
        place = _key_place(spot)
    elif error["type"] == "union_tag_invalid":
        tag = spot.node.child("class")
        place = tag.place if tag is not None else place
    return Problem(sheet.file, *place, _message(spot, error))


def _key_place(spot: _Spot) -> Location:
    parent = spot.nodes[-2].content if len(spot.nodes) > 1 else None
    return parent[str(spot.path[-1])].key if isinstance(parent, dict) else spot.node.place


def _message(spot: _Spot, error: ErrorDetails) -> str:
    context: Mapping[str, Any] = error.get("ctx", {})
    if error["type"] in _MESSAGES:
        return _MESSAGES[error["type"]](spot, context)
    message = error["msg"].removeprefix("Value error, ")
    message = re.sub(r"^(Input|Value|String|List|Dictionary) should", "should", message)
    return message.replace("Dictionary", "a mapping").replace(" after validation", "")


def _unknown_key(spot: _Spot, _: Mapping[str, Any]) -> str:
    key = str(spot.path[-1])
    if _is_not_yet(spot.path):
        return f"{key!r} is not supported yet"
    tag = spot.nodes[2].child("class") if spot.path[0] == "detectors" and len(spot.nodes) > 2 else None
    known = known_keys(spot.shape, spot.path[:-1], str(tag.content) if tag is not None else "")
    return f"unknown key {key!r}{did_you_mean(key, known)}"


def _is_not_yet(path: tuple[str | int, ...]) -> bool:
    above = next((step for step in reversed(path[:-1]) if step in NOT_YET_KEYS), "")
    return path[-1] in NOT_YET_KEYS[str(above)]


def _missing(spot: _Spot, _: Mapping[str, Any]) -> str:
    return f"the key {str(spot.rest[-1])!r} is missing"


def _missing_class(spot: _Spot, _: Mapping[str, Any]) -> str:
    return "the key 'class' is missing: it names River's detector"


def _found(spot: _Spot) -> str:
    """Return the key or the value that is wrong, as messages show it."""
    return str(spot.path[-1]) if _is_key(spot) else _shown(spot.node)


def _not_one_of(spot: _Spot, context: Mapping[str, Any]) -> str:
    found = _found(spot)
    if spot.path and found in NOT_YET_VALUES.get(str(spot.path[-1]), ()):
        return f"{str(spot.path[-1])!r}: {found!r} is not supported yet"
    if spot.path and (str(spot.path[-1]), found) in REFUSED_VALUES:
        return f"{found!r} is not a {spot.path[-1]}: {REFUSED_VALUES[str(spot.path[-1]), found]}"
    if isinstance(spot.node.content, str) and found.strip() == context["expected"]:
        return f"{str(spot.path[-1])!r} is the number {found.strip()}, without quotes"
    return _choice(found, context["expected"])


def _unknown_class(spot: _Spot, context: Mapping[str, Any]) -> str:
    tag = spot.node.child("class")
    return _choice(_shown(tag) if tag is not None else "", context["expected_tags"])


def _choice(found: str, expected: str) -> str:
    words = _words(expected)
    listed = ", ".join(repr(word) for word in words) or expected
    return f"{found!r} is not one of {listed}{did_you_mean(found, words)}"


def _words(expected: str) -> list[str]:
    """Return the choices in pydantic's `'a', 'b' or 'c'`."""
    return re.findall(r"'([^']*)'", expected)


def _not_a_name(spot: _Spot, context: Mapping[str, Any]) -> str:
    found = _found(spot)
    if spot.path[-1] == "model" and spot.path[0] in ("groups", "retraining") and set(found) & set("*?["):
        return f"{found!r} is not a name: globs stand in a list, `models: [{found!r}]`"
    if context["pattern"] == COLUMN_PATTERN:
        return f"{found!r} is not a column here: 1 to 128 characters, no control characters among them"
    return f"{found!r} is not a name here: it has to match {context['pattern']}"


def _not_text(spot: _Spot, _: Mapping[str, Any]) -> str:
    if isinstance(spot.node.content, dict | list):
        return "should be text"
    return f"should be text: write it in quotes, '{_cut(spot.node.written)}'"


def _not_a_mapping(spot: _Spot, _: Mapping[str, Any]) -> str:
    return "should be a mapping of keys and values"


def _shown(node: Node) -> str:
    """Return a scalar as messages show it, cut short."""
    if isinstance(node.content, dict | list):
        return "a mapping" if isinstance(node.content, dict) else "a list"
    text = str(node.content).lower() if isinstance(node.content, bool) else str(node.content)
    return "null" if node.content is None else _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= 64 else text[:61] + "..."


_MESSAGES: dict[str, Callable[[_Spot, Mapping[str, Any]], str]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing,
    "union_tag_not_found": _missing_class,
    "union_tag_invalid": _unknown_class,
    "literal_error": _not_one_of,
    "string_pattern_mismatch": _not_a_name,
    "string_type": _not_text,
    "model_type": _not_a_mapping,
    "model_attributes_type": _not_a_mapping,
    "dict_type": _not_a_mapping,
}
