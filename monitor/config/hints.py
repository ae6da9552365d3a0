"""Hints: passages of alerts.yaml that are right and probably not meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.config.check_rules import words_for
from monitor.config.comparison import Comparison
from monitor.config.expression import parse
from monitor.config.inputs import lanes_of, series_of
from monitor.config.measurable import lack_for_rule, on_performance
from monitor.config.metrics import AMOUNTS, METRICS, SILENCE
from monitor.config.model import AlertsFile, RuleEntry
from monitor.config.resolve import detector_labels
from monitor.config.selection import models_of
from monitor.config.sheet import Sheet
from monitor.contract import ModelContract
from monitor.errors import Problem


def hints(file: AlertsFile, contracts: Mapping[str, ModelContract], sheet: Sheet) -> Iterator[Problem]:
    """Yield the hints of a file that passed its check, each at its place."""
    yield from _streams_without_columns(contracts, sheet)
    yield from _rules_without_columns(file, contracts, sheet)
    yield from _amounts_without_silence(file, contracts, sheet)
    yield from _silence_of_labels(file, contracts, sheet)
    yield from _models_left_out(file, sheet)
    yield from _under_another_stream(file, contracts, sheet)


def _streams_without_columns(contracts: Mapping[str, ModelContract], sheet: Sheet) -> Iterator[Problem]:
    """Yield a hint for each stream of which no column is watched."""
    for model, contract in contracts.items():
        for stream in contract.streams:
            if not stream.columns:
                wanted = "`prediction`" if stream.stream == "predictions" else "columns"
                yield sheet.problem(
                    ("models", model, "streams", stream.stream),
                    f"no column of this stream is watched, so its events are counted and nothing else; name {wanted} "
                    "under `columns`",
                )


def _rules_without_columns(file: AlertsFile, contracts: Mapping[str, ModelContract], sheet: Sheet) -> Iterator[Problem]:
    """Yield a hint for each rule on a kind of columns that its models lack; one that names a column is refused."""
    for i, group in enumerate(file.groups):
        series = [one for model in models_of(group, file.models) for one in series_of(contracts[model])]
        for j, rule in enumerate(group.rules):
            comparison = parse(rule.expr)
            metric = METRICS[comparison.metric]
            selected = [s for s in comparison.selectors if s.label == "stream"]
            of_rule = (one for one in series if all(s.matches({"stream": one.stream}) for s in selected))
            kinds = {"numeric" if one.numeric else "categorical" for one in of_rule}
            if metric.subject == "column" and kinds.isdisjoint(metric.kinds):
                lack = f"{metric.name!r} is for {words_for(metric)} columns, and there are none"
                yield sheet.problem(("groups", i, "rules", j, "expr"), f"{lack}: the rule selects nothing")


def _amounts_without_silence(
    file: AlertsFile, contracts: Mapping[str, ModelContract], sheet: Sheet
) -> Iterator[Problem]:
    """Yield a hint for each rule such as `events < n` on a stream whose silence no rule of the file watches.

    The built-in NoData does not count, because it waits for an hour, and such a rule is meant to fire much sooner.
    """
    heard = {
        (model, stream)
        for group in file.groups
        for rule in group.rules
        if (comparison := parse(rule.expr)).metric == SILENCE
        for model in models_of(group, file.models)
        for stream in _streams(comparison, contracts[model])
    }
    for i, group in enumerate(file.groups):
        for j, rule in enumerate(group.rules):
            deaf = [
                stream
                for model in models_of(group, file.models)
                for stream in _streams(parse(rule.expr), contracts[model])
                if (model, stream) not in heard and stream != "outcomes"  # they are never silent by themselves
            ]
            if _is_of_few(rule) and deaf:
                yield sheet.problem(
                    ("groups", i, "rules", j, "expr"),
                    f"windows stand still while no event comes at all, so {rule.expr!r} does not see that; "
                    f'add a rule on silence: {SILENCE}{{stream="{deaf[0]}"}} > 120',
                )


def _silence_of_labels(file: AlertsFile, contracts: Mapping[str, ModelContract], sheet: Sheet) -> Iterator[Problem]:
    """Yield a hint for each rule on silence that is about labels without naming them: they come when they come."""
    for i, group in enumerate(file.groups):
        for j, rule in enumerate(group.rules):
            comparison = parse(rule.expr)
            models = (contracts[model] for model in models_of(group, file.models))
            heard = {stream for model in models for stream in _streams(comparison, model)}
            if comparison.metric == SILENCE and "labels" in heard and len(heard) > 1:
                yield sheet.problem(
                    ("groups", i, "rules", j, "expr"),
                    "this rule is about labels, too, which may be silent for days; if that is not meant, "
                    f'write {SILENCE}{{stream!="labels"}}',
                )


def _models_left_out(file: AlertsFile, sheet: Sheet) -> Iterator[Problem]:
    """Yield a hint for each rule on performance that some models with labels don't have, while others do."""
    for i, group in enumerate(file.groups):
        models = {name: file.models[name] for name in models_of(group, file.models)}
        labelled = {name: model for name, model in models.items() if model.streams.labels is not None}
        for j, rule in enumerate(group.rules):
            comparison = parse(rule.expr, rule.recovery_threshold)
            if not on_performance(comparison):
                continue
            for name, model in labelled.items():
                if lack := lack_for_rule(comparison, rule.confidence, model):
                    yield sheet.problem(("groups", i, "rules", j, "expr"), f"{name} does not have this rule: {lack}")


def _under_another_stream(file: AlertsFile, contracts: Mapping[str, ModelContract], sheet: Sheet) -> Iterator[Problem]:
    """Yield a hint for each rule that is under an alert of other streams, in all of its models."""
    for i, group in enumerate(file.groups):
        models = models_of(group, file.models)
        for j, rule in enumerate(group.rules):
            if rule.under is None:
                continue
            own = {model: _judged_streams(rule, contracts[model], file) for model in models}
            above = {
                model: {
                    stream
                    for other in file.groups
                    if models_of(other, [model])
                    for one in other.rules
                    if one.alert == rule.under
                    for stream in _judged_streams(one, contracts[model], file)
                }
                for model in models
            }
            if all(own[model].isdisjoint(above[model]) for model in models):
                of = " and ".join(sorted(set().union(*above.values())))
                message = f"{rule.under!r} is about {of}, and this rule is not, so its alerts are never under that one"
                yield sheet.problem(("groups", i, "rules", j, "under"), message)


def _judged_streams(rule: RuleEntry, contract: ModelContract, file: AlertsFile) -> set[str]:
    """Return the streams of what a rule selects in a model."""
    comparison = parse(rule.expr)
    subject = METRICS[comparison.metric].subject
    if subject == "performance":
        return {"performance"}
    if subject == "stream":
        return set(_streams(comparison, contract))
    found = [{"stream": s.stream, "column": s.name} for s in series_of(contract)]
    if subject == "detector":
        found = list(detector_labels(file.detectors, contract))
    own = [selector for selector in comparison.selectors if selector.label in ("stream", "column", "detector")]
    return {labels["stream"] for labels in found if all(selector.matches(labels) for selector in own)}


def _is_of_few(rule: RuleEntry) -> bool:
    comparison = parse(rule.expr)
    return comparison.metric in AMOUNTS and comparison.op in ("<", "<=", "==")


def _streams(comparison: Comparison, contract: ModelContract) -> list[str]:
    streams = contract.streams if comparison.metric == SILENCE else lanes_of(contract)
    return [s.stream for s in streams if comparison.matches({"stream": s.stream})]
