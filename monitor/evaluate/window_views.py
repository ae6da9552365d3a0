"""Windows of performance as rules and people see them: which have moved since they were judged, and come further.

A rule on performance is judged on the newest window that has enough labels and is complete enough for it, and again
when that window's counts have changed. Each window is published at each tenth of coverage, and when it becomes mature
and final. Both depend on the cohorts and on what was judged and published before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from monitor.config.metrics import METRICS
from monitor.config.resolved import ModelRules, PerformanceSpec, Rule, WindowSpec
from monitor.errors import FormatError
from monitor.evaluate.cohort_pairs import CohortPairs
from monitor.evaluate.join import Join
from monitor.evaluate.keyed_panes import Coding
from monitor.evaluate.performance_windows import PerformanceWindow, WindowTable, table_of
from monitor.evaluate.state import JudgedPerformance, PublishedWindowsState
from monitor.events import Int64s, Labelled, Observation, Series, Standing
from monitor.stats.binary import BinaryLayout
from monitor.stats.exact import significant
from monitor.stats.multiclass import MulticlassLayout
from monitor.stats.performance import PairLayout, cost_per_1000

CONFIDENCE = 0.95
"""The confidence of the intervals that messages show, unless a rule has its own."""
COVERAGE = "label_coverage"

_Seen = tuple[int, int, int, Standing]
"""End of a window, changes of its pairs, predictions and standing."""


class _Published(NamedTuple):
    """How far windows had come when they were published, by their ends, which ascend: (n,)."""

    end: Int64s
    levels: Int64s

    def levels_at(self, ends: Int64s) -> Int64s:
        """The levels of windows with these ends, 0 of those that were never published."""
        if not len(self.end):
            return np.zeros(len(ends), dtype=np.int64)
        at = np.minimum(np.searchsorted(self.end, ends), len(self.end) - 1)
        return np.where(self.end[at] == ends, self.levels[at], 0)


_NOTHING = _Published(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))

Spread = Callable[[str, int], tuple[float, float] | None]
"""Gives reference_mean and reference_std of a metric in windows with that many labels; None without a reference."""


class RuleKey(NamedTuple):
    """What kind of window a rule is judged on; rules with the same are judged on the same window."""

    window: str
    min_labels: int
    standing: Standing


def key_of(rule: Rule) -> RuleKey:
    """Return what window a rule on performance is judged on: one on the coverage of labels, on final ones."""
    if rule.comparison.metric == COVERAGE:
        return RuleKey(rule.window.name, rule.min_labels, "final")
    return RuleKey(rule.window.name, rule.min_labels, rule.maturity)


class MovedWindow(NamedTuple):
    """A window that has moved since rules were last judged on it. `vector`: of its pairs; None: there is none."""

    observation: Observation
    layout: PairLayout | None
    vector: Int64s | None

    def interval(self, metric: str, confidence: float) -> tuple[float, float] | None:
        """The interval of a metric; None if it has none."""
        if self.layout is None or self.vector is None:
            return None
        return self.layout.intervals(self.vector, confidence).get(metric)


class MovedWindows(NamedTuple):
    """What rules on performance are judged on. `spread`: reference_mean and reference_std, by metric and labels.

    `reference_end`: where the cohorts end that the reference was made of, ms; None if it was not made of cohorts.
    """

    windows: Mapping[RuleKey, MovedWindow]
    spread: Spread
    baseline: Mapping[str, float]
    reference_end: int | None


class WindowViews:
    """Those of one model, over the cohorts of its join and their pairs."""

    def __init__(self, model: str, join: Join, pairs: CohortPairs, coding: Coding) -> None:
        self._model = model
        self._join = join
        self._pairs = pairs
        self._coding = coding
        self._published: dict[str, _Published] = {}
        self._judged: dict[RuleKey, _Seen] = {}
        self._tables: dict[str, WindowTable] = {}
        self._reached: dict[str, int] = {}
        self._shown: dict[str, WindowTable] = {}
        """The tables whose windows have been published as far as they have come."""
        self.to_ms = 0
        """End of the newest pane that was judged, ms."""

    def use(self, spec: PerformanceSpec, rules: ModelRules) -> None:
        """Go on by new rules: all are judged again."""
        self._spec = spec
        own = [rule for rule in rules.rules if METRICS[rule.comparison.metric].subject == "performance"]
        windows = [spec.window, *(rule.window for rule in own)]
        self._windows: dict[str, WindowSpec] = {one.name: one for one in windows}
        self._keys = tuple(sorted({key_of(rule) for rule in own}))
        self._published = {name: self._published.get(name, _NOTHING) for name in self._windows}
        self.judge_again()
        self.change()

    def change(self) -> None:
        """Cohorts or their pairs have changed."""
        self._tables.clear()

    def judge_again(self) -> None:
        """Have all rules judged again, because what they compare with has changed."""
        self._judged.clear()

    def reach(self, to_ms: int) -> None:
        """Panes up to `to_ms` are folded."""
        self.to_ms = to_ms

    def next_ends(self, start: int, last: int, pane_ms: int) -> list[int]:
        """The begins (ms) of panes with which windows end behind `start`. `last`: the end of the newest cohort."""
        timed = (spec for spec in self._windows.values() if spec.time_ms is not None and start < last + spec.time_ms)
        steps = [spec.every_ms or spec.time_ms or 0 for spec in timed]
        return [((start + pane_ms) // step + 1) * step - pane_ms for step in steps]

    def _table(self, name: str) -> WindowTable:
        spec, reached = self._windows[name], self.to_ms
        if spec.time_ms is not None:  # between multiples of its step none ends
            reached //= spec.every_ms or spec.time_ms
        if name not in self._tables or self._reached[name] != reached:
            self._reached[name] = reached
            cohorts = self._join.cohort_columns()
            changes = self._pairs.changes(range(cohorts.first, cohorts.first + len(cohorts.start)))
            self._tables[name] = table_of(spec, cohorts, changes, self._spec.mature, self.to_ms)
        return self._tables[name]

    def take_moved(self, spread: Spread, reference_end: int | None) -> MovedWindows:
        """Take the windows that rules are to be judged on: those that have moved since the last call."""
        found: dict[RuleKey, MovedWindow] = {}
        for key in self._keys:
            window = self._table(key.window).newest(key.min_labels, _standings(key.standing))
            if window is None:
                continue
            seen = (window.end, window.changes, window.predictions, window.standing)
            if self._judged.get(key) != seen:
                self._judged[key] = seen
                found[key] = self._moved(window)
        return MovedWindows(found, spread, self._spec.baseline, reference_end)

    def _moved(self, window: PerformanceWindow) -> MovedWindow:
        vector = self._pairs.sum_of(window.cohorts)
        return MovedWindow(self._observation(window, vector), self._pairs.layout, vector)

    def observations(self) -> list[Observation]:
        """Windows that have come a tenth further, or have become mature or final since the last call."""
        found = []
        for name, published in self._published.items():
            table = self._table(name)
            if self._shown.get(name) is table:
                continue
            self._shown[name] = table
            levels = table.levels
            for place in np.flatnonzero((levels > 0) & (levels != published.levels_at(table.end))).tolist():
                window = table.window(place)
                found.append(self._observation(window, self._pairs.sum_of(window.cohorts)))
            self._published[name] = _Published(table.end[levels > 0], levels[levels > 0])
        return sorted(found, key=lambda one: (one.end, one.window))

    def _observation(self, window: PerformanceWindow, vector: Int64s | None) -> Observation:
        coverage = significant(window.coverage)
        totals: dict[str, float] = {COVERAGE: coverage}
        intervals: Mapping[str, tuple[float, float]] = {}
        layout = self._pairs.layout
        if vector is not None and layout is not None and window.labels:
            totals.update(layout.metrics(vector))
            totals.update(self._costs(layout, vector))
            intervals = layout.intervals(vector, CONFIDENCE)
        labelled = Labelled(window.standing, window.predictions, window.labels, coverage, intervals)
        return Observation(
            model=self._model,
            segment="",
            stream="performance",
            window=window.name,
            start=window.start,
            end=window.end,
            events=window.predictions,
            offsets=(),
            totals=totals,
            columns={},
            labelled=labelled,
        )

    def _costs(self, layout: PairLayout, vector: Int64s) -> Series:
        if not self._spec.costs or not isinstance(layout, BinaryLayout | MulticlassLayout):
            return {}
        names = self._coding.classes_of(self._spec.costs)
        costs = np.array([[self._spec.costs.get(t, {}).get(p, 0.0) for p in names] for t in names])
        return {"cost_per_1000": significant(cost_per_1000(layout.confusion(vector), costs))}

    def forget(self, kept: int) -> None:
        """Forget cohorts that no window holds whose counts may yet change; never the newest `kept` ones."""
        cohorts = self._join.cohorts
        if len(cohorts) <= kept + 1:
            return
        live = next((cohort for cohort in cohorts if cohort.closed is None), cohorts[-1])
        if any(spec.time_ms is None for spec in self._windows.values()):
            most = max((spec.events or 0) // (spec.every or spec.events or 1) for spec in self._windows.values())
            first = live.number - most
        else:
            longest = max(spec.time_ms or 0 for spec in self._windows.values())
            held = (cohort.number for cohort in cohorts if (cohort.end or _FOREVER) > live.start - longest)
            first = next(held, live.number) - 1  # windows that begin behind it are known to be whole
        first = min(first, cohorts[-1].number - kept)
        if first > cohorts[0].number:
            self._join.forget_before(first)
            self._pairs.forget_before(self._join.cohorts[0].number)
            self.change()

    # ------------------------------------------------------------------ why a rule is never judged

    def most_labels(self, rule: Rule, start: int | None = None) -> int | None:
        """Return the most labels that a window of a rule has; None if none has ended. `start`: no earlier ones, ms."""
        table = self._table(rule.window.name)
        labels = table.labels if start is None else table.labels[table.start >= start]
        return int(labels.max()) if len(labels) else None

    def best_coverage(self, rule: Rule, start: int | None = None) -> float | None:
        """Return the best coverage of a window with enough labels, if none is complete enough for a rule; else None.

        `start`: no earlier ones, ms.
        """
        key = key_of(rule)
        table = self._table(key.window)
        newest = table.newest(key.min_labels, _standings(key.standing))
        if newest is not None and (start is None or newest.start >= start):
            return None
        held = table.labels >= key.min_labels
        if start is not None:
            held &= table.start >= start
        return float((table.labels[held] / table.predictions[held]).max()) if held.any() else None

    # ------------------------------------------------------------------ state

    def published(self) -> tuple[PublishedWindowsState, ...]:
        """How far windows had come when they were last published."""
        return tuple(
            PublishedWindowsState(name, tuple(one.end.tolist()), tuple(one.levels.tolist()))
            for name, one in self._published.items()
        )

    def judged(self) -> tuple[JudgedPerformance, ...]:
        """The windows that rules were last judged on."""
        return tuple(_judged(key, seen) for key, seen in sorted(self._judged.items()))

    def restore(
        self, published: Sequence[PublishedWindowsState], judged: Sequence[JudgedPerformance], to_ms: int
    ) -> None:
        """Go on from there, once cohorts and pairs have been restored."""
        for one in published:
            ends, levels = np.array(one.ends, dtype=np.int64), np.array(one.levels, dtype=np.int64)
            if len(ends) != len(levels):
                raise FormatError("not a snapshot: published windows without their coverage")
            self._published[one.name] = _Published(ends, levels)
        for last in judged:
            key = RuleKey(last.window, last.min_labels, last.standing)
            self._judged[key] = (last.end, last.changes, last.predictions, last.reached)
        self.to_ms = to_ms
        self.change()


def _judged(key: RuleKey, seen: _Seen) -> JudgedPerformance:
    end, changes, predictions, reached = seen
    return JudgedPerformance(key.window, key.min_labels, key.standing, end, changes, predictions, reached)


_FOREVER = 1 << 62


def _standings(least: Standing) -> Sequence[Standing]:
    order: tuple[Standing, ...] = ("provisional", "mature", "final")
    return order[order.index(least) :]
