"""The grids that partitions seal panes on: one a lane, in each life of its model."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.ledger.entries import Activation
from monitor.panes.grid import Grid, decode_grid

_BEFORE_ALL = -(1 << 62)


class Grids:
    """What evaluate has decided of grids so far.

    `is_replay`: all is known beforehand, so which life of a model a partition is in follows from its watermark.
    """

    def __init__(self, activations: Iterable[Activation] = (), is_replay: bool = False) -> None:
        self._is_replay = is_replay
        self._ends: dict[str, list[int]] = {}
        """By model, where each of its lives ended, ms."""
        self._grids: dict[tuple[str, int], Grid] = {}
        """By lane (`contract.lane_contract`) and life; the first one stays."""
        for activation in activations:
            self.add(activation)

    def add(self, activation: Activation) -> None:
        """Take what evaluate has decided."""
        decision = activation.decision
        ends = self._ends.setdefault(decision.model, [])
        if decision.kind == "gone":
            ends.append(_BEFORE_ALL if activation.at is None else activation.at)
        elif decision.kind == "grid":
            self._grids.setdefault((decision.lane, len(ends)), decode_grid(decision.content.encode()))

    def of(self, model: str, lane: str, since: int | None) -> Grid | None:
        """The grid of a lane that a partition has folded since that watermark (None: from its start), if there is one.

        The first row of a lane may come before its grid is made.
        """
        ends = self._ends.get(model, [])
        life = sum(end <= (_BEFORE_ALL if since is None else since) for end in ends) if self._is_replay else len(ends)
        return self._grids.get((lane, life))
