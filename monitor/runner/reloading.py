"""What alerts.yaml may change while the service runs, and what needs a restart or a new prefix."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.config.resolved import Config, ModelConfig, ModelRules
from monitor.contract import ModelContract
from monitor.errors import ConfigurationError

_REMEDY = "has changed, which a running model can't take: go back to it, or start under another STREAMDRIFT_PREFIX"


def refuse_reload(old: Config, new: Config) -> None:
    """Raises ConfigurationError with all that a running service can't take of `new`; rules and limits it always can."""
    before = {model.contract.model: model for model in old.models}
    after = {model.contract.model: model for model in new.models}
    refused = [
        f"model {name}: {what}"
        for name in sorted(before.keys() & after.keys())
        for what in refusals(before[name].rules, before[name].contract, after[name])
    ]
    topics = {stream.topic for model in old.models for stream in model.contract.streams}
    others = topics ^ {stream.topic for model in new.models for stream in model.contract.streams}
    if others and not refused:
        refused.append(f"other topics are read than before ({', '.join(sorted(others))}): restart to take that")
    if refused:
        raise ConfigurationError("; ".join(refused))


def refusals(rules: ModelRules, contract: ModelContract, new: ModelConfig) -> list[str]:
    """What a model that runs by these rules and this contract can't take, as sentences."""
    refused = contract_refusals(contract, new.contract)
    if rules.reference != new.rules.reference:
        refused.append(f"its `reference` {_REMEDY}")
    return refused


def contract_refusals(old: ModelContract, new: ModelContract) -> list[str]:
    """What is other in a model's contract and stands in all that was written under the old one, as sentences."""
    compared = {
        "`pane`": (old.pane_ms, new.pane_ms),
        "`grid_rows` (or `first` of its reference)": (old.raw_rows, new.raw_rows),
        "`streams`": ([(s.stream, s.topic) for s in old.streams], [(s.stream, s.topic) for s in new.streams]),
        "`columns`": (_columns(old), _columns(new)),
    }
    return [f"its {name} {_REMEDY}" for name, (before, after) in compared.items() if before != after]


def _columns(contract: ModelContract) -> list[tuple[str, Iterable[object]]]:
    return [(stream.time_field, stream.columns) for stream in contract.streams]
