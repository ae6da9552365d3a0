"""YAML as a tree in which every key and value knows its line and column.

The file reads the parser's events and not its objects, because dangerous input must be refused before it is built: the
size is capped before parsing, depth and number of nodes while parsing; anchors, aliases, tags, directives and duplicate
keys are refused, each with its place. Plain scalars follow YAML 1.2's core schema (NO and 12:30:45 are text).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from monitor.errors import Problem

MOST_BYTES = 1 << 20
DEEPEST = 32
MOST_NODES = 100_000

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}

Scalar = str | int | float | bool | None


class Location(NamedTuple):
    """Line and column, from 1."""

    line: int
    column: int


class KeyedNode(NamedTuple):
    """A value of a mapping and the place of its key."""

    key: Location
    node: Node


@dataclass(eq=False, slots=True)
class Node:
    """One value. `content`: entries by key, items, or a scalar.

    `inside`: column of the first character of a scalar that stands on one line without escapes, so that places inside
    it are known; else None. `written`: a scalar as it stands in the file. `lost`: keys (or "[]" for items) of children
    that were taken out because they are wrong.
    """

    place: Location
    content: dict[str, KeyedNode] | list[Node] | Scalar
    inside: int | None = None
    written: str = ""
    lost: set[str] = field(default_factory=set)

    def child(self, key: str | int) -> Node | None:
        """Return the value of a key or the item of an index, or None."""
        if isinstance(self.content, dict) and isinstance(key, str) and key in self.content:
            return self.content[key].node
        if isinstance(self.content, list) and isinstance(key, int) and 0 <= key < len(self.content):
            return self.content[key]
        return None

    def remove(self, child: Node) -> None:
        """Take a child out, and remember it as lost."""
        if isinstance(self.content, dict):
            self.lost |= {key for key, entry in self.content.items() if entry.node is child}
        elif isinstance(self.content, list):
            self.lost.add("[]")
        self.ignore(child)

    def ignore(self, child: Node) -> None:
        """Take a child out as if it had not been written."""
        if isinstance(self.content, dict):
            self.content = {key: entry for key, entry in self.content.items() if entry.node is not child}
        elif isinstance(self.content, list):
            self.content = [item for item in self.content if item is not child]

    def plain(self) -> object:
        """Return the value without places."""
        if isinstance(self.content, dict):
            return {key: entry.node.plain() for key, entry in self.content.items()}
        if isinstance(self.content, list):
            return [item.plain() for item in self.content]
        return self.content


def compose(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """Return the document's tree and its faults as YAML. The tree is None if it can't be read to its end."""
    if len(text) > MOST_BYTES or len(text.encode(errors="surrogatepass")) > MOST_BYTES:
        return None, [Problem(file, 1, 1, f"the file is larger than {MOST_BYTES >> 20} MiB")]
    composer = _Composer(file)
    try:
        root = composer.document(_events(text, file))
    except _Unreadable as unreadable:
        return None, [*composer.problems, unreadable.problem]
    return root, composer.problems


def _events(text: str, file: str) -> Iterator[Event]:
    """Yield the parser's events; raises _Unreadable if the parser stops."""
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Location(mark.line + 1, mark.column + 1) if mark is not None else Location(1, 1)
        raise _Unreadable(Problem(file, *place, f"not YAML: {error.problem or error.context}")) from None
    except Exception as error:  # on text that is not YAML the parser fails with errors of any class
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise _Unreadable(Problem(file, 1, 1, f"not YAML: {reason}")) from None


class _Unreadable(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(slots=True)
class _Composer:
    file: str
    problems: list[Problem] = field(default_factory=list)
    nodes: int = 0

    def document(self, events: Iterator[Event]) -> Node:
        """The only document of the file."""
        root: Node | None = None
        for event in events:
            if isinstance(event, DocumentStartEvent) and (event.version or event.tags):
                self._refuse(event, "directives are not supported")
            if isinstance(event, DocumentStartEvent) and root is not None:
                raise _Unreadable(Problem(self.file, *_start(event), "a second document; one file holds one"))
            if isinstance(event, NodeEvent):
                root = self._node(event, events, 1)
        return root if root is not None else Node(Location(1, 1), None)

    def _node(self, event: Event, events: Iterator[Event], depth: int) -> Node:
        self.nodes += 1
        place = _start(event)
        if depth > DEEPEST:
            raise _Unreadable(Problem(self.file, *place, f"nested deeper than {DEEPEST} levels"))
        if self.nodes > MOST_NODES:
            raise _Unreadable(Problem(self.file, *place, f"more than {MOST_NODES} values"))
        self._check(event)
        if isinstance(event, MappingStartEvent):
            return Node(place, self._entries(events, depth))
        if isinstance(event, SequenceStartEvent):
            return Node(place, self._items(events, depth))
        if isinstance(event, ScalarEvent):
            return Node(place, _scalar(event), _inside(event), str(event.value))
        return Node(place, None)

    def _check(self, event: Event) -> None:
        if isinstance(event, AliasEvent):
            self._refuse(event, f"aliases are not supported: write out what '*{event.anchor}' stands for")
        elif isinstance(event, NodeEvent) and event.anchor is not None:
            self._refuse(event, f"anchors are not supported: leave out '&{event.anchor}'")
        if getattr(event, "ctag", None) is not None:
            self._refuse(event, "tags are not supported; leave out the '!'")

    def _entries(self, events: Iterator[Event], depth: int) -> dict[str, KeyedNode]:
        entries: dict[str, KeyedNode] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            key = event.value if isinstance(event, ScalarEvent) else None
            node = self._node(event, events, depth + 1)
            value = self._node(next(events), events, depth + 1)
            if key is None:
                self._refuse(event, "a key is a single word")
            elif key in entries:
                self._refuse(event, f"duplicate key {key!r}; first on line {entries[key].key.line}")
            else:
                entries[key] = KeyedNode(node.place, value)
        return entries

    def _items(self, events: Iterator[Event], depth: int) -> list[Node]:
        items: list[Node] = []
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._node(event, events, depth + 1))
        return items

    def _refuse(self, event: Event, message: str) -> None:
        self.problems.append(Problem(self.file, *_start(event), message))


def _start(event: Event) -> Location:
    return Location(event.start_mark.line + 1, event.start_mark.column + 1)


def _scalar(event: ScalarEvent) -> Scalar:
    text = str(event.value)
    if event.style:  # quoted or block: text, whatever it looks like
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) <= 18:
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _inside(event: ScalarEvent) -> int | None:
    start, end = event.start_mark, event.end_mark
    quotes = 2 if event.style in ("'", '"') else 0
    as_written = start.line == end.line and end.column - start.column == len(event.value) + quotes
    return start.column + 1 + quotes // 2 if as_written else None
