"""Locks for tests: what calibration would write for an alerts.yaml, with numbers of one's own."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.config import Config, load, load_unlocked
from monitor.config.inputs import lanes_of
from monitor.config.lock import (
    FORMAT,
    Achieved,
    Lane,
    Limits,
    Lock,
    LockedDrift,
    LockedLane,
    LockedModel,
    LockedThreshold,
    LockText,
    lock_text,
    rules_digest,
)
from monitor.config.resolved import ModelConfig
from monitor.events import StreamName

ANOTHER = "sha256:" + "0" * 32
"""Digest of a reference that no lane has."""
_ACHIEVED = Achieved(false_alarms=0, rows=1000, per_budget=0.0, interval=[0.0, 3.7])


def lock_of(
    text: str,
    z: float = 4.0,
    limits: tuple[float, float, float] = (5.1, 4.4, 4.8),
    references: Mapping[StreamName, str] | None = None,
    pieces: int = 100,
) -> LockText:
    """Return a lock of all models of an alerts.yaml. `references`: digests by stream, else those of no lane."""
    given = {} if references is None else references
    models: dict[str, LockedModel] = {}
    for model in load_unlocked(text, "alerts.yaml").models:
        lanes: dict[Lane, LockedLane] = {}
        for stream in ("features", "predictions"):
            if any(lane.stream == stream for lane in lanes_of(model.contract)):
                lanes[stream] = _lane(model, z, limits, given.get(stream, ANOTHER), pieces)
        models[model.contract.model] = LockedModel(rules=rules_digest(model), lanes=lanes)
    return LockText(lock_text(Lock(format=FORMAT, models=models)), "alerts.lock.yaml")


def load_locked(text: str, z: float = 4.0, limits: tuple[float, float, float] = (5.1, 4.4, 4.8)) -> Config:
    """Return the configuration of an alerts.yaml with a lock of other references than its lanes have."""
    return load(text, "alerts.yaml", lock_of(text, z, limits))


def _lane(model: ModelConfig, z: float, limits: tuple[float, float, float], reference: str, pieces: int) -> LockedLane:
    family, column, correlation = limits
    rules = [rule for rule in model.rules.rules if rule.comparison.rate is not None]
    return LockedLane(
        reference=reference,
        rows=1000,
        rows_per_second=1.0,
        pieces=pieces,
        drift=LockedDrift(
            limits=Limits(family=family, column=column, correlation=correlation), achieved=_ACHIEVED, extrapolated=False
        ),
        thresholds={rule.alert: LockedThreshold(z=z, achieved=_ACHIEVED, extrapolated=False) for rule in rules},
    )
