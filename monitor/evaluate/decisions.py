"""What applies to one model (partitions, grids, references, rules), as the decisions of the ledger have made it.

A decision counts at once, but for rules in the place of others: of those the newest count from the next pane on, or
at once as long as the model has no pane. That a model is gone ends a life of it: what came before counts no more, and
a model that comes back begins with nothing. A replay is given the decisions that were recorded, each with its pane,
life by life. Commands are not kept here: each counts once, and what it leaves is state of the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from monitor.config.resolved import ModelRules
from monitor.contract import ModelContract, StreamContract, in_life, lane_contract, outcomes_of
from monitor.errors import FormatError
from monitor.evaluate.labelled_reference import LabelledReference, decode_labelled
from monitor.evaluate.reference import Reference, decode_reference
from monitor.events import TopicPartition
from monitor.ledger.entries import (
    Activation,
    Decision,
    DecisionKey,
    DecisionKind,
    PartitionSet,
    new_decision,
)
from monitor.panes.grid import Grid, decode_grid

_ORDER: tuple[DecisionKind, ...] = ("set", "grid", "reference", "trailing", "rules", "begun", "rebuild", "gone")
"""The order in which decisions are applied again: a reference stands on a grid, and rules open what has both. All
commands of a pane, and their answers, stand where `rebuild` does, in the order in which they came."""
_CHANGES: tuple[DecisionKind, ...] = ("set", "rules", "gone")
"""Those with which lanes may end."""
_AT_ONCE = -(1 << 62)
_RULES: DecisionKey = ("rules", "", "")


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
        self.grids: dict[str, Grid] = {}
        """Grids of all lanes that there were, by `contract.lane_contract`: a lane that comes back has its own."""
        self.references: dict[str, Reference] = {}
        """The newest reference of each lane but those of outcomes."""
        self.trailing: dict[str, Reference] = {}
        """The newest reference of each lane for windows alone, if that follows the data."""
        self.labelled: dict[str, LabelledReference] = {}
        """The newest reference that a lane of outcomes has from a file."""
        self.references_from: dict[str, int] = {}
        """The start of the first pane that each lane's newest reference counts for, ms."""
        self.accepted_over: dict[str, str] = {}
        """The digest of the reference of each lane that an accepted one has taken the place of."""
        self.inputs: frozenset[TopicPartition] = frozenset()
        """The input partitions of the set."""
        self.newest: dict[DecisionKey, str] = {}
        """Digests of the newest decisions."""
        self.used: dict[DecisionKey, str] = {}
        """Digests of those that apply."""
        self._waiting: Decision | None = None
        self.silence_judged_to: int | None = None
        """How far on the silence clock the rules in use had been judged when those came that wait, ms."""
        self._coming: ModelContract | None = None
        self.lanes: dict[str, tuple[ModelContract, StreamContract]] = {}
        """What the lanes stand on, by name: those of the contract in use, and of one that waits for the next pane."""
        self.life = 0
        """How often the model had been gone before."""
        self._model = model
        self._recorded = _in_order([a for a in recorded if a.decision.model == model])
        self.is_replay = bool(self._recorded)
        self.recorded_lanes = frozenset(a.decision.lane for a in self._recorded if a.decision.kind == "grid")
        """Lanes whose grid a replay need not make."""

    @property
    def has_waiting_rules(self) -> bool:
        """Return true if rules wait for the next pane."""
        return self._waiting is not None

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
    def recorded(self) -> list[int]:
        """The begins of the panes for which recorded decisions wait, ms."""
        return [a.at for a in self._recorded if a.at is not None]

    @property
    def has_recorded_changes(self) -> bool:
        """Return true if recorded rules, sets or ends wait; before them only recorded grids are made."""
        return any(a.decision.kind in _CHANGES for a in self._recorded)

    def _name_lanes(self) -> None:
        contracts = [contract for contract in (self._coming, self.contract) if contract is not None]
        streams = [(c, stream) for c in contracts for stream in (*c.streams, outcomes_of(c)) if stream is not None]
        self.lanes = {lane_contract(c, stream): (c, stream) for c, stream in streams}

    # ------------------------------------------------------------------ decisions come

    def of_this_life(self, decision: Decision) -> Decision:
        """A decision as it counts for the model as it is now."""
        lane = in_life(decision.lane, self.life) if decision.lane else ""
        return msgspec.structs.replace(decision, lane=lane, life=self.life)

    def is_new(self, decision: Decision) -> bool:
        """Return true if the decision is another than the newest of its kind.

        The one that an accepted reference has taken the place of is none: it is where that reference came from.
        """
        is_over = decision.kind == "reference" and self.accepted_over.get(decision.lane) == decision.digest
        return self.newest.get(decision.key) != decision.digest and not is_over

    def take(self, activation: Activation, *, has_panes: bool) -> Decision | None:
        """A decision as it comes; given back if it applies at once. `has_panes`: the model's first pane is found."""
        decision, at = activation.decision, activation.at
        before = self.newest.get(decision.key)
        self.newest[decision.key] = decision.digest
        if decision.kind == "rules" and self.rules is not None and has_panes:
            self._wait(decision)
            self.silence_judged_to = activation.silence_judged_to
            return None
        if decision.kind == "reference":
            self.references_from[decision.lane] = _AT_ONCE if at is None else at
            self._come_over(decision, before)
        return self._apply(decision)

    def _come_over(self, decision: Decision, before: str | None) -> None:
        """Another reference takes the place of that of a lane, and of those of its newest rows."""
        self.trailing.pop(decision.lane, None)
        for kept in (self.used, self.newest):
            kept.pop(("trailing", decision.stream, decision.lane), None)
        if not decision.command:
            self.accepted_over.pop(decision.lane, None)
        elif before is not None:
            self.accepted_over.setdefault(decision.lane, before)

    def _wait(self, decision: Decision) -> None:
        self._waiting = decision
        self._coming = self._contract_of(msgspec.json.decode(decision.content, type=RulesContent))
        self._name_lanes()

    def _contract_of(self, content: RulesContent) -> ModelContract:
        return msgspec.structs.replace(content.contract, life=self.life)

    @property
    def next_pane_ms(self) -> int | None:
        """The length of the next pane: as rules have it that wait for that, or those in use; None without any."""
        contract = self._coming or self.contract
        return None if contract is None else contract.pane_ms

    def begin_pane(self) -> Decision | None:
        """Apply the rules that waited for the next pane."""
        decision, self._waiting, self._coming, self.silence_judged_to = self._waiting, None, None, None
        return None if decision is None else self._apply(decision)

    def take_due(self, pane: int | None) -> list[Activation]:
        """Take the recorded decisions that count now. `pane`: where the next begins, ms; None if there is none."""
        due = []
        while self._is_next(pane) and not _stands_behind(self._recorded[0].decision):
            due.append(self._recorded.pop(0))
        return due

    def take_command(self, pane: int | None) -> Activation | None:
        """Take the recorded command, or answer to one, that counts next, if the next pane begins at `pane`."""
        is_due = self._is_next(pane) and self._recorded[0].decision.counts_by_clock
        return self._recorded.pop(0) if is_due else None

    def take_end(self, pane: int | None) -> Activation | None:
        """Take the recorded end of the model's life, if the next pane begins at `pane`."""
        is_due = self._is_next(pane) and self._recorded[0].decision.kind == "gone"
        return self._recorded.pop(0) if is_due else None

    def take_begin(self) -> int | None:
        """Take the begin, as recorded, of the first pane in the life of a model that came back; None if there is none.

        What was decided of panes before it counts from there, too.
        """
        found = next((a for a in self._recorded if a.decision.kind == "begun" and a.decision.life == self.life), None)
        if found is None:
            return None
        self._recorded.remove(found)
        return found.at

    def begin_anew(self) -> Decisions:
        """Those of the model's next life: none, but for what is recorded of it."""
        after = Decisions(self._model)
        after.life, after.is_replay = self.life + 1, self.is_replay
        after._recorded = [activation for activation in self._recorded if activation.decision.life >= after.life]
        after.recorded_lanes = self.recorded_lanes
        return after

    def _is_next(self, pane: int | None) -> bool:
        return bool(self._recorded) and _is_reached(self._recorded[0].at, pane)

    def _apply(self, decision: Decision) -> Decision:
        key = decision.key
        # a lane keeps its first grid
        if not (decision.kind == "grid" and key in self.used):
            self.used[key] = decision.digest
        match decision.kind:
            case "set":
                self.partitions = msgspec.json.decode(decision.content, type=PartitionSet)
                self.inputs = frozenset(self.partitions.partitions)
            case "grid":
                self.grids.setdefault(decision.lane, decode_grid(decision.content.encode()))
            case "reference" if decision.stream == "outcomes":
                self.labelled[decision.lane] = decode_labelled(decision.content)
            case "reference":
                self.references[decision.lane] = self._reference_of(decision)
            case "trailing":
                self.trailing[decision.lane] = self._reference_of(decision)
            case "rules":
                content = msgspec.json.decode(decision.content, type=RulesContent)
                self.contract = self._contract_of(content)
                self.rules = ModelRules.model_validate_json(content.rules)
                self.alerts_yaml_sha256 = decision.alerts_yaml_sha256
                self._name_lanes()
        return decision

    def _reference_of(self, decision: Decision) -> Reference:
        own = [self.grids[decision.lane]] if decision.lane in self.grids else []
        return decode_reference(decision.content, own)[0]

    # ------------------------------------------------------------------ restore

    def restore(
        self,
        life: int,
        used: Mapping[DecisionKey, str],
        newest: Mapping[DecisionKey, str],
        files: tuple[str, str],
        references_from: Mapping[str, int],
        accepted_over: Mapping[str, str],
        decisions: Mapping[str, Decision],
    ) -> Iterator[Decision]:
        """Apply those in use again, and give back each. `decisions`: by digest. Raises FormatError."""
        in_use, last = files
        self.life = life
        self.references_from, self.accepted_over = dict(references_from), dict(accepted_over)
        for key, digest in sorted(used.items(), key=lambda item: (_ORDER.index(item[0][0]), item)):
            decision = self._decision_of(key, digest, in_use, decisions)
            try:
                yield self._apply(decision)
            except (msgspec.DecodeError, ValueError) as error:
                raise FormatError(f"the {key[0]} {digest} of {self._model} can't be read: {error}") from error
        if self.used != used or self.references_from.keys() != self.references.keys() | self.labelled.keys():
            raise FormatError(f"the decisions that the snapshot of {self._model} stands on are damaged")
        self.newest = dict(newest)
        rules = self.newest.get(_RULES)
        if rules != self.used.get(_RULES) or last != in_use:
            self._wait(self._decision_of(_RULES, rules or "", last, decisions))

    def _decision_of(self, key: DecisionKey, digest: str, file: str, decisions: Mapping[str, Decision]) -> Decision:
        """Return a decision by its content.

        Models on the same topics share a set, and two files may have the same rules.
        """
        kind, stream, lane = key
        if digest not in decisions:
            raise FormatError(f"the {kind} {digest} that the snapshot of {self._model} stands on is not there")
        content = decisions[digest].content
        decision = new_decision(self._model, kind, content, stream, file if kind == "rules" else "", lane)
        return msgspec.structs.replace(decision, life=self.life)


def _in_order(recorded: Sequence[Activation]) -> list[Activation]:
    """Return recorded decisions as they count, life by life.

    References of a pane for which one was accepted come as they came, so the newest counts.
    """
    accepted = {(a.decision.lane, a.at) for a in recorded if a.decision.command}

    def order(activation: Activation) -> tuple[int, int, int]:
        decision, at = activation.decision, _AT_ONCE if activation.at is None else activation.at
        is_beside = decision.kind == "reference" and (decision.lane, activation.at) in accepted
        kind: DecisionKind = "rebuild" if decision.counts_by_clock or is_beside else decision.kind
        return decision.life, at, _ORDER.index(kind)

    return sorted(recorded, key=order)


def _stands_behind(decision: Decision) -> bool:
    """Return true if what was recorded is taken by what it is, behind the others of its pane."""
    return decision.kind in ("begun", "gone") or decision.counts_by_clock


def _is_reached(recorded: int | None, pane: int | None) -> bool:
    return recorded is None or (pane is not None and recorded <= pane)
