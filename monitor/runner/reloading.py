"""What alerts.yaml may change while the service runs, and what needs a restart or a new prefix."""

from __future__ import annotations

from monitor.config.resolved import Config, ModelConfig
from monitor.errors import ConfigurationError


def refuse_reload(old: Config, new: Config) -> None:
    """Raises ConfigurationError with all that a running service can't take of `new`; rules it always can."""
    before = {model.contract.model: model for model in old.models}
    after = {model.contract.model: model for model in new.models}
    refused = [f"model {name} is new: restart to take it" for name in sorted(after.keys() - before.keys())]
    refused += [f"model {name} is gone: restart to let go of it" for name in sorted(before.keys() - after.keys())]
    for name in sorted(before.keys() & after.keys()):
        refused += [f"model {name}: {what}" for what in _refused_of(before[name], after[name])]
    if refused:
        raise ConfigurationError("; ".join(refused))


def _refused_of(old: ModelConfig, new: ModelConfig) -> list[str]:
    refused = []
    if old.contract != new.contract:
        refused.append("its streams, columns, pane, lateness or limits have changed, which a running model can't take")
    if old.rules.reference != new.rules.reference:
        refused.append("its `reference` has changed, which a running model can't take")
    return refused
