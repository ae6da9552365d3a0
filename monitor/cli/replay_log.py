"""What a replay is given beside its records: contracts and activations, from the recording and the configuration.

Streams whose topic the recording does not hold are left out, because nobody would ever seal their panes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec
import typer

from monitor.bus.port import Bus
from monitor.config.inputs import InputRefused, resolve_inputs
from monitor.config.resolved import Config, DetectorSpec, ModelConfig, ModelRules, ReferenceSpec
from monitor.contract import ModelContract, in_life, lane_contract, outcomes_of
from monitor.errors import ConfigurationError
from monitor.evaluate.decisions import RulesContent
from monitor.ledger.entries import Activation, Decision, PartitionSet, new_decision
from monitor.log_lines import escaped
from monitor.panes.grid import decode_grid
from monitor.runner.announce import rules_decision
from monitor.sources.recordings import Recording
from monitor.sources.references import reference_decisions
from monitor.sources.unusable import Unusable

Decisions = tuple[list[ModelContract], list[Activation]]


def recorded(recording: Recording) -> Decisions:
    """Return what the service decided while the log was made."""
    topics = topics_of(recording)
    contracts = [restricted(contract, topics) for contract in recording.contracts]
    return contracts, [kept for a in recording.control.activations if (kept := _held(a, topics)) is not None]


def configured(recording: Recording, config: Config, bus: Bus | None) -> Decisions:
    """Return what a service with this configuration would have decided."""
    topics = topics_of(recording)
    models = [m for m in config.models if any(stream.topic in topics for stream in m.contract.streams)]
    if not models:
        raise ConfigurationError(f"no model of the configuration reads {', '.join(sorted(topics))}")
    held = [
        replace(m, contract=contract, rules=with_inputs(m.rules, contract))
        for m in models
        for contract in [restricted(m.contract, topics)]
    ]
    return [m.contract for m in held], [a for m in held for a in _activations(m, recording, bus)]


def left_out(recording: Recording, contracts: Iterable[ModelContract]) -> list[str]:
    """Return the streams of the contracts, as model/stream, that the recording does not hold."""
    topics = topics_of(recording)
    return [f"{c.model}/{s.stream}" for c in contracts for s in c.streams if s.topic not in topics]


def topics_of(recording: Recording) -> set[str]:
    return {tp.topic for tp in recording.partitions}


def restricted(contract: ModelContract, topics: set[str]) -> ModelContract:
    """Return the contract without streams of other topics, and without labels unless their predictions are there."""
    held = tuple(stream for stream in contract.streams if stream.topic in topics)
    if not {"labels", "predictions"} <= {stream.stream for stream in held}:
        held = tuple(msgspec.structs.replace(stream, keys=None) for stream in held if stream.has_lane)
    return msgspec.structs.replace(contract, streams=held)


def label_delays(contracts: Iterable[ModelContract], activations: Iterable[Activation]) -> dict[str, int]:
    """Return by topic of labels how long a label may come behind its prediction, by the rules that count (ms)."""
    topics = {c.model: stream.topic for c in contracts for stream in c.streams if stream.stream == "labels"}
    found: dict[str, int] = {}
    for decision in [a.decision for a in activations if a.decision.kind == "rules" and a.decision.model in topics]:
        content = msgspec.json.decode(decision.content, type=RulesContent)
        performance = ModelRules.model_validate_json(content.rules).performance
        topic, delay = topics[decision.model], 0 if performance is None else performance.max_delay_ms
        found[topic] = max(delay, found.get(topic, 0))
    return found


def _held(activation: Activation, topics: set[str]) -> Activation | None:
    """Return a recorded activation as far as it is about these topics. Grids of other streams do no harm."""
    decision = activation.decision
    if decision.kind == "set":
        streams = msgspec.json.decode(decision.content, type=PartitionSet).streams
        kept = {stream: place for stream, place in streams.items() if place[0] in topics}
        if kept == streams:
            return activation
        return Activation(_again(decision, msgspec.json.encode(PartitionSet(kept))), activation.at) if kept else None
    if decision.kind == "rules":
        content = msgspec.json.decode(decision.content, type=RulesContent)
        contract = restricted(content.contract, topics)
        if contract == content.contract:
            return activation
        rules = with_inputs(ModelRules.model_validate_json(content.rules), contract)
        fewer = RulesContent(rules.model_dump_json(by_alias=True), contract)
        return Activation(_again(decision, msgspec.json.encode(fewer)), activation.at)
    return activation


def with_inputs(rules: ModelRules, contract: ModelContract) -> ModelRules:
    """Return the rules without detectors that would have nothing to read."""

    def has_input(spec: DetectorSpec) -> bool:
        try:
            return bool(resolve_inputs(spec, contract))
        except InputRefused:
            return False

    return rules.model_copy(update={"detectors": tuple(spec for spec in rules.detectors if has_input(spec))})


def _again(decision: Decision, content: bytes) -> Decision:
    file = decision.alerts_yaml_sha256
    return new_decision(decision.model, decision.kind, content.decode(), decision.stream, file)


def _activations(model: ModelConfig, recording: Recording, bus: Bus | None) -> list[Activation]:
    """Return a model's set, its grids and references (recorded ones if they fit), and last its rules."""
    contract = model.contract
    counts = Counter(tp.topic for tp in recording.partitions)
    streams = {stream.stream: (stream.topic, counts[stream.topic]) for stream in contract.streams}
    return [
        Activation(new_decision(contract.model, "set", msgspec.json.encode(PartitionSet(streams)).decode()), None),
        *_references(model, recording, bus),
        Activation(rules_decision(model), None),
    ]


def _references(model: ModelConfig, recording: Recording, bus: Bus | None) -> list[Activation]:
    """Return recorded grids and references if the configuration asks for the same on the same columns, else new ones.

    Recorded ones count from their pane, because what made them is not judged. If the first events are asked for and the
    columns differ, there are none: the replay makes them from the log.
    """
    recorded = [a for a in recording.control.activations if a.decision.model == model.contract.model]
    known = [activation.decision for activation in recorded]
    if _reference_of(known) != model.rules.reference:
        return _made(model, bus)
    names: dict[str, str] = {s.stream: lane_contract(model.contract, s) for s in model.contract.streams}
    series: dict[str, tuple[str, ...]] = {
        s.stream: s.numeric_series + s.categorical_series for s in model.contract.streams
    }
    newest = {c.stream: c.lane for c in known if c.kind == "grid" and c.stream in series}
    grids = {c.stream: decode_grid(c.content.encode()) for c in known if c.kind == "grid" and c.lane in newest.values()}
    fits = {stream for stream, grid in grids.items() if series[stream] == grid.series}
    if len(fits) < len(grids) and not model.rules.reference.is_of_traffic:
        return _made(model, bus)
    of_lanes = [
        Activation(msgspec.structs.replace(a.decision, lane=names[a.decision.stream]), a.at)
        for a in recorded
        if a.decision.kind in ("grid", "reference")
        and a.decision.stream in fits
        and a.decision.lane == newest[a.decision.stream]
    ]
    return [*of_lanes, *_of_outcomes(model, recorded, bus)]


def _of_outcomes(model: ModelConfig, recorded: Sequence[Activation], bus: Bus | None) -> list[Activation]:
    """Return the recorded reference of outcomes, or, if the newest recorded rules know no such lane, a new one."""
    outcomes = outcomes_of(model.contract)
    if outcomes is None or model.rules.reference.path is None:
        return []
    lane, newest = lane_contract(model.contract, outcomes), _newest_rules([a.decision for a in recorded])
    before = None if newest is None else outcomes_of(newest.contract)
    if newest is None or before is None or in_life(lane_contract(newest.contract, before), 0) != lane:
        return [made for made in _made(model, bus) if made.decision.stream == "outcomes"]
    return [
        Activation(msgspec.structs.replace(a.decision, lane=lane), a.at)
        for a in recorded
        if a.decision.stream == "outcomes" and in_life(a.decision.lane, 0) == lane
    ]


def _made(model: ModelConfig, bus: Bus | None) -> list[Activation]:
    unusable = Unusable()
    try:
        decisions = reference_decisions(bus, model, unusable=unusable)
    finally:
        tell({str(model.rules.reference.path): unusable})
    return [Activation(decision, None) for decision in decisions]


def tell(unusable: Mapping[str, Unusable]) -> None:
    """Print on stderr what of each table can't be used."""
    for source, seen in unusable.items():
        for line in seen.lines():
            typer.echo(escaped(f"{source}: {line.removeprefix(f'{source}: ')}"), err=True)


def _reference_of(decisions: Sequence[Decision]) -> ReferenceSpec | None:
    """Return the reference that the newest recorded rules ask for."""
    newest = _newest_rules(decisions)
    return None if newest is None else ModelRules.model_validate_json(newest.rules).reference


def _newest_rules(decisions: Sequence[Decision]) -> RulesContent | None:
    """Return the newest recorded rules."""
    rules = [decision for decision in decisions if decision.kind == "rules"]
    return msgspec.json.decode(rules[-1].content, type=RulesContent) if rules else None
