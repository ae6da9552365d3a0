"""From the checked file to the configuration: defaults filled in, contracts and rules built, model by model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.config.built_in import built_in_rules
from monitor.config.comparison import Comparison
from monitor.config.effective import BUILT_IN, effective
from monitor.config.expression import parse
from monitor.config.inputs import InputRefused, resolve_inputs
from monitor.config.matchers import parse_matcher
from monitor.config.measurable import has_rule, on_performance
from monitor.config.metrics import AMOUNTS, DRIFT, METRICS
from monitor.config.model import AlertsFile, DetectorEntry, GroupEntry, ModelEntry, ModelSettings, RuleEntry
from monitor.config.model_contract import THRESHOLD, contract_of, performance_of, reference_of
from monitor.config.rates import rate_of
from monitor.config.resolved import (
    Config,
    DetectorSpec,
    IncidentSpec,
    InhibitRule,
    ModelConfig,
    ModelRules,
    PerformanceSpec,
    RetrainingTrigger,
    Rule,
    WindowSpec,
)
from monitor.config.selection import is_for
from monitor.config.windows import WindowEntry
from monitor.contract import ModelContract

MIN_EVENTS = 100
_DAY_MS = 86_400_000
_SEASONS_MS = {"day": _DAY_MS, "week": 7 * _DAY_MS}
"""Fewest events that a rule judges by default: on 10 bins PSI of 30 rows passes 0.25 by chance."""
MIN_LABELS = 100
"""Fewest labels that a rule on performance judges by default."""


def resolve(file: AlertsFile, digest: str) -> Config:
    """Return the configuration of a file that passed its check. `digest`: SHA-256 of its text."""
    return Config(tuple(_model(name, file, digest) for name in sorted(file.models)), digest)


def window_of(entry: WindowEntry) -> WindowSpec:
    """Return a window as evaluate opens it."""
    if entry.time is not None:
        return WindowSpec(time_ms=entry.time, every_ms=entry.every)
    return WindowSpec(events=entry.events, every=entry.every)


def _min_events(rule: RuleEntry, comparison: Comparison, window: WindowSpec) -> int:
    """Return the fewest events that a rule judges; rules on their number judge all windows, those on drift none."""
    if rule.min_events is not None:
        return rule.min_events
    if comparison.metric in (*AMOUNTS, DRIFT) or on_performance(comparison):
        return 0
    return MIN_EVENTS if window.events is None else min(MIN_EVENTS, window.events)


def _min_labels(rule: RuleEntry, comparison: Comparison, window: WindowSpec) -> int:
    """Return the fewest labels that a rule judges; a rule on the coverage judges windows without any."""
    if rule.min_labels is not None:
        return rule.min_labels
    if not METRICS[comparison.metric].of_pairs:
        return 0
    return MIN_LABELS if window.events is None else min(MIN_LABELS, window.events)


def _performance(model: ModelEntry) -> PerformanceSpec | None:
    labels, entry = model.streams.labels, performance_of(model)
    if labels is None:
        return None
    return PerformanceSpec(
        window=window_of(entry.window),
        step_ms=entry.window.every or entry.window.time if entry.window.time is not None else None,
        max_delay_ms=labels.max_delay,
        max_early_ms=labels.max_early,
        pending=labels.pending,
        mature=float(entry.mature),
        positive=entry.positive,
        threshold=float(entry.threshold or THRESHOLD),
        tolerance=None if entry.tolerance is None else float(entry.tolerance),
        baseline={name: float(entry.baseline[name]) for name in sorted(entry.baseline)},
        costs={
            truth: {predicted: float(costs[predicted]) for predicted in sorted(costs)}
            for truth, costs in sorted(entry.costs.items())
        },
        no_data_ms=labels.no_data,
    )


def detector_spec(name: str, entry: DetectorEntry) -> DetectorSpec:
    """Return a detector as evaluate builds it."""
    return DetectorSpec(name=name, detector=entry.detector, input=entry.input)


def detector_labels(detectors: Mapping[str, DetectorEntry], contract: ModelContract) -> Iterator[dict[str, str]]:
    """Yield the labels detector, column and stream of each detector that has an input in a model, by its inputs."""
    for name, entry in detectors.items():
        if entry.model in (None, contract.model):
            try:
                inputs = resolve_inputs(detector_spec(name, entry), contract)
            except InputRefused:
                continue
            yield from ({"detector": name, "column": one.column, "stream": one.stream} for one in inputs)


def _model(name: str, file: AlertsFile, digest: str) -> ModelConfig:
    model = file.models[name]
    settings = effective(model, file.defaults)
    contract = contract_of(name, model, file.defaults)
    window = window_of(settings.window)
    performance = _performance(model)
    rules = ModelRules(
        model=name,
        task=model.task,
        pane_ms=settings.pane,
        interval_ms=settings.interval,
        window=window,
        rules=rules_of(name, file),
        detectors=_detectors(file, contract),
        retraining=_triggers(file, name),
        reference=reference_of(model.reference),
        performance=performance,
        importance={column: float(model.importance[column]) for column in sorted(model.importance)},
        season_ms=_SEASONS_MS[model.season] if model.season is not None else 0,
        inhibit_rules=_inhibit_rules(file, name),
        budget=rate_of(model.budget.false_alarms, model.budget.per) if model.budget is not None else None,
        incidents=_incidents(model, file.defaults),
    )
    return ModelConfig(contract, rules, settings.start, settings.max_lead, digest)


def rules_of(name: str, file: AlertsFile) -> tuple[Rule, ...]:
    """Return the rules of a model, those last that every model has. All expressions can be parsed."""
    model = file.models[name]
    settings, performance = effective(model, file.defaults), _performance(model)
    window = window_of(settings.window)
    own = (
        _rule(group, rule, window, performance)
        for group in file.groups
        if is_for(group, name)
        for rule in group.rules
        if has_rule(model, rule)
    )
    return (*own, *built_in_rules(settings.no_data, window, performance))


def _incidents(model: ModelSettings, defaults: ModelSettings) -> IncidentSpec:
    """Return each setting of incidents as the model has it, else as the file's defaults have it, else ours."""
    levels = [level.incidents for level in (BUILT_IN, defaults, model) if level.incidents is not None]
    found = {name: value for level in levels for name, value in level.model_dump(exclude_none=True).items()}
    return IncidentSpec(**{f"{name}_ms": value for name, value in found.items()})


def _rule(group: GroupEntry, rule: RuleEntry, default: WindowSpec, performance: PerformanceSpec | None) -> Rule:
    comparison = parse(rule.expr, rule.recovery_threshold)
    if performance is not None and on_performance(comparison):
        default = performance.window
    window = default if rule.window is None else window_of(rule.window)
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
        min_labels=_min_labels(rule, comparison, window),
        maturity=rule.maturity or "mature",
        confidence=rule.confidence,
        under=rule.under,
        for_windows=rule.for_windows or 1,
        unless=tuple(dict.fromkeys(rule.unless or ())),
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


def _inhibit_rules(file: AlertsFile, model: str) -> tuple[InhibitRule, ...]:
    """Return the inhibit rules, but for those whose matchers are about other models."""
    found = []
    for entry in file.inhibit_rules:
        source, target = (tuple(map(parse_matcher, of)) for of in (entry.source_matchers, entry.target_matchers))
        if all(one.matches({"model": model}) for one in (*source, *target) if one.label == "model"):
            found.append(InhibitRule(source=source, target=target, equal=tuple(sorted(set(entry.equal)))))
    return tuple(found)


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
