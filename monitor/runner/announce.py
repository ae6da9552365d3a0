"""What alerts.yaml says and the ledger does not: a model's partitions, references and rules, as decisions."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

import msgspec

from monitor.bus.port import Bus
from monitor.config.resolved import ModelConfig
from monitor.errors import ConfigurationError
from monitor.evaluate.decisions import RulesContent
from monitor.evaluate.model import ModelFold
from monitor.events import StreamName, TopicPartition
from monitor.ledger.entries import Decision, Notice, PartitionSet, new_decision
from monitor.runner.reloading import contract_refusals

Streams = dict[StreamName, tuple[str, int]]
"""Topic and number of partitions of each stream."""


class References(Protocol):
    """Grids and references of models whose configuration names a file or a topic's range, made outside the turn."""

    def of(self, model: ModelConfig) -> list[Decision] | None:
        """Return a model's grid and reference decisions; None while they are made, empty if its first rows make them.

        Raises ConfigurationError if they can't be made.
        """

    def arrived(self) -> Collection[str]:
        """Return the models of which `of` has something to say now, since the last call."""


class Wanted(NamedTuple):
    """What is to be announced of a model. `refusal`: why the rest is not, None if nothing is left out."""

    decisions: list[Decision]
    refusal: str | None


def wanted_of(model: ModelConfig, fold: ModelFold, bus: Bus, references: References) -> Wanted:
    """What a model's fold does not know yet: its partitions, references, and last its rules, once those are made.

    A model that can't be taken as alerts.yaml has it has its partitions all the same, if it has any: other models share
    them, and a partition is read once all of its models name it.
    """
    made: list[Decision] = []
    refusal = None
    try:
        made.append(_set_decision(model, fold, bus))
        made += _rest(model, fold, references)
    except ConfigurationError as error:
        refusal = str(error)
    return Wanted([d for d in made if fold.decisions.newest.get((d.kind, d.stream)) != d.digest], refusal)


def grown_set(model: ModelConfig, fold: ModelFold, bus: Bus) -> list[Decision]:
    """The set of a model that runs, if its topics have more partitions than it names: that follows from no file."""
    if fold.decisions.rules is None:
        return []
    grown = _set_decision(model, fold, bus)
    return [] if fold.decisions.newest.get((grown.kind, grown.stream)) == grown.digest else [grown]


def _set_decision(model: ModelConfig, fold: ModelFold, bus: Bus) -> Decision:
    partitions = partition_set(model, fold.decisions.partitions, bus)
    return new_decision(model.contract.model, "set", msgspec.json.encode(partitions).decode())


def _rest(model: ModelConfig, fold: ModelFold, references: References) -> list[Decision]:
    """References and rules; neither while the references are made.

    A reference is made once: if the model has one by the same specification, the file or the topic is not read again,
    whatever it holds by now.
    """
    active, contract = fold.decisions.rules, fold.decisions.contract
    if contract is not None and (refused := contract_refusals(contract, model.contract)):
        raise ConfigurationError(f"model {model.contract.model}: {'; '.join(refused)}")
    if active is not None and active.reference != model.rules.reference:
        raise ConfigurationError(
            f"model {model.contract.model}: `reference` has changed since the model was first seen, which is not "
            "supported yet; go back to it, or start again under another STREAMDRIFT_PREFIX"
        )
    made = references.of(model) if active is None else []
    return [] if made is None else [*made, rules_decision(model)]


def partition_set(model: ModelConfig, active: PartitionSet | None, bus: Bus) -> PartitionSet:
    """The partitions of a model's topics now; raises ConfigurationError where some are gone."""
    streams: Streams = {s.stream: (s.topic, bus.partitions(s.topic) or 0) for s in model.contract.streams}
    if active is not None and not _only_grown(active.streams, streams):
        raise ConfigurationError(
            f"model {model.contract.model}: its topics have changed from {_spelled(active.streams)} to "
            f"{_spelled(streams)}; only adding partitions is supported"
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


def _only_grown(before: Streams, after: Streams) -> bool:
    """The same topics, none with fewer partitions."""
    return before.keys() == after.keys() and all(
        before[s][0] == after[s][0] and before[s][1] <= after[s][1] for s in before
    )


def _spelled(streams: Streams) -> str:
    return ", ".join(f"{topic} ({partitions} partitions)" for topic, partitions in streams.values())
