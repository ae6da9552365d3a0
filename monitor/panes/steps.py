"""Work that is done in steps, so that its caller may do something else in between."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]
"""Yields after each step, and returns what was made."""


def at_once(steps: Steps[T]) -> T:
    """Take all steps; return what was made."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: T = end.value
            return made
