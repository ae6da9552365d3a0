"""Checks of inhibit rules: their matchers, and that some model has alerts for both sides."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from monitor.config.comparison import Selector
from monitor.config.expression import ExpressionError, parse
from monitor.config.matchers import MatcherError, parse_matcher
from monitor.config.model import AlertsFile, InhibitEntry
from monitor.config.possible_alerts import PossibleAlerts, possible_alerts
from monitor.config.sheet import Path, Sheet
from monitor.config.suggest import did_you_mean
from monitor.contract import ModelContract
from monitor.errors import Problem

_SIDES = ("source_matchers", "target_matchers")


class _Placed(NamedTuple):
    """A matcher and its place in the file."""

    path: Path
    matcher: Selector


class _Alerts:
    """All alerts that the models of a file can have."""

    def __init__(self, file: AlertsFile, contracts: Iterable[ModelContract]) -> None:
        self._by_model = {contract.model: list(possible_alerts(file, contract)) for contract in contracts}

    @cached_property
    def labels(self) -> Mapping[str, frozenset[str]]:
        """The values of each label."""
        found: dict[str, set[str]] = {}
        for alerts in (alerts for of_model in self._by_model.values() for alerts in of_model):
            for labels in (alerts.fixed, *alerts.own):
                for label, value in labels.items():
                    found.setdefault(label, set()).add(value)
        return {label: frozenset(values) for label, values in found.items()}

    def models(self, matchers: Sequence[Selector]) -> frozenset[str]:
        """The models that can have an alert that all of these accept."""
        return frozenset(
            model for model, of_model in self._by_model.items() if any(_can_match(matchers, one) for one in of_model)
        )


def _can_match(matchers: Sequence[Selector], alerts: PossibleAlerts) -> bool:
    of_own = {label for labels in alerts.own for label in labels}
    if not all(one.matches(alerts.fixed) for one in matchers if one.label not in of_own):
        return False
    left = [one for one in matchers if one.label in of_own]
    return not left or any(all(one.matches(labels) for one in left) for labels in alerts.own)


def check_inhibit(file: AlertsFile, contracts: Mapping[str, ModelContract], sheet: Sheet) -> Iterator[Problem]:
    """Yield the problems of all inhibit rules."""
    alerts = _Alerts(file, contracts.values()) if file.inhibit_rules and _are_known(file, sheet) else None
    for i, entry in enumerate(file.inhibit_rules):
        path: Path = ("inhibit_rules", i)
        sides, problems = _parsed(entry, path, sheet)
        yield from problems
        if alerts is not None:
            unknown = list(_unknown_labels(entry, sides, alerts.labels, path, sheet))
            yield from unknown if problems or unknown else _is_about_alerts(sides, alerts, path, sheet)


def _are_known(file: AlertsFile, sheet: Sheet) -> bool:
    """Return true if the alerts of all models are known: nothing was left out, and all expressions can be read."""
    try:
        for group in file.groups:
            for rule in group.rules:
                parse(rule.expr)
    except ExpressionError:
        return False
    return sheet.knows_alerts()


def _parsed(entry: InhibitEntry, path: Path, sheet: Sheet) -> tuple[list[list[_Placed]], list[Problem]]:
    """Return the matchers of both sides, and the problems of those that are none."""
    sides: list[list[_Placed]] = []
    problems: list[Problem] = []
    for side in _SIDES:
        sides.append([])
        for j, text in enumerate(getattr(entry, side)):
            place: Path = (*path, side, j)
            try:
                sides[-1].append(_Placed(place, parse_matcher(text)))
            except MatcherError as error:
                problems.append(sheet.problem(place, str(error), error.position))
    return sides, problems


def _unknown_labels(
    entry: InhibitEntry, sides: Sequence[Sequence[_Placed]], known: Collection[str], path: Path, sheet: Sheet
) -> Iterator[Problem]:
    named = [(one.path, one.matcher.label, one.matcher.position) for side in sides for one in side]
    named += [((*path, "equal", j), label, 0) for j, label in enumerate(entry.equal)]
    for place, label, position in named:
        if label not in known:
            message = f"no alert of the file has a label {label!r}{did_you_mean(label, known)}"
            yield sheet.problem(place, message, position)


def _is_about_alerts(
    sides: Sequence[Sequence[_Placed]], alerts: _Alerts, path: Path, sheet: Sheet
) -> Iterator[Problem]:
    """Yield what keeps a rule from being about any alert: single matchers, a side, or both in one model."""
    useless = [one for side in sides for one in side if not alerts.models([one.matcher])]
    for place, matcher in useless:
        hint = did_you_mean(matcher.value, alerts.labels[matcher.label])
        message = f"no alert of the file has {matcher.label}{matcher.op}{matcher.value!r}{hint}"
        yield sheet.problem(place, message, matcher.position)
    if useless:
        return
    models = [alerts.models([one.matcher for one in side]) for side in sides]
    for side, of_side in zip(_SIDES, models, strict=True):
        if not of_side:
            yield sheet.problem((*path, side), "no alert of the file matches all of these")
    if all(models) and not frozenset.intersection(*models):
        message = "no model has alerts of both sides, and those of one model never mute those of another"
        yield sheet.problem(path, message)
