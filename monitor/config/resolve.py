"""From the checked file to the configuration: defaults filled in, contracts and rules built, model by model."""

from __future__ import annotations

from typing import Any, NamedTuple

from monitor.config.built_in import built_in_rules
from monitor.config.comparison import Comparison
from monitor.config.expression import parse
from monitor.config.inputs import InputRefused, resolve_inputs
from monitor.config.metrics import AMOUNTS
from monitor.config.model import (
    AlertsFile,
    DetectorEntry,
    GroupEntry,
    ModelEntry,
    ModelSettings,
    ReferenceEntry,
    RuleEntry,
    StreamEntry,
    WindowEntry,
)
from monitor.config.resolved import (
    Config,
    DetectorSpec,
    ModelConfig,
    ModelRules,
    ReferenceSpec,
    RetrainingTrigger,
    Rule,
    WindowSpec,
)
from monitor.config.roles import ColumnEntry, ColumnsEntry
from monitor.config.scalars import DurationOrOff, Start
from monitor.config.selection import is_for
from monitor.contract import ColumnKind, ColumnSpec, ModelContract, StreamContract, TimeForm
from monitor.events import StreamName

BUILT_IN = ModelSettings.model_validate(
    {
        "window": {"events": 5000, "every": 500},
        "lateness": "2m",
        "pane": "10s",
        "interval": "30s",
        "idle_timeout": "30s",
        "max_clock_skew": "1m",
        "max_lead": "10m",
        "start": "earliest",
        "grid_rows": 5000,
        "trace_points": 2048,
        "timezone": "UTC",
    }
)
"""These settings hold if alerts.yaml sets nothing else."""
MIN_EVENTS = 100
"""Fewest events that a rule judges by default: on 10 bins PSI of 30 rows passes 0.25 by chance."""


class Effective(NamedTuple):
    """The settings that hold for one model."""

    window: WindowEntry
    lateness: int
    pane: int
    interval: int
    idle_timeout: DurationOrOff
    max_clock_skew: int
    max_lead: int
    no_data: DurationOrOff | None
    start: Start
    grid_rows: int
    trace_points: int


def effective(model: ModelSettings, defaults: ModelSettings) -> Effective:
    """Return each setting as the model has it, else as the file's defaults have it, else our own default, if any."""
    levels = (model, defaults, BUILT_IN)
    found: dict[str, Any] = {}
    for name in Effective._fields:
        values = (getattr(level, name) for level in levels)
        found[name] = next((value for value in values if value is not None), None)
    return Effective(**found)


def resolve(file: AlertsFile, digest: str) -> Config:
    """Return the configuration of a file that passed its check. `digest`: SHA-256 of its text."""
    return Config(tuple(_model(name, file, digest) for name in sorted(file.models)), digest)


def contract_of(name: str, model: ModelEntry, defaults: ModelSettings) -> ModelContract:
    """Return what profile must know of a model."""
    settings = effective(model, defaults)
    streams: tuple[tuple[StreamName, StreamEntry | None, tuple[ColumnSpec, ...]], ...] = (
        ("features", model.streams.features, _features(model.columns)),
        ("predictions", model.streams.predictions, _predictions(model)),
    )
    return ModelContract(
        model=name,
        pane_ms=settings.pane,
        lateness_ms=settings.lateness,
        idle_timeout_ms=None if settings.idle_timeout == "off" else settings.idle_timeout,
        max_clock_skew_ms=settings.max_clock_skew,
        raw_rows=model.reference.first or settings.grid_rows,
        trace_points=settings.trace_points,
        streams=tuple(
            StreamContract(stream, entry.topic, model.columns.timestamp.at, columns, times=_times(model, defaults))
            for stream, entry, columns in streams
            if entry is not None
        ),
        reference=_reference(model.reference).model_dump_json(exclude_none=True),
    )


def _times(model: ModelEntry, defaults: ModelSettings) -> TimeForm:
    written = model.columns.timestamp
    zone = written.timezone or model.timezone or defaults.timezone
    return TimeForm(written.unit or "", written.format or "", zone or "")


def window_of(entry: WindowEntry) -> WindowSpec:
    """Return a window as evaluate opens it."""
    if entry.time is not None:
        return WindowSpec(time_ms=entry.time, every_ms=entry.every)
    return WindowSpec(events=entry.events, every=entry.every)


def _min_events(rule: RuleEntry, comparison: Comparison, window: WindowSpec) -> int:
    """Return the fewest events that a rule judges; rules on the number of events judge all windows."""
    if rule.min_events is not None:
        return rule.min_events
    if comparison.metric in AMOUNTS:
        return 0
    return MIN_EVENTS if window.events is None else min(MIN_EVENTS, window.events)


def detector_spec(name: str, entry: DetectorEntry) -> DetectorSpec:
    """Return a detector as evaluate builds it."""
    return DetectorSpec(name=name, detector=entry.detector, input=entry.input)


def _features(columns: ColumnsEntry) -> tuple[ColumnSpec, ...]:
    """Return the columns by name, because their order in the file means nothing."""
    plain: dict[ColumnKind, list[ColumnEntry]] = {
        "numerical": columns.numerical,
        "text": columns.text,
        "array": columns.arrays,
    }
    found = [ColumnSpec(one.called, one.at, kind) for kind, entries in plain.items() for one in entries]
    found += [ColumnSpec(one.called, one.at, "binary", one.true or "") for one in columns.binary]
    found += [
        ColumnSpec(one.called, one.at, "categorical", as_number=one.as_ == "number") for one in columns.categorical
    ]
    return tuple(sorted(found, key=lambda column: column.name))


def _predictions(model: ModelEntry) -> tuple[ColumnSpec, ...]:
    columns = []
    if model.columns.prediction is not None:
        kind: ColumnKind = "numerical" if model.task == "regression" else "categorical"
        columns.append(ColumnSpec("prediction", model.columns.prediction.at, kind))
    if model.columns.probability is not None:
        columns.append(ColumnSpec("probability", model.columns.probability.at, "numerical"))
    return tuple(columns)


def _model(name: str, file: AlertsFile, digest: str) -> ModelConfig:
    model = file.models[name]
    settings = effective(model, file.defaults)
    contract = contract_of(name, model, file.defaults)
    window = window_of(settings.window)
    rules = ModelRules(
        model=name,
        task=model.task,
        pane_ms=settings.pane,
        interval_ms=settings.interval,
        window=window,
        rules=(
            *(_rule(g, r, window) for g in file.groups if is_for(g, name) for r in g.rules),
            *built_in_rules(settings.no_data, window),
        ),
        detectors=_detectors(file, contract),
        retraining=_triggers(file, name),
        reference=_reference(model.reference),
    )
    return ModelConfig(contract, rules, settings.start, settings.max_lead, digest)


def _rule(group: GroupEntry, rule: RuleEntry, default: WindowSpec) -> Rule:
    window = default if rule.window is None else window_of(rule.window)
    comparison = parse(rule.expr)
    return Rule(
        group=group.name,
        alert=rule.alert,
        comparison=comparison,
        window=window,
        for_ms=rule.for_,
        keep_firing_for_ms=rule.keep_firing_for,
        min_events=_min_events(rule, comparison, window),
        labels=dict(sorted(rule.labels.items())),
        annotations=dict(sorted(rule.annotations.items())),
    )


def _detectors(file: AlertsFile, contract: ModelContract) -> tuple[DetectorSpec, ...]:
    """Return the detectors that have an input in this model, by name."""
    specs = []
    for name, entry in sorted(file.detectors.items()):
        spec = detector_spec(name, entry)
        if entry.model in (None, contract.model):
            try:
                resolve_inputs(spec, contract)
            except InputRefused:
                continue  # it is for another model: the check has found one that has its input
            specs.append(spec)
    return tuple(specs)


def _triggers(file: AlertsFile, model: str) -> tuple[RetrainingTrigger, ...]:
    return tuple(
        RetrainingTrigger(
            trigger=entry.trigger,
            any=tuple(entry.when.any),
            cooldown_ms=entry.cooldown,
            max_ms=entry.training_window.max,
        )
        for entry in file.retraining
        if is_for(entry, model)
    )


def _reference(entry: ReferenceEntry) -> ReferenceSpec:
    return ReferenceSpec(path=entry.path, topic=entry.topic, from_ms=entry.from_, to_ms=entry.to, first=entry.first)
