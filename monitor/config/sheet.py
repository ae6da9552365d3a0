"""The file under check: problems with their places, and what was written where before anything was left out."""

from __future__ import annotations

from monitor.config.document import Node
from monitor.config.model import ModelSettings
from monitor.errors import Problem

Path = tuple[str | int, ...]
_APART = {*ModelSettings.model_fields, "reference", "task", "performance", "importance", "season", "budget"}
"""If only these keys of a model are lost, its columns are still known."""


class Sheet:
    """One file's tree. Paths are keys and indices from the root."""

    def __init__(self, file: str, root: Node) -> None:
        self.file = file
        self.root = root
        self.models = _keys(root, "models")
        self.detectors = _keys(root, "detectors")
        self.alerts = frozenset(_alert_names(root))

    def problem(self, path: Path, message: str, position: int | None = None) -> Problem:
        """Return a problem of the value at `path`, or of the nearest one written. `position`: place inside its text."""
        node = self._nearest(path)
        line, column = node.place
        if position is not None and node.inside is not None:
            column = node.inside + position
        return Problem(self.file, line, column, message)

    def key_problem(self, path: Path, message: str) -> Problem:
        """Return a problem of the key that `path` ends with."""
        parent = self._nearest(path[:-1])
        entries = parent.content
        key = entries[str(path[-1])].key if isinstance(entries, dict) and path[-1] in entries else parent.place
        return Problem(self.file, *key, message)

    def has(self, path: Path) -> bool:
        """Return true if something is written there."""
        return self._find(path) is not None

    def lost(self, path: Path) -> frozenset[str]:
        """Return the keys that were left out of the mapping at `path` because they are wrong."""
        node = self._find(path)
        return frozenset(node.lost) if node is not None else frozenset()

    def knows_columns(self, model: str) -> bool:
        """Return true unless something was left out that could be a stream or a column of the model."""
        parts = [self._find(("models", model, part)) for part in ("streams", "columns")]
        whole = not any(_wounded(part) for part in parts if part is not None)
        return whole and self.lost(("models", model)) <= _APART

    def knows_performance(self, model: str) -> bool:
        """Return true unless something was left out that decides which metrics of performance the model has."""
        performance = self._find(("models", model, "performance"))
        whole = performance is None or not _wounded(performance)
        return whole and self.knows_columns(model) and not self.lost(("models", model)) & {"task", "performance"}

    def knows_detectors(self) -> bool:
        """Return true unless a detector was left out because it is wrong."""
        return not self.lost(("detectors",)) and "detectors" not in self.lost(())

    def knows_alerts(self) -> bool:
        """Return true unless something was left out that could be a model, a detector or a rule, or a part of one."""
        parts = [self._find((part,)) for part in ("defaults", "models", "detectors", "groups")]
        known = not {"defaults", "models", "detectors", "groups"} & self.lost(())
        return known and not any(_wounded(part) for part in parts if part is not None)

    def _find(self, path: Path) -> Node | None:
        node: Node | None = self.root
        for step in path:
            node = node.child(step) if node is not None else None
        return node

    def _nearest(self, path: Path) -> Node:
        node = self.root
        for step in path:
            node = node.child(step) or node
        return node


def _wounded(node: Node) -> bool:
    if isinstance(node.content, dict):
        return bool(node.lost) or any(_wounded(entry.node) for entry in node.content.values())
    return bool(node.lost) or (isinstance(node.content, list) and any(_wounded(item) for item in node.content))


def _keys(root: Node, section: str) -> frozenset[str]:
    node = root.child(section)
    return frozenset(node.content) if node is not None and isinstance(node.content, dict) else frozenset()


def _alert_names(root: Node) -> list[str]:
    return [str(alert.content) for group in _items(root, "groups") for alert in _alerts(group)]


def _alerts(group: Node) -> list[Node]:
    found = (rule.child("alert") for rule in _items(group, "rules"))
    return [alert for alert in found if alert is not None]


def _items(node: Node, key: str) -> list[Node]:
    child = node.child(key)
    return child.content if child is not None and isinstance(child.content, list) else []
