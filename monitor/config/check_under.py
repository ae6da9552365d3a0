"""Checks of `under`: every model of the rule has the alert that it names, which is not on silence nor under it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from monitor.config.built_in import RESERVED
from monitor.config.measurable import has_rule, is_on_silence
from monitor.config.model import AlertsFile, RuleEntry
from monitor.config.selection import models_of
from monitor.config.sheet import Path, Sheet
from monitor.config.suggest import did_you_mean
from monitor.errors import Problem


def check_under(file: AlertsFile, sheet: Sheet) -> Iterator[Problem]:
    """Yield the problems of all rules that name an alert above them."""
    rules = {name: list(_rules_of(name, file, sheet)) for name in file.models}
    whole = {rule.alert for group in file.groups for rule in group.rules}
    circles = set[str]()
    for i, group in enumerate(file.groups):
        for j, rule in enumerate(group.rules):
            path: Path = ("groups", i, "rules", j, "under")
            if rule.under is None:
                continue
            if refusal := _refusal(rule, rule.under):
                yield sheet.problem(path, refusal)
                continue
            having = {name: rules[name] for name in models_of(group, file.models) if rule in rules[name]}
            if rule.under in whole or rule.under not in sheet.alerts:  # else its own rule was left out for a fault
                yield from _is_there(rule.under, having, path, sheet)
            yield from _circle(rule, having.values(), circles, path, sheet)


def _rules_of(model: str, file: AlertsFile, sheet: Sheet) -> Iterator[RuleEntry]:
    """Yield the rules of a model, and those that it may have: what decides that was left out for its own fault."""
    for group in file.groups:
        if models_of(group, [model]):
            is_known = sheet.knows_performance(model)
            yield from (rule for rule in group.rules if not is_known or has_rule(file.models[model], rule))


def _refusal(rule: RuleEntry, under: str) -> str | None:
    """Return why the rule can't be under that alert, whatever rules there are; None if it can."""
    if is_on_silence(rule):
        return "a rule on silence is under no alert, because silence must be heard; leave `under` out"
    if under == rule.alert:
        return "an alert can't be under itself; name another one, or leave `under` out"
    if under in RESERVED:
        return f"the alert {under!r} is built in, and none can be under it; name one of the file"
    return None


def _is_there(under: str, rules: Mapping[str, Sequence[RuleEntry]], path: Path, sheet: Sheet) -> Iterator[Problem]:
    """Yield a problem if a model has no such alert, or if it is one on silence. `rules`: by model."""
    for model, own in rules.items():
        named = [rule for rule in own if rule.alert == under]
        if not named:
            hint = did_you_mean(under, {rule.alert for rule in own})
            yield sheet.problem(path, f"{model!r} has no alert {under!r}{hint}")
            return
        if any(map(is_on_silence, named)):
            yield sheet.problem(path, f"{under!r} is on silence, which has a clock of its own, so none can be under it")
            return


def _circle(
    rule: RuleEntry, rules: Iterable[Sequence[RuleEntry]], known: set[str], path: Path, sheet: Sheet
) -> Iterator[Problem]:
    """Yield a problem if the rule's alert is under itself by way of others. `known`: alerts of those reported."""
    for own in rules:
        above: dict[str, set[str]] = {}
        for other in own:
            if other.under is not None:
                above.setdefault(other.alert, set()).add(other.under)
        circle = _way(str(rule.under), rule.alert, above)
        if circle and known.isdisjoint(circle):
            known.update(circle)
            way = ", which is under ".join(map(repr, [rule.alert, *circle]))
            yield sheet.problem(path, f"{way}: this goes in a circle; leave one `under` out")


def _way(start: str, end: str, above: Mapping[str, set[str]]) -> list[str]:
    """Return the alerts from one to another by what each is under, both included; empty if there is no way."""
    ways, seen = [[start]], {start}
    for way in ways:
        if way[-1] == end:
            return way
        for name in sorted(above.get(way[-1], set()) - seen):
            seen.add(name)
            ways.append([*way, name])
    return []
