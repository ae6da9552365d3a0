"""The grids that partitions seal panes on: one a lane."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.ledger.entries import Activation
from monitor.panes.grid import Grid, decode_grid


class Grids:
    """What evaluate has decided of grids so far."""

    def __init__(self, activations: Iterable[Activation] = ()) -> None:
        self._grids: dict[str, Grid] = {}
        for activation in activations:
            self.add(activation)

    def add(self, activation: Activation) -> None:
        """Take a decision of evaluate; of a lane (`contract.lane_contract`) the first grid stays."""
        decision = activation.decision
        if decision.kind == "grid" and decision.lane not in self._grids:
            self._grids[decision.lane] = decode_grid(decision.content.encode())

    def of(self, lane: str) -> Grid | None:
        """Return the grid of a lane, if there is one."""
        return self._grids.get(lane)
