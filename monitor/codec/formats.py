"""JSON that names its own format: read if that is a format this release knows, and refused otherwise."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from monitor.errors import FormatError


class Formatted(Protocol):
    """A struct whose field `format` names the kind of value and its version."""

    @property
    def format(self) -> str: ...


class _Head(msgspec.Struct):
    format: str


T = TypeVar("T", bound=Formatted)


def decode_format(value: bytes | str, kind: type[T], expected: str, what: str, *others: str) -> T:
    """Return the value of its JSON; raises FormatError. `what`: how its message calls the value.

    `others`: formats that are read, too.

    A value of another format is refused by the name of that, even if its fields do not fit either.

    >>> class Point(msgspec.Struct):
    ...     format: str
    ...     x: int
    >>> decode_format('{"format": "point/1", "x": 3}', Point, "point/1", "point").x
    3
    >>> decode_format('{"format": "point/2"}', Point, "point/1", "point")
    Traceback (most recent call last):
        ...
    monitor.errors.FormatError: point has format 'point/2'; this version reads 'point/1'
    """
    try:
        found = msgspec.json.decode(value, type=_Head).format
        if found in (expected, *others):
            return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # a text that is no UTF-8 is a ValueError
        raise FormatError(f"not a {what}: {error}") from error
    raise FormatError(f"{what} has format {found!r}; this version reads {expected!r}")
