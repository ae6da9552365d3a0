"""What applies to one model (partitions, grids, references, rules), as the decisions of the ledger have made it.

A decision counts at once, but for rules in the place of others: of those the newest count from the next pane on. That a
model is gone ends a life of it: what came before counts no more, and a model that comes back begins with nothing.
A replay is given the decisions that were recorded, each with its pane, life by life.
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
from monitor.ledger.entries import Activation, Decision, DecisionKind, PartitionSet, new_decision
from monitor.panes.grid import Grid, decode_grid

DecisionKey = tuple[DecisionKind, StreamName | Literal[""]]
_ORDER: tuple[DecisionKind, ...] = ("set", "grid", "reference", "rules", "rebuild", "begun", "gone")
"""In which decisions are applied again: a reference stands on a grid, and what has both is opened by the rules."""
_AT_ONCE = -(1 << 62)


class RulesContent(msgspec.Struct, frozen=True):
    """Content of a rules decision: a model's rules (JSON of ModelRules) and the contract they were checked with."""

    rules: str
    contract: ModelContract


class Decisions:
    """Those of one model. `recorded`: activations of a captured log, of any models."""

    def __init__(self, model: str, recorded: Iterable[Activation] = ()) -> None:
        self.partitions: PartitionSet | None = None
        self.contract: ModelContract | None = None
        """The contract that the rules were checked with."""
        self.rules: ModelRules | None = None
        self.alerts_yaml_sha256 = ""
        """SHA-256 of the file that the rules came from."""
        self.grids: dict[StreamName, Grid] = {}
        self.references: dict[StreamName, Reference] = {}
        self.newest: dict[DecisionKey, str] = {}
        """Digests of the newest decisions."""
        self.used: dict[DecisionKey, str] = {}
        """Digests of those that apply."""
        self._waiting: Decision | None = None
        self._model = model
        self._recorded = _by_life([a for a in recorded if a.decision.model == model])
        self.is_replay = bool(self._recorded)

    @property
    def stands_on(self) -> frozenset[str]:
        """Digests of the decisions that a restore has to be given: those that apply, and rules that wait."""
        waiting = () if self._waiting is None else (self._waiting.digest,)
        return frozenset([*self.used.values(), *waiting])

    @property
    def files(self) -> tuple[str, str]:
        """SHA-256 of the alerts.yaml of the rules in use, and of the newest rules."""
        waiting = self._waiting
        return self.alerts_yaml_sha256, self.alerts_yaml_sha256 if waiting is None else waiting.alerts_yaml_sha256

    @property
    def recorded_panes(self) -> list[int]:
        """Panes for which recorded decisions wait."""
        return [a.pane for a in self._recorded if a.pane is not None]

    def stream(self, stream: StreamName) -> StreamContract | None:
        """The contract of one stream; None where the model has none."""
        streams = self.contract.streams if self.contract is not None else ()
        return next((contract for contract in streams if contract.stream == stream), None)

    # ------------------------------------------------------------------ decisions come

    def is_new(self, decision: Decision) -> bool:
        """Whether the decision is another than the newest of its kind."""
        return self.newest.get((decision.kind, decision.stream)) != decision.digest

    def take(self, decision: Decision) -> Decision | None:
        """A decision as it comes; given back if it applies at once."""
        self.newest[decision.kind, decision.stream] = decision.digest
        if decision.kind == "rebuild":
            return None  # for who owns the ledger partition: it changes nothing in a fold
        if decision.kind == "rules" and self.rules is not None:
            self._waiting = decision
            return None
        return self._apply(decision)

    def begin_pane(self) -> Decision | None:
        """Apply the rules that waited for the next pane."""
        decision, self._waiting = self._waiting, None
        return None if decision is None else self._apply(decision)

    def due(self, pane: int | None) -> list[Activation]:
        """The recorded decisions that are to be taken now, `pane` being the next (None before there is one)."""
        due = []
        while self._is_next(pane) and self._recorded[0].decision.kind not in ("begun", "gone"):
            due.append(self._recorded.pop(0))
        return due

    def ends(self, pane: int | None) -> Activation | None:
        """The recorded end of the model's life, if `pane` is the next."""
        is_due = self._is_next(pane) and self._recorded[0].decision.kind == "gone"
        return self._recorded.pop(0) if is_due else None

    def begins(self) -> int | None:
        """The recorded first pane of the life of a model that came back."""
        is_known = self._recorded and self._recorded[0].decision.kind == "begun"
        return self._recorded.pop(0).pane if is_known else None

    def begin_anew(self) -> Decisions:
        """Those of the model's next life: none, but for what is recorded of it."""
        after = Decisions(self._model)
        after._recorded, after.is_replay = self._recorded, self.is_replay
        return after

    def _is_next(self, pane: int | None) -> bool:
        return bool(self._recorded) and _is_reached(self._recorded[0].pane, pane)

    def _apply(self, decision: Decision) -> Decision:
        key = (decision.kind, decision.stream)
        # a stream keeps its first grid
        if not (decision.kind == "grid" and key in self.used):
            self.used[key] = decision.digest
        match decision.kind:
            case "set":
                self.partitions = msgspec.json.decode(decision.content, type=PartitionSet)
            case "grid":
                grid = decode_grid(decision.content.encode())
                self.grids.setdefault(grid.stream, grid)
            case "reference":
                reference, _ = decode_reference(decision.content, self.grids.values())
                self.references[reference.stream] = reference
            case "rules":
                content = msgspec.json.decode(decision.content, type=RulesContent)
                self.contract = content.contract
                self.rules = ModelRules.model_validate_json(content.rules)
                self.alerts_yaml_sha256 = decision.alerts_yaml_sha256
        return decision

    # ------------------------------------------------------------------ restore

    def restore(
        self,
        used: Mapping[DecisionKey, str],
        newest: Mapping[DecisionKey, str],
        files: tuple[str, str],
        decisions: Mapping[str, Decision],
    ) -> Iterator[Decision]:
        """Apply those in use again, and give back each. `decisions`: by digest. Raises FormatError."""
        in_use, last = files
        for (kind, stream), digest in sorted(used.items(), key=lambda item: _ORDER.index(item[0][0])):
            decision = self._decision_of(kind, stream, digest, in_use, decisions)
            try:
                yield self._apply(decision)
            except (msgspec.DecodeError, ValueError) as error:
                raise FormatError(f"the {kind} {digest} of {self._model} can't be read: {error}") from error
        if self.used != used:
            raise FormatError(f"the decisions that the snapshot of {self._model} stands on are damaged")
        self.newest = dict(newest)
        rules = self.newest.get(("rules", ""))
        if rules != self.used.get(("rules", "")):
            self._waiting = self._decision_of("rules", "", rules or "", last, decisions)

    def _decision_of(
        self,
        kind: DecisionKind,
        stream: StreamName | Literal[""],
        digest: str,
        file: str,
        decisions: Mapping[str, Decision],
    ) -> Decision:
        """By its content: models on the same topics share a set, and two files may say the same rules."""
        if digest not in decisions:
            raise FormatError(f"the {kind} {digest} that the snapshot of {self._model} stands on is not there")
        return new_decision(self._model, kind, decisions[digest].content, stream, file if kind == "rules" else "")


def _by_life(recorded: list[Activation]) -> list[Activation]:
    """In the order in which they count. Each `gone` ends a life, and the order of the lives is that of the topic."""
    lives = [0]
    for activation in recorded:
        lives.append(lives[-1] + (activation.decision.kind == "gone"))
    found = sorted(zip(lives, recorded, strict=False), key=lambda pair: (pair[0], *_order(pair[1])))
    return [activation for _, activation in found]


def _order(activation: Activation) -> tuple[int, int]:
    return _AT_ONCE if activation.pane is None else activation.pane, _ORDER.index(activation.decision.kind)


def _is_reached(recorded: int | None, pane: int | None) -> bool:
    return recorded is None or (pane is not None and recorded <= pane)
