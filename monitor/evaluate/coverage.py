"""What the rules of a model have judged: how often, by rule and column, or never and why. Never judged is not healthy.

The numbers count from when this process began with the rules in use. They are for people, and in no message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from monitor.config.inputs import InputRefused, lanes_of, resolve_inputs, series_of
from monitor.config.metrics import DRIFT, METRICS, SILENCE
from monitor.config.resolved import DetectorSpec, ModelRules, Rule
from monitor.contract import ModelContract
from monitor.evaluate.lane import Lane, LaneStanding
from monitor.evaluate.measure import OF_CELLS
from monitor.evaluate.performance import Performance
from monitor.evaluate.performance_reference import FEWEST_SLICES, SLICE_LABELS
from monitor.evaluate.reach import why_never_holds
from monitor.evaluate.rules import BLIND, RuleSet
from monitor.evaluate.stream import StreamFold
from monitor.events import Observation, StreamName

Reason = Literal[
    "no_reference",
    "no_rows",
    "no_reference_values",
    "few_reference_rows",
    "no_distribution",
    "no_moments",
    "no_detection",
    "no_block",
    "no_window",
    "few_events",
    "no_values",
    "undefined",
    "unreachable",
    "no_labels",
    "few_labels",
    "immature",
]
"""Why something is never judged: the first of these that holds; or, at last, why a judgement never finds anything."""
LASTING: tuple[Reason, ...] = ("no_reference_values", "few_reference_rows", "no_distribution", "no_moments")
"""Those that the reference is the reason of: whatever comes, they hold."""


class Never(NamedTuple):
    """What a rule has never judged. `column`: None of a rule on the stream itself. `why`: in words."""

    stream: StreamName
    column: str | None
    reason: Reason
    why: str


class RuleCoverage(NamedTuple):
    """One rule. `judged`: how often, by stream and column; `never`: what it selects beside these.

    `unreachable`: what it selects, and none of whose windows can violate it, however often it is judged.
    """

    model: str
    rule: Rule
    judged: Mapping[tuple[StreamName, str | None], int]
    never: tuple[Never, ...]
    unreachable: tuple[Never, ...]


class Totals(NamedTuple):
    """One alert of a model. `judged`: verdicts; `never`: columns or streams that its rules select, and never judged."""

    alert: str
    judged: int
    never: int


class Coverage:
    """What the rules in use have judged, of one model."""

    def __init__(self, rules: ModelRules, contract: ModelContract, rule_set: RuleSet) -> None:
        self._rules = rules
        self._rule_set = rule_set
        self._selected = [_selected(number, rule, rules, contract, rule_set) for number, rule in enumerate(rules.rules)]
        self._largest: dict[tuple[StreamName, str], int] = {}
        """The most events that a closed window of each stream and specification has held."""

    def add(self, closed: Iterable[Observation]) -> None:
        """Take windows that have closed."""
        for window in closed:
            key = (window.stream, window.window)
            self._largest[key] = max(window.events, self._largest.get(key, 0))

    def totals(self) -> list[Totals]:
        """Sum up each alert, in the order of the rules; rules of one name together."""
        found: dict[str, Totals] = {}
        judged, subjects = Counter[int](), Counter[int]()
        for (number, _, _), n in self._rule_set.judged.items():
            judged[number] += n
            subjects[number] += 1
        for number, rule in enumerate(self._rules.rules):
            if rule.comparison.metric != BLIND:
                before = found.get(rule.alert, Totals(rule.alert, 0, 0))
                never = len(self._selected[number]) - subjects[number]
                found[rule.alert] = Totals(rule.alert, before.judged + judged[number], before.never + never)
        return list(found.values())

    def by_rule(self, lanes: Mapping[StreamName, Lane], performance: Performance | None) -> list[RuleCoverage]:
        """Say of each rule what it has judged, or never and why. `performance`: of a model with labels.

        Rules on blindness are left out: they judge detectors that see nothing any more, so mostly none.
        """
        judged: dict[int, dict[tuple[StreamName, str | None], int]] = {}
        for (number, stream, column), n in self._rule_set.judged.items():
            judged.setdefault(number, {})[stream, column] = n
        found = []
        for number, rule in enumerate(self._rules.rules):
            if rule.comparison.metric != BLIND:
                own = judged.get(number, {})
                missed = (place for place in self._selected[number] if place not in own)
                never = tuple(self._never(rule, *place, lanes, performance) for place in missed)
                unreachable = tuple(_unreachable(rule, self._selected[number], lanes))
                found.append(RuleCoverage(self._rules.model, rule, own, never, unreachable))
        return found

    def _never(
        self,
        rule: Rule,
        stream: StreamName,
        column: str | None,
        lanes: Mapping[StreamName, Lane],
        performance: Performance | None,
    ) -> Never:
        if stream == "performance":
            return Never(stream, None, *_why_of_labels(rule, performance))
        largest = self._largest.get((stream, rule.window.name))
        return Never(stream, column, *_why(rule, column, lanes.get(stream), largest))


def _selected(
    number: int, rule: Rule, rules: ModelRules, contract: ModelContract, rule_set: RuleSet
) -> list[tuple[StreamName, str | None]]:
    """The streams or columns that have the rule's metric, and that its selectors take."""
    subject, kinds = METRICS[rule.comparison.metric].subject, METRICS[rule.comparison.metric].kinds
    every: Iterable[tuple[StreamName, str | None]]
    if subject == "stream":
        streams = contract.streams if rule.comparison.metric == SILENCE else lanes_of(contract)
        every = ((stream.stream, None) for stream in streams)
    elif subject == "column":
        kind_of = {(s.stream, s.name): "numeric" if s.numeric else "categorical" for s in series_of(contract)}
        every = (place for place, kind in kind_of.items() if kind in kinds)
    elif subject == "detector":
        detectors = [selector for selector in rule.comparison.selectors if selector.label == "detector"]
        chosen = [s for s in rules.detectors if all(one.matches({"detector": s.name}) for one in detectors)]
        every = dict.fromkeys(_inputs(chosen, contract))
    else:
        every = [("performance", None)]
    return [place for place in every if rule_set.selects(number, *place)]


def _inputs(detectors: Iterable[DetectorSpec], contract: ModelContract) -> Iterator[tuple[StreamName, str]]:
    for spec in detectors:
        try:
            inputs = resolve_inputs(spec, contract)
        except InputRefused:
            continue
        yield from ((one.stream, one.column) for one in inputs)


def _why(rule: Rule, column: str | None, lane: Lane | None, largest: int | None) -> tuple[Reason, str]:
    """The first reason that holds. `largest`: events of the largest window that has closed; None if none has."""
    if lane is None or lane.waits:
        standing = None if lane is None else lane.standing
        return "no_reference", "no reference" + ("" if standing is None else _progress(standing))
    fold = lane.judged_fold
    if fold is None:
        return "no_rows", "no rows behind the reference"
    metric, comparison = rule.comparison.metric, rule.comparison
    if not fold.reference.events and (comparison.compares or comparison.needs_reference_spread or metric == DRIFT):
        return "no_reference", "no reference: its first rows have yet to come"
    if column is not None and column in fold.measure.places and (found := _lasting(rule, column, fold)) is not None:
        return found
    if METRICS[metric].subject == "detector":
        return "no_detection", "its detector has read no value"
    if metric == DRIFT:
        return _why_no_drift(fold)
    if largest is None:
        return "no_window", f"no window ({rule.window.name}) has closed"
    if largest < rule.min_events:
        return "few_events", f"no window with min_events={rule.min_events} (the largest has {largest})"
    newest = {} if column is None else _newest(fold, rule.window.name, column)
    if newest.get("missing_rate", 0.0) + newest.get("invalid_rate", 0.0) >= 1.0:
        return "no_values", "no usable value in a window"
    return "undefined", f"{metric} or its threshold is undefined"


def _progress(standing: LaneStanding) -> str:
    if standing.event_time is not None:
        return f": {standing.progress}"
    return f": {standing.rows} of {standing.wanted} rows" if standing.wanted else ""


def _why_no_drift(fold: StreamFold) -> tuple[Reason, str]:
    if fold.reference.moments is None:
        return "no_moments", "the reference says nothing of its rows beside counts: an older release has made it"
    return "no_block", "too few rows behind the reference"


def _why_of_labels(rule: Rule, performance: Performance | None) -> tuple[Reason, str]:
    """The first reason that holds of a rule on performance."""
    if performance is None or not performance.counters["joined"]:
        return "no_labels", "no label has met its prediction"
    if performance.views.most_labels(rule) is None:
        return "no_window", f"no window ({rule.window.name}) has ended"
    compares = rule.comparison.needs_reference_spread
    if compares and performance.reference is None:
        return "no_reference", f"no reference: {performance.reference_labels} of {performance.wanted} labels"
    behind = performance.reference_end if compares else None
    most = performance.views.most_labels(rule, behind)
    if most is None:
        return "no_window", f"no window ({rule.window.name}) behind the reference has ended"
    if most < rule.min_labels:
        return "few_labels", f"no window with min_labels={rule.min_labels} (the largest has {most})"
    if (best := performance.views.best_coverage(rule, behind)) is not None:
        remedy = "maturity: provisional would judge it"
        return "immature", f"no window is mature: at most {best:.0%} of predictions have a label; {remedy}"
    slices = 0 if performance.reference is None else performance.reference.slices
    if slices < FEWEST_SLICES and "reference_std" in rule.comparison.source:
        least = f"{SLICE_LABELS} labels or more, and reference_std needs {FEWEST_SLICES}"
        return "no_distribution", f"the reference has {slices} slices of {least}"
    return "undefined", f"{rule.comparison.metric} or its threshold is undefined"


def _lasting(rule: Rule, column: str, fold: StreamFold) -> tuple[Reason, str] | None:
    """Return the first of the LASTING reasons that holds of a column of the grid."""
    comparison, rows = rule.comparison, fold.measure.reference.events
    if not rows:  # outcomes are judged before they have their reference
        return None
    if comparison.metric not in OF_CELLS and not _has_values(fold, column):
        return "no_reference_values", f"no usable value in the reference: {_states(fold, column)}"
    if comparison.compares and rows < rule.min_events:
        number = f"{rows} row{'' if rows == 1 else 's'}"
        return "few_reference_rows", f"the reference has {number}, fewer than min_events={rule.min_events}"
    why = fold.measure.why_undefined(comparison.metric, column, comparison.needs_reference_spread)
    return None if why is None else ("no_distribution", why)


def _unreachable(
    rule: Rule, selected: Iterable[tuple[StreamName, str | None]], lanes: Mapping[StreamName, Lane]
) -> Iterator[Never]:
    """What is or will be judged, to no avail: of lanes that have begun to be judged."""
    for stream, column in selected:
        fold = lanes[stream].judged_fold if stream in lanes else None
        if fold is None or column is None or column not in fold.measure.places or _lasting(rule, column, fold):
            continue
        if why := why_never_holds(fold.measure, rule.comparison, column):
            yield Never(stream, column, "unreachable", why)


def _newest(fold: StreamFold, window: str, column: str) -> Mapping[str, float]:
    observation = fold.observations().get(window)
    return {} if observation is None else observation.columns.get(column, {})


def _has_values(fold: StreamFold, column: str) -> bool:
    return bool(fold.measure.valid_share[fold.measure.places[column]] > 0)


def _states(fold: StreamFold, column: str) -> str:
    """What the reference holds of a column instead of values."""
    missing = fold.measure.missing_share[fold.measure.places[column]]
    return "all are missing" if missing == 1 else "all are invalid" if missing == 0 else "missing or invalid"
