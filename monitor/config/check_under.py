"""Checks of `under` and `unless`: every model of the rule has the alerts that they name, and none waits for itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from monitor.config.built_in import DETECTOR_BLIND, RESERVED
from monitor.config.effective import effective
from monitor.config.measurable import has_rule, is_on_silence
from monitor.config.model import AlertsFile, RuleEntry
from monitor.config.scalars import OFF
from monitor.config.selection import models_of
from monitor.config.sheet import Path, Sheet
from monitor.config.suggest import did_you_mean
from monitor.errors import Problem

_WAYS = {"under": "is under", "unless": "is judged unless"}


class _Link(NamedTuple):
    """The name of an alert that another one is under, or is judged unless it fires. `path`: of the name."""

    key: Literal["under", "unless"]
    name: str
    path: Path


def check_under(file: AlertsFile, sheet: Sheet) -> Iterator[Problem]:
    """Yield the problems of all rules that name other alerts."""
    rules = {name: list(_rules_of(name, file, sheet)) for name in file.models}
    whole = {rule.alert for group in file.groups for rule in group.rules}
    circles = set[str]()
    for i, group in enumerate(file.groups):
        for j, rule in enumerate(group.rules):
            for link in _links(rule, ("groups", i, "rules", j)):
                if refusal := _refusal(rule, link):
                    yield sheet.problem(link.path, refusal)
                    continue
                having = {name: rules[name] for name in models_of(group, file.models) if rule in rules[name]}
                if link.name in whole or link.name not in sheet.alerts:  # else its own rule was left out for a fault
                    yield from _is_there(link, having, file, sheet)
                yield from _circle(rule, link, having.values(), circles, sheet)


def _links(rule: RuleEntry, path: Path) -> list[_Link]:
    under = [] if rule.under is None else [_Link("under", rule.under, (*path, "under"))]
    return under + [_Link("unless", name, (*path, "unless", k)) for k, name in enumerate(rule.unless or ())]


def _rules_of(model: str, file: AlertsFile, sheet: Sheet) -> Iterator[RuleEntry]:
    """Yield the rules of a model, and those that it may have: what decides that was left out for its own fault."""
    for group in file.groups:
        if models_of(group, [model]):
            is_known = sheet.knows_performance(model)
            yield from (rule for rule in group.rules if not is_known or has_rule(file.models[model], rule))


def _refusal(rule: RuleEntry, link: _Link) -> str | None:
    """Return why the rule can't name that alert, whatever rules there are; None if it can."""
    if is_on_silence(rule):
        what = "is under no alert" if link.key == "under" else "is judged whatever fires"
        return f"a rule on silence {what}, because silence must be heard; leave `{link.key}` out"
    if link.name == rule.alert:
        what = "be under" if link.key == "under" else "wait for"
        return f"an alert can't {what} itself; name another one, or leave `{link.key}` out"
    if link.key == "under" and link.name in RESERVED:
        return f"the alert {link.name!r} is built in, and none can be under it; name one of the file"
    return None


def _is_there(
    link: _Link, rules: Mapping[str, Sequence[RuleEntry]], file: AlertsFile, sheet: Sheet
) -> Iterator[Problem]:
    """Yield a problem if a model has no such alert, or if none can be under it. `rules`: by model."""
    for model, own in rules.items():
        named = [rule for rule in own if rule.alert == link.name]
        if not named and link.name not in _built_in(model, file):
            built_in = _built_in(model, file) if link.key == "unless" else ()
            hint = did_you_mean(link.name, {*(rule.alert for rule in own), *built_in})
            off = " with `no_data: off`" if link.name in RESERVED else ""
            yield sheet.problem(link.path, f"{model!r} has no alert {link.name!r}{off}{hint}")
            return
        if link.key == "under" and any(map(is_on_silence, named)):
            message = f"{link.name!r} is on silence, which has a clock of its own, so none can be under it"
            yield sheet.problem(link.path, message)
            return


def _built_in(model: str, file: AlertsFile) -> Sequence[str]:
    """Return the built-in alerts of a model."""
    return [DETECTOR_BLIND] if effective(file.models[model], file.defaults).no_data == OFF else RESERVED


def _circle(
    rule: RuleEntry, link: _Link, rules: Iterable[Sequence[RuleEntry]], known: set[str], sheet: Sheet
) -> Iterator[Problem]:
    """Yield a problem if the rule's alert waits for itself by way of others. `known`: alerts of those reported."""
    for own in rules:
        above: dict[str, dict[str, str]] = {}
        for other in own:
            above.setdefault(other.alert, {}).update({one.name: one.key for one in _links(other, ())})
        circle = _way(link.name, rule.alert, above)
        if circle and known.isdisjoint(circle):
            known.update(circle)
            keys = [link.key, *(above[one][other] for one, other in pairwise(circle))]
            way = "".join(f", which {_WAYS[key]} {name!r}" for key, name in zip(keys, circle, strict=True))
            last = f"leave one `{'` or `'.join(sorted(set(keys)))}` out"
            yield sheet.problem(link.path, f"{rule.alert!r}{way}: this goes in a circle; {last}")


def _way(start: str, end: str, above: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the alerts from one to another by what each waits for, both included; empty if there is no way."""
    ways, seen = [[start]], {start}
    for way in ways:
        if way[-1] == end:
            return way
        for name in sorted(above.get(way[-1], {}).keys() - seen):
            seen.add(name)
            ways.append([*way, name])
    return []
