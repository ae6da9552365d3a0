"""Metrics as Prometheus reads them: text format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from monitor.telemetry import METRICS, Sample, sample
from monitor.web.health import StageView, not_ready

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(samples: Iterable[Sample]) -> str:
    """All samples, by metric in the order of the list, each metric with its meaning and kind."""
    by_name: dict[str, list[Sample]] = {}
    for one in samples:
        by_name.setdefault(one.name, []).append(one)
    return "".join(line for name in METRICS if name in by_name for line in _lines(name, by_name[name]))


def stage_samples(stages: Sequence[StageView], now: float) -> Iterator[Sample]:
    """What the supervisor knows of its stages, and what they say themselves. `now`: s, monotonic."""
    for stage in stages:
        yield sample("streamdrift_stage_up", stage.pid is not None, stage.name)
        yield sample("streamdrift_stage_ready", not not_ready([stage], now), stage.name)
        yield sample("streamdrift_stage_starts_total", stage.starts, stage.name)
        if stage.status is not None:
            yield sample("streamdrift_stage_turn_age_seconds", now - stage.status.turned_at, stage.name)
            yield sample("streamdrift_stage_commit_age_seconds", now - stage.status.committed_at, stage.name)
            yield from stage.status.samples


def _lines(name: str, samples: Sequence[Sample]) -> Iterator[str]:
    metric = METRICS[name]
    yield f"# HELP {name} {metric.meaning}\n# TYPE {name} {metric.kind}\n"
    for one in samples:
        labels = ",".join(f'{label}="{_escaped(v)}"' for label, v in zip(metric.labels, one.labels, strict=True))
        yield f"{name}{{{labels}}} {_number(one.value)}\n" if labels else f"{name} {_number(one.value)}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
