"""Which life each model is in: how often evaluate has decided that it was gone, and whether it is back."""

from __future__ import annotations

from monitor.ledger.entries import Activation


class Lives:
    """The lives of models, by `add`, counted from 0."""

    def __init__(self) -> None:
        self._ended: dict[str, int] = {}
        self._begun: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Return true if any model was ever gone."""
        return bool(self._ended)

    def add(self, activation: Activation) -> None:
        """Take what evaluate has decided."""
        decision = activation.decision
        if decision.kind == "gone":
            self._ended[decision.model] = max(self._ended.get(decision.model, 0), decision.life + 1)
        elif decision.kind == "rules":
            self._begun[decision.model] = max(self._begun.get(decision.model, 0), decision.life)

    def next(self, model: str) -> int:
        """The life of a model that is folded from now on: it is in that, or will be once evaluate has its rules."""
        return max(self._ended.get(model, 0), self._begun.get(model, 0))

    def of(self, model: str, known: int) -> int:
        """The life of a model that is folded in the life `known`: another one as soon as evaluate has rules of that."""
        begun = self._begun.get(model, 0)
        return max(known, begun) if begun >= self._ended.get(model, 0) else known
