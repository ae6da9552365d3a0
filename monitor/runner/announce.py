"""What alerts.yaml says and the ledger does not: a model's partitions, references and rules, as decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

import msgspec

from monitor.bus.port import Bus
from monitor.config.inputs import lanes_of
from monitor.config.resolved import ModelConfig
from monitor.contract import in_life, lane_contract
from monitor.errors import ConfigurationError
from monitor.evaluate.decisions import RulesContent
from monitor.evaluate.model import ModelFold
from monitor.events import StreamName, TopicPartition
from monitor.ledger.entries import Decision, Notice, PartitionSet, new_decision

Streams = dict[StreamName, tuple[str, int]]
"""Topic and number of partitions of each stream."""


class References(Protocol):
    """Grids and references of models whose configuration names a file or a topic's range, made outside the turn."""

    def take(self, model: ModelConfig) -> list[Decision] | None:
        """Return a model's grid and reference decisions; None while they are made, empty if its first rows make them.

        Raises ConfigurationError if they can't be made.
        """

    def take_arrived(self) -> Collection[str]:
        """Return the models of which `take` has something to announce now, that it had not at the last call."""


class Wanted(NamedTuple):
    """What alerts.yaml says of a model. `refusal`: why the rest is not announced, None if nothing is left out."""

    decisions: list[Decision]
    refusal: str | None


def wanted_of(model: ModelConfig, fold: ModelFold, bus: Bus, references: References) -> Wanted:
    """A model's partitions, the references that its fold does not know yet, and last its rules, once those are made.

    A model that can't be taken as alerts.yaml has it has its partitions all the same, if it has any: other models share
    them, and a partition is read once all of its models name it.
    """
    made: list[Decision] = []
    refusal = None
    try:
        made.append(_set_decision(model, fold, bus))
        given = _references(model, fold, references)
        made += [*given, rules_decision(model)] if given is not None else []
    except ConfigurationError as error:
        refusal = str(error)
    return Wanted(made, refusal)


def grown_set(fold: ModelFold, bus: Bus) -> list[Decision]:
    """The set of a model that runs, if its topics have more partitions than it names: that follows from no file."""
    named = fold.decisions.partitions
    if fold.decisions.rules is None or named is None:
        return []
    counts = {stream: (topic, max(n, bus.partitions(topic) or 0)) for stream, (topic, n) in named.streams.items()}
    return [] if counts == named.streams else [_decision_of(fold.model, PartitionSet(counts))]


def _set_decision(model: ModelConfig, fold: ModelFold, bus: Bus) -> Decision:
    return _decision_of(model.contract.model, partition_set(model, fold.decisions.partitions, bus))


def _decision_of(model: str, partitions: PartitionSet) -> Decision:
    return new_decision(model, "set", msgspec.json.encode(partitions).decode())


def _references(model: ModelConfig, fold: ModelFold, references: References) -> list[Decision] | None:
    """Grids and references of the lanes that the model does not have yet; None while they are made.

    A reference is made once: for lanes that stand on what they did, and so on the same specification, the file or the
    topic is not read again, whatever it holds by now. Outcomes have one only of a file.
    """
    known = {in_life(lane, 0) for lane in fold.decisions.lanes.keys() | fold.decisions.references_from.keys()}
    streams = [one for one in lanes_of(model.contract) if one.stream != "outcomes" or model.rules.reference.path]
    lanes = {lane_contract(model.contract, stream) for stream in streams} - known
    made = references.take(model) if lanes else []
    return None if made is None else [decision for decision in made if decision.lane in lanes]


def partition_set(model: ModelConfig, active: PartitionSet | None, bus: Bus) -> PartitionSet:
    """The partitions of a model's topics now; raises ConfigurationError if some are gone."""
    streams: Streams = {s.stream: (s.topic, bus.partitions(s.topic) or 0) for s in model.contract.streams}
    before = dict(active.streams.values()) if active is not None else {}
    fewer = {topic: n for topic, n in streams.values() if n < before.get(topic, 0)}
    if fewer:
        raise ConfigurationError(
            f"model {model.contract.model}: its topics had {_spelled(before)} and have {_spelled(dict(fewer))} now; "
            "a topic can't lose partitions"
        )
    return PartitionSet(streams)


def refusal(model: str, why: str, tp: TopicPartition, at: int) -> Notice:
    """The notice of a model that is not taken as alerts.yaml has it. `tp`: of the ledger. `at`: event time, ms."""
    text = f"what alerts.yaml says of {model} is not taken: {why}"
    return Notice("", "ModelRefused", at, tp.topic, tp.partition, (("model", model),), text)


def rules_decision(model: ModelConfig) -> Decision:
    """The model's rules and contract as a decision."""
    content = RulesContent(model.rules.model_dump_json(by_alias=True), model.contract)
    text = msgspec.json.encode(content).decode()
    return new_decision(model.contract.model, "rules", text, alerts_yaml_sha256=model.alerts_yaml_sha256)


def gone_decision(model: str, alerts_yaml_sha256: str) -> Decision:
    """The model is not in that alerts.yaml any more."""
    return new_decision(model, "gone", "", alerts_yaml_sha256=alerts_yaml_sha256)


def _spelled(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{topic} ({partitions} partitions)" for topic, partitions in counts.items())
