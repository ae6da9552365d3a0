"""Judging rules: from a rule's expression to one verdict for each column, stream or detector that it selects.

The rules of this file:

- A rule is judged on the last closed window of its specification, and only if that window closed since the last
  judgement; with fewer events than `min_events` there is no verdict, nor without a score.
- A rule that compares with the reference gives no verdict where that has fewer rows than `min_events` either: a small
  sample differs by chance, whichever side it is on.
- `seconds_since_last_event` is about the judgement itself and about no window: it is judged whenever the silence clock
  passes a multiple of the interval, from the model's first pane on. `min_events` does not guard it: silence must be
  heard. Labels may come late, so it is judged on theirs by rules whose selectors name a stream.
- `detector_blind` is about the judgement, too: it is judged at every judgement, of detectors that are blind, and of
  those whose alert has yet to be resolved. It is 1 or 0.
- `change` is 1 at the judgement that covers a detection, else 0; a detector that saw no row since the last judgement
  has no verdict.
- `drift` is of no window: it is the largest that a lane has had since the last judgement. A lane that has completed no
  block since then has no verdict.
- A rule on performance is judged on the newest window that is complete enough for it (`performance.py`), and if that
  has changed since. With a confidence its whole interval has to be beyond the threshold; without an interval there is
  no verdict. One that compares with reference_mean or reference_std gives no verdict on a window that starts before the
  end of the cohorts that the reference was made of: nothing is judged by itself.
- Value and threshold are rounded to 12 significant digits before they are compared.
- Labels are the rule's own, then alertname, model, metric, and column (with detector or quantile) or stream. Selectors
  see all of these, and the stream of every column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import NamedTuple

from monitor.config.comparison import Comparison
from monitor.config.metrics import DRIFT, METRICS, SILENCE
from monitor.config.resolved import ModelRules, Rule
from monitor.config.template import Placeholder
from monitor.config.template import parse as parse_template
from monitor.evaluate.detection import Sighting
from monitor.evaluate.window_views import CONFIDENCE, MovedWindows, key_of
from monitor.events import STREAMS, Observation, Series, StreamName, Verdict
from monitor.stats.exact import significant

BLIND = "detector_blind"
QUANTILE = "quantile"
AVERAGE = "average"

Labels = tuple[tuple[str, str], ...]
"""Names and values, sorted."""
WindowKey = tuple[StreamName, str]
"""A stream and the canonical name of a window specification."""
Spreads = Callable[[StreamName, str, Sequence[str], int], Mapping[str, tuple[float, float]]]
"""Gives reference_mean and reference_std of a stream's metric in windows of n events, for those of the columns that
have them. A rule asks once a window for all of its columns, because their draws are shared."""


class Silence(NamedTuple):
    """Since when a stream is silent (the time of its newest row, or its beginning), and how long is usual, ms."""

    since: int
    usual: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known at one judgement.

    `at`: the pane end, ms UTC. `observations`: the last closed window of each stream and specification. `moved`:
    those of them that closed since the last judgement. `changes`: (detector, stream, column) -> whether it detected a
    change since the last judgement, for the detectors that saw a row. `blind`: detectors -> whether they can see no
    change any more. `silences`: those of the streams that have begun. `reference_rows`: rows of the reference of each
    stream whose windows are judged. `performance`: windows by the time of the prediction that have moved since,
    if the model has labels. `drift`: the largest of each lane since the last judgement, if it has had one.
    """

    at: int
    observations: Mapping[WindowKey, Observation]
    moved: AbstractSet[WindowKey]
    changes: Mapping[Sighting, bool]
    blind: Mapping[Sighting, bool]
    silences: Mapping[StreamName, Silence]
    spreads: Spreads
    reference_rows: Mapping[StreamName, int]
    performance: MovedWindows | None = None
    drift: Mapping[StreamName, float] = field(default_factory=dict)


def on_silence(rule: Rule) -> bool:
    """Return true if a rule is judged by the silence clock."""
    return rule.comparison.metric == SILENCE


class Threshold(NamedTuple):
    """What a rule compares the series `metric` of a window with.

    `everywhere`: for all that it selects; None if that depends on the reference, so on the column: `by_column`.
    """

    rule: Rule
    metric: str
    everywhere: float | None
    by_column: Mapping[str, float]


class _Instance(NamedTuple):
    """One thing a rule may judge. `key`: its series. `extra`: labels of its own. `usual_silence`: of a stream, s.

    `interval`, `baseline`: of a metric of performance.
    """

    stream: StreamName
    column: str | None
    key: str
    extra: Labels
    value: float
    window: Observation | None
    usual_silence: float | None = None
    interval: tuple[float, float] | None = None
    baseline: float | None = None


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: Rule
    comparison: Comparison
    needs_reference: bool
    subject: str
    """What it is about: silence, drift, or the subject of its metric."""


class RuleSet:
    """The rules of one model, compiled once."""

    def __init__(self, rules: ModelRules) -> None:
        self._model = rules.model
        self._compiled = tuple(_compile(rule) for rule in rules.rules)
        self._order = sorted(range(len(rules.rules)), key=depths(rules.rules).__getitem__)
        # selectors and labels depend on the instance's names only, never on its value
        self._labels: dict[tuple[int, StreamName, str | None, str], Labels | None] = {}
        self.judged: Counter[tuple[int, StreamName, str | None]] = Counter()
        """How often each rule, by its number, has judged each stream or column."""

    def judge(self, judgement: Judgement) -> list[tuple[Rule, Verdict]]:
        """One verdict for each rule and instance that can be judged, in the rules' and the columns' order.

        Those of alerts that others are under stand before theirs.
        """
        judged: list[tuple[Rule, Verdict]] = []
        news = _news(judgement)
        for number in self._order:
            compiled = self._compiled[number]
            if not news[compiled.subject]:
                continue
            chosen = list(self._chosen(number, judgement))
            spreads = _spreads(chosen, judgement) if compiled.needs_reference else {}
            for instance, labels in chosen:
                spread = spreads.get((instance.stream, instance.key, instance.column))
                verdict = _verdict(compiled, instance, labels, spread)
                if verdict is not None:
                    judged.append((compiled.rule, verdict))
                    self.judged[number, instance.stream, instance.column] += 1
        return judged

    def selects(self, number: int, stream: StreamName, column: str | None) -> bool:
        """Return true if the selectors of a rule take a stream or a column, whatever its other labels."""
        compiled = self._compiled[number]
        labels = self._all_labels(compiled, _Instance(stream, column, compiled.comparison.metric, (), 0.0, None))
        own = [one for one in compiled.comparison.selectors if one.label not in (QUANTILE, AVERAGE, "detector")]
        accepts = all(selector.matches({**labels, "stream": stream}) for selector in own)
        return accepts and _is_about(compiled.comparison, stream)

    def thresholds(self, window: Observation, spreads: Spreads, reference_rows: int) -> list[Threshold]:
        """What the rules that are judged on this window compare it with, in the rules' order."""
        key = (window.stream, window.window)
        alone = Judgement(window.end, {key: window}, {key}, {}, {}, {}, spreads, {window.stream: reference_rows})
        found: list[Threshold] = []
        for number, compiled in enumerate(self._compiled):
            comparison, chosen = compiled.comparison, self._chosen(number, alone)
            if not comparison.needs_reference_spread:
                if next(chosen, None) is not None:
                    everywhere = significant(comparison.threshold(None, None))
                    found.append(Threshold(compiled.rule, comparison.metric, everywhere, {}))
                continue
            by_series: dict[str, dict[str, float]] = {}
            for (_, name, column), (mean, std) in _spreads(list(chosen), alone).items():
                threshold = comparison.threshold(mean, std)
                if column is not None and isfinite(threshold):
                    by_series.setdefault(name, {})[column] = significant(threshold)
            found += [Threshold(compiled.rule, name, None, by_series[name]) for name in sorted(by_series)]
        return found

    def _chosen(self, number: int, judgement: Judgement) -> Iterator[tuple[_Instance, Labels]]:
        """What the rule selects, with its labels."""
        for instance in _instances(self._compiled[number], judgement):
            labels = self._labels_of(number, instance)
            if labels is not None and isfinite(instance.value):
                yield instance, labels

    def _labels_of(self, number: int, instance: _Instance) -> Labels | None:
        """Return the instance's labels, sorted; None if the rule does not select it."""
        names = (number, instance.stream, instance.column, instance.key)
        if names not in self._labels:
            compiled = self._compiled[number]
            labels = self._all_labels(compiled, instance)
            matches = compiled.comparison.matches({**labels, "stream": instance.stream})
            self._labels[names] = tuple(sorted(labels.items())) if matches else None
        return self._labels[names]

    def _all_labels(self, compiled: _Compiled, instance: _Instance) -> dict[str, str]:
        place = {"stream": instance.stream} if instance.column is None else {"column": instance.column}
        place = {} if instance.stream == "performance" else place
        return {
            **compiled.rule.labels,
            **dict(instance.extra),
            **place,
            "alertname": compiled.rule.alert,
            "metric": compiled.comparison.metric,
            "model": self._model,
        }


def depths(rules: Sequence[Rule]) -> list[int]:
    """How many alerts each rule waits for, by `under` and `unless`, one behind the other: it is judged behind them."""
    above: dict[str, set[str]] = {}
    for rule in rules:
        above.setdefault(rule.alert, set()).update(rule.unless, [] if rule.under is None else [rule.under])
    found: dict[str, int] = {}

    def depth(alert: str) -> int:
        if alert not in found:
            found[alert] = max((depth(name) + 1 for name in above.get(alert, ())), default=0)
        return found[alert]

    return [depth(rule.alert) for rule in rules]


def _compile(rule: Rule) -> _Compiled:
    comparison = rule.comparison
    parts = [part for text in rule.annotations.values() for part in parse_template(text)]
    shows_reference = any(isinstance(part, Placeholder) and part.name == "reference" for part in parts)
    has_reference = METRICS[comparison.metric].has_reference
    subject = {SILENCE: "silence", DRIFT: "drift"}.get(comparison.metric, METRICS[comparison.metric].subject)
    needs_reference = has_reference and (comparison.needs_reference_spread or shows_reference)
    return _Compiled(rule, comparison, needs_reference, subject)


def _news(judgement: Judgement) -> Mapping[str, bool]:
    """Tell for each subject if there may be something to judge: mostly there is not, and rules are many."""
    performance = judgement.performance
    has_moved = bool(judgement.moved)
    return {
        "silence": bool(judgement.silences),
        "drift": bool(judgement.drift),
        "performance": performance is not None and bool(performance.windows),
        "detector": bool(judgement.changes or judgement.blind),
        "stream": has_moved,
        "column": has_moved,
    }


def _instances(compiled: _Compiled, judgement: Judgement) -> Iterator[_Instance]:
    metric = compiled.comparison.metric
    match compiled.subject:
        case "silence":
            return _of_silence(compiled.comparison, judgement)
        case "drift":
            return _of_drift(judgement)
        case "performance":
            return _of_performance(compiled, judgement)
        case "stream":
            return _of_streams(compiled.rule, metric, judgement)
        case "detector":
            answers = judgement.blind if metric == BLIND else judgement.changes
            return _of_detectors(compiled.rule, metric, answers, judgement)
    return _of_columns(compiled.rule, metric, judgement)


def _of_silence(comparison: Comparison, judgement: Judgement) -> Iterator[_Instance]:
    for stream in STREAMS:
        if stream in judgement.silences and _is_about(comparison, stream):
            since, usual = judgement.silences[stream]
            yield _Instance(stream, None, SILENCE, (), max(judgement.at - since, 0) / 1000, None, usual / 1000)


def _is_about(comparison: Comparison, stream: StreamName) -> bool:
    """Return true if an expression may be about a stream: labels, which come when they come, only if it names one."""
    return stream != "labels" or any(one.label == "stream" for one in comparison.selectors)


def _of_drift(judgement: Judgement) -> Iterator[_Instance]:
    for stream in STREAMS:
        if stream in judgement.drift:
            yield _Instance(stream, None, DRIFT, (), judgement.drift[stream], None)


def _of_streams(rule: Rule, metric: str, judgement: Judgement) -> Iterator[_Instance]:
    for window in _moved_windows(rule, judgement):
        if metric in window.totals:
            yield _Instance(window.stream, None, metric, (), window.totals[metric], window)


def _of_detectors(
    rule: Rule, metric: str, answers: Mapping[Sighting, bool], judgement: Judgement
) -> Iterator[_Instance]:
    for detector, stream, column in sorted(answers):
        value = 1.0 if answers[detector, stream, column] else 0.0
        window = judgement.observations.get((stream, rule.window.name))
        extra = (("detector", detector),)
        yield _Instance(stream, column, f"{metric}/{detector}", extra, value, window)


def _of_columns(rule: Rule, metric: str, judgement: Judgement) -> Iterator[_Instance]:
    for window in _moved_windows(rule, judgement):
        for column, series in window.columns.items():
            for name, extra in _series_of(metric, series):
                yield _Instance(window.stream, column, name, extra, series[name], window)


def _of_performance(compiled: _Compiled, judgement: Judgement) -> Iterator[_Instance]:
    rule, metric, moved = compiled.rule, compiled.comparison.metric, judgement.performance
    window = None if moved is None else moved.windows.get(key_of(rule))
    if moved is None or window is None:
        return
    observation, labelled = window.observation, window.observation.labelled
    behind = moved.reference_end if compiled.comparison.needs_reference_spread else None
    if behind is not None and observation.start < behind:
        return
    for name, extra in _averages(metric, compiled.comparison, observation.totals):
        interval = window.interval(name, rule.confidence or CONFIDENCE)
        shown = {} if interval is None else {metric: interval}
        own = None if labelled is None else replace(labelled, intervals=shown)
        seen = replace(observation, labelled=own)
        baseline = moved.baseline.get(metric)
        yield _Instance(
            "performance", None, name, extra, observation.totals[name], seen, interval=interval, baseline=baseline
        )


def _averages(metric: str, comparison: Comparison, totals: Series) -> list[tuple[str, Labels]]:
    """The series that a metric of performance names: of several classes the averages that the rule is about."""
    if metric in totals:
        return [(metric, ())]
    names = comparison.averages
    return [(f"{metric}_{one}", ((AVERAGE, one),)) for one in names if f"{metric}_{one}" in totals]


def _moved_windows(rule: Rule, judgement: Judgement) -> Iterator[Observation]:
    for stream in STREAMS:
        key = (stream, rule.window.name)
        window = judgement.observations.get(key)
        if window is None or key not in judgement.moved or window.events < rule.min_events:
            continue
        if not rule.comparison.compares or judgement.reference_rows[stream] >= rule.min_events:
            yield window


def _series_of(metric: str, series: Series) -> list[tuple[str, Labels]]:
    """The series that a metric names in one column: all quantiles, or itself."""
    if metric != QUANTILE:
        return [(metric, ())] if metric in series else []
    prefix = QUANTILE + "_"
    return [(name, ((QUANTILE, name.removeprefix(prefix)),)) for name in series if name.startswith(prefix)]


def _spreads(
    chosen: Sequence[tuple[_Instance, Labels]], judgement: Judgement
) -> dict[tuple[StreamName, str, str | None], tuple[float, float]]:
    """(stream, metric key, column) -> reference_mean and reference_std in windows of as many events as this one."""
    asked: dict[tuple[StreamName, str, int], list[str]] = {}
    found = dict(_spreads_of_performance(chosen, judgement))
    for instance, _ in chosen:
        if instance.column is not None and instance.window is not None:
            asked.setdefault((instance.stream, instance.key, instance.window.events), []).append(instance.column)
    for (stream, key, events), columns in asked.items():
        for column, spread in judgement.spreads(stream, key, columns, events).items():
            found[stream, key, column] = spread
    return found


def _spreads_of_performance(
    chosen: Sequence[tuple[_Instance, Labels]], judgement: Judgement
) -> Iterator[tuple[tuple[StreamName, str, str | None], tuple[float, float]]]:
    for instance, _ in chosen:
        labelled = None if instance.window is None else instance.window.labelled
        if judgement.performance is not None and labelled is not None:
            spread = judgement.performance.spread(instance.key, labelled.labels)
            if spread is not None:
                yield (instance.stream, instance.key, None), spread


def _verdict(
    compiled: _Compiled, instance: _Instance, labels: Labels, spread: tuple[float, float] | None
) -> Verdict | None:
    comparison = compiled.comparison
    if comparison.needs_reference_spread and spread is None:
        return None
    mean, std = spread if spread is not None else (None, None)
    threshold = comparison.threshold(mean, std, instance.usual_silence, instance.baseline)
    recovery = comparison.recovery_threshold(mean, std, instance.baseline)
    if not isfinite(threshold) or not isfinite(recovery or 0.0):
        return None
    value, threshold = significant(instance.value), significant(threshold)
    violated = comparison.holds(value, threshold)
    if compiled.rule.confidence is not None:
        if instance.interval is None:
            return None
        violated = all(comparison.holds(bound, threshold) for bound in instance.interval)
    return Verdict(
        labels=labels,
        stream=instance.stream,
        column=instance.column,
        value=value,
        op=comparison.op,
        threshold=threshold,
        threshold_source=comparison.threshold_source,
        reference_mean=mean,
        violated=violated,
        window=instance.window,
        recovery_threshold=None if recovery is None else significant(recovery),
    )
