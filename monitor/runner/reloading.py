"""What alerts.yaml may change while the service runs, and what needs a restart."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.config.resolved import Config
from monitor.contract import ModelContract
from monitor.errors import ConfigurationError


def topics_read(contracts: Iterable[ModelContract]) -> set[str]:
    """The topics that models read."""
    return {stream.topic for contract in contracts for stream in contract.streams}


def refuse_reload(old: Config, new: Config) -> None:
    """Raises ConfigurationError if other topics are read by `new`: the group joins for those of its start."""
    others = topics_read(m.contract for m in old.models) ^ topics_read(m.contract for m in new.models)
    if others:
        raise ConfigurationError(
            f"other topics are read than before ({', '.join(sorted(others))}): restart to take that"
        )
