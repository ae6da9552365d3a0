"""Checks of alerting rules: expressions, what they select, durations, labels and templates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from monitor.codec.durations import duration_text
from monitor.config.built_in import GROUP, RESERVED
from monitor.config.check_drift import check_drift
from monitor.config.check_labels import knows_series
from monitor.config.check_lasting import check_lasting
from monitor.config.check_performance import check_performance
from monitor.config.check_thresholds import Fewest, faults
from monitor.config.effective import effective
from monitor.config.expression import Comparison, ExpressionError, Selector, parse
from monitor.config.inputs import lanes_of, series_of
from monitor.config.measurable import ADD_LABELS, ADD_TOLERANCE, has_rule, is_on_performance
from monitor.config.metrics import DRIFT, METRICS, QUANTILES, SILENCE, Metric, alert_labels, selector_labels
from monitor.config.model import AlertsFile, RuleEntry
from monitor.config.resolve import detector_labels, window_of
from monitor.config.resolved import WindowSpec
from monitor.config.selection import models_of
from monitor.config.sheet import Path, Sheet
from monitor.config.suggest import did_you_mean
from monitor.config.template import COLUMNS, Placeholder, TemplateError
from monitor.config.template import parse as parse_template
from monitor.contract import OUTCOMES, ModelContract
from monitor.errors import Problem

MOST_LABELS = 20
"""Labels and annotations of a rule: their names, 64 characters at most, are the part of an alert that is never cut."""
_OURS = frozenset(label for metric in METRICS.values() for label in alert_labels(metric))

Labels = Mapping[str, str]


class _Watched(NamedTuple):
    """What the rules of one model can select: labels of its columns by kind, of its streams and of its detectors.

    `streams` have windows, and `heard` topics, so that they can be silent. A part is not complete if something was left
    out of it because of its own fault.
    """

    columns: tuple[tuple[str, Labels], ...]
    streams: tuple[Labels, ...]
    heard: tuple[Labels, ...]
    detectors: tuple[Labels, ...]
    columns_complete: bool
    detectors_complete: bool


def check_rules(file: AlertsFile, contracts: Mapping[str, ModelContract], sheet: Sheet) -> Iterator[Problem]:
    """Yield all problems of all rules."""
    watched = _all_watched(file, contracts, sheet)
    groups: set[str] = set()
    calibrated: set[tuple[str, str]] = set()
    alerts: set[tuple[str, str, tuple[tuple[str, str], ...]]] = set()
    for i, group in enumerate(file.groups):
        if group.name == GROUP:
            yield sheet.problem(("groups", i, "name"), f"the group {GROUP!r} is built in; choose another name")
        if group.name in groups:
            yield sheet.problem(("groups", i, "name"), f"a second group {group.name!r}")
        groups.add(group.name)
        models = models_of(group, file.models)
        is_whole = len(models) == len(models_of(group, sheet.models))
        for j, rule in enumerate(group.rules):
            path: Path = ("groups", i, "rules", j)
            having = [model for model in models if has_rule(file.models[model], rule)]
            yield from _named_twice(rule, having, alerts, path, sheet)
            if rule.alert in RESERVED:
                yield sheet.problem((*path, "alert"), f"the alert {rule.alert!r} is built in; choose another name")
            known = [watched[model] for model in models] if is_whole else []
            yield from _rule(rule, path, known, _fewest(file, models, rule), sheet)
            entries = {model: file.models[model] for model in models} if is_whole else {}
            yield from check_performance(rule, entries, path, sheet)
            yield from _calibrated_twice(rule, having, calibrated, path, sheet)
            yield from _min_events(file, models, rule, path, sheet)
            yield from _shorter_than_a_pane(file, models, rule, path, sheet)


def _named_twice(
    rule: RuleEntry,
    models: list[str],
    alerts: set[tuple[str, str, tuple[tuple[str, str], ...]]],
    path: Path,
    sheet: Sheet,
) -> Iterator[Problem]:
    """Yield a problem if a model has another rule with this alert and these labels. Adds the rule to `alerts`."""
    keys = [(model, rule.alert, tuple(sorted(rule.labels.items()))) for model in models]
    repeated = [model for model, key in zip(models, keys, strict=True) if key in alerts]
    if repeated:
        message = f"{repeated[0]!r} has a second alert {rule.alert!r} with these labels; change its name or its labels"
        yield sheet.problem((*path, "alert"), message)
    alerts.update(keys)


def _calibrated_twice(
    rule: RuleEntry, models: list[str], calibrated: set[tuple[str, str]], path: Path, sheet: Sheet
) -> Iterator[Problem]:
    """Yield a problem if a model has another calibrated rule of this name, which names its threshold in the lock.

    Adds the rule to `calibrated`.
    """
    try:
        is_calibrated = parse(rule.expr).rate is not None
    except ExpressionError:
        return
    keys = [(model, rule.alert) for model in models if is_calibrated]
    if any(key in calibrated for key in keys):
        message = f"a second calibrated rule {rule.alert!r}: the lock names thresholds by alert, so change its name"
        yield sheet.problem((*path, "alert"), message)
    calibrated.update(keys)


def _fewest(file: AlertsFile, models: list[str], rule: RuleEntry) -> Fewest:
    """The fewest events that a window of the rule may have and is judged, over its models."""
    windows = _windows(file, models, rule)
    held, judged = min((w.events or 0 for w in windows), default=0), rule.min_events or 0
    if held > judged:
        return Fewest(held, f"a window of {held} events never has fewer; give the rule a window of time")
    return Fewest(judged, "windows with fewer than min_events are not judged")


def _windows(file: AlertsFile, models: list[str], rule: RuleEntry) -> list[WindowSpec]:
    """The rule's window in each of its models."""
    return [window_of(rule.window or effective(file.models[model], file.defaults).window) for model in models]


def _rule(rule: RuleEntry, path: Path, watched: list[_Watched], fewest: Fewest, sheet: Sheet) -> Iterator[Problem]:
    metric: Metric | None = None
    if len(rule.labels) + len(rule.annotations) > MOST_LABELS:
        found = f"{len(rule.labels)} labels and {len(rule.annotations)} annotations"
        yield sheet.problem(path, f"{found}; a rule has at most {MOST_LABELS} of both together")
    for label in rule.labels:
        if label in _OURS:
            yield sheet.key_problem((*path, "labels", label), f"the label {label!r} is set by Streamdrift")
    try:
        comparison = parse(rule.expr)
    except ExpressionError as error:
        yield sheet.problem((*path, "expr"), str(error), error.position)
    else:
        metric = METRICS[comparison.metric]
        of_threshold = faults(comparison, metric, fewest if metric.name == "events" else None)
        yield from (sheet.problem((*path, "expr"), fault) for fault in of_threshold)
        yield from _selection(comparison, metric, watched, (*path, "expr"), sheet)
        yield from check_drift(rule, comparison, path, sheet)
        yield from check_lasting(rule, comparison, path, sheet)
    yield from _annotations(rule, metric, path, sheet)


def _min_events(file: AlertsFile, models: list[str], rule: RuleEntry, path: Path, sheet: Sheet) -> Iterator[Problem]:
    if is_on_performance(rule):  # they are refused by themselves
        return
    small = [
        w.events for w in _windows(file, models, rule) if w.events is not None and (rule.min_events or 0) > w.events
    ]
    if small:
        yield sheet.problem((*path, "min_events"), f"min_events is more than the window of {min(small)} events has")


def _shorter_than_a_pane(
    file: AlertsFile, models: list[str], rule: RuleEntry, path: Path, sheet: Sheet
) -> Iterator[Problem]:
    """Rules are judged at ends of panes, so nothing can be violated for less than one."""
    shortest = min((effective(file.models[model], file.defaults).pane for model in models), default=0)
    for key, duration in (("for", rule.for_), ("keep_firing_for", rule.keep_firing_for)):
        if 0 < duration < shortest:
            message = f"{key} is shorter than the pane, {duration_text(shortest)}; leave it out or write that"
            yield sheet.problem((*path, key), message)


def _annotations(rule: RuleEntry, metric: Metric | None, path: Path, sheet: Sheet) -> Iterator[Problem]:
    for name, text in rule.annotations.items():
        place = (*path, "annotations", name)
        try:
            parts = parse_template(text)
        except TemplateError as error:
            yield sheet.problem(place, str(error), error.position)
            continue
        known = [*alert_labels(metric), *rule.labels] if metric is not None else []
        for part in parts:
            if isinstance(part, Placeholder) and part.label and metric is not None and part.label not in known:
                hint = did_you_mean(part.label, known)
                message = f"alerts of {metric.name!r} have no label {part.label!r}{hint}"
                yield sheet.problem(place, message, part.position)
            if isinstance(part, Placeholder) and part.name == COLUMNS and metric is not None and metric.name != DRIFT:
                message = f"alerts of {metric.name!r} name no columns: write {{{{ labels.column }}}}, or leave it out"
                yield sheet.problem(place, message, part.position)


# ---------------------------------------------------------------------- what a rule selects


def _all_watched(file: AlertsFile, contracts: Mapping[str, ModelContract], sheet: Sheet) -> dict[str, _Watched]:
    """Return what can be selected, by model. A rule is not blamed for a detector that no model has an input for."""
    watched = {name: _watched(file, contract, sheet) for name, contract in contracts.items()}
    alive = {labels["detector"] for one in watched.values() for labels in one.detectors}
    if alive != file.detectors.keys():
        watched = {name: one._replace(detectors_complete=False) for name, one in watched.items()}
    return watched


def _watched(file: AlertsFile, contract: ModelContract, sheet: Sheet) -> _Watched:
    return _Watched(
        columns=tuple(
            ("numeric" if series.numeric else "categorical", {"column": series.name, "stream": series.stream})
            for series in series_of(contract)
        ),
        streams=tuple({"stream": stream.stream} for stream in lanes_of(contract)),
        heard=tuple({"stream": stream.stream} for stream in contract.streams),
        detectors=tuple(detector_labels(file.detectors, contract)),
        columns_complete=knows_series(contract.model, file.models[contract.model], contract, sheet),
        detectors_complete=sheet.knows_detectors(),
    )


def _selection(
    comparison: Comparison, metric: Metric, watched: list[_Watched], path: Path, sheet: Sheet
) -> Iterator[Problem]:
    known = selector_labels(metric)
    unknown = [s for s in comparison.selectors if s.label not in known]
    for selector in unknown:
        there = f"; there are {', '.join(known)}" if known else ", nor any other to select by"
        hint = did_you_mean(selector.label, known) or there
        message = f"{metric.name!r} has no label {selector.label!r}{hint}"
        yield sheet.problem(path, message, selector.position)
    if unknown or metric.subject == "performance":
        return
    if metric.name == "quantile":
        yield from _quantile(comparison, path, sheet)
    if not all(w.columns_complete and (metric.subject != "detector" or w.detectors_complete) for w in watched):
        return
    # a rule of many models need not be about all of them
    problems = [list(_selects_something(comparison, metric, w, path, sheet)) for w in watched]
    if all(problems):
        yield from next(iter(problems), ())


def _quantile(comparison: Comparison, path: Path, sheet: Sheet) -> Iterator[Problem]:
    listed = ", ".join(QUANTILES)
    selectors = [s for s in comparison.selectors if s.label == "quantile"]
    if not selectors:
        yield sheet.problem(path, f'choose one: quantile{{quantile="0.5"}}; there are {listed}')
    for selector in selectors:
        if not any(selector.matches({"quantile": quantile}) for quantile in QUANTILES):
            yield sheet.problem(path, f"there is no quantile {selector.value!r}; there are {listed}", selector.position)


def _selects_something(
    comparison: Comparison, metric: Metric, watched: _Watched, path: Path, sheet: Sheet
) -> Iterator[Problem]:
    selectors = [s for s in comparison.selectors if s.label != "quantile"]
    everything = {
        "column": [labels for _, labels in watched.columns],
        "stream": list(watched.heard if metric.name == SILENCE else watched.streams),
        "detector": list(watched.detectors),
    }[metric.subject]
    chosen = [labels for labels in everything if all(s.matches(labels) for s in selectors)]
    useless = [s for s in selectors if not any(s.matches(labels) for labels in everything)]
    for selector in useless:
        yield sheet.problem(path, _nothing(selector, everything, watched), selector.position)
    if useless:
        return
    if not chosen:
        yield sheet.problem(path, f"this selects no {metric.subject} of the model")
    elif any(s.label == "column" for s in selectors) and not _measured(metric, watched, chosen):
        words = words_for(metric)
        names = ", ".join(repr(labels["column"]) for labels in chosen[:3])
        yield sheet.problem(path, f"{metric.name!r} is for {words} columns, not for {names}{_instead(metric)}")


def words_for(metric: Metric) -> str:
    """Return the kinds of columns that a metric is for, in words."""
    return " or ".join({"numeric": "numerical", "categorical": "categorical"}[kind] for kind in metric.kinds)


def _measured(metric: Metric, watched: _Watched, chosen: list[Labels]) -> bool:
    return any(kind in metric.kinds and labels in chosen for kind, labels in watched.columns)


def _instead(metric: Metric) -> str:
    """Return a hint at metrics that also work for categorical columns."""
    return ": use psi or js_distance" if metric.name in ("ks", "wasserstein") else ""


def _nothing(selector: Selector, everything: list[Labels], watched: _Watched) -> str:
    known = sorted({labels[selector.label] for labels in everything})
    if selector.op != "=":
        return f"no {selector.label} matches {selector.op}{selector.value!r}"
    if {"stream": "labels"} not in watched.heard:
        if selector.value in {"column": OUTCOMES, "stream": ("labels", "outcomes")}.get(selector.label, ()):
            return f"the {selector.label} {selector.value!r} {ADD_LABELS}"
    elif (selector.label, selector.value) == ("column", "error"):
        return f"the column 'error' {ADD_TOLERANCE}"
    elif (selector.label, selector.value) == ("stream", "labels"):
        return "the stream 'labels' has no windows; 'outcomes' has, of predictions whose label has come"
    hint = did_you_mean(re.sub(r"\s", "", selector.value), known)
    return f"there is no {selector.label} {selector.value!r}{hint}"
