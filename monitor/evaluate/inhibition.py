"""Inhibition: alerts of a model that mute others of it while they fire, by the inhibit rules of alerts.yaml.

The rules of this file:

- It is looked at behind all verdicts of a judgement, of either clock: so what begins together is inhibited at once.
- An alert inhibits others while it fires and is published, muted or not. A hidden one inhibits none: nobody would know
  of it.
- None inhibits itself. An alert that matches both sides of a rule is inhibited under it by those only that match one.
- An alert on `drift`, which has no column, is about each column that it names. Under rules that don't mute it as a
  whole, those columns are struck that an alert with that column would be inhibited in: its messages leave them out. It
  is inhibited when none is left but such as chance names, unless an alert that it hides is violated and not inhibited.
- Inhibition changes no state, as silences don't. Only messages and requests for training go by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from monitor.config.matchers import matched_labels
from monitor.config.resolved import InhibitRule
from monitor.evaluate.findings import Findings
from monitor.evaluate.lifecycle import AlertState
from monitor.events import Verdict

Find = Callable[[Verdict], Findings]
"""Gives what is known of the change behind a verdict."""
_Sources = dict[tuple[int, tuple[str, ...]], list["_Source"]]
"""Those that fire, by the place of their rule and the values of the labels that have to be equal."""


class Inhibited(NamedTuple):
    """What inhibits an alert: fingerprints, sorted; and which of its columns are struck, in their order."""

    by: tuple[str, ...] = ()
    struck: tuple[str, ...] = ()


NOT_INHIBITED = Inhibited()


class _Source(NamedTuple):
    """An alert that may inhibit others under a rule. `is_target`: it matches the rule's other side, too."""

    fingerprint: str
    is_target: bool


class Inhibition:
    """That of one model by its rules."""

    def __init__(self, rules: Sequence[InhibitRule] = ()) -> None:
        self._rules = rules
        self._sides: dict[tuple[str, str | None], tuple[tuple[bool, bool], ...]] = {}
        """If an alert is source, and if target, of each rule; by its fingerprint and the column that it is about."""

    def of(self, firing: Sequence[AlertState], find: Find) -> Mapping[str, Inhibited]:
        """What inhibits alerts that fire, by fingerprint; the others are left out."""
        sources = self._sources(firing)
        if not sources:
            return {}
        hidden: dict[tuple[str, str], list[AlertState]] = {}
        for alert in firing:
            if alert.state == "hidden" and alert.verdict.violated and alert.rule.under is not None:
                hidden.setdefault((alert.rule.under, alert.verdict.stream), []).append(alert)
        found: dict[str, Inhibited] = {}

        def look(alert: AlertState) -> Inhibited:
            known = found.get(alert.fingerprint)
            if known is None:
                below = hidden.get((alert.rule.alert, alert.verdict.stream), ())
                known = self._look(alert, sources, find, lambda: all(look(one).by for one in below))
                found[alert.fingerprint] = known
            return known

        return {alert.fingerprint: one for alert in firing if (one := look(alert)) != NOT_INHIBITED}

    def _look(self, alert: AlertState, sources: _Sources, find: Find, hides_inhibited: Callable[[], bool]) -> Inhibited:
        """What inhibits one alert. `hides_inhibited`: whether all that it hides is inhibited."""
        if by := self._by(alert, alert.verdict.column, sources):
            return Inhibited(by)
        found = find(alert.verdict)
        names = found.all_names or dict.fromkeys((*alert.named.columns, *alert.struck))
        each = {name: self._by(alert, name, sources) for name in names}
        struck = tuple(name for name, by in each.items() if by)
        if found.columns:
            is_whole = bool(struck) and not found.but(struck).are_sure and hides_inhibited()
        else:  # nothing violates it any more, and nothing new is known
            is_whole = bool(struck and alert.inhibited_by)
        if not is_whole:
            return Inhibited((), struck)
        return Inhibited(tuple(sorted({one for by in each.values() for one in by})))

    def _by(self, alert: AlertState, column: str | None, sources: _Sources) -> tuple[str, ...]:
        """The fingerprints of those that inhibit an alert, if it is about this column."""
        found: set[str] = set()
        for place, (is_source, is_target) in enumerate(self._sides_of(alert, column)):
            if is_target:
                like = sources.get((place, self._equal(place, alert, column)), ())
                found.update(one.fingerprint for one in like if not (is_source and one.is_target))
        return tuple(sorted(found - {alert.fingerprint}))

    def _sources(self, firing: Sequence[AlertState]) -> _Sources:
        sources: _Sources = {}
        for alert in firing:
            if alert.state == "firing":
                for place, (is_source, is_target) in enumerate(self._sides_of(alert, alert.verdict.column)):
                    if is_source:
                        equal = self._equal(place, alert, alert.verdict.column)
                        sources.setdefault((place, equal), []).append(_Source(alert.fingerprint, is_target))
        return sources

    def _equal(self, place: int, alert: AlertState, column: str | None) -> tuple[str, ...]:
        labels = _labels(alert, column)
        return tuple(labels.get(label, "") for label in self._rules[place].equal)

    def _sides_of(self, alert: AlertState, column: str | None) -> tuple[tuple[bool, bool], ...]:
        key = (alert.fingerprint, column)
        if key not in self._sides:
            labels = _labels(alert, column)
            self._sides[key] = tuple(
                (all(one.matches(labels) for one in rule.source), all(one.matches(labels) for one in rule.target))
                for rule in self._rules
            )
        return self._sides[key]


def _labels(alert: AlertState, column: str | None) -> Mapping[str, str]:
    labels = matched_labels(alert.verdict)
    return labels if column is None else {**labels, "column": column}
