"""When judging empty panes may change something: a run of them is judged at these times, and passed over between them.

In such a run every window of time comes to hold nothing, and from then on every answer stays as it is but for those on
silence. So what is left are timers, and what a snapshot or a later message sees of the run's end. The times are:

- closings of windows that still hold something, and of each window the first behind the run's first judgement, because
  other rules may count since, and behind one at which an alert began or ceased to fire that `unless` may name;
- the judgements round each threshold of a rule on silence: before it, at it, behind it;
- for an alert that waits for windows in a row, each judgement of one, until there are enough;
- the first judgement that may end a `for`, a `keep_firing_for`, a cooldown or the wait of an update, or at which a
  silence of alerts begins or ends, or a message of an incident is due;
- the run's last judgement;
- for every window of time the judgement of its last closing before each of these, because what is published there shows
  the newest window.

A window is judged at the judgement behind its closing and at no other, so closings that were passed over are left out
(`since` in `StreamFold.take_moved`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from monitor.config.metrics import METRICS, SILENCE
from monitor.config.resolved import ModelRules, Rule
from monitor.evaluate.lifecycle import FOREVER, AlertState
from monitor.evaluate.rules import BLIND, Silence


class Quiet(NamedTuple):
    """What is known behind a judgement in an empty run. Times: ms.

    `last`: the last judgement of the run; `changed_at`: the newest one at which an alert began or ceased to fire, or
    the first. `unsettled`: windows that still hold something, by name. `alerts`: those that are pending or fire.
    `silences`: of each stream. `asks_at`: when a trigger asks again. `updates_at`: when what an alert names is due.
    `silences_at`: when a silence of alerts begins or ends. `incidents_at`: when a message of an incident is due.
    """

    last: int
    unsettled: Collection[str]
    alerts: Sequence[AlertState]
    silences: Collection[Silence]
    asks_at: int
    updates_at: int
    silences_at: int = FOREVER
    changed_at: int = -FOREVER
    incidents_at: int = FOREVER


class Timetable:
    """The times of one model's rules."""

    def __init__(self, rules: ModelRules) -> None:
        self._interval = rules.interval_ms
        windows = {rule.window.name: rule.window for rule in rules.rules}
        self._steps = {name: w.every_ms or w.time_ms for name, w in windows.items() if w.time_ms is not None}
        self._on_silence = [rule.comparison for rule in rules.rules if rule.comparison.metric == SILENCE]

    def next(self, at: int, quiet: Quiet) -> int:
        """The next judgement behind `at` at which something may change; at most the run's last."""
        later = at + self._interval
        timers = quiet.asks_at, quiet.updates_at, quiet.silences_at, quiet.incidents_at
        times = [quiet.last, *map(self._from, timers)]
        times += [self._closing(name, later) for name in quiet.unsettled if name in self._steps]
        times += [self._closing(name, quiet.changed_at + self._interval) for name in self._steps]
        times += self._thresholds(quiet.silences)
        times += self._timers(at, quiet)
        due = min(time for time in times if time > at)
        before = (self._from(due // step * step) for step in self._steps.values() if step is not None)
        return min([due, *(time for time in before if time > at)])

    def _from(self, time: int) -> int:
        """The first judgement at or behind a time."""
        return -(-time // self._interval) * self._interval

    def _closing(self, window: str, judgement: int) -> int:
        """The first judgement, from this one on, that has a closing of a window behind the one before."""
        step = self._steps[window] or self._interval
        return self._from(((judgement - self._interval) // step + 1) * step)

    def _thresholds(self, silences: Collection[Silence]) -> Iterator[int]:
        for since, usual in silences:
            for comparison in self._on_silence:
                thresholds = comparison.threshold(None, None, usual / 1000), comparison.recovery_threshold(None, None)
                for threshold in (int(one * 1000) for one in thresholds if one is not None):
                    at = (since + threshold) // self._interval * self._interval
                    yield from (at - self._interval, at, at + self._interval)

    def _timers(self, at: int, quiet: Quiet) -> Iterator[int]:
        for alert in quiet.alerts:
            due = _due(alert)
            metric = alert.rule.comparison.metric
            if due is None:
                continue
            if metric in (SILENCE, BLIND):  # judged at every judgement
                if due > at:
                    yield self._from(due)
            elif METRICS[metric].subject != "detector" and self._goes_on(alert.rule, alert, quiet):
                yield self._closing(alert.rule.window.name, self._from(max(due, at + self._interval)))

    def _goes_on(self, rule: Rule, alert: AlertState, quiet: Quiet) -> bool:
        """Return true if the rule gives verdicts on windows that hold nothing; of the others nothing comes any more."""
        window = alert.verdict.window
        is_empty = window is not None and window.events == 0
        return rule.window.name in self._steps and rule.window.name not in quiet.unsettled and is_empty


def _due(alert: AlertState) -> int | None:
    """When a timer of the alert ends, or that it is over if each verdict counts; None if none runs."""
    if alert.state == "pending":
        is_counted = alert.windows < alert.rule.for_windows
        return alert.last_violated if is_counted else alert.pending_since + alert.rule.for_ms
    if alert.fires and not alert.verdict.violated:
        return alert.last_violated + alert.rule.keep_firing_for_ms
    return None
