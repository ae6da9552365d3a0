"""What applies to one model (partitions, grids, references, rules), as the changes of the ledger have made it.

A change counts at once, but for rules in the place of others: of those the newest count from the next pane on. A replay
is given the changes that were recorded, each with its pane.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from monitor.config.resolved import ModelRules
from monitor.contract import ModelContract, StreamContract
from monitor.errors import FormatError
from monitor.evaluate.reference import Reference, decode_reference
from monitor.events import StreamName
from monitor.panes.grid import Grid, decode_grid
from monitor.panes.ledger import Activation, Change, ChangeKind, PartitionSet, new_change

ChangeKey = tuple[ChangeKind, StreamName | Literal[""]]
_ORDER: tuple[ChangeKind, ...] = ("set", "grid", "reference", "rules")
"""In which changes are applied again: a reference stands on a grid, and what has both is opened by the rules."""
_AT_ONCE = -(1 << 62)


class RulesContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of a rules change: a model's rules (JSON of ModelRules) and the contract they were checked with."""

    rules: str
    contract: ModelContract


class Changes:
    """Those of one model. `recorded`: activations of a captured log, of any models."""

    def __init__(self, model: str, recorded: Iterable[Activation] = ()) -> None:
        self.partitions: PartitionSet | None = None
        self.contract: ModelContract | None = None
        """The contract that the rules were checked with."""
        self.rules: ModelRules | None = None
        self.grids: dict[StreamName, Grid] = {}
        self.references: dict[StreamName, Reference] = {}
        self.newest: dict[ChangeKey, str] = {}
        """Digests of the newest changes."""
        self.used: dict[ChangeKey, str] = {}
        """Digests of those that apply."""
        self._waiting: Change | None = None
        self._model = model
        self._recorded = sorted(
            (a for a in recorded if a.change.model == model), key=lambda a: _AT_ONCE if a.pane is None else a.pane
        )
        self.is_replay = bool(self._recorded)

    @property
    def stands_on(self) -> frozenset[str]:
        """Digests of the changes that a restore has to be given: those that apply, and rules that wait."""
        waiting = () if self._waiting is None else (self._waiting.digest,)
        return frozenset([*self.used.values(), *waiting])

    @property
    def recorded_panes(self) -> list[int]:
        """Panes for which recorded changes wait."""
        return [a.pane for a in self._recorded if a.pane is not None]

    def stream(self, stream: StreamName) -> StreamContract | None:
        """The contract of one stream; None where the model has none."""
        streams = self.contract.streams if self.contract is not None else ()
        return next((contract for contract in streams if contract.stream == stream), None)

    # ------------------------------------------------------------------ changes come

    def is_new(self, change: Change) -> bool:
        """Whether the change is another than the newest of its kind."""
        return self.newest.get((change.kind, change.stream)) != change.digest

    def take(self, change: Change) -> Change | None:
        """A change as it comes; given back if it applies at once."""
        self.newest[change.kind, change.stream] = change.digest
        if change.kind == "rules" and self.rules is not None:
            self._waiting = change
            return None
        return self._apply(change)

    def begin_pane(self) -> Change | None:
        """Apply the rules that waited for the next pane."""
        change, self._waiting = self._waiting, None
        return None if change is None else self._apply(change)

    def due(self, pane: int | None) -> list[Change]:
        """The recorded changes that are to be taken now, `pane` being the next (None before there is one)."""
        due = []
        while self._recorded and _is_reached(self._recorded[0].pane, pane):
            due.append(self._recorded.pop(0).change)
        return due

    def _apply(self, change: Change) -> Change:
        key = (change.kind, change.stream)
        # a stream keeps its first grid
        if not (change.kind == "grid" and key in self.used):
            self.used[key] = change.digest
        match change.kind:
            case "set":
                self.partitions = msgspec.json.decode(change.content, type=PartitionSet)
            case "grid":
                grid = decode_grid(change.content.encode())
                self.grids.setdefault(grid.stream, grid)
            case "reference":
                reference, _ = decode_reference(change.content, self.grids.values())
                self.references[reference.stream] = reference
            case "rules":
                content = msgspec.json.decode(change.content, type=RulesContent)
                self.contract = content.contract
                self.rules = ModelRules.model_validate_json(content.rules)
        return change

    # ------------------------------------------------------------------ restore

    def restore(
        self, used: Mapping[ChangeKey, str], newest: Mapping[ChangeKey, str], changes: Mapping[str, Change]
    ) -> Iterator[Change]:
        """Apply those in use again, and give back each. `changes`: by digest. Raises FormatError."""
        for (kind, stream), digest in sorted(used.items(), key=lambda item: _ORDER.index(item[0][0])):
            change = self._change_of(kind, stream, digest, changes)
            try:
                yield self._apply(change)
            except (msgspec.DecodeError, ValueError) as error:
                raise FormatError(f"the {kind} {digest} of {self._model} can't be read: {error}") from error
        if self.used != used:
            raise FormatError(f"the changes that the snapshot of {self._model} stands on are damaged")
        self.newest = dict(newest)
        rules = self.newest.get(("rules", ""))
        if rules != self.used.get(("rules", "")):
            self._waiting = self._change_of("rules", "", rules or "", changes)

    def _change_of(
        self, kind: ChangeKind, stream: StreamName | Literal[""], digest: str, changes: Mapping[str, Change]
    ) -> Change:
        """By its content: models on the same topics share a set."""
        if digest not in changes:
            raise FormatError(f"the {kind} {digest} that the snapshot of {self._model} stands on is not there")
        return new_change(self._model, kind, changes[digest].content, stream)


def _is_reached(recorded: int | None, pane: int | None) -> bool:
    return recorded is None or (pane is not None and recorded <= pane)
