"""The lanes of one input partition: of each model of its contract one, and those that a contract has left.

If a contract changes what a lane stands on (columns, the length of panes, the reference), its open panes are left, and
rows from there on go into panes of their own: two parts of one pane, each named by its contract. Of the part of the
contract that was left only the number of rows is sealed, because it is judged by nobody; that stays so if another
contract brings the lane back while some of those panes are open.

A model that no contract names any more is gone, from the watermark on at which that was decided; one that comes back
begins again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from monitor.contract import ModelContract, lane_contract
from monitor.events import Rows, TopicPartition
from monitor.ledger.position_records import ModelPosition, RowState
from monitor.panes.grid import Grid
from monitor.panes.keyed import KeyedRows
from monitor.panes.pane import Pane, RawPane
from monitor.profile.grids import Grids
from monitor.profile.model_panes import ModelPanes

NOTHING_OF_ITS_OWN = ModelPosition()
"""The position of a model whose state follows from its partition alone."""


class PartitionLanes:
    """The open panes of each model by name, and of the lanes that were left. `grids`, `may_cut`: see PartitionFold."""

    def __init__(self, tp: TopicPartition, contracts: Sequence[ModelContract], grids: Grids, may_cut: bool) -> None:
        self._tp = tp
        self._grids = grids
        self._may_cut = may_cut
        self.waits_to_the_end: Callable[[str, str], bool] = lambda model, lane: False
        """Returns true for a model and its lane if that is recorded to end while it waits for its grid."""
        self.models = {contract.model: self._panes_of(contract, None) for contract in contracts}
        self._ended: list[ModelPanes] = []
        """Lanes that the contract has left, as long as they have open panes or rows may wait for them."""
        self.gone: dict[str, tuple[int, int]] = {}
        """Models that are folded no longer, and the watermarks at which that began and ended."""
        self.wants_again = False
        """True if a grid is there that needs rows which were forgotten: the fold is to begin again where it stands."""

    def _panes_of(self, contract: ModelContract, first: int | None) -> ModelPanes:
        """A model without open panes, on its grid if that is known."""
        model = ModelPanes(contract, self._tp, first, self._may_cut)
        model.grid = self._grid_of(model)
        return model

    def _grid_of(self, model: ModelPanes) -> Grid | None:
        waits = self.waits_to_the_end(model.contract.model, model.lane)
        return None if waits else self._grids.of(model.lane)

    def use_grids(self) -> bool:
        """Give models without a grid theirs, if it is known by now; return true if one got it.

        Panes are summarised on it, open ones too. If rows of them were forgotten the log has to be folded again with
        the grid; until then it is not used.
        """
        found = False
        for model in self.models.values():
            grid = None if model.grid is not None else self._grid_of(model)
            if grid is not None and model.is_cut:
                self.wants_again = True
            elif grid is not None:
                model.grid, found = grid, True
        return found

    # ------------------------------------------------------------------ another contract

    def switch(self, contracts: Iterable[ModelContract], at: int | None, reached: int | None, first: int) -> None:
        """Go on under other contracts.

        `at`: the watermark of the switch, from which on new models are folded; `reached`: that of the partition.
        `first`: from which watermark on models are folded that have none of their own.
        """
        before, self.models = self.models, {}
        for one in contracts:
            if one.model in before:
                self.models[one.model] = self._go_on(before.pop(one.model), one, reached)
            elif one.model in self.gone:
                self.models[one.model] = self._begin(one, self.gone[one.model][0], again=at)
            else:
                self.models[one.model] = self._begin(one, at, again=None)
        self.gone = {name: span for name, span in self.gone.items() if name not in self.models}
        if at is not None:
            self.gone |= {name: (_first_of(model, first), at) for name, model in before.items()}

    def _go_on(self, model: ModelPanes, contract: ModelContract, reached: int | None) -> ModelPanes:
        """A model's panes under another contract: the same lane, or the one that takes its place from here on."""
        if lane_contract(contract, contract.streams[0]) == model.lane:
            model.contract = contract
            return model
        model.leave()
        again = model.again if contract.life == model.contract.life else reached
        fresh = self._begin(contract, model.first, again)
        self._ended.append(model)
        return fresh

    def _begin(self, contract: ModelContract, first: int | None, again: int | None) -> ModelPanes:
        """The lane of a model from here on: one that a contract has left before, if it has open panes yet."""
        lane = self._panes_of(contract, first)
        left = next((ended for ended in self._ended if ended.lane == lane.lane), None)
        if left is not None:
            self._ended.remove(left)
            left.come_back(contract, first)
            lane = left  # `use_grids` gives it its grid
        lane.again = again
        return lane

    # ------------------------------------------------------------------ all of them

    @property
    def all(self) -> list[ModelPanes]:
        """All that have panes here, those that the contract has left among them."""
        return [*self.models.values(), *self._ended]

    def lane_of(self, rows: Rows) -> ModelPanes | None:
        """Return the lane of the contract that rows were decoded under; None if their model has left it."""
        return next((lane for lane in self.all if lane.lane == rows.contract), None)

    @property
    def lacks_grid(self) -> bool:
        """Return true if one of its models has no grid yet."""
        return any(model.lacks_grid for model in self.models.values())

    def held(self, watermark: int | None) -> dict[str, int]:
        """The begin of the oldest pane that is due at a watermark and waits for a grid, by model."""
        if watermark is None:
            return {}
        starts = {name: model.blocked(watermark) for name, model in sorted(self.models.items())}
        return {name: start for name, start in starts.items() if start is not None}

    def has_end_between(self, before: int, after: int) -> bool:
        """Return true if a pane of any lane ends after `before` and at or before `after` (ms)."""
        lengths = {lane.contract.pane_ms for lane in self.all}
        return any(after // pane_ms > before // pane_ms for pane_ms in lengths)

    def seal(self, watermark: int) -> list[Pane | RawPane | KeyedRows]:
        """Seal all panes that are due, as far as grids and raw rows allow."""
        return [pane for lane in self.all for pane in lane.seal(watermark)]

    def forget_ended(self) -> None:
        """Forget lanes that the contract has left and that have no open pane; while no row waits."""
        self._ended = [ended for ended in self._ended if ended.starts()]

    # ------------------------------------------------------------------ what is published and committed of them

    def firsts(self, first: int) -> dict[str, int]:
        """The watermark from which on each model is folded. `first`: that of models that have none of their own."""
        return {name: _first_of(model, first) for name, model in sorted(self.models.items())}

    def lives(self, first: int) -> dict[str, tuple[int, int]]:
        """The life of each model that has come back, and the watermark at which it began. `first`: see `firsts`."""
        return {
            name: (life, _first_of(model, first) if model.again is None else model.again)
            for name, model in sorted(self.models.items())
            if (life := model.contract.life)
        }

    def positions(self, watermark: int | None) -> dict[str, ModelPosition]:
        """What a commit at a watermark says of the models, of those of which there is something to say."""
        models = {name: model.position(watermark) for name, model in sorted(self.models.items())}
        return {name: at for name, at in models.items() if at != NOTHING_OF_ITS_OWN}

    def arrive(self, positions: Mapping[str, ModelPosition], watermark: int | None) -> None:
        """End of folding again: panes that were sealed before the commit at that watermark are forgotten."""
        for name, model in self.models.items():
            model.arrive(positions.get(name, NOTHING_OF_ITS_OWN), watermark)
        for lane in self._ended:
            lane.arrive(NOTHING_OF_ITS_OWN, watermark)

    def starts(self) -> list[RowState]:
        """The state before the first row of every open pane."""
        return [state for lane in self.all for state in lane.starts()]

    def offsets(self) -> list[str]:
        """What the open panes hold, for a digest."""
        return [part for lane in sorted(self.all, key=_name_of) for part in lane.offsets()]


def _first_of(model: ModelPanes, first: int) -> int:
    return first if model.first is None else model.first


def _name_of(lane: ModelPanes) -> tuple[str, str]:
    return lane.contract.model, lane.lane
