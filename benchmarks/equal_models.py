"""Equal models on one topic, and both stages over the bus in memory: what benchmarks of snapshots and rebuilds run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from monitor.bus.memory import MemoryBus
from monitor.codec.canonical import time_text
from monitor.config.resolved import Config
from monitor.evaluate.alerts import Place
from monitor.events import Outgoing
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.evaluate import EvaluateStage
from monitor.runner.parts import USUAL, Rhythm
from monitor.runner.profile import ProfileStage
from monitor.runner.topics import create_topics
from monitor.telemetry import get_log
from tests.references import AtOnce

TOPIC = "in.features"
START_MS = 1_790_000_000_000
_DEFAULTS = """
version: 1
defaults: {{window: {window}, lateness: {pane_s}s, pane: {pane_s}s, interval: {interval_s}s, idle_timeout: 1h}}
models:
"""
_MODEL = """
  {model}:
    task: regression
    streams: {{features: {{topic: in.features}}}}
    columns: {{numerical: [{columns}]}}
    reference: {{first: {first}}}
"""


def models_yaml(
    models: Iterable[str], columns: Iterable[str], first: int, window: str, pane_s: int, interval_s: int
) -> str:
    """The beginning of alerts.yaml, up to its models. `first`: rows of the reference; `window` in YAML."""
    listed = ", ".join(columns)
    defaults = _DEFAULTS.format(window=window, pane_s=pane_s, interval_s=interval_s)
    return defaults + "".join(_MODEL.format(model=model, columns=listed, first=first) for model in models)


def event(model: str, at_ms: int, values: Mapping[str, float]) -> Outgoing:
    """One event, `at_ms` after the start of the traffic."""
    content = {"event_id": "e", "model": model, "event_time": time_text(START_MS + at_ms), "features": values}
    return Outgoing(TOPIC, 0, None, msgspec.json.encode(content))


def create_all(bus: MemoryBus, topics: LedgerTopics) -> None:
    """Create the input topic and those of the service."""
    bus.create(TOPIC, 1)
    create_topics(bus, topics, (TOPIC,))


def profile_stage(bus: MemoryBus, config: Config, topics: LedgerTopics, clock: Callable[[], float]) -> ProfileStage:
    """Start profile. `clock`: seconds."""
    return ProfileStage(bus, config, topics, clock, get_log("benchmark"))


def evaluate_stage(
    bus: MemoryBus, config: Config, topics: LedgerTopics, clock: Callable[[], float], rhythm: Rhythm = USUAL
) -> EvaluateStage:
    """Start evaluate. `clock`: seconds."""
    place = Place("/bench", "http://localhost", "0", "memory")
    return EvaluateStage(bus, config, topics, place, AtOnce(), clock, get_log("benchmark"), rhythm)
