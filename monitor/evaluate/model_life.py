"""The lives of one model: how one ends, and where the first pane of the next begins.

A model that leaves alerts.yaml is gone by a decision: its alerts are resolved at the pane of that, and all else of it
is forgotten. One that comes back is new: it has another life, which the names of its lanes tell, and parts of lanes of
a life before count for nothing. Its first pane is one that it has in that life from all its partitions; that is
published as an Activation, too, because it depends on when it came back.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.evaluate.decisions import Decisions
from monitor.ledger.entries import Activation, Watermark, new_decision


class ModelLife:
    """The present life of a model, whose decisions name it by number: 0 is the first."""

    def __init__(self, model: str) -> None:
        self.ended: int | None = None
        """The begin of the pane at which the model was last gone, ms; None if it had no pane before."""
        self._model = model
        self._found: list[Activation] = []

    def find_first_pane(self, decisions: Decisions, known: Sequence[Watermark], pane_ms: int) -> int | None:
        """Find where the first pane begins, ms; None as long as a partition has yet to give it.

        `known`: the newest watermarks of all of the model's partitions but those of labels.
        """
        if not decisions.life:
            firsts = [first for watermark in known if (first := watermark.first_of(self._model)) is not None]
            return min(firsts) // pane_ms * pane_ms
        if decisions.is_replay:
            begun = decisions.take_begin()
            return None if begun is None else -(-begun // pane_ms) * pane_ms
        begins = [self._back_at(watermark, decisions.life) for watermark in known]
        if None in begins:
            return None
        begun = max(self.ended or 0, *(at for at in begins if at is not None))
        first = -(-begun // pane_ms) * pane_ms
        self._found.append(Activation(decisions.of_this_life(new_decision(self._model, "begun", "")), first))
        return first

    def _back_at(self, watermark: Watermark, life: int) -> int | None:
        """From which watermark (ms) on a partition has the model in that life; None: not yet."""
        found, at = watermark.again.get(self._model, (0, 0))
        return at if found == life else None

    def take_found(self) -> list[Activation]:
        """What has been found of the model's first pane since the last call, to be published."""
        found, self._found = self._found, []
        return found
