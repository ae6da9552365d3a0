"""References that are there as soon as they are asked for, or when a test says so."""

from __future__ import annotations

from collections.abc import Callable

from monitor.config.resolved import ModelConfig
from monitor.ledger.entries import Decision


class AtOnce:
    """Made in the turn that asks for them. `make`: gives them."""

    def __init__(self, make: Callable[[ModelConfig], list[Decision]] = lambda model: []) -> None:
        self._make = make

    def take(self, model: ModelConfig) -> list[Decision] | None:
        return self._make(model)

    def take_arrived(self) -> list[str]:
        return []
