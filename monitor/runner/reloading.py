"""What alerts.yaml may change while the service runs, and what needs a restart."""

from __future__ import annotations

from monitor.config.resolved import Config
from monitor.errors import ConfigurationError


def refuse_reload(old: Config, new: Config) -> None:
    """Raises ConfigurationError if other topics are read by `new`: the group joins for those of its start."""
    topics = {stream.topic for model in old.models for stream in model.contract.streams}
    others = topics ^ {stream.topic for model in new.models for stream in model.contract.streams}
    if others:
        raise ConfigurationError(
            f"other topics are read than before ({', '.join(sorted(others))}): restart to take that"
        )
