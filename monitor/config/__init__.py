"""alerts.yaml: its text, checked and resolved into the configuration that both stages read."""

from __future__ import annotations

from monitor.config.loading import load, load_unlocked
from monitor.config.resolved import Config, ModelConfig, ModelRules
from monitor.config.schema import alerts_schema

__all__ = ["Config", "ModelConfig", "ModelRules", "alerts_schema", "load", "load_unlocked"]
